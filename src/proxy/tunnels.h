/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reverse tunnels of the nodes that are connected to this proxy, by host ID.
 *
 * A node that comes back before its old tunnel is known to be dead has two for a while: the newest serves.
 *
 * A tunnel ends with the certificate that opened it, unless the node has proven itself again by opening another with a newer
 * one: then the old one gets no new connections, and those in it go on for as long as the newest certificate is good.
 */
#ifndef PROXY_TUNNELS_H
#define PROXY_TUNNELS_H

#include "base/clock.h"
#include "base/map.h"
#include "pki/cert.h"
#include "tunnel/tunnel.h"

struct node_tunnel;
struct sources;

/* A zeroed struct with loop and sources set is ready; the owner may touch nothing else. */
struct tunnels {
        struct loop *loop;
        struct sources *sources;     /* counts them (SOURCE_TUNNELS), and limits how many there are */
        struct tunnel_guard *guard;  /* gets every agent that connects; may be NULL */
        void (*on_empty)(void *ctx); /* when the last one is gone, from the loop; may be NULL */
        void *ctx;
        struct node_tunnel *list;
        struct timer *expiry;
        struct walltime next_expiry;
        struct map by_host; /* host ID -> the newest tunnel, which knows the older ones */
        size_t count;
        bool is_closing; /* no more are taken */
};

/*
 * Takes in the tunnel of a node that has proven with this certificate to be cert->host_id; tls is owned. Beyond the limit of sources, or
 * while closing, it is closed at once; the oldest of a host goes beyond LIMIT_TUNNELS_PER_HOST.
 */
void tunnels_add(struct tunnels *t, struct stream *tls, const struct cert_info *cert, const char *peer);

/* Ends the tunnels of a host, and the connections in them: those by certificates earlier than `before`, unless that is zero; then all. */
void tunnels_end_host(struct tunnels *t, struct str host_id, struct cert_issue before, const char *reason);

/* Calls each for every tunnel, with the certificate that opened it; host_id borrowed. */
void tunnels_each(const struct tunnels *t, void (*each)(void *ctx, const char *host_id, struct cert_issue cert), void *ctx);

/* Asks the node host_id for a stream, see tunnel_connect. NULL: it has no tunnel to this proxy. */
struct tunnel_dial *tunnels_connect(struct tunnels *t, const struct tunnel_request *request,
                                    void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;

/* Takes no more, and tells all nodes to go; SSH connections that are open may go on. */
void tunnels_drain(struct tunnels *t);

/* Takes no more and ends all. */
void tunnels_shut(struct tunnels *t);

static inline bool tunnels_are_empty(const struct tunnels *t)
{
        return t->list == NULL;
}

/* When they are empty. */
void tunnels_release(struct tunnels *t);

#endif
