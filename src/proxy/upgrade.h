/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /webapi/connectionupgrade: the way of clients whose TLS ends at a load balancer, which neither passes ALPN on nor knows
 * the cluster's protocols. Inside the upgraded connection the client begins TLS with the proxy, which the load balancer only
 * carries.
 *
 *     Upgrade: websocket                   the stream is the payload of binary messages; Sec-WebSocket-Protocol is alpn or
 *                                          alpn-ping, which mean the same here (pings of WebSocket, net/websocket.h)
 *     Upgrade: alpn, without WebSocket     the stream follows the answer
 *     Upgrade: alpn-ping                   it follows in frames, some of which are pings (net/ping_stream.h)
 *
 * WebSocket is preferred to the other two, which Teleport's clients offered before version 15.1. docs/protocols/upgrade.md has
 * the bytes.
 */
#ifndef PROXY_UPGRADE_H
#define PROXY_UPGRADE_H

#include "net/http_server.h"

/* Accepts an upgrade and returns its stream, or NULL: the request was refused with a sentence. Ends the exchange. */
struct stream *upgrade_accept(struct loop *l, struct http_exchange *x) MUST_USE;

#endif
