/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which host a name means, asked of the Auth Service itself: TLS with it goes through the proxy end to end, so that no
 * proxy can answer in its place. What a node shows to ssh must be the certificate of this host ID.
 */
#ifndef CLIENT_LOCATE_H
#define CLIENT_LOCATE_H

#include "client/client.h"

/*
 * Asks which host a dial of `node` (canonical, see client/target.h) as `login` ("": any) reaches. done comes exactly once
 * from the loop: the host ID (borrowed until it returns), or NULL and an error (owned): NOT_FOUND when there is no such
 * node for this person, FAILED_PRECONDITION when several match. A host ID is its own answer, and nobody is asked.
 * Everything pointed to is borrowed until then.
 */
struct locate;
struct locate *locate_start(struct loop *l, const struct profile *p, const char *node, const char *login,
                            void (*done)(void *ctx, const char *host_id, struct error *err), void *ctx) MUST_USE;

/* done comes with CANCELLED, from the loop. Not after done has run. */
void locate_cancel(struct locate *q);

/* The same with a loop of its own; *ret_id in the profile's arena. */
struct error *locate(const struct profile *p, const char *node, const char *login, const char **ret_id) MUST_USE;

/*
 * Why this login may copy no files on the node (canonical name or host ID), in the profile's arena; "": it may, or an Auth Service of
 * an earlier release does not say.
 */
struct error *locate_copy_refusal(const struct profile *p, const char *node, const char *login, const char **ret) MUST_USE;

#endif
