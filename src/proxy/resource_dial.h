/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects a user to a resource: auth decides, and the proxy opens a stream in the tunnel of the host that auth has named.
 *
 *     REQUEST ──▶ CONNECT or ALTERNATIVE ──▶ stream
 *        ▲─── the host cannot be reached ──┘
 *
 * If several hosts offer the resource and the one that auth has named does not accept the connection, auth names another one, up to
 * LIMIT_DIAL_TRIES. The same holds if that host cannot reach the application: its client dials again and names the host in `tried`, which counts
 * in that limit. docs/decisions/0046-the-next-host-of-an-application.md
 */
#ifndef PROXY_RESOURCE_DIAL_H
#define PROXY_RESOURCE_DIAL_H

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

struct proxy;
struct stream;

/* Everything is copied. */
struct resource_dial_request {
        struct str certificate; /* of the user, DER; the user has proven to have its key */
        struct str kind, target, login; /* "app"; its name or ID; of nodes, otherwise "" */
        uint32_t port;           /* of applications, one of their tcp_ports; otherwise ignored */
        const char *client_addr; /* with port */
        struct str tried;        /* IDs of hosts that do not reach the application, separated by commas: others are requested. "": none */
};

/* What auth has decided; borrowed until done returns. All are visible ASCII; hostname may be "". */
struct resource_dial_route {
        char host_id[LIMIT_NAME], hostname[LIMIT_NAME], connection_id[LIMIT_NAME];
        char user[LIMIT_NAME];     /* "": an older Auth Service does not set it */
        char service[LIMIT_NAME];  /* that the host offers the resource by */
        char resource[LIMIT_NAME]; /* its name; "" of nodes */
        bool is_relayed;           /* in done: by another proxy */
        bool has_alternatives;     /* other hosts may offer it, and the limit of tries is not reached */
};

struct resource_dial_events {
        /* The connection is permitted, and is made next; an error (owned) gives it up, for done. May be NULL. */
        struct error *(*permitted)(void *ctx, const struct resource_dial_route *route);
        /* Once, from the loop: the stream (owned, paused), or an error (owned) with words for the user. */
        void (*done)(void *ctx, struct stream *s, const struct resource_dial_route *route, struct error *err);
};

struct resource_dial;
struct resource_dial *resource_dial_start(struct proxy *p, const struct resource_dial_request *request, const struct resource_dial_events *events,
                                          void *ctx) MUST_USE;
void resource_dial_cancel(struct resource_dial *d); /* done is called with CANCELLED, from the loop */

#endif
