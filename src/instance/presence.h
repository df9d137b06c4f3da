/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's presence in the cluster: one stream that begins with a hello, then sends a heartbeat at
 * the server's pace and answers the server's pings. A server that has many hosts requests polls instead:
 * a hello each time, and no stream in between.
 */
#ifndef INSTANCE_PRESENCE_H
#define INSTANCE_PRESENCE_H

#include "api.pb-c.h"
#include "base/clock.h"
#include "rpc/rpc.h"

struct loop;

struct presence_events {
        /* The server took the hello: this host is listed. skew: the server's clock minus ours. */
        void (*on_welcome)(void *ctx, struct str cluster, struct duration skew);
        /* After that, for a host that may poll: there is no stream. To be closed; the next hello is due after `pause`. */
        void (*on_polled)(void *ctx, struct duration pause);
        /* Something for the operator. Foreign text. */
        void (*on_notice)(void *ctx, struct str kind, struct str text);
        /* The Proxy Services there are; borrowed until it returns. */
        void (*on_proxies)(void *ctx, const Cteleport__V1__PresenceDown__Proxies *proxies);
        /* The stream ended; err is owned and never NULL. Exactly once unless closed before. */
        void (*on_end)(void *ctx, struct error *err);
};

/* Begins with `hello` (only looked at now; its `now` is filled in). `client` is borrowed until the end. */
struct presence;
struct presence *presence_open(struct loop *l, struct rpc_client *client, Cteleport__V1__PresenceUp__Hello *hello,
                               const struct presence_events *events, void *ctx) MUST_USE;

/* Sends the values of labels. False when nothing is sent: before the welcome, and in a poll. */
bool presence_report_labels(struct presence *p, Cteleport__V1__CommandLabel **labels, size_t count);

/* Ends it; no event comes any more. NULL is silent. */
void presence_close(struct presence *p);

#endif
