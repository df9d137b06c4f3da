/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests the host ID of a node name from the Auth Service, over TLS that is end to end through the proxy, so that a
 * proxy cannot answer instead. The node must then prove this host ID to ssh by its certificate.
 */
#ifndef CLIENT_LOCATE_H
#define CLIENT_LOCATE_H

#include "client/client.h"

/*
 * Requests the host that a dial of `node` (canonical, see client/target.h) as `login` ("": any) reaches. done is called exactly
 * once from the loop: with the host ID (borrowed until it returns), or NULL and an error (owned): NOT_FOUND when there is no such
 * node for this user, FAILED_PRECONDITION when several match. For a host ID no request is made.
 * Pointers are borrowed until then.
 */
struct locate;
struct locate *locate_start(struct loop *l, const struct profile *p, const char *node, const char *login,
                            void (*done)(void *ctx, const char *host_id, struct error *err), void *ctx) MUST_USE;

/* done is called with CANCELLED, from the loop. Must not be called after done. */
void locate_cancel(struct locate *q);

/* The same with a loop of its own; *ret_id in the profile's arena. */
struct error *locate(const struct profile *p, const char *node, const char *login, const char **ret_id) MUST_USE;

/*
 * The reason why this login must not copy files on the node (canonical name or host ID), in the profile's arena; "": it may, or the
 * Auth Service is of an earlier release that does not send it.
 */
struct error *locate_copy_refusal(const struct profile *p, const char *node, const char *login, const char **ret) MUST_USE;

#endif
