/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind: app — an application that a host offers.
 */
#ifndef RESOURCE_APP_H
#define RESOURCE_APP_H

#include "base/arena.h"
#include "base/error.h"

/*
 * Reads where a host reaches an application, tcp://HOST:PORT: *ret_target is HOST:PORT in canonical form, in the arena.
 * INVALID_ARGUMENT says what to write.
 */
struct error *app_uri_parse(struct arena *arena, struct str uri, const char **ret_target) MUST_USE;

/* Checks a name; `field` is for the error. */
struct error *app_check_name(struct str name, const char *field) MUST_USE;

#endif
