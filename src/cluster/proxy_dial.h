/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS connection with the cluster at an address: directly, or by the connection upgrade through a layer 7 load
 * balancer that ends TLS there (net/transport.h).
 *
 *     direct handshake ── the server speaks our protocol ──▶ done, with the stream or the reason
 *          │
 *          └─ it does not, or is no TLS server of the cluster
 *                 │
 *                 ▼
 *     HTTPS with the load balancer ─▶ [the host CA's certificates] ─▶ upgrade ─▶ inner handshake ─▶ done
 *
 * The direct handshake needs no probe before it: its failure tells. This process remembers the outcome for the address
 * (net/conn_upgrade.h) and begins with the upgrade the next time; when the upgrade fails it forgets it.
 * TELEPORT_TLS_ROUTING_CONN_UPGRADE of the environment decides instead.
 *
 * The whole dial ends within TIMEOUT_PROXY_DIAL. A load balancer may accept a connection and have no backend that answers: it
 * ends the connection before the first byte of TLS, or answers the upgrade by 502, 503, 504 or an end. The step is
 * then repeated up to LIMIT_PROXY_DIAL_REPEATS times, as the next connection may get another backend. If the direct connection
 * ended so, that is repeated even if HTTPS there has a certificate that is refused: it may be the cluster's own. The last error
 * then has the refusal too.
 *
 * A load balancer, or an attacker in its place, is not trusted with the connection: the inner handshake verifies the
 * cluster as strictly as the direct one, or by the host CA.
 */
#ifndef CLUSTER_PROXY_DIAL_H
#define CLUSTER_PROXY_DIAL_H

#include "net/http_proxy.h"

struct loop;
struct stream;
struct tls_context;
struct watch;

struct proxy_dial_options {
        const char *address;          /* host:port; borrowed until done */
        const struct http_proxy *via; /* borrowed until done */
        struct str roots_pem;         /* CAs beside the system's, for an HTTP proxy that speaks TLS; borrowed until done */
        struct tls_context *direct;   /* of the direct handshake; owned by the dial from now on */
        const char *server_name;      /* of the direct handshake; copied; NULL: the host of the address */
        bool may_upgrade;             /* false: the address is no proxy's; the fields below are not used then */
        bool learns_ca;               /* the inner handshake is verified by the host CA's certificates, learned over HTTPS */
        const char *ca_hint;          /* follows the remedy if these cannot be read; a constant; NULL: none */
        const char *inner_name;       /* server name of the inner handshake; a constant, or the same if NULL */
        /*
         * Make the contexts of the upgrade when it begins: for HTTPS with the load balancer ("http/1.1"), and for the inner
         * handshake; host_ca_pem is "" unless learns_ca is set. *ret is owned by the dial.
         */
        struct error *(*make_outer)(void *ctx, struct tls_context **ret);
        struct error *(*make_inner)(void *ctx, struct str host_ca_pem, struct tls_context **ret);
        /* Called exactly once, from the loop: with the stream (owned by it), or an error (owned). */
        void (*done)(void *ctx, struct stream *tls, bool is_upgraded, struct error *err);
        void *ctx;
};

struct proxy_dial;
struct proxy_dial *proxy_dial_start(struct loop *l, const struct proxy_dial_options *options) MUST_USE;
/* Reports the steps to w, borrowed until done; to be called right after proxy_dial_start(). */
void proxy_dial_watch(struct proxy_dial *d, const struct watch *w);
void proxy_dial_cancel(struct proxy_dial *d); /* calls done with CANCELLED unless it was called already */

#endif
