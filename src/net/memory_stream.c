/* SPDX-License-Identifier: Apache-2.0 */
#include "net/memory_stream.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "loop/loop.h"

enum { INPUT_MAX = 1 << 30 };

struct memory_stream {
        struct stream stream;
        struct loop *loop;
        struct memory_stream *other; /* NULL: the other end is closed and freed */
        struct buf input;            /* written by the other end, not read yet */
        size_t read_most;
        unsigned refs; /* one for the owner, one for each deferred call */
        bool wanted, is_closed;
        bool is_shut;   /* the owner has ended its output */
        bool is_ending; /* the other end has ended its output */
        bool is_broken;
        bool has_ended; /* on_end was called */
        bool is_lost;   /* it broke after an orderly end */
        bool is_due;    /* deliver() is deferred */
        bool is_drained; /* on_drain is due */
};

static struct memory_stream *memory_of(struct stream *s)
{
        return CONTAINER_OF(s, struct memory_stream, stream);
}

static void memory_unref(struct memory_stream *m)
{
        if (--m->refs > 0)
                return;
        buf_release(&m->input);
        free(m);
}

static void deliver(void *ctx);

static void deliver_soon(struct memory_stream *m)
{
        if (m->is_due || m->is_closed)
                return;
        m->is_due = true;
        m->refs++;
        loop_defer(m->loop, deliver, m);
}

static void deliver_bytes(struct memory_stream *m)
{
        size_t len = m->input.len < m->read_most ? m->input.len : m->read_most;
        char *buffer = loop_buffer_take(m->loop);

        memcpy(buffer, m->input.ptr, len);
        buf_consume(&m->input, len);
        if (m->input.len == 0) { /* an idle stream keeps no buffer */
                buf_release(&m->input);
                m->input = BUF_MAX(INPUT_MAX);
        }
        if (m->input.len == 0 && m->other != NULL) {
                m->other->is_drained = true;
                deliver_soon(m->other);
        }
        m->stream.events->on_read(m->stream.ctx, (struct str){ buffer, len });
        loop_buffer_give(m->loop, buffer);
}

static size_t memory_pending(const struct stream *stream)
{
        const struct memory_stream *m = CONTAINER_OF(stream, const struct memory_stream, stream);

        return m->other == NULL || m->is_broken ? 0 : m->other->input.len;
}

static void deliver_end(struct memory_stream *m)
{
        m->has_ended = true;
        m->stream.events->on_end(m->stream.ctx, m->is_broken ? error_new(ERROR_UNAVAILABLE, "the connection broke") : NULL);
}

static void deliver(void *ctx)
{
        struct memory_stream *m = ctx;

        m->is_due = false;
        if (m->is_drained && !m->is_closed && (!m->is_broken || m->is_lost) && memory_pending(&m->stream) == 0 && m->stream.events != NULL &&
            m->stream.events->on_drain != NULL)
                m->stream.events->on_drain(m->stream.ctx);
        m->is_drained = false;
        if (!m->is_closed && m->stream.events != NULL && !m->has_ended) {
                if (m->is_broken)
                        deliver_end(m);
                else if (m->wanted && m->input.len > 0)
                        deliver_bytes(m);
                else if (m->wanted && m->is_ending)
                        deliver_end(m);
        }
        if (m->wanted && !m->has_ended && (m->input.len > 0 || m->is_ending))
                deliver_soon(m);
        memory_unref(m);
}

static void memory_read(struct stream *stream, bool wanted)
{
        struct memory_stream *m = memory_of(stream);

        m->wanted = wanted;
        if (wanted)
                deliver_soon(m);
}

static void memory_write(struct stream *stream, struct str bytes)
{
        struct memory_stream *m = memory_of(stream);

        if (m->is_broken || m->is_shut || m->other == NULL)
                return;
        buf_put(&m->other->input, bytes);
        deliver_soon(m->other);
}

static void memory_shutdown(struct stream *stream)
{
        struct memory_stream *m = memory_of(stream);

        m->is_shut = true;
        if (m->other == NULL)
                return;
        m->other->is_ending = true;
        deliver_soon(m->other);
}

static void memory_close(struct stream *stream)
{
        struct memory_stream *m = memory_of(stream);

        memory_shutdown(stream);
        m->is_closed = true;
        if (m->other != NULL)
                m->other->other = NULL;
        memory_unref(m);
}

static const struct stream_ops memory_ops = {
        .read = memory_read,
        .write = memory_write,
        .shutdown = memory_shutdown,
        .close = memory_close,
        .pending = memory_pending,
};

static struct memory_stream *memory_stream_new(struct loop *l)
{
        struct memory_stream *m = NEW(struct memory_stream);

        m->stream.ops = &memory_ops;
        m->loop = l;
        m->input = BUF_MAX(INPUT_MAX);
        m->read_most = LOOP_BUFFER;
        m->refs = 1;
        return m;
}

void memory_stream_pair(struct loop *l, struct stream **ret_a, struct stream **ret_b)
{
        struct memory_stream *a = memory_stream_new(l), *b = memory_stream_new(l);

        a->other = b;
        b->other = a;
        *ret_a = &a->stream;
        *ret_b = &b->stream;
}

void memory_stream_limit_reads(struct stream *s, size_t most)
{
        memory_of(s)->read_most = most > 0 && most < LOOP_BUFFER ? most : LOOP_BUFFER;
}

static void break_end(struct memory_stream *m)
{
        if (m == NULL)
                return;
        m->is_lost = m->is_drained = m->has_ended && !m->is_broken && memory_pending(&m->stream) > 0;
        m->is_broken = true;
        deliver_soon(m);
}

void memory_stream_break(struct stream *s)
{
        break_end(memory_of(s)->other);
        break_end(memory_of(s));
}
