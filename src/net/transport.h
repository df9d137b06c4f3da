/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of bytes from this machine to an address of the cluster:
 *
 *     TRANSPORT_BYTES    TCP, or a tunnel through the HTTP proxy of the environment, over TLS if that is "https://"
 *     TRANSPORT_HTTPS    then TLS with whatever answers HTTPS there
 *     TRANSPORT_UPGRADE  then the connection upgrade: WebSocket at /webapi/connectionupgrade, which a layer 7 load
 *                        balancer passes on to the Proxy Service
 *
 * Over the stream of TRANSPORT_BYTES or TRANSPORT_UPGRADE the caller makes its TLS handshake with the cluster. What lies
 * below it is not trusted: the load balancer sees and can change every byte of it.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "net/http_proxy.h"

struct loop;
struct stream;
struct tls_context;
struct watch;

enum transport_kind { TRANSPORT_BYTES, TRANSPORT_HTTPS, TRANSPORT_UPGRADE };

struct transport_target {
        enum transport_kind kind;
        const char *address;          /* host:port */
        const struct http_proxy *via; /* the HTTP proxy in between; its address is "" without one */
        struct tls_context *egress;   /* of TLS with the HTTP proxy; used if via->is_tls */
        struct tls_context *outer;    /* HTTPS, UPGRADE: a client's context, which offers "http/1.1" */
        const struct watch *watch;    /* NULL: none */
};

/* The steps, in their order. */
enum transport_step { TRANSPORT_STEP_CONNECT, TRANSPORT_STEP_EGRESS_TLS, TRANSPORT_STEP_TUNNEL, TRANSPORT_STEP_TLS, TRANSPORT_STEP_UPGRADE };

/*
 * Opens a stream to the target. done is called exactly once, from the loop, with the stream (owned by it) or an error:
 * UNAVAILABLE, DEADLINE_EXCEEDED, INVALID_ARGUMENT for an address that cannot be dialled, those of tls_start(),
 * CANCELLED. Each step has its own timeout. Pointers of the target are borrowed until then.
 */
struct transport;
struct transport *transport_start(struct loop *l, const struct transport_target *target,
                                  void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
void transport_cancel(struct transport *t); /* calls done with CANCELLED unless it was called already */

/* The current step; within done the one that failed. Not after done. */
enum transport_step transport_step(const struct transport *t);

/* Within done: whether TLS with the target's server has ended before a byte of it was received. */
bool transport_is_unanswered(const struct transport *t);

/*
 * The error of an answer to a request for a page of the proxy, with its remedy: the same as for the connection upgrade. Its status is
 * not 200.
 */
struct error *transport_refuse_page(int status, struct str reason, struct str head, struct str body) MUST_USE;

/* "host[:port]" of an address for the Host field: without the port of HTTPS, as browsers send it; the caller frees. */
char *transport_host_field(const char *address) MUST_USE;

#endif
