/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwards joins, message by message (docs/protocols/join.md, P1), and logins to the Auth Service: the only gRPC
 * methods of the proxy, open to unauthenticated peers.
 */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include "net/tls.h"
#include "rpc/rpc.h"

struct proxy;

/* The client of a gRPC connection, returned by rpc_call_caller() of every call on it. */
struct forward_peer {
        struct proxy *proxy;
        bool has_channel_binding; /* of its TLS connection */
        uint8_t channel_binding[TLS_CHANNEL_BINDING_SIZE];
};

/* The table for rpc_serve, and its guard: every method of the table is open to unauthenticated peers, and no other exists. */
extern const struct rpc_method *const forward_methods[];
struct error *forward_guard(void *caller, const struct rpc_method *method) MUST_USE;

#endif
