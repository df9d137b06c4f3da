/* SPDX-License-Identifier: Apache-2.0 */
/* Applies flags of `teleport start` and `teleport app start` to a configuration. Used by launch.c, and by configure.c, which has some of these flags. */
#ifndef CMD_TELEPORT_LAUNCH_FLAGS_H
#define CMD_TELEPORT_LAUNCH_FLAGS_H

#include "base/arena.h"
#include "cmd/common/flags.h"
#include "config.pb-c.h"
#include "services/services.h"

/* Writes the given flags to config, where they replace values of the file. New texts live in the arena or belong to `given`. */
struct error *launch_overlay(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config) MUST_USE;

/* The same for the flags ca-pin and data-dir alone. */
struct error *launch_overlay_connection(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config) MUST_USE;

/* The service with this name in --roles; NULL when there is none. It may be a service that this release does not implement. */
const struct service_row *launch_find_role(struct str flag);
/* INVALID_ARGUMENT with the names that --roles accepts. */
struct error *launch_unknown_role(struct str flag) MUST_USE;

/* Refuses --app-name without --app-uri, and the other way round. */
struct error *launch_check_app(const struct flags *given) MUST_USE;

/* Refuses --ca-pin without a value, which would mean no pin. */
struct error *launch_check_pins(const struct flags *given) MUST_USE;

#endif
