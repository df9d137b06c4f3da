/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_bare.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/tls.h"

struct app_bare {
        struct loop *loop;
        struct stream *tls;
        struct timer *deadline;
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
};

static void close_quietly(struct stream *tls)
{
        struct stream *below = tls_leave(tls, STR(""));

        stream_close(below == NULL ? tls : below);
}

/* The stream is closed, or passed on. */
static void finish(struct app_bare *b, struct stream *s, struct error *err)
{
        void (*done)(void *ctx, struct stream *s, struct error *err) = b->done;
        void *ctx = b->ctx;

        timer_free(b->deadline);
        free(b);
        done(ctx, s, err);
}

static void fail(struct app_bare *b, struct error *err)
{
        close_quietly(b->tls);
        finish(b, NULL, err);
}

static void on_read(void *ctx, struct str bytes)
{
        struct app_bare *b = ctx;
        struct stream *s = NULL;

        if (bytes.ptr[0] != '\0') {
                stream_read(b->tls, false);
                s = stream_with_prefix(b->loop, b->tls, bytes);
        } else if (bytes.len == 1) {
                s = tls_leave(b->tls, STR(""));
        }
        if (s != NULL)
                finish(b, s, NULL);
        else
                fail(b, error_new(ERROR_INVALID_ARGUMENT, "the host's answer cannot be understood: there is more behind its end of TLS"));
}

static void on_end(void *ctx, struct error *err)
{
        fail(ctx, err != NULL ? err : error_new(ERROR_UNAVAILABLE, "the host ended the connection without an answer"));
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void on_deadline(void *ctx)
{
        fail(ctx, error_new(ERROR_DEADLINE_EXCEEDED, "the host did not answer in time"));
}

struct app_bare *app_bare_new(struct loop *l, struct stream *tls, void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct app_bare *b = NEW(struct app_bare);

        *b = (struct app_bare){ .loop = l, .tls = tls, .done = done, .ctx = ctx, .deadline = timer_new(l, on_deadline, b) };
        timer_start(b->deadline, MILLISECONDS(TIMEOUT_HTTP_RESPONSE));
        stream_listen(tls, &events, b);
        stream_read(tls, true);
        return b;
}

void app_bare_free(struct app_bare *b)
{
        if (b == NULL)
                return;
        close_quietly(b->tls);
        timer_free(b->deadline);
        free(b);
}
