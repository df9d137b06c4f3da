/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access decisions: computes from a user's roles what the user may do. Pure functions without a store, a clock
 * or a network.
 *
 * A deny rule of any role takes precedence over the allow rules of all roles. Missing roles, logins or labels
 * and unknown verbs grant nothing.
 */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/names.h" /* name_is_user(), name_is_login() */
#include "base/str.h"
#include "resource/access_role.h"
#include "role.pb-c.h"

/* A user with the user's current roles; everything is borrowed. */
struct access_user {
        struct str name;
        const Cteleport__V1__Role *const *roles;
        size_t role_count;
        const Cteleport__V1__User *record; /* for the traits; NULL: none */
};

struct access_label {
        struct str key, value;
};

/* Verbs on resources of the cluster. */
enum access_verb {
        ACCESS_LIST = 1 << 0,
        ACCESS_READ = 1 << 1,
        ACCESS_CREATE = 1 << 2,
        ACCESS_UPDATE = 1 << 3,
        ACCESS_DELETE = 1 << 4,
        ACCESS_EVERYTHING = (1 << 5) - 1,
};

/* "list", "read" and so on; "" unless `verb` is exactly one verb. */
const char *access_verb_name(unsigned verb);

/* The resources that a rule applies to: none, the user's own, or all. */
enum access_reach {
        ACCESS_NONE,
        ACCESS_OWN, /* only sessions in which the user took part (where clause of `session`) */
        ACCESS_ALL,
};

/* Whether the user may do all of `verbs` (several of enum access_verb) to resources of kind ("token", "user", …). */
enum access_reach access_may(const struct access_user *p, const char *kind, unsigned verbs);

/* The permissions and settings of a session. */
enum access_record { ACCESS_RECORD_BEST_EFFORT, ACCESS_RECORD_STRICT };
struct access_session {
        bool port_forwarding, agent_forwarding, file_copy;
        enum access_record record;
        struct duration idle_timeout; /* 0: none */
};

/*
 * Whether the user may log in as `login` to a node with these labels. On PERMISSION_DENIED the message, which
 * may be shown to the user, says whether the login or the node is not allowed; the cause names the role and
 * field that decided.
 */
struct error *access_check_login(const struct access_user *p, const struct access_label *labels, size_t label_count,
                                 struct str login, struct access_session *ret) MUST_USE;

/* The union of the permissions that the user's sessions may have on any node; the user's certificate gets these. */
struct access_session access_most(const struct access_user *p);

/* Whether a resource with these labels is visible to the user: the selector of at least one role matches and no role denies it. */
bool access_sees(const struct access_user *p, enum role_labels of, const struct access_label *labels, size_t label_count);

/* Whether the user may use an application with these labels. On PERMISSION_DENIED the message may be shown to the user. */
struct error *access_check_app(const struct access_user *p, const struct access_label *labels, size_t label_count, struct access_session *ret) MUST_USE;

/*
 * All valid logins that at least one role grants and no role denies, sorted, without duplicates; in the arena.
 * RESOURCE_EXHAUSTED for more than LIMIT_CERT_NAMES, as the number of logins in roles and traits is not limited
 * otherwise.
 */
struct error *access_logins(const struct access_user *p, struct arena *a, struct str **ret, size_t *ret_count) MUST_USE;

/* The shortest max_session_ttl of the roles; `otherwise` when no role has one. */
struct duration access_max_ttl(const struct access_user *p, struct duration otherwise);

/* The preset roles `access`, `editor`, `auditor`; in the arena. NULL for another name. */
Cteleport__V1__Role *access_preset(struct arena *a, struct str name);
extern const char *const access_preset_names[]; /* NULL-terminated */

#endif
