/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind: role — what users may do. (role.h is about the roles of hosts.)
 */
#ifndef RESOURCE_ACCESS_ROLE_H
#define RESOURCE_ACCESS_ROLE_H

#include "base/arena.h"
#include "base/error.h"
#include "resource/token.h"
#include "role.pb-c.h"

/* The one condition that a rule may have, on `session`: sessions in which the user took part. */
#define ROLE_WHERE_OWN "contains(session.participants, user.metadata.name)"

/*
 * Checks a role and fills in kind and version, in place. INVALID_ARGUMENT names the field, the problem and the valid
 * values. warnings (texts in the arena) may be NULL.
 */
struct error *access_role_check(Cteleport__V1__Role *role, struct arena *arena, struct token_warnings *warnings) MUST_USE;

/* Whether s is a valid role name: as for tokens, but without ':' and '='. */
bool name_is_role(struct str s);

/* Whether an entry of `logins` stands for the logins of the user: {{internal.logins}} or {{external.logins}}. */
bool role_login_is_template(struct str login);

/* Whether `where` is ROLE_WHERE_OWN, blanks aside. */
bool role_where_is_own(struct str where);

#endif
