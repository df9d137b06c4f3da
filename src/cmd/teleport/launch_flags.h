/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of `teleport start` over a configuration: used by launch.c, and by configure.c, which has some of them. */
#ifndef CMD_TELEPORT_LAUNCH_FLAGS_H
#define CMD_TELEPORT_LAUNCH_FLAGS_H

#include "base/arena.h"
#include "cmd/common/flags.h"
#include "config.pb-c.h"

/* Puts what was given into config, where it beats what is there. New texts live in the arena or belong to `given`. */
struct error *launch_overlay(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config) MUST_USE;

/* Refuses --ca-pin without a value: it would stand for no pin. */
struct error *launch_check_pins(const struct flags *given) MUST_USE;

#endif
