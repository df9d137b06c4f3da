/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a stream to a node that auth has permitted a connection to: in the node's tunnel to this proxy, or through another
 * proxy that has one (proxy/peer_client.h). A node without a tunnel may be opening one, because it or a proxy has just
 * started or reconnects: the dial waits for it for TIMEOUT_TUNNEL_AWAITED.
 *
 *     own tunnel ──▶ each peer that auth has named ──▶ wait for an own tunnel, or until auth names a peer ──▶ once more
 */
#ifndef PROXY_NODE_DIAL_H
#define PROXY_NODE_DIAL_H

#include "api.pb-c.h"
#include "base/limits.h"
#include "tunnel/tunnel.h"

struct proxy;
struct node_dial;

/* Another proxy that has a tunnel of the node, by the Auth Service. */
struct node_dial_peer {
        char host_id[LIMIT_NAME], addr[LIMIT_NAME];
};

/* The proxies to try. */
struct node_dial_peers {
        struct node_dial_peer list[LIMIT_DIAL_PEERS];
        size_t count;
        bool is_peering; /* proxies relay to each other: auth may find more */
};

/* Takes over what an answer of the Auth Service names; unusable entries are left out. */
void node_dial_read_peers(Cteleport__V1__PeerProxy *const *peers, size_t count, struct node_dial_peers *ret);

/*
 * The texts of the request are borrowed until done, which is called exactly once, from the loop, with a stream (owned,
 * paused) or an error (owned): UNAVAILABLE when the node has no tunnel, otherwise that of the node.
 */
struct node_dial *node_dial_start(struct proxy *p, const struct tunnel_request *request, const struct node_dial_peers *peers,
                                  void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
/* Within done: whether another proxy relays the connection, instead of a tunnel to this one. */
bool node_dial_is_relayed(const struct node_dial *d);
void node_dial_cancel(struct node_dial *d); /* calls done with CANCELLED unless it was called */

#endif
