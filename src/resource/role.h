/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System roles: those of the services of a host, from the table of services, and those of other peers. (Roles of users are
 * another thing: access_role.h.)
 */
#ifndef RESOURCE_ROLE_H
#define RESOURCE_ROLE_H

#include "base/error.h"
#include "base/str.h"
#include "services/services.h"

/* By canonical name only, case-sensitive, as the wire carries it; NULL: unknown. */
const struct system_role *system_role_find(struct str name);

/* By canonical name or any alias in any case ("DB", "windows_desktop"), as users write it; NULL: unknown. */
const struct system_role *system_role_parse(struct str text);

/* INVALID_ARGUMENT `invalid role "x"` with the nearest role as hint. */
struct error *system_role_unknown(struct str text) MUST_USE;

#endif
