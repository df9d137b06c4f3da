/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects two streams and forwards the bytes between them.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "loop/loop.h"
#include "net/stream.h"

struct side {
        struct splice *splice;
        struct stream *stream;
        struct side *other;
        uint64_t bytes; /* read from this side, written to the other */
        bool has_ended;
};

struct splice {
        struct loop *loop;
        struct side sides[2];
        size_t window;
        void (*done)(void *ctx, uint64_t a_to_b, uint64_t b_to_a);
        void *ctx;
        bool is_over;
};

static void report_done(void *ctx)
{
        struct splice *sp = ctx;

        sp->done(sp->ctx, sp->sides[0].bytes, sp->sides[1].bytes);
        free(sp);
}

/* Closes both streams; each still sends its queued bytes. */
static void end(struct splice *sp)
{
        if (sp->is_over)
                return;
        sp->is_over = true;
        stream_close(sp->sides[0].stream);
        stream_close(sp->sides[1].stream);
        loop_defer(sp->loop, report_done, sp);
}

static void on_read(void *ctx, struct str bytes)
{
        struct side *from = ctx, *to = from->other;

        from->bytes += bytes.len;
        stream_write(to->stream, bytes);
        if (stream_pending(to->stream) >= from->splice->window)
                stream_read(from->stream, false);
}

static void on_drain(void *ctx)
{
        struct side *to = ctx, *from = to->other;

        if (!from->has_ended)
                stream_read(from->stream, true);
}

static void on_end(void *ctx, struct error *err)
{
        struct side *side = ctx;

        side->has_ended = true;
        if (err != NULL) {
                /* A broken stream has no orderly end to forward; the other stream is closed. */
                error_free(err);
                end(side->splice);
                return;
        }
        stream_shutdown(side->other->stream);
        if (side->other->has_ended)
                end(side->splice);
}

static const struct stream_events side_events = {
        .on_read = on_read,
        .on_drain = on_drain,
        .on_end = on_end,
};

struct splice *splice_start(struct loop *l, struct stream *a, struct stream *b, size_t window,
                            void (*done)(void *ctx, uint64_t a_to_b, uint64_t b_to_a), void *ctx)
{
        struct splice *sp = NEW(struct splice);

        sp->loop = l;
        sp->window = window > 0 ? window : 1;
        sp->done = done;
        sp->ctx = ctx;
        sp->sides[0] = (struct side){ .splice = sp, .stream = a, .other = &sp->sides[1] };
        sp->sides[1] = (struct side){ .splice = sp, .stream = b, .other = &sp->sides[0] };
        for (size_t i = 0; i < 2; i++)
                stream_listen(sp->sides[i].stream, &side_events, &sp->sides[i]);
        for (size_t i = 0; i < 2; i++)
                if (stream_pending(sp->sides[!i].stream) < sp->window)
                        stream_read(sp->sides[i].stream, true);
        return sp;
}

void splice_set_window(struct splice *sp, size_t window)
{
        sp->window = window > 0 ? window : 1;
}

uint64_t splice_bytes(const struct splice *sp)
{
        return sp->sides[0].bytes + sp->sides[1].bytes;
}

void splice_cancel(struct splice *sp)
{
        end(sp);
}
