/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of `teleport start` over a configuration: used by launch.c, and by configure.c, which has some of them. */
#ifndef CMD_TELEPORT_LAUNCH_FLAGS_H
#define CMD_TELEPORT_LAUNCH_FLAGS_H

#include "base/arena.h"
#include "cmd/common/flags.h"
#include "config.pb-c.h"
#include "services/services.h"

/* Puts what was given into config, where it beats what is there. New texts live in the arena or belong to `given`. */
struct error *launch_overlay(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config) MUST_USE;

/* The service that --roles names so; NULL when there is none. It may be one that this release does not have. */
const struct service_row *launch_find_role(struct str flag);
/* INVALID_ARGUMENT that names those --roles takes. */
struct error *launch_unknown_role(struct str flag) MUST_USE;

/* Refuses --ca-pin without a value: it would stand for no pin. */
struct error *launch_check_pins(const struct flags *given) MUST_USE;

#endif
