/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream whose first bytes were read earlier, to select its protocol, and are delivered again.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "net/tls.h"

struct prefixed {
        struct stream stream;
        struct loop *loop;
        struct stream *lower;
        char *bytes; /* freed once delivered */
        size_t len;
        bool wanted, is_closed, is_due; /* is_due: a delivery is deferred */
};

static struct prefixed *prefixed_of(struct stream *s)
{
        return CONTAINER_OF(s, struct prefixed, stream);
}

static void prefixed_read(struct stream *stream, bool wanted);

/* They may hold a password. */
static void free_bytes(char *bytes, size_t len)
{
        if (bytes != NULL)
                wipe(bytes, len);
        free(bytes);
}

static void deliver(void *ctx)
{
        struct prefixed *p = ctx;

        p->is_due = false;
        if (p->is_closed) {
                free_bytes(p->bytes, p->len);
                free(p);
                return;
        }
        if (!p->wanted || p->bytes == NULL)
                return;
        char *bytes = p->bytes;
        size_t len = p->len;
        p->bytes = NULL;
        p->is_due = true; /* keeps p alive while its owner's callback runs */
        p->stream.events->on_read(p->stream.ctx, (struct str){ bytes, len });
        p->is_due = false;
        free_bytes(bytes, len);
        if (p->is_closed) {
                free_bytes(p->bytes, p->len);
                free(p);
        } else {
                prefixed_read(&p->stream, p->wanted);
        }
}

static void prefixed_read(struct stream *stream, bool wanted)
{
        struct prefixed *p = prefixed_of(stream);

        p->wanted = wanted;
        if (p->bytes == NULL && !p->is_due) {
                stream_read(p->lower, wanted);
        } else if (wanted && !p->is_due) {
                p->is_due = true;
                loop_defer(p->loop, deliver, p);
        }
}

static void prefixed_write(struct stream *stream, struct str bytes)
{
        stream_write(prefixed_of(stream)->lower, bytes);
}

static void prefixed_shutdown(struct stream *stream)
{
        stream_shutdown(prefixed_of(stream)->lower);
}

static size_t prefixed_pending(const struct stream *stream)
{
        return stream_pending(CONTAINER_OF(stream, const struct prefixed, stream)->lower);
}

static void prefixed_close(struct stream *stream)
{
        struct prefixed *p = prefixed_of(stream);

        p->is_closed = true;
        stream_close(p->lower);
        if (p->is_due)
                return; /* deliver() frees it */
        free_bytes(p->bytes, p->len);
        free(p);
}

static void on_lower_read(void *ctx, struct str bytes)
{
        struct prefixed *p = ctx;

        p->stream.events->on_read(p->stream.ctx, bytes);
}

static void on_lower_drain(void *ctx)
{
        struct prefixed *p = ctx;

        if (p->stream.events != NULL && p->stream.events->on_drain != NULL)
                p->stream.events->on_drain(p->stream.ctx);
}

static void on_lower_end(void *ctx, struct error *err)
{
        struct prefixed *p = ctx;

        if (err != NULL) { /* after an error nothing more is delivered */
                free_bytes(p->bytes, p->len);
                p->bytes = NULL;
        }
        if (p->stream.events != NULL)
                p->stream.events->on_end(p->stream.ctx, err);
        else
                error_free(err);
}

static const struct stream_ops prefixed_ops = {
        .read = prefixed_read,
        .write = prefixed_write,
        .shutdown = prefixed_shutdown,
        .close = prefixed_close,
        .pending = prefixed_pending,
};

static const struct stream_events lower_events = {
        .on_read = on_lower_read,
        .on_drain = on_lower_drain,
        .on_end = on_lower_end,
};

/* A connection that is handed over again and again is not wrapped each time: one whose bytes were delivered gets the new ones. */
static struct prefixed *wrap(struct loop *l, struct stream *lower)
{
        struct prefixed *p;

        if (lower->ops == &prefixed_ops && prefixed_of(lower)->bytes == NULL) {
                p = prefixed_of(lower);
                p->wanted = false;
                stream_read(p->lower, false);
                stream_listen(&p->stream, NULL, NULL);
                return p;
        }
        p = NEW(struct prefixed);
        p->stream.ops = &prefixed_ops;
        p->loop = l;
        p->lower = lower;
        stream_read(lower, false);
        stream_listen(lower, &lower_events, p);
        return p;
}

struct stream *stream_with_prefix(struct loop *l, struct stream *lower, struct str bytes)
{
        struct prefixed *p = wrap(l, lower);

        if (!str_is_empty(bytes)) {
                p->bytes = str_dup(bytes);
                p->len = bytes.len;
        }
        return &p->stream;
}
