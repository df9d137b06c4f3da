/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user of tsh: the profile that the flags of every command select, and requests to the cluster with it.
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

/* --proxy without the SSH port that Teleport allows after it; NULL if not given. In the arena. */
struct error *user_proxy(struct arena *a, const struct flags *given, const char **ret) MUST_USE;

/*
 * The profile by --proxy and --user, or the current one. NOT_FOUND without a login, UNAUTHENTICATED when
 * the certificates have expired, INVALID_ARGUMENT when --cluster is another.
 */
struct error *user_load(const struct flags *given, struct profile *ret) MUST_USE;

/* The account to log in as, from the target, --login, the name of the local user if it is one of the logins, or the only login. */
struct error *user_login(const struct flags *given, const struct profile *p, const struct target *t,
                           const char **ret) MUST_USE;

/* All nodes that the user may see, by name and ID; each has a spec. */
struct error *user_nodes(struct api_client *a, Cteleport__V1__Node ***ret, size_t *ret_count) MUST_USE;

/* All applications that the user may see, one for each host that offers it; each has passed app_servers_check(). */
struct error *user_apps(struct api_client *a, Cteleport__V1__AppServer ***ret, size_t *ret_count) MUST_USE;

/* INVALID_ARGUMENT when the target's name is one of another profile's cluster. */
struct error *user_check_target(const struct profile *p, const struct target *t) MUST_USE;

/*
 * Resolves the target to one node: labels become the ID of the only node that has them. FAILED_PRECONDITION, and the nodes on
 * stderr, when several match.
 */
struct error *user_settle_node(const struct profile *p, struct target *t) MUST_USE;

/* For several nodes instead of one: returns the error, and prints their table on stderr. */
struct error *user_ambiguous(Cteleport__V1__Node *const *nodes, size_t count) MUST_USE;

/* Completes a proxy's refusal of a node: for several nodes, prints their table on stderr. err is owned. */
struct error *user_explain(const struct profile *p, const char *node, struct error *err) MUST_USE;

#endif
