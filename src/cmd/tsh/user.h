/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs tsh: the profile that the flags of every command choose, and questions in that name.
 */
#ifndef CMD_TSH_USER_H
#define CMD_TSH_USER_H

#include "client/api_client.h"
#include "client/client.h"
#include "client/target.h"
#include "cmd/common/flags.h"
#include "resource.pb-c.h"

/* --login, --proxy, --user, --cluster and so on. */
extern const struct flag user_flags[];

/* --proxy without the port of SSH that Teleport allows behind it; NULL when none is given. In the arena. */
struct error *user_proxy(struct arena *a, const struct flags *given, const char **ret) MUST_USE;

/*
 * The profile by --proxy and --user, or the current one. NOT_FOUND when nobody is logged in, UNAUTHENTICATED when
 * the certificates have ended, INVALID_ARGUMENT when --cluster is another.
 */
struct error *user_load(const struct flags *given, struct profile *ret) MUST_USE;

/* The account to log in as: what the target says, --login, the name of the local user if it is one of the logins, the only login. */
struct error *user_login(const struct flags *given, const struct profile *p, const struct target *t,
                           const char **ret) MUST_USE;

/* All nodes that the person sees, by name and ID; they have a spec. */
struct error *user_nodes(struct api_client *a, Cteleport__V1__Node ***ret, size_t *ret_count) MUST_USE;

/* INVALID_ARGUMENT when the target's name is one of another profile's cluster. */
struct error *user_check_target(const struct profile *p, const struct target *t) MUST_USE;

/*
 * Settles which node is meant: labels become the ID of the one node that has them. FAILED_PRECONDITION, and the nodes on
 * stderr, when several match.
 */
struct error *user_settle_node(const struct profile *p, struct target *t) MUST_USE;

/* For several nodes where one is wanted: the error, and the table of them on stderr. */
struct error *user_ambiguous(Cteleport__V1__Node *const *nodes, size_t count) MUST_USE;

/* What a proxy's refusal of a node needs beside its words: of several nodes, the table of them on stderr. err is owned. */
struct error *user_explain(const struct profile *p, const char *node, struct error *err) MUST_USE;

#endif
