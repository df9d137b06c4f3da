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

/* The selectors of a role: which resources of a kind it is about, by their labels. */
enum role_labels { ROLE_NODE_LABELS, ROLE_APP_LABELS, ROLE_LABELS };

/* One label of a selector; borrowed from the role. */
struct role_label {
        char *key;
        const Cteleport__V1__Strings *values; /* may be NULL */
};

/* "node_labels", "app_labels" */
const char *role_labels_name(enum role_labels of);
/* 0 if conditions is NULL. */
size_t role_label_count(const Cteleport__V1__RoleConditions *conditions, enum role_labels of);
struct role_label role_label_at(const Cteleport__V1__RoleConditions *conditions, enum role_labels of, size_t index);

/* Checks a selector of labels. INVALID_ARGUMENT names the label with error_about(). */
struct error *role_labels_check(const Cteleport__V1__RoleConditions *conditions, enum role_labels of) MUST_USE;

/* Whether s is a valid role name: as for tokens, but without ':' and '='. */
bool name_is_role(struct str s);

/* Whether an entry of `logins` stands for the logins of the user: {{internal.logins}} or {{external.logins}}. */
bool role_login_is_template(struct str login);

/* Whether `where` is ROLE_WHERE_OWN, blanks aside. */
bool role_where_is_own(struct str where);

#endif
