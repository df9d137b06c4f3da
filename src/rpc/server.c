/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server side of gRPC. A call lives from its first header to the end of its HTTP/2 stream:
 *
 *     headers ── refused? ──────────────────────────────┐
 *        │ guard                                        │
 *     waiting for the one message (unary), or           │
 *     open: messages to the handler (stream)            ▼
 *        │ rpc_call_finish, or failed (on_gone) ──▶ finished: queue, then trailers
 *        └─ reset, connection lost: on_gone ──▶ freed ◀─┘ stream closed by both, or lingered too long
 */
#include <stdlib.h>

#include "base/budget.h"
#include "base/bug.h"
#include "base/interop.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "rpc/grpc.h"
#include "rpc/h2.h"
#include "rpc/rpc.h"
#include "rpc/status.h"

/*
 * A header takes its bytes, 48 for the entry and at most 32 for rounding; its size as RFC 9113 counts it is its bytes and 32.
 * So headers within their limit stay within this arena.
 */
enum { HEADER_ARENA = 4 * LIMIT_HTTP2_HEADER_LIST };

/* An answer of the largest size may be queued while a little less than the limit is unread. */
enum { QUEUE_MAX = LIMIT_UNREAD_OUTPUT + LIMIT_RPC + GRPC_PREFIX };

struct metadata {
        struct metadata *next;
        struct str name, value;
};

struct rpc_server_conn {
        struct h2 h2;
        struct rpc_server_options options;
        char *peer;
        struct rpc_call *calls;
        size_t held;              /* bytes of incomplete messages */
        size_t overhead;          /* memory of the calls themselves, with their headers */
        size_t taken;             /* bytes reserved from options.memory */
        struct instant drain_end; /* NEVER unless draining */
};

struct rpc_call {
        struct rpc_server_conn *conn;
        struct rpc_call *next, **at;
        int32_t stream;
        const struct rpc_method *method; /* NULL until the headers are complete, and if they were refused */
        const struct rpc_call_events *events;
        void *ctx;

        /* Input from the client. */
        struct arena *headers;
        struct arena *request;  /* holds the message of a unary call */
        struct arena *arena;    /* for the handler; separate, so that the client's input does not use it up */
        struct metadata *metadata;
        size_t header_bytes;
        size_t cost;            /* in conn->overhead */
        struct str path, http_method, content_type, timeout;
        struct grpc_inbox inbox;
        ProtobufCMessage *first; /* of a unary call */
        struct instant deadline;
        bool is_open;            /* the handler was called */
        bool is_half_closed;

        /* Output to the client. */
        struct buf queue;
        size_t queue_sent;
        struct error *status; /* of a finished call; NULL: OK */
        bool has_begun;       /* response headers were sent */
        bool is_paused;       /* the data source is deferred until there is more output */
        bool is_finished;
};

/* ---- memory of a connection --------------------------------------------------------------------------------- */

enum {
        MEMORY_STEP = 16 * KiB, /* granularity of reservations */
        CALL_COST = 2 * KiB,    /* a call, and its stream in nghttp2 */
};

static void give_back(struct rpc_server_conn *c, size_t bytes)
{
        budget_unreserve(c->options.memory, bytes);
        c->taken -= bytes;
}

/* Reserves the memory that the connection needs now, or returns the excess. */
static void settle(struct rpc_server_conn *c)
{
        if (c->options.memory == NULL || c->h2.is_over)
                return;
        size_t has = c->held + c->overhead + c->h2.queued + stream_pending(c->h2.stream);
        size_t wants = has <= LIMIT_RPC_MEMORY_FREE ? 0 : (has - LIMIT_RPC_MEMORY_FREE + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
        if (wants < c->taken) {
                give_back(c, c->taken - wants);
        } else if (wants > c->taken && budget_reserve(c->options.memory, wants - c->taken)) {
                c->taken = wants;
        } else if (wants > c->taken) {
                h2_end(&c->h2, error_new(ERROR_RESOURCE_EXHAUSTED, "too many requests and answers of this peer are in memory"));
                return;
        }
        if (c->taken > 0) /* poll: no event reports that the output was written */
                h2_wake_by(&c->h2, instant_add(loop_now(c->h2.loop), MILLISECONDS(PACE_RPC_MEMORY_CHECK)));
}

/* Updates the memory counted for the call itself, with its headers and request. */
static void count_cost(struct rpc_call *call)
{
        size_t cost = CALL_COST + arena_reserved(call->headers) + arena_reserved(call->request);

        call->conn->overhead += cost - call->cost;
        call->cost = cost;
}

/* ---- output ---------------------------------------------------------------------------------------------- */

static size_t queue_left(const struct rpc_call *call)
{
        return call->queue.len - call->queue_sent;
}

/* Submits the trailers, or the only headers of a call without response headers (with http_status in that case). */
static void submit_status(struct rpc_call *call, const char *http_status)
{
        AUTO(buf) number = BUF_MAX(8);
        AUTO(buf) text = BUF_MAX(STATUS_TEXT_MAX);
        AUTO(buf) encoded = BUF_MAX(3 * STATUS_TEXT_MAX);
        nghttp2_nv headers[7];
        size_t count = 0;

        if (!call->has_begun) {
                headers[count++] = H2_HEADER(":status", str_of(http_status));
                headers[count++] = H2_CONST_HEADER("content-type", "application/grpc");
                headers[count++] = H2_CONST_HEADER("grpc-accept-encoding", "identity");
                headers[count++] = H2_CONST_HEADER("version", CTELEPORT_VERSION);
        }
        buf_printf(&number, "%d", call->status == NULL ? 0 : (int)call->status->code);
        headers[count++] = H2_HEADER("grpc-status", buf_str(&number));
        if (call->status != NULL) {
                status_put_text(&text, call->status);
                grpc_put_percent_encoded(&encoded, buf_str(&text));
                headers[count++] = H2_HEADER("grpc-message", buf_str(&encoded));
        }
        if (call->status != NULL && *error_reason_name(call->status->reason) != '\0')
                headers[count++] = H2_HEADER(STATUS_REASON_HEADER, str_of(error_reason_name(call->status->reason)));
        nghttp2_session *session = call->conn->h2.session;
        if (call->has_begun)
                nghttp2_submit_trailer(session, call->stream, headers, count);
        else
                nghttp2_submit_response(session, call->stream, headers, count, NULL);
        call->has_begun = true;
}

/* The data source: nghttp2 requests the next bytes of DATA. */
static ssize_t read_queue(nghttp2_session *session, int32_t stream, uint8_t *out, size_t room, uint32_t *flags,
                          nghttp2_data_source *source UNUSED, void *ctx UNUSED)
{
        struct rpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
        size_t len = queue_left(call);

        if (len > room)
                len = room;
        if (len > 0)
                memcpy(out, call->queue.ptr + call->queue_sent, len);
        call->queue_sent += len;
        call->conn->h2.queued -= len;
        if (queue_left(call) > 0)
                return (ssize_t)len;
        buf_release(&call->queue);
        call->queue = BUF_MAX(QUEUE_MAX);
        call->queue_sent = 0;
        if (call->is_finished) {
                *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
                submit_status(call, "200");
        } else if (len == 0) {
                call->is_paused = true;
                return NGHTTP2_ERR_DEFERRED;
        }
        return (ssize_t)len;
}

static void begin_answer(struct rpc_call *call)
{
        const nghttp2_nv headers[] = {
                H2_CONST_HEADER(":status", "200"),
                H2_CONST_HEADER("content-type", "application/grpc"),
                H2_CONST_HEADER("grpc-accept-encoding", "identity"),
                H2_CONST_HEADER("version", CTELEPORT_VERSION),
        };
        const nghttp2_data_provider source = { .read_callback = read_queue };

        call->has_begun = true;
        nghttp2_submit_response(call->conn->h2.session, call->stream, headers, ARRAY_LEN(headers), &source);
}

static void resume(struct rpc_call *call)
{
        if (call->is_paused)
                nghttp2_session_resume_data(call->conn->h2.session, call->stream);
        call->is_paused = false;
        h2_wants(&call->conn->h2);
}

/* Ends a call from our side; the only function that does. err is owned. http_status applies only before response headers. */
static void finish(struct rpc_call *call, struct error *err, const char *http_status)
{
        struct h2 *h = &call->conn->h2;

        call->is_finished = true;
        call->is_open = false;
        call->status = err;
        if (h->is_over)
                return;
        call->conn->held -= call->inbox.held.len;
        grpc_inbox_release(&call->inbox);

        call->deadline = instant_add(loop_now(h->loop), MILLISECONDS(TIMEOUT_RPC_LINGER));
        h2_wake_by(h, call->deadline);
        if (!call->has_begun) {
                submit_status(call, http_status);
                h2_wants(h);
        } else {
                resume(call);
        }
}

static void refuse(struct rpc_call *call, struct error *err)
{
        finish(call, err, "200");
}

/* Ends a call; if the handler was called, it is notified first. */
static void fail(struct rpc_call *call, struct error *err)
{
        if (call->is_open)
                call->events->on_gone(call->ctx);
        refuse(call, err);
}

/* ---- input ------------------------------------------------------------------------------------------------ */

static void on_begin(struct h2 *h, int32_t stream)
{
        struct rpc_server_conn *c = CONTAINER_OF(h, struct rpc_server_conn, h2);
        struct rpc_call *call = NEW(struct rpc_call);

        call->conn = c;
        call->stream = stream;
        call->queue = BUF_MAX(QUEUE_MAX);
        call->deadline = NEVER;
        if (c->options.is_open_to_unauthenticated)
                call->deadline = instant_add(loop_now(h->loop), MILLISECONDS(TIMEOUT_JOIN));
        call->headers = arena_new(HEADER_ARENA);
        count_cost(call);
        call->next = c->calls;
        call->at = &c->calls;
        if (call->next != NULL)
                call->next->at = &call->next;
        c->calls = call;
        nghttp2_session_set_stream_user_data(h->session, stream, call);
        h2_opened(h);
        h2_wake_by(h, call->deadline);
}

static void keep_header(struct rpc_call *call, struct str name, struct str value)
{
        value = arena_str(call->headers, value);
        if (str_equal(name, STR(":path"))) {
                call->path = value;
        } else if (str_equal(name, STR(":method"))) {
                call->http_method = value;
        } else if (str_equal(name, STR("content-type"))) {
                call->content_type = value;
        } else if (str_equal(name, STR("grpc-timeout"))) {
                call->timeout = value;
        } else if (!str_starts_with(name, STR(":"))) {
                struct metadata *m = arena_alloc(call->headers, sizeof *m);

                *m = (struct metadata){ call->metadata, arena_str(call->headers, name), value };
                call->metadata = m;
        }
}

static void on_header(struct h2 *h, int32_t stream, struct str name, struct str value)
{
        struct rpc_call *call = h2_stream_owner(h, stream);

        if (call == NULL || call->method != NULL || call->is_finished)
                return; /* trailers of the client: gRPC defines none */
        call->header_bytes += name.len + value.len + 32; /* counted as in RFC 9113 section 6.5.2 */
        if (call->header_bytes <= LIMIT_HTTP2_HEADER_LIST)
                keep_header(call, name, value);
}

static const struct rpc_method *find_method(const struct rpc_server_conn *c, struct str path)
{
        for (const struct rpc_method *const *m = c->options.methods; *m != NULL; m++)
                if (str_equal(str_of((*m)->path), path))
                        return *m;
        return NULL;
}

/* Checks the headers as gRPC requires. *ret_http is the HTTP status for a client that does not use gRPC. */
static struct error *check_headers(struct rpc_call *call, const struct rpc_method **ret, const char **ret_http)
{
        *ret_http = "200";
        if (call->header_bytes > LIMIT_HTTP2_HEADER_LIST)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the headers of the request are larger than %d bytes",
                                 LIMIT_HTTP2_HEADER_LIST);
        if (!str_equal(call->http_method, STR("POST"))) {
                *ret_http = "405";
                return error_new(ERROR_INVALID_ARGUMENT, "a gRPC request is an HTTP POST");
        }
        if (!grpc_is_content_type(call->content_type)) {
                *ret_http = "415";
                return error_new(ERROR_INVALID_ARGUMENT, "the content type of a gRPC request is application/grpc");
        }
        const struct rpc_method *method = find_method(call->conn, call->path);
        if (method == NULL) {
                AUTO_MEM char *shown = escaped(call->path);

                if (interop_is_grpc_path(call->path))
                        return interop_refuse_client();
                return error_new(ERROR_UNIMPLEMENTED, "there is no method %s here", shown);
        }
        if (call->timeout.ptr != NULL) {
                struct duration timeout = { 0 };

                TRY(grpc_timeout_parse(call->timeout, &timeout));
                /* The cap prevents overflow of the sum; a call that needs more than a day must be repeated. */
                if (timeout.ns > HOURS(24).ns)
                        timeout = HOURS(24);
                struct instant deadline = instant_add(loop_now(call->conn->h2.loop), timeout);
                if (deadline.ns < call->deadline.ns)
                        call->deadline = deadline;
        }
        *ret = method;
        return NULL;
}

static void open_call(struct rpc_call *call)
{
        call->is_open = true;
        call->method->open(call, call->first);
        /* A handler that answers later must be notified when the call ends. */
        if (call->is_open && call->events == NULL)
                bug("the handler of %s neither answers nor listens", call->method->path);
}

static void on_headers(struct h2 *h, int32_t stream)
{
        struct rpc_server_conn *c = CONTAINER_OF(h, struct rpc_server_conn, h2);
        struct rpc_call *call = h2_stream_owner(h, stream);
        const struct rpc_method *method = NULL;
        const char *http_status = NULL;

        if (call != NULL)
                count_cost(call);
        settle(c);
        if (call == NULL || call->method != NULL || call->is_finished || h->is_over)
                return;
        struct error *err = check_headers(call, &method, &http_status);
        if (err == NULL && c->options.guard != NULL)
                err = c->options.guard(c->options.caller, method);
        if (err != NULL) {
                if (call->header_bytes > LIMIT_HTTP2_HEADER_LIST)
                        h2_spend_reset(h);
                finish(call, err, http_status);
                return;
        }
        call->method = method;
        grpc_inbox_init(&call->inbox, method->request_max);
        h2_wake_by(h, call->deadline);
        if (method->is_client_stream)
                open_call(call);
}

/* A decoded message may take several times its encoded bytes; an exhausted arena refuses it. */
static struct arena *message_arena(const struct rpc_method *method)
{
        return arena_new(LIMIT_RPC_MEMORY_FACTOR * method->request_max + LIMIT_RPC_MEMORY_BASE);
}

/* Passes on a complete message: to the handler of a stream, or stored until a unary request is complete. */
static struct error *take_message(struct rpc_call *call, struct str bytes)
{
        ProtobufCMessage *msg = NULL;

        if (call->method->is_client_stream) {
                if (call->events->on_bytes != NULL && call->events->on_bytes(call->ctx, bytes))
                        return NULL;
                /* A stream may last for days: the memory of a message is released before the next. */
                AUTO_PTR(arena) arena = message_arena(call->method);

                TRY(wire_decode(arena, call->method->request, bytes, &msg));
                call->events->on_message(call->ctx, msg);
                return NULL;
        }
        if (call->first != NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "the method takes one message, and a second one was received");
        call->request = message_arena(call->method);
        struct error *err = wire_decode(call->request, call->method->request, bytes, &msg);
        count_cost(call);
        if (err != NULL)
                return err;
        call->first = msg;
        return NULL;
}

static void on_data(struct h2 *h, int32_t stream, struct str bytes)
{
        struct rpc_server_conn *c = CONTAINER_OF(h, struct rpc_server_conn, h2);
        struct rpc_call *call = h2_stream_owner(h, stream);
        size_t held_max = c->options.is_open_to_unauthenticated ? LIMIT_RPC_HELD : LIMIT_RPC_HELD_KNOWN;

        while (call != NULL && !call->is_finished && !h->is_over && bytes.len > 0) {
                struct str message;
                bool is_whole = false;
                size_t before = call->inbox.held.len;
                struct error *err = grpc_inbox_feed(&call->inbox, &bytes, &is_whole, &message);

                c->held += call->inbox.held.len - before;
                if (err == NULL && c->held > held_max)
                        err = error_new(ERROR_RESOURCE_EXHAUSTED, "this connection has too many unfinished messages");
                if (err == NULL && is_whole)
                        err = take_message(call, message);
                if (err != NULL)
                        fail(call, err);
        }
        settle(c);
}

static void on_last(struct h2 *h, int32_t stream)
{
        struct rpc_call *call = h2_stream_owner(h, stream);

        if (call == NULL)
                return;
        call->is_half_closed = true;
        if (call->is_finished)
                return;
        if (grpc_inbox_is_midway(&call->inbox))
                fail(call, error_new(ERROR_INVALID_ARGUMENT, "the request ends in the middle of a message"));
        else if (call->method->is_client_stream)
                call->events->on_half_close(call->ctx);
        else if (call->first == NULL)
                refuse(call, error_new(ERROR_INVALID_ARGUMENT, "the request has no message"));
        else
                open_call(call);
}

/* The answer is complete: the client need not send the rest of the request (RFC 9113 section 8.1). */
static void on_sent_last(struct h2 *h, int32_t stream)
{
        struct rpc_call *call = h2_stream_owner(h, stream);

        if (call != NULL && !call->is_half_closed)
                nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR);
}

static void call_free(struct rpc_call *call)
{
        struct h2 *h = &call->conn->h2;

        h->queued -= queue_left(call);
        call->conn->held -= call->inbox.held.len;
        call->conn->overhead -= call->cost;
        *call->at = call->next;
        if (call->next != NULL)
                call->next->at = call->at;
        grpc_inbox_release(&call->inbox);
        buf_release(&call->queue);
        error_free(call->status);
        arena_free(call->headers);
        arena_free(call->request);
        arena_free(call->arena);
        free(call);
        h2_closed(h);
}

static void lose_call(struct rpc_call *call)
{
        if (call->is_open)
                call->events->on_gone(call->ctx);
        call_free(call);
}

static void on_stream_end(struct h2 *h, int32_t stream, uint32_t error_code UNUSED)
{
        struct rpc_call *call = h2_stream_owner(h, stream);

        if (call == NULL)
                return;
        nghttp2_session_set_stream_user_data(h->session, stream, NULL);
        lose_call(call);
        settle(CONTAINER_OF(h, struct rpc_server_conn, h2));
}

static struct instant on_time(struct h2 *h, struct instant now)
{
        struct rpc_server_conn *c = CONTAINER_OF(h, struct rpc_server_conn, h2);
        struct instant next = c->drain_end;

        if (now.ns >= c->drain_end.ns) {
                h2_end(h, NULL);
                return NEVER;
        }
        /* A handler may end other calls in on_gone, but their streams close later: the list does not change. */
        for (struct rpc_call *call = c->calls; call != NULL && !h->is_over; call = call->next) {
                if (now.ns >= call->deadline.ns && call->is_finished) {
                        call->deadline = NEVER;
                        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
                } else if (now.ns >= call->deadline.ns) {
                        fail(call, error_new(ERROR_DEADLINE_EXCEEDED, "the call took longer than it may"));
                }
                if (call->deadline.ns < next.ns)
                        next = call->deadline;
        }
        settle(c);
        struct instant check = instant_add(now, MILLISECONDS(PACE_RPC_MEMORY_CHECK));
        return c->taken > 0 && check.ns < next.ns ? check : next;
}

static void on_end(struct h2 *h)
{
        struct rpc_server_conn *c = CONTAINER_OF(h, struct rpc_server_conn, h2);

        while (c->calls != NULL)
                lose_call(c->calls);
        if (c->taken > 0)
                give_back(c, c->taken);
        if (c->options.on_closed != NULL)
                c->options.on_closed(c->options.caller);
        h2_release(h);
        free(c->peer);
        free(c);
}

static const struct h2_events server_events = {
        .on_begin = on_begin,
        .on_header = on_header,
        .on_headers = on_headers,
        .on_data = on_data,
        .on_last = on_last,
        .on_sent_last = on_sent_last,
        .on_stream_end = on_stream_end,
        .on_time = on_time,
        .on_end = on_end,
};

/* ---- the connection --------------------------------------------------------------------------------------- */

struct rpc_server_conn *rpc_serve(struct loop *l, struct stream *s, struct rpc_server_options options)
{
        struct rpc_server_conn *c = NEW(struct rpc_server_conn);
        bool is_unauthenticated = options.is_open_to_unauthenticated;

        c->options = options;
        c->peer = str_dup(str_of(options.peer));
        c->options.peer = c->peer;
        c->drain_end = NEVER;
        h2_init(&c->h2, l, s, &server_events,
                (struct h2_options){
                        .is_server = true,
                        .is_brief = is_unauthenticated,
                        .max_streams = is_unauthenticated ? LIMIT_HTTP2_STREAMS : LIMIT_HTTP2_STREAMS_KNOWN,
                        .resets.burst = is_unauthenticated ? LIMIT_RESET_BURST : LIMIT_RESET_BURST_KNOWN,
                        .resets.per_second = is_unauthenticated ? LIMIT_RESET_PER_SECOND : LIMIT_RESET_PER_SECOND_KNOWN,
                        .control_frames.burst = LIMIT_CONTROL_BURST,
                        .control_frames.per_second = is_unauthenticated ? LIMIT_CONTROL_PER_SECOND : 0,
                        .idle = is_unauthenticated ? MILLISECONDS(TIMEOUT_IDLE_UNAUTHENTICATED) : MILLISECONDS(TIMEOUT_IDLE_CONNECTION),
                });
        return c;
}

void rpc_server_drain(struct rpc_server_conn *c)
{
        if (c->h2.is_over || c->drain_end.ns != NEVER.ns)
                return;
        c->drain_end = instant_add(loop_now(c->h2.loop), MILLISECONDS(TIMEOUT_GRACEFUL_STOP));
        h2_wake_by(&c->h2, c->drain_end);
        h2_go_away(&c->h2);
}

void rpc_server_close(struct rpc_server_conn *c)
{
        h2_end(&c->h2, NULL);
}

/* ---- functions for handlers ------------------------------------------------------------------------------- */

void rpc_call_listen(struct rpc_call *call, const struct rpc_call_events *events, void *ctx)
{
        call->events = events;
        call->ctx = ctx;
}

void *rpc_call_caller(const struct rpc_call *call)
{
        return call->conn->options.caller;
}

const struct rpc_method *rpc_call_method(const struct rpc_call *call)
{
        return call->method;
}

const char *rpc_call_peer(const struct rpc_call *call)
{
        return call->conn->peer;
}

struct arena *rpc_call_arena(struct rpc_call *call)
{
        if (call->arena == NULL)
                call->arena = arena_new(LIMIT_RPC_ARENA);
        return call->arena;
}

struct loop *rpc_call_loop(struct rpc_call *call)
{
        return call->conn->h2.loop;
}

struct str rpc_call_metadata(const struct rpc_call *call, const char *lower_case_name)
{
        for (const struct metadata *m = call->metadata; m != NULL; m = m->next)
                if (str_equal(m->name, str_of(lower_case_name)))
                        return m->value;
        return STR("");
}

static bool may_send(struct rpc_call *call)
{
        if (call->is_finished)
                bug("a message after the end of a call of %s", call->method->path);
        return h2_may_queue(&call->conn->h2);
}

/* Sends the message that was just queued; the queue had `before` bytes. */
static void send_queued(struct rpc_call *call, size_t before)
{
        struct h2 *h = &call->conn->h2;

        h->queued += call->queue.len - before;
        if (!call->has_begun)
                begin_answer(call);
        resume(call);
        settle(call->conn);
}

void rpc_call_send(struct rpc_call *call, const ProtobufCMessage *msg)
{
        size_t before = call->queue.len;

        if (!may_send(call))
                return;
        grpc_put_message(&call->queue, msg);
        send_queued(call, before);
}

void rpc_call_send_bytes(struct rpc_call *call, struct str message)
{
        size_t before = call->queue.len;

        if (!may_send(call))
                return;
        grpc_put_bytes(&call->queue, message);
        send_queued(call, before);
}

size_t rpc_call_pending(const struct rpc_call *call)
{
        const struct h2 *h = &call->conn->h2;

        return queue_left(call) + (h->is_ended ? 0 : stream_pending(h->stream));
}

void rpc_call_finish(struct rpc_call *call, struct error *err)
{
        if (call->is_finished)
                bug("a call of %s is finished twice", call->method->path);
        if (err == NULL && call->queue.overflowed)
                err = error_new(ERROR_RESOURCE_EXHAUSTED, "the answer is larger than can be sent");
        refuse(call, err);
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *msg)
{
        rpc_call_send(call, msg);
        rpc_call_finish(call, NULL);
}
