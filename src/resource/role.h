/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System roles: those of the services of a host, from the table of services, and those of other peers. (Roles of users
 * are in access_role.h.)
 */
#ifndef RESOURCE_ROLE_H
#define RESOURCE_ROLE_H

#include "base/error.h"
#include "base/str.h"
#include "services/services.h"

/* Finds a role by its canonical name, case-sensitive, as on the wire; NULL: unknown. */
const struct system_role *system_role_find(struct str name);

/* Finds a role by canonical name or alias, in any case ("DB", "windows_desktop"), as users write it; NULL: unknown. */
const struct system_role *system_role_parse(struct str text);

/* INVALID_ARGUMENT `invalid role "x"` with the nearest role as hint. */
struct error *system_role_unknown(struct str text) MUST_USE;

#endif
