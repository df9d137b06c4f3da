/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives the identity of a service to the process of that service, and the list of proxies to the one that keeps
 * tunnels to them, over the link between the two (InstanceVerb in proto/internal.proto). A question waits here
 * until there is something newer than the client has.
 */
#ifndef INSTANCE_SIBLING_H
#define INSTANCE_SIBLING_H

#include "instance/proxy_list.h"
#include "join/host_identity.h"

struct loop;

/* The state that a sibling process may read; all of it borrowed for its life. */
struct sibling_events {
        const char *role; /* the one it may ask for */
        const struct host_identity *identity;
        const bool *is_in_place;           /* the identity may be shown: what else belongs to it is on the disk */
        const char *auth_addr;
        const struct proxy_list *proxies;  /* NULL: none of its business */
        /* How many proxies can reach this host, under which ID; also when the process is gone. NULL: it has no tunnels. */
        void (*on_tunnels)(void *ctx, struct str host_id, size_t count);
        void *ctx;
};

/* fd is owned. */
struct sibling;
struct sibling *sibling_new(struct loop *l, int fd, struct sibling_events events) MUST_USE;
void sibling_free(struct sibling *n); /* NULL is silent */

/* The identity or the list has changed: answers who waits. NULL is silent. */
void sibling_check(struct sibling *n);

#endif
