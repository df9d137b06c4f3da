/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a splice between a stream of a tunnel and another one may hold, granted from a budget of the process:
 *
 *     begun with LIMIT_STREAM_WINDOW_FIRST in each of three places (the tunnel's window, what waits each way) and one read of the loop, or refused;
 *     each time a whole window was read, the window doubles if the budget has room, up to LIMIT_TUNNEL_WINDOW
 *
 * A window that was granted cannot be taken back (the peer may use it at any time), so all of it is given back when the
 * connection ends. A stream that finds no room keeps the window that it has.
 */
#ifndef TUNNEL_TUNNEL_MEMORY_H
#define TUNNEL_TUNNEL_MEMORY_H

#include "base/budget.h"
#include "net/stream.h"

/* Owner may touch nothing. A zeroed one may be closed. */
struct tunnel_memory {
        struct budget_holder *holder;
        size_t window, charged;
        struct splice *splice;
};

/* What a window, and what waits on both ways beside it, counts. */
size_t tunnel_memory_cost(size_t window);

/* RESOURCE_EXHAUSTED when not even the first windows are there. */
struct error *tunnel_memory_open(struct tunnel_memory *m, struct budget *b, struct str holder) MUST_USE;
/* The splice of a tunnel's stream (tunnel_connect, tunnel_accept) and another one, joined with these windows. */
struct splice *tunnel_splice(struct tunnel_memory *m, struct loop *l, struct stream *tunnel, struct stream *other,
                             void (*done)(void *ctx, uint64_t from_tunnel, uint64_t to_tunnel), void *ctx) MUST_USE;
/* For tunnel_stream_grow_by(): m. */
bool tunnel_memory_may_grow(void *ctx, size_t window);
/* When the splice is done, or never was; not between splice_cancel() and its end. */
void tunnel_memory_close(struct tunnel_memory *m);

#endif
