/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory limits of a splice between a stream of a tunnel and another stream, reserved from a budget of the process:
 *
 *     begun with LIMIT_STREAM_WINDOW_FIRST in each of three places (the tunnel's window, what waits each way) and one read of the loop, or refused;
 *     each time a whole window was read, the window doubles if the budget has room, up to LIMIT_TUNNEL_WINDOW
 *
 * A granted window cannot be revoked (the peer may use it at any time), so it is released only when the connection
 * ends. When the budget is spent, a stream keeps its current window.
 */
#ifndef TUNNEL_TUNNEL_MEMORY_H
#define TUNNEL_TUNNEL_MEMORY_H

#include "base/budget.h"
#include "net/stream.h"

/* The owner must not access the fields. A zeroed struct may be closed. */
struct tunnel_memory {
        struct budget_holder *holder;
        size_t window, charged;
        struct splice *splice;
};

/* The memory charged for a window and the queues in both directions. */
size_t tunnel_memory_cost(size_t window);

/* Reserves the first windows. RESOURCE_EXHAUSTED when the budget has too little left. */
struct error *tunnel_memory_open(struct tunnel_memory *m, struct budget *b, struct str holder) MUST_USE;
/* Connects a tunnel's stream (tunnel_connect, tunnel_accept) and another one with these windows. */
struct splice *tunnel_splice(struct tunnel_memory *m, struct loop *l, struct stream *tunnel, struct stream *other,
                             void (*done)(void *ctx, uint64_t from_tunnel, uint64_t to_tunnel), void *ctx) MUST_USE;
/* The same for a stream `upper` that lies above the tunnel's: TLS in it. The tunnel's stream stays owned by `upper`. */
struct splice *tunnel_splice_above(struct tunnel_memory *m, struct loop *l, struct stream *tunnel, struct stream *upper, struct stream *other,
                                   void (*done)(void *ctx, uint64_t from_tunnel, uint64_t to_tunnel), void *ctx) MUST_USE;
/* Connects the streams of two tunnels; m[0] is the memory of the first, m[1] that of the second. */
struct splice *tunnel_relay(struct tunnel_memory m[2], struct loop *l, struct stream *first, struct stream *second,
                            void (*done)(void *ctx, uint64_t from_first, uint64_t to_first), void *ctx) MUST_USE;
/* Lets the window of a tunnel's stream grow with the budget; for an owner that limits by itself what waits, as long as the stream is open. */
void tunnel_memory_grow(struct tunnel_memory *m, struct stream *tunnel);
/* For tunnel_stream_grow_by(): m. */
bool tunnel_memory_may_grow(void *ctx, size_t window);
/* Releases the memory; to be called when the splice is done or was never created, not between splice_cancel() and its end. */
void tunnel_memory_close(struct tunnel_memory *m);

#endif
