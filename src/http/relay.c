/* SPDX-License-Identifier: Apache-2.0 */
#include "http/relay.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "http/outgoing.h"
#include "loop/loop.h"
#include "net/http1.h"
#include "net/tls.h"

enum { GATHER_MOST = 16 * KiB }; /* of a head and the body behind it: a record of TLS */

enum state { IDLE, HEAD, DECIDE, COLLECT, FORWARD, LINGER, TUNNEL, CLOSED };

struct http_relay {
        struct loop *loop;
        struct stream *client;
        const struct http_relay_events *events;
        void *ctx;
        struct timer *timer;
        enum state state;
        struct str ahead; /* received and not used yet, a head that is arriving or the bytes after it: of the event that runs, or of `input` */
        struct buf input; /* copied for later events; empty otherwise */
        size_t scanned;
        struct http_request request;
        struct http_body_reader upload; /* the body of the request */
        struct buf collected; /* of the body, for the owner */
        struct buf output;    /* the head of a response that was just received, and what came with it: one record and one send for all */
        struct http_outgoing *backend;
        struct splice *tunnel;
        struct http_record record;
        struct instant progress; /* of a body */
        uint64_t from_client, to_client;
        enum http_body_kind sending; /* of the response */
        bool is_exchange;   /* on_exchange is due */
        bool is_responding; /* the head of the response was sent */
        bool is_last;       /* the connection closes after the response */
        bool is_draining, is_client_ended;
        bool is_reading; /* the client is read */
        bool is_stepping, is_step_due;
        unsigned deferred; /* calls of deferred functions that are due */
};

static void step(struct http_relay *r);

static void flush_client(struct http_relay *r)
{
        if (r->output.len > 0)
                stream_write(r->client, buf_str(&r->output));
        buf_release(&r->output);
}

/* ---- input -------------------------------------------------------------------------------------------------- */

static void drop_input(struct http_relay *r)
{
        r->ahead = (struct str){ 0 };
        buf_release(&r->input);
}

static void use(struct http_relay *r, size_t len)
{
        r->ahead = str_slice(r->ahead, len, r->ahead.len);
        if (r->ahead.len == 0)
                drop_input(r);
}

/* Copies what was not used yet, as the event that has brought it ends. */
static void keep_input(struct http_relay *r)
{
        if (r->input.len > 0 || r->ahead.len == 0)
                return;
        r->input.max = LIMIT_HTTP_HEAD + 2 * LOOP_BUFFER;
        buf_put(&r->input, r->ahead);
        r->ahead = buf_str(&r->input);
}

static void add_input(struct http_relay *r, struct str bytes)
{
        if (r->ahead.len == 0) {
                r->ahead = bytes;
                return;
        }
        keep_input(r);
        buf_consume(&r->input, r->input.len - r->ahead.len);
        buf_put(&r->input, bytes);
        r->ahead = buf_str(&r->input);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void report_closed(void *ctx)
{
        struct http_relay *r = ctx;

        if (--r->deferred > 0)
                return;
        r->events->on_closed(r->ctx);
        free(r);
}

static void defer(struct http_relay *r, void (*fn)(void *ctx))
{
        r->deferred++;
        loop_defer(r->loop, fn, r);
}

static void release_exchange(struct http_relay *r)
{
        http_request_release(&r->request);
        http_body_reader_release(&r->upload);
        if (r->collected.ptr != NULL)
                wipe(r->collected.ptr, r->collected.len); /* it may be a secret */
        buf_release(&r->collected);
        r->record = (struct http_record){ 0 };
        r->is_responding = false;
}

/* All but the exchange, which is reported once more. */
static void release_connections(struct http_relay *r)
{
        http_outgoing_close(r->backend);
        r->backend = NULL;
        timer_free(r->timer);
        r->timer = NULL;
        drop_input(r);
        buf_release(&r->output);
}

static void report_exchange(struct http_relay *r)
{
        struct http_record record = r->record;

        if (!r->is_exchange)
                return;
        r->is_exchange = false;
        r->events->on_exchange(r->ctx, &record);
}

void http_relay_report(struct http_relay *r)
{
        report_exchange(r);
}

static void report_last(void *ctx)
{
        struct http_relay *r = ctx;

        report_exchange(r);
        release_exchange(r);
        report_closed(r);
}

static void close_relay(struct http_relay *r)
{
        if (r->state == CLOSED)
                return;
        r->state = CLOSED;
        flush_client(r);
        stream_close(r->client);
        r->client = NULL;
        release_connections(r);
        defer(r, report_last);
}

void http_relay_close(struct http_relay *r)
{
        if (r->state == TUNNEL)
                splice_cancel(r->tunnel);
        else
                close_relay(r);
}

void http_relay_drain(struct http_relay *r)
{
        r->is_draining = true;
        if (r->state == IDLE)
                close_relay(r);
}

const struct http_request *http_relay_request(const struct http_relay *r)
{
        return r->request.method.len > 0 ? &r->request : NULL;
}

void http_relay_traffic(const struct http_relay *r, uint64_t *ret_from_client, uint64_t *ret_to_client)
{
        *ret_from_client = r->from_client;
        *ret_to_client = r->to_client + (r->tunnel == NULL ? 0 : splice_bytes(r->tunnel));
}

/* Steps from the loop. */
static void on_step_due(void *ctx)
{
        struct http_relay *r = ctx;

        r->is_step_due = false;
        if (r->state == CLOSED) {
                report_closed(r);
                return;
        }
        r->deferred--;
        step(r);
}

static void step_soon(struct http_relay *r)
{
        if (r->is_step_due || r->state == CLOSED)
                return;
        r->is_step_due = true;
        defer(r, on_step_due);
}

static void progress(struct http_relay *r)
{
        r->progress = loop_now(r->loop);
}

static void write_client(struct http_relay *r, struct str bytes)
{
        r->to_client += bytes.len;
        if (r->output.len > 0 && r->output.len + bytes.len <= GATHER_MOST) {
                buf_put(&r->output, bytes);
                return;
        }
        flush_client(r);
        stream_write(r->client, bytes);
}

static void read_client(struct http_relay *r, bool wanted)
{
        if (r->client == NULL || r->is_reading == wanted)
                return;
        r->is_reading = wanted;
        stream_read(r->client, wanted);
}

/* The client does not read its responses: until it has read them, it gets no further ones. */
static bool is_client_behind(const struct http_relay *r)
{
        return stream_pending(r->client) >= LIMIT_HTTP_WINDOW;
}

/* ---- responses --------------------------------------------------------------------------------------------- */

static bool is_upload_complete(const struct http_relay *r)
{
        return http_body_is_done(&r->upload);
}

/* The response was written. */
static void finish(struct http_relay *r)
{
        flush_client(r);
        r->record.is_complete = true;
        report_exchange(r);
        if (r->state == CLOSED)
                return;
        bool is_last = r->is_last || r->is_draining;
        bool is_upload_cut = !is_upload_complete(r);
        release_exchange(r);
        if (is_upload_cut) {
                /* A client that is still sending would lose the response if the connection was closed now. */
                r->state = LINGER;
                stream_shutdown(r->client);
                http_outgoing_close(r->backend);
                r->backend = NULL;
                drop_input(r);
                timer_start(r->timer, MILLISECONDS(TIMEOUT_HTTP_LINGER));
                read_client(r, true);
        } else if (is_last) {
                close_relay(r);
        } else {
                r->state = IDLE;
                timer_start(r->timer, MILLISECONDS(TIMEOUT_HTTP_IDLE));
                step_soon(r);
        }
}

static struct http_framing framing_of(const struct http_relay *r, const struct http_response *response)
{
        struct http_framing body = response->body;

        if (body.kind == HTTP_BODY_UNTIL_CLOSE && r->request.minor == 1)
                body.kind = HTTP_BODY_CHUNKED;
        else if (body.kind == HTTP_BODY_CHUNKED && r->request.minor == 0)
                body.kind = HTTP_BODY_UNTIL_CLOSE;
        return body;
}

static void send_head(struct http_relay *r, const struct http_response *response)
{
        struct http_send how = { .body = framing_of(r, response) };

        if (how.body.kind == HTTP_BODY_LENGTH && how.body.length <= GATHER_MOST)
                how.following = (size_t)how.body.length;

        if (response->status >= 200) {
                r->is_last = r->is_last || r->request.is_close || r->is_draining || r->request.method.len == 0 || !is_upload_complete(r);
                how.is_close = r->is_last;
                r->is_responding = true;
                r->sending = how.body.kind;
                r->record.status = response->status;
        }
        flush_client(r);
        r->output = BUF_MAX(8 * LIMIT_HTTP_HEAD);
        http_response_put(&r->output, response, how);
        if (r->output.overflowed)
                bug("the head of a response is longer than its fields may be");
        r->to_client += r->output.len;
        progress(r);
}

void http_relay_answer(struct http_relay *r, int status, const struct http_fields *fields, struct str body)
{
        struct http_response response = { .status = status, .reason = str_of(http1_reason(status)), .minor = 1 };
        bool has_body = !http_has_no_body(status, str_equal(r->request.method, STR("HEAD")));

        if (r->state == CLOSED) /* the client has gone, which the owner does not know yet */
                return;
        if (r->state != DECIDE)
                bug("an answer to no request");
        if (fields != NULL)
                response.fields = *fields;
        if (!http_has_no_body(status, false))
                response.body = (struct http_framing){ .kind = HTTP_BODY_LENGTH, .length = body.len };
        send_head(r, &response);
        if (has_body && body.len > 0)
                write_client(r, body);
        r->record.sent = has_body ? body.len : 0;
        finish(r);
}

/* The owner answers: now, or when it has decided how. */
static void report_failure(struct http_relay *r, enum http_failure failure, int status, struct error *err)
{
        r->state = DECIDE;
        timer_stop(r->timer);
        r->events->on_failure(r->ctx, failure, status, err);
        error_free(err);
}

/* ---- the backend ------------------------------------------------------------------------------------------ */

static void on_tunnel_end(void *ctx, uint64_t a_to_b, uint64_t b_to_a)
{
        struct http_relay *r = ctx;

        r->from_client += a_to_b;
        r->to_client += b_to_a;
        r->client = NULL;
        r->state = CLOSED;
        r->tunnel = NULL;
        defer(r, report_closed);
}

/* Both streams change to the protocol of the 101: bytes that came ahead go first. */
static void start_tunnel(struct http_relay *r)
{
        AUTO(buf) ahead = BUF_MAX(2 * LOOP_BUFFER);
        struct stream *backend = http_outgoing_take(r->backend, &ahead);

        read_client(r, false);
        if (ahead.len > 0)
                write_client(r, buf_str(&ahead));
        flush_client(r);
        if (r->ahead.len > 0)
                stream_write(backend, r->ahead);
        r->record.status = 101;
        r->record.is_complete = true;
        r->state = TUNNEL;
        r->tunnel = splice_start(r->loop, r->client, backend, LIMIT_HTTP_WINDOW, on_tunnel_end, r);
        report_exchange(r);
        release_connections(r);
        release_exchange(r);
}

static void on_backend_head(void *ctx, struct http_response *response)
{
        struct http_relay *r = ctx;
        const struct http_outgoing *from = r->backend;

        if (response->status < 200 && r->request.minor == 0)
                return;
        if (r->events->on_response != NULL)
                r->events->on_response(r->ctx, response);
        if (r->state != FORWARD || r->backend != from) /* closed, or taken back */
                return;
        send_head(r, response);
        if (response->status == 101)
                start_tunnel(r);
}

static void on_backend_body(void *ctx, struct str piece)
{
        struct http_relay *r = ctx;

        r->record.sent += piece.len;
        progress(r);
        if (r->sending == HTTP_BODY_CHUNKED) {
                AUTO(buf) out = BUF_MAX(piece.len + HTTP_BODY_OVERHEAD);

                http_body_put(&out, r->sending, piece);
                write_client(r, buf_str(&out));
        } else {
                write_client(r, piece);
        }
        if (is_client_behind(r))
                http_outgoing_read(r->backend, false);
}

static void on_backend_end(void *ctx, const struct http_fields *trailers)
{
        struct http_relay *r = ctx;
        AUTO(buf) out = BUF_MAX(4 * LIMIT_HTTP_TRAILER);

        http_body_put_end(&out, r->sending, trailers);
        if (out.len > 0)
                write_client(r, buf_str(&out));
        finish(r);
}

static void on_backend_pause(void *ctx)
{
        flush_client(ctx);
}

static void on_backend_drain(void *ctx)
{
        struct http_relay *r = ctx;

        progress(r);
        step_soon(r);
}

static bool has_body(const struct http_relay *r)
{
        return r->request.body.kind == HTTP_BODY_CHUNKED || r->request.body.length > 0;
}

bool http_relay_take_back(struct http_relay *r)
{
        if (r->state != FORWARD || has_body(r))
                return false;
        http_relay_disconnect(r);
        r->state = DECIDE;
        timer_stop(r->timer);
        return true;
}

static bool is_repeatable(const struct http_relay *r)
{
        return !has_body(r) && http_outgoing_is_reused(r->backend) && http_method_is_idempotent(r->request.method);
}

static void on_backend_failed(void *ctx, struct error *err, bool is_unanswered)
{
        struct http_relay *r = ctx;
        bool is_repeated = is_unanswered && err->code == ERROR_UNAVAILABLE && is_repeatable(r);

        http_outgoing_close(r->backend);
        r->backend = NULL;
        if (r->is_responding) { /* the client notices that the body is incomplete */
                error_free(err);
                close_relay(r);
        } else if (is_repeated) {
                error_free(err);
                r->state = DECIDE;
                timer_stop(r->timer);
                r->events->on_reconnect(r->ctx);
        } else if (err->code == ERROR_DEADLINE_EXCEEDED) {
                report_failure(r, HTTP_FAILURE_SLOW, 504, err);
        } else {
                report_failure(r, err->code == ERROR_UNAVAILABLE ? HTTP_FAILURE_CLOSED : HTTP_FAILURE_MALFORMED, 502, err);
        }
}

static const struct http_outgoing_events backend_events = {
        .on_head = on_backend_head,
        .on_body = on_backend_body,
        .on_end = on_backend_end,
        .on_pause = on_backend_pause,
        .on_drain = on_backend_drain,
        .on_failed = on_backend_failed,
};

bool http_relay_is_connected(const struct http_relay *r)
{
        return r->backend != NULL && http_outgoing_is_idle(r->backend);
}

void http_relay_disconnect(struct http_relay *r)
{
        http_outgoing_close(r->backend);
        r->backend = NULL;
}

void http_relay_forward(struct http_relay *r, struct stream *backend)
{
        if (r->state == CLOSED) {
                stream_close(backend);
                return;
        }
        if (r->state != DECIDE || (backend == NULL && !http_relay_is_connected(r)))
                bug("nothing to forward, or no connection to forward it on");
        if (backend != NULL) {
                http_relay_disconnect(r);
                r->backend = http_outgoing_new(r->loop, backend);
        }
        r->state = FORWARD;
        progress(r);
        timer_start(r->timer, MILLISECONDS(TIMEOUT_HTTP_STALL));
        http_outgoing_request(r->backend, &r->request, &backend_events, r);
        step_soon(r);
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static int status_of(const struct error *err)
{
        switch (err->code) {
        case ERROR_RESOURCE_EXHAUSTED:
                return 431;
        case ERROR_UNIMPLEMENTED:
                return 501;
        case ERROR_FAILED_PRECONDITION:
                return 417;
        case ERROR_DEADLINE_EXCEEDED:
                return 408;
        case ERROR_OUT_OF_RANGE:
                return 413;
        default:
                return 400;
        }
}

/* The request cannot be read any further. */
static void refuse_request(struct http_relay *r, struct error *err)
{
        r->is_last = true;
        r->is_exchange = true;
        if (r->is_responding || r->state == FORWARD) { /* within the body: the backend must not take what it has for the whole */
                http_relay_disconnect(r);
                if (r->is_responding) {
                        error_free(err);
                        close_relay(r);
                        return;
                }
        }
        /* What follows is not understood: it is read and discarded. */
        http_body_reader_release(&r->upload);
        http_body_start(&r->upload, (struct http_framing){ .kind = HTTP_BODY_UNTIL_CLOSE });
        drop_input(r);
        report_failure(r, HTTP_FAILURE_REQUEST, status_of(err), err);
}

/* The request belongs to another server of the connection, which gets it with all that has arrived. */
static void hand_over(struct http_relay *r)
{
        read_client(r, false);
        struct stream *client = stream_with_prefix(r->loop, r->client, r->ahead);

        r->client = NULL;
        r->state = CLOSED;
        release_connections(r);
        defer(r, report_last);
        r->events->on_foreign(r->ctx, client);
}

static void read_head(struct http_relay *r)
{
        bool is_first = r->state == IDLE;
        size_t len;

        if (is_first) {
                r->state = HEAD;
                r->scanned = 0;
        }
        struct error *err = http_head_find_end(r->ahead, &r->scanned, &len);
        if (err == NULL && len == 0) {
                if (is_first) /* most heads arrive at once, and need no time limit */
                        timer_start(r->timer, MILLISECONDS(TIMEOUT_HTTP_HEAD));
                return;
        }
        if (err == NULL)
                err = http_request_parse(str_slice(r->ahead, 0, len), &r->request);
        if (err != NULL) {
                refuse_request(r, err);
                return;
        }
        if (r->events->is_foreign != NULL && r->events->is_foreign(r->ctx, &r->request)) {
                hand_over(r);
                return;
        }
        use(r, len);
        timer_stop(r->timer);
        http_body_start(&r->upload, r->request.body);
        r->state = DECIDE;
        r->is_exchange = true;
        r->events->on_request(r->ctx, &r->request);
}

/* Passes on what has arrived of the body; false if it is malformed. */
static bool forward_body(struct http_relay *r)
{
        struct str rest = r->ahead, piece;

        while (rest.len > 0 && !is_upload_complete(r)) {
                struct error *err = http_body_read(&r->upload, &rest, &piece);

                if (err != NULL) {
                        refuse_request(r, err);
                        return false;
                }
                r->record.received += piece.len;
                progress(r);
                if (piece.len > 0)
                        http_outgoing_body(r->backend, piece);
                if (is_upload_complete(r))
                        http_outgoing_body_end(r->backend, &r->upload.trailers);
        }
        use(r, r->ahead.len - rest.len);
        return true;
}

void http_relay_collect(struct http_relay *r, size_t most)
{
        if (r->state == CLOSED)
                return;
        if (r->state != DECIDE)
                bug("a body of no request");
        r->collected = BUF_MAX(most);
        r->state = COLLECT;
        timer_start(r->timer, MILLISECONDS(TIMEOUT_HTTP_HEAD));
        step_soon(r);
}

/* Keeps what has arrived of the body; the owner gets it when it is complete. */
static void collect_body(struct http_relay *r)
{
        struct str rest = r->ahead, piece;
        struct error *err = NULL;

        while (err == NULL && rest.len > 0 && !is_upload_complete(r)) {
                err = http_body_read(&r->upload, &rest, &piece);
                if (err == NULL && piece.len > 0) {
                        buf_put(&r->collected, piece);
                        if (r->collected.overflowed)
                                err = error_new(ERROR_OUT_OF_RANGE, "the body of the request is too long");
                }
        }
        if (err != NULL) {
                refuse_request(r, err);
                return;
        }
        use(r, r->ahead.len - rest.len);
        if (!is_upload_complete(r))
                return;
        r->record.received = r->collected.len;
        r->state = DECIDE;
        timer_stop(r->timer);
        r->events->on_collected(r->ctx, buf_str(&r->collected));
}

/* How much may wait in r->ahead before the client is not read any more. */
static size_t input_most(const struct http_relay *r)
{
        if (r->state == IDLE || r->state == HEAD)
                return is_client_behind(r) ? 0 : LIMIT_HTTP_HEAD + 1;
        if (r->state == COLLECT)
                return LOOP_BUFFER;
        if (r->state == FORWARD && !is_upload_complete(r))
                return http_outgoing_pending(r->backend) < LIMIT_HTTP_WINDOW ? LIMIT_HTTP_WINDOW : 0;
        return LIMIT_HTTP1_AHEAD;
}

/* Does what the state and the bytes that have arrived permit. */
static void step(struct http_relay *r)
{
        if (r->is_stepping) {
                step_soon(r);
                return;
        }
        r->is_stepping = true;
        while ((r->state == IDLE || r->state == HEAD) && r->ahead.len > 0 && !is_client_behind(r)) {
                size_t before = r->ahead.len;

                read_head(r);
                if (r->state == HEAD || r->ahead.len == before)
                        break;
        }
        if (r->state == COLLECT)
                collect_body(r);
        if (r->state == FORWARD && r->ahead.len > 0 && !is_upload_complete(r))
                forward_body(r);
        r->is_stepping = false;
        if (r->state != CLOSED && r->state != TUNNEL && r->state != LINGER)
                read_client(r, r->ahead.len < input_most(r));
}

static void on_client_read(void *ctx, struct str bytes)
{
        struct http_relay *r = ctx;

        if (r->state == LINGER)
                return;
        r->from_client += bytes.len;
        add_input(r, bytes);
        step(r);
        keep_input(r);
}

static void on_client_drain(void *ctx)
{
        struct http_relay *r = ctx;

        progress(r);
        if (r->state == FORWARD)
                http_outgoing_read(r->backend, true);
        else
                step_soon(r);
}

static void on_client_end(void *ctx, struct error *err)
{
        error_free(err);
        close_relay(ctx);
}

static const struct stream_events client_events = { .on_read = on_client_read, .on_drain = on_client_drain, .on_end = on_client_end };

/* Bytes of a body wait to be sent to one of the two, or the client is to send more of it. */
static bool is_body_awaited(const struct http_relay *r)
{
        return !is_upload_complete(r) || http_outgoing_pending(r->backend) > 0 || stream_pending(r->client) > 0;
}

static void on_timeout(void *ctx)
{
        struct http_relay *r = ctx;
        struct duration silent = instant_since(loop_now(r->loop), r->progress);

        if (r->state == HEAD || r->state == COLLECT) {
                refuse_request(r, error_new(ERROR_DEADLINE_EXCEEDED, "the request did not arrive in time"));
        } else if (r->state != FORWARD || (is_body_awaited(r) && silent.ns >= MILLISECONDS(TIMEOUT_HTTP_STALL).ns)) {
                close_relay(r);
        } else {
                int64_t left = MILLISECONDS(TIMEOUT_HTTP_STALL).ns - silent.ns;

                timer_start(r->timer, left > 0 ? (struct duration){ left } : MILLISECONDS(TIMEOUT_HTTP_STALL));
        }
}

struct http_relay *http_relay_start(struct loop *l, struct stream *client, const struct http_relay_events *events, void *ctx)
{
        struct http_relay *r = NEW(struct http_relay);

        r->loop = l;
        r->client = client;
        r->events = events;
        r->ctx = ctx;
        r->timer = timer_new(l, on_timeout, r);
        stream_listen(client, &client_events, r);
        timer_start(r->timer, MILLISECONDS(TIMEOUT_HTTP_IDLE));
        read_client(r, true);
        return r;
}
