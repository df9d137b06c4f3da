/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of bytes from this machine to an address of the cluster: TCP, or a tunnel through the HTTP proxy of the
 * environment. The caller makes its TLS handshake over the resulting stream.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "net/http_proxy.h"

struct loop;
struct stream;

struct transport_target {
        const char *address;          /* host:port */
        const struct http_proxy *via; /* the HTTP proxy in between; its address is "" without one */
};

/*
 * Opens a stream to the target. done is called exactly once, from the loop, with the stream (owned by it) or an error:
 * UNAVAILABLE, DEADLINE_EXCEEDED, INVALID_ARGUMENT for an address that cannot be dialled, CANCELLED. Each step has
 * TIMEOUT_CONNECT. Pointers of the target are borrowed until then.
 */
struct transport;
struct transport *transport_start(struct loop *l, const struct transport_target *target,
                                  void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
void transport_cancel(struct transport *t); /* calls done with CANCELLED unless it was called already */

#endif
