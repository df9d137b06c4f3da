/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's presence in the cluster: one stream that begins with a hello, then sends heartbeats at the server's
 * interval and answers the server's pings. A server that has many hosts requests polls instead: a hello each time, and
 * no stream in between.
 */
#ifndef INSTANCE_PRESENCE_H
#define INSTANCE_PRESENCE_H

#include "api.pb-c.h"
#include "base/clock.h"
#include "rpc/rpc.h"

struct loop;

struct presence_events {
        /* The server accepted the hello, and this host is listed. skew: the server's clock minus this host's; NULL: it is not known. */
        void (*on_welcome)(void *ctx, struct str cluster, const struct duration *skew);
        /*
         * Called afterwards for a host that is to poll: the stream has ended and is to be closed; the next hello is due
         * after `pause`.
         */
        void (*on_polled)(void *ctx, struct duration pause);
        /* A notice for the operator; untrusted text. */
        void (*on_notice)(void *ctx, struct str kind, struct str text);
        /* The list of Proxy Services; borrowed until the callback returns. */
        void (*on_proxies)(void *ctx, const Cteleport__V1__PresenceDown__Proxies *proxies);
        /* The revision of the cluster's CAs, for which this host is to have certificates; untrusted text, borrowed. */
        void (*on_authorities)(void *ctx, struct str revision);
        /* Resources of kind app that this host is to offer; borrowed until the callback returns. */
        void (*on_apps)(void *ctx, const Cteleport__V1__PresenceDown__Apps *apps);
        /* The stream ended; err is owned and never NULL. Called exactly once unless closed before. */
        void (*on_end)(void *ctx, struct error *err);
};

/* How far the server's clock, which says `theirs`, is ahead of this host's; false: it sent no time, or none of any calendar. */
bool presence_skew(const Cteleport__V1__Timestamp *theirs, struct walltime now, struct duration *ret) MUST_USE;

/* Begins with `hello` (read during the call only; its `now` is filled in). `client` is borrowed until the end. */
struct presence;
struct presence *presence_open(struct loop *l, struct rpc_client *client, Cteleport__V1__PresenceUp__Hello *hello,
                               const struct presence_events *events, void *ctx) MUST_USE;

/* Sends the values of labels. False when nothing is sent: before the welcome, and in a poll. */
bool presence_report_labels(struct presence *p, Cteleport__V1__PresenceUp__Labels *all);

/* Sends the names of the applications that this host offers. False when nothing is sent, as above. */
bool presence_report_apps(struct presence *p, char **names, size_t count);

/* Ends the stream; no callback follows. NULL is ignored. */
void presence_close(struct presence *p);

#endif
