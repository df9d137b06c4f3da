/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "rpc/grpc.h"
#include "tunnel/tunnel_internal.h"

/* ---- queues ------------------------------------------------------------------------------------------------ */

struct piece {
        struct piece *next;
        size_t head, len, room;
        char bytes[];
};

enum {
        PIECE_ROOM = LOOP_BUFFER - sizeof(struct piece),
        SMALL_ROOM = LIMIT_STREAM_WINDOW_FIRST, /* for a stream whose owner has paused, perhaps for ever */
};

static void drop_first(struct loop *l, struct byte_queue *q)
{
        struct piece *p = q->first;

        q->first = p->next;
        if (q->first == NULL)
                q->last = NULL;
        if (p->room == PIECE_ROOM)
                loop_buffer_give(l, (char *)p);
        else
                free(p);
}

static void queue_drop(struct loop *l, struct byte_queue *q)
{
        while (q->first != NULL)
                drop_first(l, q);
        q->len = 0;
}

static void add_piece(struct loop *l, struct byte_queue *q, bool is_small)
{
        struct piece *p = is_small ? mem_resize(NULL, 1, sizeof *p + SMALL_ROOM) : (struct piece *)(void *)loop_buffer_take(l);

        p->room = is_small ? SMALL_ROOM : PIECE_ROOM;
        p->next = NULL;
        p->head = p->len = 0;
        if (q->last == NULL)
                q->first = p;
        else
                q->last->next = p;
        q->last = p;
}

static void queue_put(struct loop *l, struct byte_queue *q, struct str bytes, bool is_small)
{
        q->len += bytes.len;
        while (bytes.len > 0) {
                if (q->last == NULL || q->last->head + q->last->len == q->last->room)
                        add_piece(l, q, is_small && bytes.len <= SMALL_ROOM);
                struct piece *p = q->last;
                struct str part = str_slice(bytes, 0, p->room - p->head - p->len);

                memcpy(p->bytes + p->head + p->len, part.ptr, part.len);
                p->len += part.len;
                bytes = str_slice(bytes, part.len, bytes.len);
        }
}

/* The first contiguous bytes. */
static struct str queue_front(const struct byte_queue *q)
{
        return q->first == NULL ? (struct str){ 0 } : (struct str){ q->first->bytes + q->first->head, q->first->len };
}

/* len: at most the length of queue_front(). */
static void queue_advance(struct loop *l, struct byte_queue *q, size_t len)
{
        q->first->head += len;
        q->first->len -= len;
        q->len -= len;
        if (q->first->len == 0)
                drop_first(l, q);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

static struct tunnel_stream *tunnel_stream_of(struct stream *s)
{
        return CONTAINER_OF(s, struct tunnel_stream, stream);
}

static void unref(struct tunnel_stream *s)
{
        if (--s->refs > 0)
                return;
        queue_drop(s->loop, &s->in);
        queue_drop(s->loop, &s->out);
        error_free(s->broken);
        free(s);
}

static void report_alone(void *ctx);

void tunnel_stream_note(struct tunnel_stream *s)
{
        if (s->is_ready)
                return;
        s->is_ready = true;
        s->refs++;
        s->next_ready = NULL;
        if (s->end == NULL) { /* a detached stream: its tunnel may be freed */
                loop_defer(s->loop, report_alone, s);
                return;
        }
        *s->end->ready_end = s;
        s->end->ready_end = &s->next_ready;
        h2_request_turn(&s->end->h2);
}

void tunnel_stream_leave(struct tunnel_stream *s, struct error *err)
{
        if (s->end == NULL) {
                error_free(err);
                return;
        }
        struct h2 *h = &s->end->h2;

        s->is_shut = true; /* bytes written from now on are dropped */
        s->is_drained |= s->out.len > 0; /* wakes a writer that waits for room */
        queue_drop(s->loop, &s->out);
        if (err != NULL) {
                s->is_broken = true;
                s->is_drained &= s->has_ended; /* otherwise the error says it */
                queue_drop(s->loop, &s->in);
                if (s->has_ended || s->is_closed)
                        error_free(err);
                else
                        s->broken = err;
        }
        tunnel_stream_note(s);
        if (s->id > 0 && !h->is_ended)
                nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
        h2_closed(h);
        *s->at = s->next;
        if (s->next != NULL)
                s->next->at = s->at;
        s->end = NULL;
        unref(s);
}

static void reset(struct tunnel_stream *s)
{
        if (s->end == NULL || s->id <= 0 || s->end->h2.is_over)
                return;
        nghttp2_submit_rst_stream(s->end->h2.session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        h2_wants(&s->end->h2);
}

/* A reader that keeps up with the sender gets a larger window: it doubles each time a whole window was read. */
static void grow(struct tunnel_stream *s, size_t len)
{
        size_t window = 2 * s->window < LIMIT_TUNNEL_WINDOW ? 2 * s->window : LIMIT_TUNNEL_WINDOW;

        s->consumed += len;
        if (s->is_closed || s->window >= LIMIT_TUNNEL_WINDOW || s->consumed < s->window)
                return;
        s->consumed = 0;
        if (s->may_grow != NULL && !s->may_grow(s->grow_ctx, window))
                return;
        if (nghttp2_session_set_local_window_size(s->end->h2.session, NGHTTP2_FLAG_NONE, s->id, (int32_t)window) == 0)
                s->window = window;
}

void tunnel_stream_grow_by(struct stream *stream, bool (*may_grow)(void *ctx, size_t window), void *ctx)
{
        struct tunnel_stream *s = tunnel_stream_of(stream);

        s->may_grow = may_grow;
        s->grow_ctx = ctx;
}

/* Returns window to the peer for bytes that were consumed. */
static void consume(struct tunnel_stream *s, size_t len)
{
        if (s->end == NULL || s->end->h2.is_over || len == 0)
                return;
        grow(s, len);
        nghttp2_session_consume_stream(s->end->h2.session, s->id, len);
        h2_wants(&s->end->h2);
}

static void resume(struct tunnel_stream *s)
{
        if (s->end == NULL || s->end->h2.is_over)
                return;
        if (s->is_deferred)
                nghttp2_session_resume_data(s->end->h2.session, s->id);
        s->is_deferred = false;
        h2_wants(&s->end->h2);
}

/* ---- functions for the stream's owner -------------------------------------------------------------------------- */

static void tunnel_stream_read(struct stream *stream, bool wanted)
{
        struct tunnel_stream *s = tunnel_stream_of(stream);

        s->wanted = wanted;
        if (wanted && !s->has_ended && (s->in.len > 0 || s->is_read_ended || s->broken != NULL))
                tunnel_stream_note(s);
}

static void tunnel_stream_write(struct stream *stream, struct str bytes)
{
        struct tunnel_stream *s = tunnel_stream_of(stream);

        if (s->end == NULL || s->is_shut_wanted)
                return;
        queue_put(s->loop, &s->out, bytes, false);
        resume(s);
}

static void tunnel_stream_shutdown(struct stream *stream)
{
        struct tunnel_stream *s = tunnel_stream_of(stream);

        s->is_shut_wanted = true;
        resume(s);
}

/* The reader is gone: received bytes are dropped, and once all output is sent a reset informs the peer. */
static void tunnel_stream_close(struct stream *stream)
{
        struct tunnel_stream *s = tunnel_stream_of(stream);

        s->is_closed = true;
        s->wanted = false;
        tunnel_stream_shutdown(stream);
        consume(s, s->in.len);
        queue_drop(s->loop, &s->in);
        if (s->end != NULL && s->is_shut) {
                reset(s);
        } else if (s->end != NULL) {
                s->linger_until = instant_add(loop_now(s->end->h2.loop), MILLISECONDS(TIMEOUT_LINGER));
                h2_wake_by(&s->end->h2, s->linger_until);
        }
        unref(s);
}

static size_t tunnel_stream_pending(const struct stream *stream)
{
        return CONTAINER_OF(stream, const struct tunnel_stream, stream)->out.len;
}

static const struct stream_ops tunnel_stream_ops = {
        .read = tunnel_stream_read,
        .write = tunnel_stream_write,
        .shutdown = tunnel_stream_shutdown,
        .close = tunnel_stream_close,
        .pending = tunnel_stream_pending,
};

struct tunnel_stream *tunnel_stream_new(struct tunnel_end *e, int32_t id)
{
        struct tunnel_stream *s = NEW(struct tunnel_stream);

        *s = (struct tunnel_stream){
                .stream.ops = &tunnel_stream_ops, .loop = e->h2.loop, .end = e, .id = id, .refs = 2, .window = LIMIT_STREAM_WINDOW_FIRST,
                .next = e->streams, .at = &e->streams,
        };
        if (s->next != NULL)
                s->next->at = &s->next;
        e->streams = s;
        h2_opened(&e->h2);
        return s;
}

void tunnel_stream_abandon(struct tunnel_stream *s)
{
        s->is_closed = true;
        reset(s);
        unref(s);
}

/* ---- input and output -------------------------------------------------------------------------------------------- */

static ssize_t offer(nghttp2_session *session, int32_t id, uint8_t *out UNUSED, size_t room, uint32_t *flags,
                     nghttp2_data_source *source UNUSED, void *ctx UNUSED)
{
        struct tunnel_stream *s = nghttp2_session_get_stream_user_data(session, id);

        if (s == NULL) { /* the stream is detached: no more output */
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                return 0;
        }
        if (s->out.len == 0 && !s->is_shut_wanted) {
                s->is_deferred = true;
                return NGHTTP2_ERR_DEFERRED;
        }
        size_t len = s->out.len < room ? s->out.len : room;

        if (len > 0)
                *flags |= NGHTTP2_DATA_FLAG_NO_COPY; /* end_put_data is next */
        if (len == s->out.len && s->is_shut_wanted) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                s->is_shut = true;
                if (s->is_closed)
                        tunnel_stream_note(s); /* the reset is sent next */
        }
        return (ssize_t)len;
}

const nghttp2_data_provider tunnel_stream_source = { .read_callback = offer };

void end_put_data(struct h2 *h, int32_t id, char *out, size_t len)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);

        while (len > 0) {
                struct str part = str_slice(queue_front(&s->out), 0, len);

                memcpy(out, part.ptr, part.len);
                queue_advance(s->loop, &s->out, part.len);
                out += part.len;
                len -= part.len;
        }
        s->is_drained = s->out.len == 0;
        if (s->is_drained && !s->is_closed)
                tunnel_stream_note(s);
}

void end_on_data(struct h2 *h, int32_t id, struct str bytes)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);

        if (s == NULL)
                return;
        if (s->is_closed) {
                consume(s, bytes.len);
                return;
        }
        queue_put(s->loop, &s->in, bytes, !s->wanted); /* the window limits its size */
        if (s->wanted)
                tunnel_stream_note(s);
}

void end_on_last(struct h2 *h, int32_t id)
{
        struct tunnel_stream *s = h2_stream_owner(h, id);

        if (s == NULL)
                return;
        s->is_read_ended = true;
        tunnel_stream_note(s);
}

/* ---- events for the owner ------------------------------------------------------------------------------------------ */

/* Delivers received bytes until the owner pauses or closes the stream. */
static void deliver(struct tunnel_stream *s)
{
        struct byte_queue in = s->in; /* moved out: the owner may close the stream in the callback */
        size_t before = in.len;

        s->in = (struct byte_queue){ 0 };
        while (in.len > 0 && s->wanted && !s->is_closed && !s->is_broken) {
                struct str bytes = queue_front(&in);

                s->stream.events->on_read(s->stream.ctx, bytes);
                queue_advance(s->loop, &in, bytes.len);
        }
        if (s->is_closed || s->is_broken)
                queue_drop(s->loop, &in);
        consume(s, before - in.len);
        s->in = in; /* nothing was received during the callback */
}

static void report_end(struct tunnel_stream *s, struct error *err)
{
        s->has_ended = true;
        s->stream.events->on_end(s->stream.ctx, err);
}

static void report_stream(struct tunnel_stream *s)
{
        if (!s->is_closed && s->broken != NULL && s->stream.events != NULL) {
                struct error *err = s->broken;

                s->broken = NULL;
                report_end(s, err);
                return;
        }
        if (!s->is_closed && s->wanted && s->in.len > 0)
                deliver(s);
        if (!s->is_closed && s->wanted && s->in.len == 0 && s->is_read_ended && !s->has_ended && !s->is_broken)
                report_end(s, NULL);
        if (s->is_drained && s->out.len == 0 && !s->is_closed && s->stream.events != NULL) {
                s->is_drained = false;
                if (s->stream.events->on_drain != NULL)
                        s->stream.events->on_drain(s->stream.ctx);
        }
        if (s->is_closed && s->is_shut)
                reset(s);
}

static void report_alone(void *ctx)
{
        struct tunnel_stream *s = ctx;

        s->is_ready = false;
        report_stream(s);
        unref(s);
}

static void end_report(struct tunnel_end *e)
{
        struct tunnel_stream *s;

        while ((s = e->ready) != NULL) {
                e->ready = s->next_ready;
                if (e->ready == NULL)
                        e->ready_end = &e->ready;
                s->is_ready = false;
                if (s->dial != NULL || s->poll != NULL)
                        e->report(e, s);
                else
                        report_stream(s);
                unref(s);
        }
}

void end_on_turn(struct h2 *h)
{
        end_report(CONTAINER_OF(h, struct tunnel_end, h2));
}

/* ---- the end --------------------------------------------------------------------------------------------------------- */

void end_close(struct tunnel_end *e)
{
        e->is_closed = true;
        h2_end(&e->h2, NULL);
        h2_request_turn(&e->h2); /* also when the connection had ended before: the turn frees the tunnel */
}

void end_drain(struct tunnel_end *e)
{
        e->is_draining = true;
        h2_go_away(&e->h2);
}

static struct error *reason_of(const struct tunnel_end *e)
{
        struct error *lost = error_new(ERROR_UNAVAILABLE, "the tunnel was lost");

        return e->h2.why == NULL ? lost : error_because(lost, error_copy(e->h2.why));
}

void end_on_end(struct h2 *h)
{
        struct tunnel_end *e = CONTAINER_OF(h, struct tunnel_end, h2);

        while (e->streams != NULL)
                tunnel_stream_leave(e->streams, reason_of(e));
        end_report(e);
        if (!e->is_closed && !e->is_end_reported) {
                e->is_end_reported = true;
                e->on_end(e->ctx, reason_of(e));
                return; /* the owner may have closed the tunnel in the callback; another turn is due then */
        }
        if (!e->is_closed || h->is_turn_due)
                return;
        h2_release(h);
        free(e); /* the first member of the tunnel */
}

struct instant end_on_time(struct h2 *h, struct instant now)
{
        struct tunnel_end *e = CONTAINER_OF(h, struct tunnel_end, h2);
        struct instant next = NEVER;

        for (struct tunnel_stream *s = e->streams; s != NULL; s = s->next) {
                if (s->linger_until.ns == 0)
                        continue;
                if (now.ns >= s->linger_until.ns) {
                        s->linger_until.ns = 0;
                        reset(s);
                } else if (s->linger_until.ns < next.ns) {
                        next = s->linger_until;
                }
        }
        return next;
}

struct h2_options tunnel_h2_options(bool is_server)
{
        return (struct h2_options){
                .is_server = is_server,
                .max_streams = is_server ? LIMIT_TUNNEL_STREAMS : 0,
                .resets = { .burst = LIMIT_RESET_BURST_KNOWN, .per_second = LIMIT_RESET_PER_SECOND_KNOWN },
                .control_frames = { .burst = LIMIT_TUNNEL_CONTROL_BURST, .per_second = LIMIT_TUNNEL_CONTROL_PER_SECOND },
                .is_kept_alive = true,
                .stream_window = LIMIT_STREAM_WINDOW_FIRST,
        };
}

void end_init(struct tunnel_end *e, struct loop *l, struct stream *tls, const struct h2_events *events,
              struct h2_options options)
{
        e->ready_end = &e->ready;
        h2_init(&e->h2, l, tls, events, options);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------------- */

static const struct {
        unsigned status;
        enum error_code code;
} refusals[] = {
        { 400, ERROR_INVALID_ARGUMENT },    { 403, ERROR_PERMISSION_DENIED }, { 404, ERROR_NOT_FOUND },
        { 409, ERROR_FAILED_PRECONDITION }, { 421, ERROR_ABORTED },           { 429, ERROR_RESOURCE_EXHAUSTED },
        { 500, ERROR_INTERNAL },            { 503, ERROR_UNAVAILABLE },       { 504, ERROR_DEADLINE_EXCEEDED },
};

unsigned tunnel_status_of(enum error_code code)
{
        for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
                if (refusals[i].code == code)
                        return refusals[i].status;
        return 502;
}

enum error_code tunnel_code_of(int64_t status)
{
        for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
                if (refusals[i].status == status)
                        return refusals[i].code;
        return ERROR_UNKNOWN;
}
