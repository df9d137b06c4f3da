/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/tunnel_memory.h"

#include "base/limits.h"
#include "loop/loop.h"
#include "tunnel/tunnel_internal.h"

static size_t waiting_of(size_t window)
{
        return window < LIMIT_STREAM_WAITING ? window : LIMIT_STREAM_WAITING;
}

size_t tunnel_memory_cost(size_t window)
{
        return window + 2 * waiting_of(window) + LOOP_BUFFER;
}

struct error *tunnel_memory_open(struct tunnel_memory *m, struct budget *b, struct str holder)
{
        struct budget_holder *h = budget_hold(b, holder);
        size_t cost = tunnel_memory_cost(LIMIT_STREAM_WINDOW_FIRST);

        if (!budget_reserve(h, cost)) {
                budget_drop(h);
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the memory for connections is used by open connections"),
                                  "close connections that are not read from, or try again later");
        }
        *m = (struct tunnel_memory){ .holder = h, .window = LIMIT_STREAM_WINDOW_FIRST, .charged = cost };
        return NULL;
}

bool tunnel_memory_may_grow(void *ctx, size_t window)
{
        struct tunnel_memory *m = ctx;
        size_t more = m->holder == NULL ? 0 : tunnel_memory_cost(window) - m->charged;

        if (m->holder == NULL || !budget_reserve(m->holder, more))
                return false;
        m->charged += more;
        m->window = window;
        if (m->splice != NULL)
                splice_set_window(m->splice, waiting_of(window));
        return true;
}

void tunnel_memory_grow(struct tunnel_memory *m, struct stream *tunnel)
{
        tunnel_stream_grow_by(tunnel, tunnel_memory_may_grow, m);
}

struct splice *tunnel_splice_above(struct tunnel_memory *m, struct loop *l, struct stream *tunnel, struct stream *upper, struct stream *other,
                                   void (*done)(void *ctx, uint64_t from_tunnel, uint64_t to_tunnel), void *ctx)
{
        tunnel_stream_grow_by(tunnel, tunnel_memory_may_grow, m);
        m->splice = splice_start(l, upper, other, waiting_of(m->window), done, ctx);
        return m->splice;
}

struct splice *tunnel_splice(struct tunnel_memory *m, struct loop *l, struct stream *tunnel, struct stream *other,
                             void (*done)(void *ctx, uint64_t from_tunnel, uint64_t to_tunnel), void *ctx)
{
        return tunnel_splice_above(m, l, tunnel, tunnel, other, done, ctx);
}

struct splice *tunnel_relay(struct tunnel_memory m[2], struct loop *l, struct stream *first, struct stream *second,
                            void (*done)(void *ctx, uint64_t from_first, uint64_t to_first), void *ctx)
{
        tunnel_stream_grow_by(second, tunnel_memory_may_grow, &m[1]);
        return tunnel_splice(&m[0], l, first, second, done, ctx);
}

void tunnel_memory_close(struct tunnel_memory *m)
{
        if (m->holder != NULL) {
                budget_unreserve(m->holder, m->charged);
                budget_drop(m->holder);
        }
        *m = (struct tunnel_memory){ 0 };
}
