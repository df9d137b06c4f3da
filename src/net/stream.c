/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"

#include "base/bug.h"

void stream_listen(struct stream *s, const struct stream_events *events, void *ctx)
{
        s->events = events;
        s->ctx = ctx;
}

void stream_read(struct stream *s, bool wanted)
{
        if (wanted && s->events == NULL)
                bug("a stream without a listener was set to read");
        s->ops->read(s, wanted);
}

void stream_write(struct stream *s, struct str bytes)
{
        if (!str_is_empty(bytes))
                s->ops->write(s, bytes);
}

void stream_shutdown(struct stream *s)
{
        s->ops->shutdown(s);
}

void stream_close(struct stream *s)
{
        if (s != NULL)
                s->ops->close(s);
}

size_t stream_pending(const struct stream *s)
{
        return s->ops->pending(s);
}
