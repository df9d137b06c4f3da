/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ends of a link that run on a loop: the client, and the service that can answer later.
 */
#include "rpc/link.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "net/stream.h"
#include "rpc/link_internal.h"
#include "rpc/status.h"
#include "rpc/wire.h"

/* Memory for the structs, strings and lists of one decoded answer. */
enum { ANSWER_ARENA = 8 * LINK_MESSAGE_MAX };

/* ---- both ends: parsing frames ---------------------------------------------------------------------- */

/*
 * Calls `take` for every complete frame until it returns false. The bytes of an incomplete last
 * frame are stored in `held`.
 */
static struct error *feed(struct buf *held, struct str bytes, bool (*take)(void *ctx, const struct link_frame *frame),
                          void *ctx)
{
        struct link_frame frame;
        bool goes_on = true;

        while (goes_on && bytes.len > 0) {
                struct str part = str_slice(bytes, 0, held->max - held->len);
                size_t used = 0, size = 0;

                bytes = str_slice(bytes, part.len, bytes.len);
                buf_put(held, part);
                do {
                        TRY(link_frame_read(str_slice(buf_str(held), used, held->len), &frame, &size));
                        used += size;
                        if (size > 0)
                                goes_on = take(ctx, &frame);
                } while (goes_on && size > 0);
                buf_consume(held, used);
        }
        return NULL;
}

/* ---- both ends: writing frames -------------------------------------------------------------------------- */

/* The frames of one turn of the loop are sent in one write, so that the other process wakes once for all of them. */
static void write_gathered(struct stream *s, struct buf *out)
{
        if (s != NULL && out->len > 0)
                stream_write(s, buf_str(out));
        buf_release(out);
        *out = BUF_MAX(LINK_OUT_MAX);
}

/* The error when the other process has disconnected; err is owned and may be NULL for an orderly end. */
static struct error *peer_is_gone(struct error *err)
{
        struct error *gone = error_for(error_new(ERROR_UNAVAILABLE, "the other process closed the link"), REASON_SIBLING);

        return err == NULL ? gone : error_because(gone, err);
}

/* ---- the client --------------------------------------------------------------------------------------- */

struct request {
        struct request *next;
        uint32_t id;
        const ProtobufCMessageDescriptor *answer_type;
        void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err);
        void *ctx;
        struct instant deadline;
        struct error *why; /* reason why it could not be sent; reported in the next turn */
};

struct link {
        struct loop *loop;
        struct stream *stream; /* NULL once the peer has disconnected or the link is closed */
        struct timer *timer;   /* the earliest deadline */
        struct instant timer_due;
        struct buf in;
        struct buf out; /* frames to send at the end of the turn */
        struct request *requests; /* oldest first */
        struct request **requests_end;
        uint32_t last_id;
        struct error *why; /* reason of the disconnection: the error of open and later requests */
        void (*lost)(void *ctx);
        void *ctx;
        bool is_lost_reported;
        bool is_closed;
        bool is_turn_due;
};

static void link_turn(void *ctx);

/* Callbacks are always called in a turn of their own, never inside a call by the owner. */
static void schedule(struct link *k)
{
        if (k->is_turn_due)
                return;
        k->is_turn_due = true;
        loop_defer(k->loop, link_turn, k);
}

/* Unlinks the request at `at`; the caller then completes it. */
static struct request *accept_request(struct link *k, struct request **at)
{
        struct request *a = *at;

        *at = a->next;
        if (k->requests_end == &a->next)
                k->requests_end = at;
        return a;
}

static void answer(struct request *a, const ProtobufCMessage *msg, struct error *err)
{
        a->done(a->ctx, msg, err);
        free(a);
}

static void drop_stream(struct link *k)
{
        write_gathered(k->stream, &k->out);
        stream_close(k->stream);
        k->stream = NULL;
}

static void link_break(struct link *k, struct error *err)
{
        drop_stream(k);
        if (k->why == NULL)
                k->why = peer_is_gone(err);
        else
                error_free(err);
        schedule(k);
}

/* The first request that cannot be answered any more, with the reason. */
static struct request **first_lost(struct link *k, struct error **ret_why)
{
        struct request **at = &k->requests;

        while (*at != NULL && (*at)->why == NULL && !k->is_closed && k->why == NULL)
                at = &(*at)->next;
        if (*at == NULL)
                return NULL;
        *ret_why = (*at)->why;
        if (*ret_why == NULL)
                *ret_why = k->is_closed ? error_new(ERROR_CANCELLED, "the link was closed before an answer came")
                                        : error_copy(k->why);
        return at;
}

static void link_turn(void *ctx)
{
        struct link *k = ctx;
        struct request **at;
        struct error *err = NULL;

        k->is_turn_due = false;
        write_gathered(k->stream, &k->out);
        while ((at = first_lost(k, &err)) != NULL)
                answer(accept_request(k, at), NULL, err);
        if (k->is_closed && !k->is_turn_due) {
                timer_free(k->timer);
                buf_release(&k->in);
                buf_release(&k->out);
                error_free(k->why);
                free(k);
                return;
        }
        if (k->is_closed || k->why == NULL || k->is_lost_reported)
                return;
        k->is_lost_reported = true;
        k->lost(k->ctx);
}

static bool take_answer(void *ctx, const struct link_frame *frame)
{
        struct link *k = ctx;
        struct request **at = &k->requests;

        while (*at != NULL && (*at)->id != frame->id)
                at = &(*at)->next;
        if (*at == NULL) /* the answer arrived after its deadline */
                return true;
        struct request *a = accept_request(k, at);
        if (frame->code != 0) {
                answer(a, NULL, status_to_error(frame->code, frame->body));
        } else {
                AUTO_PTR(arena) arena = arena_new(ANSWER_ARENA);
                ProtobufCMessage *msg = NULL;
                struct error *err = wire_decode(arena, a->answer_type, frame->body, &msg);

                answer(a, msg, err == NULL ? NULL : error_wrap(err, "the other process sent a bad answer"));
        }
        return !k->is_closed;
}

static void on_link_read(void *ctx, struct str bytes)
{
        struct link *k = ctx;
        struct error *err = feed(&k->in, bytes, take_answer, k);

        if (err != NULL)
                link_break(k, err);
}

static void on_link_drain(void *ctx UNUSED)
{
}

static void on_link_end(void *ctx, struct error *err)
{
        link_break(ctx, err);
}

static const struct stream_events link_stream_events = { on_link_read, on_link_drain, on_link_end };

/* The timer runs to the earliest deadline or, if that request was answered, to an earlier time: when it fires it restarts. */
static void arm(struct link *k, struct instant deadline)
{
        if (timer_is_running(k->timer) && k->timer_due.ns <= deadline.ns)
                return;
        k->timer_due = deadline;
        timer_start(k->timer, instant_since(deadline, loop_now(k->loop)));
}

static struct request **first_expired(struct link *k)
{
        struct instant now = loop_now(k->loop);

        for (struct request **at = &k->requests; *at != NULL; at = &(*at)->next)
                if ((*at)->deadline.ns <= now.ns)
                        return at;
        return NULL;
}

static void on_link_timer(void *ctx)
{
        struct link *k = ctx;
        struct request **at;

        while (!k->is_closed && (at = first_expired(k)) != NULL)
                answer(accept_request(k, at), NULL,
                       error_new(ERROR_DEADLINE_EXCEEDED, "the other process did not answer in time"));
        for (struct request *a = k->requests; !k->is_closed && a != NULL; a = a->next)
                arm(k, a->deadline);
}

struct link *link_new(struct loop *l, int fd, void (*lost)(void *ctx), void *ctx)
{
        struct link *k = NEW(struct link);

        k->loop = l;
        k->in = BUF_MAX(LINK_FRAME_MAX);
        k->out = BUF_MAX(LINK_OUT_MAX);
        k->requests_end = &k->requests;
        k->lost = lost;
        k->ctx = ctx;
        k->timer = timer_new(l, on_link_timer, k);
        k->stream = socket_stream(l, fd);
        stream_listen(k->stream, &link_stream_events, k);
        stream_read(k->stream, true);
        return k;
}

void link_close(struct link *k)
{
        if (k == NULL)
                return;
        drop_stream(k);
        timer_stop(k->timer);
        k->is_closed = true;
        schedule(k);
}

void link_request(struct link *k, uint16_t verb, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *answer_type, struct duration within,
              void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        struct request *a = NEW(struct request);

        *a = (struct request){ .id = ++k->last_id, .answer_type = answer_type, .done = done, .ctx = ctx };
        a->deadline = instant_add(loop_now(k->loop), within);
        *k->requests_end = a;
        k->requests_end = &a->next;
        if (k->stream == NULL) {
                schedule(k);
                return;
        }
        struct error *err = NULL;
        if (stream_pending(k->stream) > LIMIT_UNREAD_OUTPUT)
                err = error_new(ERROR_RESOURCE_EXHAUSTED, "the other process does not keep up with its requests");
        else
                err = link_frame_put(&k->out, a->id, verb, request);
        schedule(k);
        if (err != NULL) {
                a->why = err;
                return;
        }
        if (k->out.len >= LINK_OUT_MARK)
                write_gathered(k->stream, &k->out);
        arm(k, a->deadline);
}

/* ---- the service --------------------------------------------------------------------------------------- */

struct link_service {
        struct loop *loop;
        struct stream *stream; /* NULL once the peer has disconnected */
        struct buf in;
        struct buf out; /* frames to send at the end of the turn */
        void (*requested)(void *ctx, uint32_t id, uint16_t verb, struct str body);
        void (*ended)(void *ctx);
        void *ctx;
        bool is_feeding;
        bool is_write_due;
        bool is_freed;
};

static bool take_request(void *ctx, const struct link_frame *frame)
{
        struct link_service *s = ctx;

        s->requested(s->ctx, frame->id, frame->code, frame->body);
        return !s->is_freed;
}

/* Frees the service once the owner has closed it and no callback is running or due. */
static void service_release(struct link_service *s)
{
        if (!s->is_freed || s->is_feeding || s->is_write_due)
                return;
        buf_release(&s->in);
        buf_release(&s->out);
        free(s);
}

static void service_end(struct link_service *s, struct error *err)
{
        error_free(err); /* the owner can do nothing about the reason */
        stream_close(s->stream);
        s->stream = NULL;
        s->ended(s->ctx);
}

static void on_service_read(void *ctx, struct str bytes)
{
        struct link_service *s = ctx;

        s->is_feeding = true;
        struct error *err = feed(&s->in, bytes, take_request, s);
        s->is_feeding = false;
        if (s->is_freed) {
                error_free(err);
                service_release(s);
        } else if (err != NULL) {
                service_end(s, err);
        }
}

static void on_service_end(void *ctx, struct error *err)
{
        service_end(ctx, err);
}

static const struct stream_events service_stream_events = { on_service_read, on_link_drain, on_service_end };

struct link_service *link_service_new(struct loop *l, int fd,
                                      void (*requested)(void *ctx, uint32_t id, uint16_t verb, struct str body),
                                      void (*ended)(void *ctx), void *ctx)
{
        struct link_service *s = NEW(struct link_service);

        s->loop = l;
        s->in = BUF_MAX(LINK_FRAME_MAX);
        s->out = BUF_MAX(LINK_OUT_MAX);
        s->requested = requested;
        s->ended = ended;
        s->ctx = ctx;
        s->stream = socket_stream(l, fd);
        stream_listen(s->stream, &service_stream_events, s);
        stream_read(s->stream, true);
        return s;
}

static void on_write_due(void *ctx)
{
        struct link_service *s = ctx;

        s->is_write_due = false;
        write_gathered(s->stream, &s->out);
        service_release(s);
}

/* Schedules the write of an added frame. */
static void write_soon(struct link_service *s)
{
        if (s->out.len >= LINK_OUT_MARK)
                write_gathered(s->stream, &s->out);
        if (s->is_write_due || s->out.len == 0)
                return;
        s->is_write_due = true;
        loop_defer(s->loop, on_write_due, s);
}

void link_service_answer(struct link_service *s, uint32_t id, const ProtobufCMessage *answer_msg)
{
        if (s->stream == NULL)
                return;
        link_frame_put_answer(&s->out, id, answer_msg);
        write_soon(s);
}

void link_service_refuse(struct link_service *s, uint32_t id, struct error *err)
{
        if (s->stream != NULL) {
                link_frame_put_error(&s->out, id, err);
                write_soon(s);
        }
        error_free(err);
}

void link_service_free(struct link_service *s)
{
        if (s == NULL)
                return;
        write_gathered(s->stream, &s->out);
        stream_close(s->stream);
        s->stream = NULL;
        s->is_freed = true;
        service_release(s);
}
