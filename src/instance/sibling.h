/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves the sibling process of a service over its link (InstanceVerb in proto/internal.proto): sends it the service's
 * identity, and the list of proxies if it keeps tunnels. A request waits until there is a newer version than the client
 * has.
 */
#ifndef INSTANCE_SIBLING_H
#define INSTANCE_SIBLING_H

#include "instance/app_table.h"
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
        /* The result of sibling_tunnels() may be another one. NULL: the process has no tunnels. */
        void (*on_tunnels)(void *ctx);
        const struct app_table *apps; /* NULL: the process gets no table of applications */
        /* The process offers other applications than before, or has connected. Not needed without `apps`. */
        void (*on_names)(void *ctx);
        void *ctx;
};

/*
 * fd is owned. others (owned): earlier links of the same service, or NULL. They are served as long as they are open: a process that was
 * replaced finishes its connections, and needs renewed certificates for that.
 */
struct sibling;
struct sibling *sibling_new(struct loop *l, int fd, struct sibling_events events, struct sibling *others) MUST_USE;
/* With the others. NULL is silent. */
void sibling_free(struct sibling *n);

/* Answers waiting requests, also of the others, after a change of the identity or the list. NULL is ignored. */
void sibling_check(struct sibling *n);

/* The names of the applications that the current process offers; borrowed until its next request. Returns their number. */
size_t sibling_names(const struct sibling *n, char ***ret);

/* The number of proxies that can reach this host under this ID, as reported by the process that has the most. */
size_t sibling_tunnels(const struct sibling *n, struct str host_id);

#endif
