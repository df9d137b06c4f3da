/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agents and clients of Teleport's own speak SSH at the proxy's port, inside TLS or, older ones, without. A server may end
 * that before any key exchange, with a reason that the client shows (RFC 4253 sections 4.2 and 11.1).
 */
#ifndef PROXY_SSH_REFUSAL_H
#define PROXY_SSH_REFUSAL_H

#include "base/compiler.h"

struct loop;
struct stream;

/* Sends the reason on `s` (owned). done comes exactly once, from the loop, when the peer has hung up or after TIMEOUT_HTTP1. */
struct ssh_refusal;
struct ssh_refusal *ssh_refusal_start(struct loop *l, struct stream *s, void (*done)(void *ctx), void *ctx) MUST_USE;

/* Ends it; done follows. */
void ssh_refusal_cancel(struct ssh_refusal *r);

#endif
