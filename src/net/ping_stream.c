/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload of one read is gathered in a loop buffer and delivered at once, so that the stream holds none, and pausing it pauses the
 * lower stream only.
 */
#include "net/ping_stream.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"

enum { HEADER_SIZE = 4, PAYLOAD_MAX = LOOP_BUFFER - HEADER_SIZE };

struct ping_stream {
        struct stream stream;
        struct loop *loop;
        struct stream *lower;
        struct timer *ping;
        uint32_t header;      /* the bytes of a length that were received so far */
        size_t header_len;
        size_t left;          /* bytes of the current frame that are not received yet */
        struct error *broken; /* reported after the payload before it */
        unsigned refs;        /* one for the owner, one for each callback on the stack */
        bool is_shut;         /* the owner has ended its output */
        bool has_ended;       /* on_end was called */
        bool has_failed;      /* with an error */
        bool is_closed;       /* the owner closed the stream */
};

static struct ping_stream *ping_of(struct stream *s)
{
        return CONTAINER_OF(s, struct ping_stream, stream);
}

static void ping_unref(struct ping_stream *p)
{
        if (--p->refs > 0)
                return;
        error_free(p->broken);
        free(p);
}

/* err is owned; NULL: an orderly end. */
static void report_end(struct ping_stream *p, struct error *err)
{
        if (p->is_closed || p->has_ended || p->stream.events == NULL) {
                error_free(err);
                return;
        }
        p->has_ended = true;
        p->has_failed = err != NULL;
        if (p->has_failed) {
                stream_read(p->lower, false);
                timer_stop(p->ping);
        }
        p->stream.events->on_end(p->stream.ctx, err);
}

/* ---- frames ------------------------------------------------------------------------------------------------ */

/* Takes one byte of a length. */
static void take_header(struct ping_stream *p, char byte)
{
        p->header = p->header << 8 | (uint8_t)byte;
        if (++p->header_len < HEADER_SIZE)
                return;
        if (p->header > LIMIT_PING_FRAME)
                p->broken = error_new(ERROR_INVALID_ARGUMENT, "the peer sent a frame of %zu bytes, more than %d", (size_t)p->header, LIMIT_PING_FRAME);
        p->left = p->header;
        p->header = 0;
        p->header_len = 0;
}

/* Copies the payload of frames in `bytes` to `out`, which has room for all; returns its length. */
static size_t take_frames(struct ping_stream *p, struct str bytes, char *out)
{
        size_t len = 0;

        while (!str_is_empty(bytes) && p->broken == NULL) {
                size_t n = p->left < bytes.len ? p->left : bytes.len;

                if (n == 0) {
                        take_header(p, bytes.ptr[0]);
                        bytes = str_slice(bytes, 1, bytes.len);
                        continue;
                }
                memcpy(out + len, bytes.ptr, n);
                len += n;
                p->left -= n;
                bytes = str_slice(bytes, n, bytes.len);
        }
        return len;
}

/* ---- the lower stream ---------------------------------------------------------------------------------------- */

static void on_lower_read(void *ctx, struct str bytes)
{
        struct ping_stream *p = ctx;

        char *payload = loop_buffer_take(p->loop);
        size_t len = take_frames(p, bytes, payload);

        p->refs++;
        if (len > 0)
                p->stream.events->on_read(p->stream.ctx, (struct str){ payload, len });
        if (p->broken != NULL && !p->is_closed) {
                struct error *err = p->broken;

                p->broken = NULL;
                report_end(p, err);
        }
        loop_buffer_give(p->loop, payload);
        ping_unref(p);
}

static void on_lower_drain(void *ctx)
{
        struct ping_stream *p = ctx;

        if (!p->has_failed && p->stream.events != NULL && p->stream.events->on_drain != NULL)
                p->stream.events->on_drain(p->stream.ctx);
}

static void on_lower_end(void *ctx, struct error *err)
{
        struct ping_stream *p = ctx;

        if (err == NULL && (p->left > 0 || p->header_len > 0))
                err = error_new(ERROR_UNAVAILABLE, "the connection ended inside a frame");
        report_end(p, err);
}

static const struct stream_events lower_events = { .on_read = on_lower_read, .on_drain = on_lower_drain, .on_end = on_lower_end };

/* No ping is needed while the last bytes wait for the peer. */
static void on_ping(void *ctx)
{
        struct ping_stream *p = ctx;

        if (stream_pending(p->lower) == 0)
                stream_write(p->lower, (struct str){ "\0\0\0\0", HEADER_SIZE });
        timer_start(p->ping, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE));
}

/* ---- the stream ----------------------------------------------------------------------------------------------- */

static void ping_read(struct stream *stream, bool wanted)
{
        struct ping_stream *p = ping_of(stream);

        if (!p->has_ended)
                stream_read(p->lower, wanted);
}

static void ping_write(struct stream *stream, struct str bytes)
{
        struct ping_stream *p = ping_of(stream);

        if (p->is_shut || p->has_failed)
                return;
        char *frame = loop_buffer_take(p->loop);
        while (!str_is_empty(bytes)) {
                struct str piece = str_slice(bytes, 0, PAYLOAD_MAX);

                for (size_t i = 0; i < HEADER_SIZE; i++)
                        frame[i] = (char)(piece.len >> 8 * (HEADER_SIZE - 1 - i));
                memcpy(frame + HEADER_SIZE, piece.ptr, piece.len);
                stream_write(p->lower, (struct str){ frame, HEADER_SIZE + piece.len });
                bytes = str_slice(bytes, piece.len, bytes.len);
        }
        loop_buffer_give(p->loop, frame);
}

static void ping_shutdown(struct stream *stream)
{
        struct ping_stream *p = ping_of(stream);

        p->is_shut = true;
        timer_stop(p->ping);
        stream_shutdown(p->lower);
}

static void ping_close(struct stream *stream)
{
        struct ping_stream *p = ping_of(stream);

        p->is_closed = true;
        timer_free(p->ping);
        p->ping = NULL;
        stream_close(p->lower);
        p->lower = NULL;
        ping_unref(p);
}

static size_t ping_pending(const struct stream *stream)
{
        return stream_pending(CONTAINER_OF(stream, const struct ping_stream, stream)->lower);
}

static const struct stream_ops ping_ops = {
        .read = ping_read,
        .write = ping_write,
        .shutdown = ping_shutdown,
        .close = ping_close,
        .pending = ping_pending,
};

struct stream *ping_stream(struct loop *l, struct stream *lower)
{
        struct ping_stream *p = NEW(struct ping_stream);

        p->stream.ops = &ping_ops;
        p->loop = l;
        p->lower = lower;
        p->refs = 1;
        p->ping = timer_new(l, on_ping, p);
        timer_start(p->ping, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE));
        stream_listen(lower, &lower_events, p);
        return &p->stream;
}
