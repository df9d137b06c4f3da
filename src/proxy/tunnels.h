/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reverse tunnels of the agents that are connected to this proxy, by host ID and role: a host has a tunnel of its own for each
 * service that users connect to ("Node": SSH, "App": applications), opened with the certificate of that role, and a connection
 * to a resource goes through the tunnel of the service that offers its kind.
 *
 * A node that reconnects before its old tunnel has failed has two for a while: the newest is used. A connection counts as
 * a tunnel when the node begins to serve it: of several proxies behind one address, a node closes at once the connections
 * that lead to a proxy that it has a tunnel to.
 *
 * A tunnel is closed when the certificate that opened it expires, unless the node has opened another one with a newer
 * certificate: then the old tunnel gets no new connections, and the connections in it continue until the newest
 * certificate expires.
 */
#ifndef PROXY_TUNNELS_H
#define PROXY_TUNNELS_H

#include "base/clock.h"
#include "base/map.h"
#include "pki/cert.h"
#include "tunnel/tunnel.h"

struct node_tunnel;
struct sources;
struct tunnel_wait;

/* A zeroed struct with loop and sources set is ready for use; the owner must not access other fields. */
struct tunnels {
        struct loop *loop;
        struct sources *sources;     /* counts tunnels (SOURCE_TUNNELS) and limits their number */
        struct tunnel_guard *guard;  /* gets every agent that connects; may be NULL */
        void (*on_empty)(void *ctx); /* called from the loop when the last tunnel has closed; may be NULL */
        void *ctx;
        struct node_tunnel *list;
        struct timer *expiry;
        struct walltime next_expiry;
        struct map by_host;   /* host ID -> the newest tunnel of any role, which knows the older ones */
        struct map beginning; /* the same of connections that the node does not serve yet */
        struct tunnel_wait *waits;
        size_t count;
        bool is_closing; /* no more tunnels are accepted */
};

/*
 * Adds the tunnel of host cert->host_id for cert->role, which offers a kind of resources; it has authenticated with this
 * certificate; tls is owned. Beyond the limit of sources, or while closing, it is closed at once; beyond LIMIT_TUNNELS_PER_HOST
 * the oldest of the host in this role is closed.
 */
void tunnels_add(struct tunnels *t, struct stream *tls, const struct cert_info *cert, const char *peer);

/*
 * Closes the tunnels of a host in a role, "" for each, and the connections in them: those opened with certificates issued before
 * `before`, or all if that is zero.
 */
void tunnels_end_host(struct tunnels *t, struct str host_id, struct str role, struct cert_issue before, const char *reason);

/* Calls each() for every tunnel, with the certificate that opened it; host_id is borrowed, role is static. */
void tunnels_each(const struct tunnels *t, void (*each)(void *ctx, const char *host_id, const char *role, struct cert_issue cert), void *ctx);

/*
 * Waits for a tunnel of this host in the role that offers `kind`. done is called once, from the loop: true when there is one, false after `within` or
 * when no more tunnels are accepted. A cancelled wait calls nothing.
 */
struct tunnel_wait *tunnels_await(struct tunnels *t, struct str host_id, struct str kind, struct duration within,
                                  void (*done)(void *ctx, bool is_there), void *ctx) MUST_USE;
void tunnels_await_cancel(struct tunnel_wait *w); /* NULL is ignored */

/*
 * Opens a stream to request->host_id, see tunnel_connect(), in the tunnel of the role that offers request->kind. NULL: the host has
 * no such tunnel to this proxy that accepts streams.
 */
struct tunnel_dial *tunnels_connect(struct tunnels *t, const struct tunnel_request *request,
                                    void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;

/* Accepts no more tunnels and asks all nodes to leave; open SSH connections continue. */
void tunnels_drain(struct tunnels *t);

/* Accepts no more tunnels and closes all. */
void tunnels_shut(struct tunnels *t);

static inline bool tunnels_are_empty(const struct tunnels *t)
{
        return t->list == NULL;
}

/* To be called when there are no tunnels. */
void tunnels_release(struct tunnels *t);

#endif
