/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves the sibling process of a service over its link (InstanceVerb in proto/internal.proto): sends it the service's
 * identity, and the list of proxies if it keeps tunnels. A request waits until there is a newer version than the client
 * has.
 */
#ifndef INSTANCE_SIBLING_H
#define INSTANCE_SIBLING_H

#include "instance/proxy_list.h"
#include "join/host_identity.h"

struct loop;

/* The state that a sibling process may read; borrowed as long as the struct sibling exists. */
struct sibling_events {
        const char *role; /* the role whose identity it may request */
        const struct host_identity *identity;
        const bool *is_in_place;           /* whether the identity may be sent: its other files are on the disk */
        const char *auth_addr;
        const struct proxy_list *proxies;  /* NULL: the process gets no list */
        /*
         * The process reports how many proxies can reach this host under which ID; also called when the process has
         * ended. NULL: it has no tunnels.
         */
        void (*on_tunnels)(void *ctx, struct str host_id, size_t count);
        void *ctx;
};

/* fd is owned. */
struct sibling;
struct sibling *sibling_new(struct loop *l, int fd, struct sibling_events events) MUST_USE;
void sibling_free(struct sibling *n); /* NULL is silent */

/* Answers waiting requests after a change of the identity or the list. NULL is ignored. */
void sibling_check(struct sibling *n);

#endif
