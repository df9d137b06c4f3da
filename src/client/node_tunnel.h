/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP CONNECT request to a proxy for the SSH server of a node, or for an application, on a TLS stream.
 *
 *     CONNECT <target>:<port> HTTP/1.1    the port of an application with several ones; otherwise 0
 *     Host: <target>:<port>
 *     X-Teleport-Login: <login>           of a node
 *     X-Teleport-Kind: app                of an application, whose name is the target
 *     X-Teleport-Tried: <ID>,<ID>         hosts that do not reach the application: another one is wanted
 *
 * The answer is 200 followed by the bytes of the host, or a refusal whose body has the reason:
 * "what happened\nhint: what to do\n".
 */
#ifndef CLIENT_NODE_TUNNEL_H
#define CLIENT_NODE_TUNNEL_H

#include "base/clock.h"
#include "base/error.h"
#include "net/stream.h"

struct loop;

/* Bytes of a refusal's body that are read. */
enum { NODE_REFUSAL_MAX = 4 * KiB };

/*
 * The error of a refusal: 403 PERMISSION_DENIED, 404 NOT_FOUND, 409 FAILED_PRECONDITION, 401 UNAUTHENTICATED, 429
 * RESOURCE_EXHAUSTED, 400 INVALID_ARGUMENT, others UNAVAILABLE; sentence and hint from the body, escaped.
 */
struct error *node_refusal(int status, struct str body) MUST_USE;

/* Valid names, copied. */
struct node_tunnel_target {
        const char *name;
        const char *login; /* "": none is named */
        bool is_app;       /* false: a node */
        uint32_t port;     /* of an application, one of its tcp_ports; otherwise 0 */
        const char *tried; /* IDs of hosts, separated by commas; "": none */
};

/*
 * Sends the request on `proxy` (owned from now on). done is called exactly once, from the loop, with the stream to the host
 * or an error.
 */
struct node_tunnel;
struct node_tunnel *node_tunnel_start(struct loop *l, struct stream *proxy, const struct node_tunnel_target *target, struct duration within,
                                      void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
/* The ID of the host by the proxy's answer, valid within done; "": it has named none. */
const char *node_tunnel_host_id(const struct node_tunnel *t);
/* done is called with CANCELLED unless it has been called already. */
void node_tunnel_cancel(struct node_tunnel *t);

#endif
