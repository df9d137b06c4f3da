/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind: user — a user of the cluster and their roles.
 */
#ifndef RESOURCE_USER_H
#define RESOURCE_USER_H

#include "base/error.h"
#include "role.pb-c.h"

/* Checks a user and fills in kind and version, in place. INVALID_ARGUMENT names the field and the problem. */
struct error *user_check(Cteleport__V1__User *user) MUST_USE;

/* The values of a trait such as "logins"; NULL when the user has none. Borrowed. */
const Cteleport__V1__StringList *user_trait(const Cteleport__V1__User *user, struct str name);

#endif
