/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins on their way through the proxy, message by message (docs/protocols/join.md, P1), and logins: the
 * only methods that an unauthenticated peer reaches here.
 */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include "net/tls.h"
#include "rpc/rpc.h"

struct proxy;

/* Who is at the other end of a gRPC connection: rpc_call_caller() of every call on it. */
struct forward_peer {
        struct proxy *proxy;
        bool has_channel_binding; /* of the TLS connection on which it speaks */
        uint8_t channel_binding[TLS_CHANNEL_BINDING_SIZE];
};

/* The table for rpc_serve, and its guard: every method of the table is open to unauthenticated peers, and no other exists. */
extern const struct rpc_method *const forward_methods[];
struct error *forward_guard(void *caller, const struct rpc_method *method) MUST_USE;

#endif
