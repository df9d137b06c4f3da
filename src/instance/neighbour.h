/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives the identity of a service to the process of that service, over the link between the two
 * (InstanceVerb in proto/internal.proto). A question waits here until there is a newer one than the
 * asker has.
 */
#ifndef INSTANCE_NEIGHBOUR_H
#define INSTANCE_NEIGHBOUR_H

#include "join/host_identity.h"

struct loop;

/* fd is owned. role: the one this neighbour may ask for. identity and auth_addr are borrowed for its life. */
struct neighbour;
struct neighbour *neighbour_new(struct loop *l, int fd, const char *role, const struct host_identity *identity,
                                const char *auth_addr) MUST_USE;
void neighbour_free(struct neighbour *n); /* NULL is silent */

/* The identity has changed: answers who waits. */
void neighbour_news(struct neighbour *n);

#endif
