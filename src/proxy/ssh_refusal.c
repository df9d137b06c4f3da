/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ssh_refusal.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/interop.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/stream.h"

struct ssh_refusal {
        struct loop *loop;
        struct stream *stream;
        struct timer *deadline;
        size_t unreceived; /* number of bytes received after the refusal */
        void (*done)(void *ctx);
        void *ctx;
        bool is_over;
};

static void put_disconnect(struct buf *out)
{
        enum { SSH_MSG_DISCONNECT = 1, SERVICE_NOT_AVAILABLE = 7, BLOCK = 8, HEAD = 5, PADDING_LEAST = 4, CLOSING_MAX = 1 * KiB };
        AUTO(buf) payload = BUF_MAX(CLOSING_MAX);
        static const uint8_t zeros[2 * BLOCK];

        buf_put_u8(&payload, SSH_MSG_DISCONNECT);
        buf_put_u32(&payload, SERVICE_NOT_AVAILABLE);
        buf_put_ssh_string(&payload, STR(INTEROP_CLIENT_WHAT ": " INTEROP_CLIENT_HINT));
        buf_put_ssh_string(&payload, STR("")); /* language tag */
        size_t padding = BLOCK - (HEAD + payload.len) % BLOCK;
        if (padding < PADDING_LEAST)
                padding += BLOCK;
        buf_put_c(out, "SSH-2.0-cteleport\r\n");
        buf_put_u32(out, (uint32_t)(1 + payload.len + padding));
        buf_put_u8(out, (uint8_t)padding);
        buf_put(out, buf_str(&payload));
        buf_put(out, str_of_bytes(zeros, padding));
}

static void report_done(void *ctx)
{
        struct ssh_refusal *r = ctx;

        r->done(r->ctx);
        free(r);
}

void ssh_refusal_cancel(struct ssh_refusal *r)
{
        if (r->is_over)
                return;
        r->is_over = true;
        timer_free(r->deadline);
        stream_close(r->stream);
        loop_defer(r->loop, report_done, r);
}

static void on_deadline(void *ctx)
{
        ssh_refusal_cancel(ctx);
}

/*
 * Discards bytes that the peer sends until it has read the refusal and closes. If the connection were closed before that, the
 * peer would report a failed write instead of the refusal.
 */
static void on_unreceived(void *ctx, struct str bytes)
{
        struct ssh_refusal *r = ctx;

        r->unreceived += bytes.len;
        if (r->unreceived > LIMIT_HTTP1_HEADER)
                ssh_refusal_cancel(r);
}

static void on_end(void *ctx, struct error *err)
{
        error_free(err); /* the client has closed */
        ssh_refusal_cancel(ctx);
}

static const struct stream_events events = { .on_read = on_unreceived, .on_end = on_end };

struct ssh_refusal *ssh_refusal_start(struct loop *l, struct stream *s, void (*done)(void *ctx), void *ctx)
{
        AUTO(buf) closing = BUF_MAX(2 * KiB);
        struct ssh_refusal *r = NEW(struct ssh_refusal);

        *r = (struct ssh_refusal){ .loop = l, .stream = s, .done = done, .ctx = ctx };
        put_disconnect(&closing);
        r->deadline = timer_new(l, on_deadline, r);
        timer_start(r->deadline, MILLISECONDS(TIMEOUT_HTTP1));
        stream_listen(s, &events, r);
        stream_write(s, buf_str(&closing));
        stream_read(s, true);
        return r;
}
