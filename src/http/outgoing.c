/* SPDX-License-Identifier: Apache-2.0 */
#include "http/outgoing.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/http1.h"

enum state { IDLE, AWAIT_HEAD, BODY, CLOSED };

struct http_outgoing {
        struct loop *loop;
        struct stream *stream; /* NULL when closed */
        struct timer *timer;
        enum state state;
        const struct http_outgoing_events *events;
        void *ctx;
        struct buf input; /* the head that is arriving */
        size_t scanned;
        struct str rest; /* within receive(): the bytes that are not read yet */
        struct http_body_reader reader;
        char *upgrade; /* the protocols that the request offers; NULL: none */
        enum http_body_kind sending;
        unsigned interims, exchanges;
        unsigned calls; /* callbacks that are running */
        bool is_head, is_sent, is_answered, is_last; /* is_last: the backend closes after this response */
        bool is_released;
};

/* ---- life --------------------------------------------------------------------------------------------------- */

/* Frees what an exchange needs. */
static void forget_exchange(struct http_outgoing *o)
{
        buf_release(&o->input);
        http_body_reader_release(&o->reader);
        free(o->upgrade);
        o->upgrade = NULL;
        o->scanned = 0;
        o->interims = 0;
        o->is_answered = false;
}

static void disconnect(struct http_outgoing *o)
{
        o->state = CLOSED;
        timer_stop(o->timer);
        stream_close(o->stream);
        o->stream = NULL;
        forget_exchange(o);
}

static void free_unless_called(struct http_outgoing *o)
{
        if (o->calls > 0 || !o->is_released)
                return;
        timer_free(o->timer);
        free(o);
}

void http_outgoing_close(struct http_outgoing *o)
{
        if (o == NULL)
                return;
        disconnect(o);
        o->is_released = true;
        free_unless_called(o);
}

/* Ends the exchange with an error, owned. */
static void fail(struct http_outgoing *o, struct error *err)
{
        bool is_unanswered = !o->is_answered;

        disconnect(o);
        o->events->on_failed(o->ctx, err, is_unanswered);
}

static void on_timeout(void *ctx)
{
        struct http_outgoing *o = ctx;

        if (o->state == IDLE) {
                disconnect(o);
                return;
        }
        o->calls++;
        fail(o, error_new(ERROR_DEADLINE_EXCEEDED, o->input.len > 0 ? "the backend did not complete the head of its response in time"
                                                                    : "the backend did not respond in time"));
        o->calls--;
        free_unless_called(o);
}

/* ---- responses -------------------------------------------------------------------------------------------- */

static struct error *malformed(struct error *cause)
{
        return error_wrap(cause, "the response of the backend");
}

/* The response is complete: the connection is kept if nothing about it is in doubt. */
static void complete(struct http_outgoing *o)
{
        struct http_fields trailers = o->reader.trailers;
        bool is_kept = !o->is_last && o->is_sent && o->rest.len == 0 && o->reader.kind != HTTP_BODY_UNTIL_CLOSE;

        o->reader.trailers = (struct http_fields){ 0 };
        o->exchanges++;
        if (is_kept) {
                forget_exchange(o);
                o->state = IDLE;
                stream_read(o->stream, true);
                timer_start(o->timer, MILLISECONDS(TIMEOUT_HTTP_BACKEND_IDLE));
        } else {
                disconnect(o);
        }
        o->events->on_end(o->ctx, &trailers);
        http_fields_release(&trailers);
}

/* A list of protocols has this one, version included. */
static bool is_offered(const struct http_outgoing *o, struct str protocol)
{
        return o->upgrade != NULL && !str_is_empty(protocol) && str_find_char(protocol, ',') == protocol.len && http1_list_has(str_of(o->upgrade), protocol);
}

static struct error *check_status(struct http_outgoing *o, const struct http_response *r)
{
        if (r->status == 101 && !is_offered(o, r->upgrade))
                return error_new(ERROR_INVALID_ARGUMENT, "it changes to a protocol that the client did not offer");
        if (r->status < 200 && r->status != 101 && ++o->interims > LIMIT_HTTP_INTERIM)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "it has more than %d interim responses", LIMIT_HTTP_INTERIM);
        return NULL;
}

/* The head of a response is complete. */
static void on_head(struct http_outgoing *o, struct http_response *r)
{
        if (r->status == 101 || r->status >= 200) {
                timer_stop(o->timer);
                o->state = BODY;
                o->is_last = r->is_close;
                http_body_start(&o->reader, r->body);
        } else {
                timer_start(o->timer, MILLISECONDS(TIMEOUT_HTTP_RESPONSE));
        }
        o->events->on_head(o->ctx, r);
        if (o->state == BODY && r->status == 101)
                bug("the stream of a response with status 101 was not taken");
        if (o->state == BODY && http_body_is_done(&o->reader))
                complete(o);
}

static struct error *read_head(struct http_outgoing *o)
{
        AUTO(http_response) r = { 0 };
        size_t before = o->input.len, len;

        o->is_answered = true;
        o->input.max = LIMIT_HTTP_HEAD + LOOP_BUFFER;
        buf_put(&o->input, o->rest);
        TRY(http_head_find_end(buf_str(&o->input), &o->scanned, &len));
        if (len == 0) {
                if (before == 0) /* most heads arrive at once, and need no time limit */
                        timer_start(o->timer, MILLISECONDS(TIMEOUT_HTTP_HEAD));
                o->rest = (struct str){ 0 };
                return NULL;
        }
        o->rest = str_slice(o->rest, len - before, o->rest.len);
        TRY(http_response_parse(str_slice(buf_str(&o->input), 0, len), o->is_head, &r));
        TRY(check_status(o, &r));
        buf_release(&o->input);
        o->scanned = 0;
        on_head(o, &r);
        return NULL;
}

static struct error *read_body(struct http_outgoing *o)
{
        struct str piece;

        TRY(http_body_read(&o->reader, &o->rest, &piece));
        if (piece.len > 0)
                o->events->on_body(o->ctx, piece);
        if (o->state == BODY && http_body_is_done(&o->reader))
                complete(o);
        return NULL;
}

static void on_read(void *ctx, struct str bytes)
{
        struct http_outgoing *o = ctx;

        if (o->state == IDLE) { /* nothing was asked for: it would be taken for the next response */
                disconnect(o);
                return;
        }
        o->calls++;
        o->rest = bytes;
        while (o->rest.len > 0 && (o->state == AWAIT_HEAD || o->state == BODY)) {
                struct error *err = o->state == AWAIT_HEAD ? read_head(o) : read_body(o);

                if (err != NULL && o->state == CLOSED)
                        error_free(err);
                else if (err != NULL)
                        fail(o, malformed(err));
        }
        if ((o->state == AWAIT_HEAD || o->state == BODY) && o->events->on_pause != NULL)
                o->events->on_pause(o->ctx);
        o->rest = (struct str){ 0 };
        o->calls--;
        free_unless_called(o);
}

static void on_end(void *ctx, struct error *err)
{
        struct http_outgoing *o = ctx;

        o->calls++;
        if (o->state == IDLE) {
                error_free(err);
                disconnect(o);
        } else if (err != NULL) {
                struct error *what = error_new(ERROR_UNAVAILABLE, o->is_answered ? "the connection to the backend broke within its response"
                                                                                 : "the connection to the backend broke before its response");
                fail(o, error_because(what, err));
        } else if (o->state == AWAIT_HEAD) {
                fail(o, error_new(ERROR_UNAVAILABLE, o->is_answered ? "the backend closed the connection within the head of its response"
                                                                    : "the backend closed the connection without a response"));
        } else {
                struct error *incomplete = http_body_end(&o->reader);

                if (incomplete == NULL)
                        complete(o);
                else
                        fail(o, error_because(error_new(ERROR_UNAVAILABLE, "the backend closed the connection within its response"), incomplete));
        }
        o->calls--;
        free_unless_called(o);
}

static void on_drain(void *ctx)
{
        struct http_outgoing *o = ctx;

        if (o->state == IDLE || o->state == CLOSED)
                return;
        o->calls++;
        if (o->events->on_drain != NULL)
                o->events->on_drain(o->ctx);
        o->calls--;
        free_unless_called(o);
}

static const struct stream_events stream_events = { .on_read = on_read, .on_drain = on_drain, .on_end = on_end };

/* ---- requests --------------------------------------------------------------------------------------------- */

struct http_outgoing *http_outgoing_new(struct loop *l, struct stream *s)
{
        struct http_outgoing *o = NEW(struct http_outgoing);

        o->loop = l;
        o->stream = s;
        o->timer = timer_new(l, on_timeout, o);
        stream_listen(s, &stream_events, o);
        return o;
}

bool http_outgoing_is_idle(const struct http_outgoing *o)
{
        return o->state == IDLE;
}

bool http_outgoing_is_reused(const struct http_outgoing *o)
{
        return o->exchanges > 0;
}

/* The backend has this time for its response from now on. */
static void await_response(struct http_outgoing *o)
{
        if (o->state == AWAIT_HEAD && o->input.len == 0)
                timer_start(o->timer, MILLISECONDS(TIMEOUT_HTTP_RESPONSE));
}

void http_outgoing_request(struct http_outgoing *o, const struct http_request *r, const struct http_outgoing_events *events, void *ctx)
{
        AUTO(buf) head = BUF_MAX(8 * LIMIT_HTTP_HEAD);

        if (o->state != IDLE)
                bug("a request on a connection that is not idle");
        o->events = events;
        o->ctx = ctx;
        o->is_head = str_equal(r->method, STR("HEAD"));
        o->is_sent = r->body.kind == HTTP_BODY_NONE || (r->body.kind == HTTP_BODY_LENGTH && r->body.length == 0);
        o->sending = r->body.kind;
        o->upgrade = r->upgrade.len > 0 ? str_dup(r->upgrade) : NULL;
        o->state = AWAIT_HEAD;
        http_request_put(&head, r);
        if (head.overflowed)
                bug("the head of a request is longer than its fields may be");
        stream_write(o->stream, buf_str(&head));
        stream_read(o->stream, true);
        await_response(o);
}

void http_outgoing_body(struct http_outgoing *o, struct str piece)
{
        if (o->state != AWAIT_HEAD && o->state != BODY)
                return;
        await_response(o);
        if (o->sending != HTTP_BODY_CHUNKED) {
                stream_write(o->stream, piece);
                return;
        }
        AUTO(buf) out = BUF_MAX(piece.len + HTTP_BODY_OVERHEAD);
        http_body_put(&out, o->sending, piece);
        stream_write(o->stream, buf_str(&out));
}

void http_outgoing_body_end(struct http_outgoing *o, const struct http_fields *trailers)
{
        AUTO(buf) out = BUF_MAX(4 * LIMIT_HTTP_TRAILER);

        if (o->state != AWAIT_HEAD && o->state != BODY)
                return;
        o->is_sent = true;
        await_response(o);
        http_body_put_end(&out, o->sending, trailers);
        if (out.len > 0)
                stream_write(o->stream, buf_str(&out));
}

size_t http_outgoing_pending(const struct http_outgoing *o)
{
        return o->stream == NULL ? 0 : stream_pending(o->stream);
}

void http_outgoing_read(struct http_outgoing *o, bool wanted)
{
        if (o->stream != NULL)
                stream_read(o->stream, wanted);
}

struct stream *http_outgoing_take(struct http_outgoing *o, struct buf *ret_ahead)
{
        struct stream *s = o->stream;

        stream_read(s, false);
        buf_put(ret_ahead, o->rest);
        o->rest = (struct str){ 0 };
        o->stream = NULL;
        disconnect(o);
        return s;
}
