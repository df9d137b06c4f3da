/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_connect.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/http1.h"
#include "net/tls.h"

enum { REQUEST_MAX = 4 * KiB };

struct http_connect {
        struct loop *loop;
        struct stream *stream;
        struct timer *deadline;
        struct buf input;
        size_t body_max;
        size_t head; /* length of the answer's head, once it is complete */
        size_t body; /* bytes of a refusal's body that are still awaited */
        int status;
        void (*done)(void *ctx, const struct http_connect_result *result);
        void *ctx;
        bool is_cancelled; /* report_cancel() is due */
};

static void finish(struct http_connect *c, struct http_connect_result result)
{
        if (result.tunnel == NULL)
                stream_close(c->stream);
        timer_free(c->deadline);
        result.status = c->status;
        result.head = str_slice(buf_str(&c->input), 0, c->head);
        c->done(c->ctx, &result);
        buf_release(&c->input);
        free(c);
}

static void finish_refused(struct http_connect *c)
{
        struct str all = buf_str(&c->input), reason;
        size_t head;

        error_free(http1_response_parse(all, &c->status, &reason, &head)); /* the second parse of the same head: cannot fail */
        finish(c, (struct http_connect_result){ .outcome = HTTP_CONNECT_REFUSED, .reason = reason,
                                                .body = str_slice(all, c->head, c->body) });
}

/* Content-Length of a refusal (RFC 9112 section 6.2), capped at the limit of its body; without one, that limit. */
static size_t body_length(const struct http_connect *c, struct str head)
{
        struct str value = http1_response_field(head, "content-length");
        int64_t length = (int64_t)c->body_max;

        if (value.ptr != NULL)
                error_free(parse_int(value, 0, (int64_t)c->body_max, "length", &length));
        return (size_t)length;
}

static void on_read(void *ctx, struct str bytes)
{
        struct http_connect *c = ctx;
        struct str reason;
        struct error *err;

        if (c->is_cancelled)
                return;
        buf_put(&c->input, bytes);
        if (c->head == 0) {
                err = buf_finish(&c->input, "the answer");
                if (err == NULL)
                        err = http1_response_parse(buf_str(&c->input), &c->status, &reason, &c->head);
                if (err != NULL) {
                        finish(c, (struct http_connect_result){ .outcome = HTTP_CONNECT_MALFORMED, .err = err });
                        return;
                }
                if (c->head == 0)
                        return;
                c->body = body_length(c, str_slice(buf_str(&c->input), 0, c->head));
        }
        if (c->status / 100 == 2) {
                stream_read(c->stream, false);
                struct stream *tunnel = stream_with_prefix(c->loop, c->stream, str_slice(buf_str(&c->input), c->head, c->input.len));
                finish(c, (struct http_connect_result){ .outcome = HTTP_CONNECT_TUNNEL, .tunnel = tunnel });
        } else if (c->input.len - c->head >= c->body) {
                finish_refused(c);
        }
}

/* The end of the connection ends a refusal's body. */
static void on_end(void *ctx, struct error *err)
{
        struct http_connect *c = ctx;

        if (c->is_cancelled) {
                error_free(err);
        } else if (c->head > 0) {
                error_free(err);
                finish_refused(c);
        } else {
                finish(c, (struct http_connect_result){ .outcome = HTTP_CONNECT_ENDED, .err = err });
        }
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void on_deadline(void *ctx)
{
        struct http_connect *c = ctx;

        if (c->head > 0)
                finish_refused(c);
        else
                finish(c, (struct http_connect_result){ .outcome = HTTP_CONNECT_TIMEOUT });
}

struct http_connect *http_connect_start(struct loop *l, struct stream *s, const struct http_connect_request *request,
                                        void (*done)(void *ctx, const struct http_connect_result *result), void *ctx)
{
        AUTO(buf) text = BUF_MAX(REQUEST_MAX);
        struct http_connect *c = NEW(struct http_connect);

        *c = (struct http_connect){ .loop = l, .stream = s, .body_max = request->body_max, .done = done, .ctx = ctx };
        c->input = BUF_MAX(LIMIT_HTTP1_HEADER + request->body_max + LOOP_BUFFER);
        c->deadline = timer_new(l, on_deadline, c);
        timer_start(c->deadline, request->within);
        stream_listen(s, &events, c);
        buf_printf(&text, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", request->target, request->target);
        buf_put(&text, request->fields);
        buf_put_c(&text, "\r\n");
        stream_write(s, buf_str(&text));
        wipe(text.ptr, text.len);
        stream_read(s, true);
        return c;
}

static void report_cancel(void *ctx)
{
        finish(ctx, (struct http_connect_result){ .outcome = HTTP_CONNECT_CANCELLED });
}

void http_connect_cancel(struct http_connect *c)
{
        if (c->is_cancelled)
                return;
        c->is_cancelled = true;
        timer_stop(c->deadline);
        stream_close(c->stream); /* no events follow */
        c->stream = NULL;
        loop_defer(c->loop, report_cancel, c);
}
