/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of gRPC.
 *
 * A call is on the client's list from rpc_client_call until its on_done; its HTTP/2 stream may live a
 * little longer, without an owner, until both sides have closed it. Calls that fail on our side
 * (cancelled, connection lost) only store the reason; on_done is called in a turn of the loop.
 */
#include <stdlib.h>

#include "base/interop.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/version.h"
#include "loop/loop.h"
#include "rpc/grpc.h"
#include "rpc/h2.h"
#include "rpc/rpc.h"
#include "rpc/status.h"

enum { QUEUE_MAX = LIMIT_UNREAD_OUTPUT + LIMIT_RPC + GRPC_PREFIX };

/* Maximum of bytes shown of the headers of an answer that is not gRPC. */
enum { SHOWN_MAX = 100 };

/* Decoded (structs, lists, strings), an answer may take this many times its encoded bytes of memory. */
enum { ANSWER_MEMORY_FACTOR = 8 };

struct rpc_client {
        struct h2 h2;
        char *authority;
        struct rpc_client_call *calls;
        void (*on_closed)(void *ctx, struct error *err);
        void *ctx;
        bool is_lost_reported;
        bool is_closed; /* the owner closed the client */
};

struct rpc_client_call {
        struct rpc_client *client;
        struct rpc_client_call *next, **at;
        int32_t stream; /* 0: not submitted */
        const struct rpc_client_events *events; /* of a stream; a unary call has the next three instead */
        void (*unary_done)(void *ctx, const ProtobufCMessage *answer, struct error *err);
        struct arena *answer_arena;
        ProtobufCMessage *answer; /* held until the status, which may still be an error */
        void *ctx;
        const ProtobufCMessageDescriptor *response;
        struct instant deadline;
        struct error *failure; /* on_done reports it in the next turn */

        struct buf queue;
        size_t queue_sent;
        bool is_half_closed;
        bool is_paused;

        struct grpc_inbox inbox;
        int64_t http_status; /* 0: no answer yet */
        bool is_grpc;        /* according to the content type */
        char *content_type, *location; /* escaped, of an answer that is not gRPC; or NULL */
        int64_t grpc_status; /* -1: not received */
        struct buf grpc_message;
        enum error_reason reason;
        char server_version[VERSION_TEXT_MAX]; /* "": not received */
};

/* ---- the end of a call ------------------------------------------------------------------------------------ */

static void report_unary(struct rpc_client_call *call, struct error *err)
{
        if (err == NULL && call->answer == NULL)
                err = error_new(ERROR_INTERNAL, "the server sent no answer");
        call->unary_done(call->ctx, err == NULL ? call->answer : NULL, err);
}

/* Removes the call from the list, calls on_done, frees the call; err is owned. */
static void call_done(struct rpc_client_call *call, struct error *err)
{
        struct h2 *h = &call->client->h2;

        *call->at = call->next;
        if (call->next != NULL)
                call->next->at = call->at;
        if (call->stream != 0 && !h->is_ended)
                nghttp2_session_set_stream_user_data(h->session, call->stream, NULL);
        h->queued -= call->queue.len - call->queue_sent;
        h2_closed(h);

        if (call->unary_done == NULL)
                call->events->on_done(call->ctx, err);
        else
                report_unary(call, err);
        arena_free(call->answer_arena);
        grpc_inbox_release(&call->inbox);
        buf_release(&call->queue);
        buf_release(&call->grpc_message);
        free(call->content_type);
        free(call->location);
        error_free(call->failure);
        free(call);
}

/* Resets a stream that the server has not finished. */
static void reset_stream(struct rpc_client_call *call)
{
        struct h2 *h = &call->client->h2;

        if (call->stream == 0 || h->is_over)
                return;
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
        h2_wants(h);
}

/* Ends a call for a reason found in an event of the loop. */
static void call_fail(struct rpc_client_call *call, struct error *err)
{
        reset_stream(call);
        call_done(call, err);
}

/* Ends a call for a reason found in a call by the owner: on_done comes later. */
static void call_fail_later(struct rpc_client_call *call, struct error *err)
{
        if (call->failure != NULL) {
                error_free(err);
                return;
        }
        call->failure = err;
        reset_stream(call);
        h2_request_turn(&call->client->h2);
}

/* Whether the server is another gRPC server: grpc-go's message for an unknown service. Our servers have every service. */
static bool is_foreign(const struct rpc_client_call *call)
{
        return call->grpc_status == ERROR_UNIMPLEMENTED && str_contains(buf_str(&call->grpc_message), STR("unknown service cteleport."));
}

/* How our servers begin their refusal of a method that they do not have; of another version, therefore. */
#define NO_METHOD "there is no method /cteleport."

/* The error names the method without its service, and the versions of both ends. */
static struct error *no_method(const struct rpc_client_call *call)
{
        struct str rest = buf_str(&call->grpc_message), name = STR("");

        rest = str_slice(rest, sizeof NO_METHOD - 1, rest.len);
        str_split(&rest, '/');
        name = str_split(&rest, ' ');
        AUTO_MEM char *shown = escaped(str_slice(name, 0, SHOWN_MAX));

        return error_hint(error_new(ERROR_UNIMPLEMENTED, "the server does not know the request %s: it runs version %s, and this program is version %s",
                                    shown, call->server_version[0] == '\0' ? "(unknown)" : call->server_version, CTELEPORT_VERSION),
                          "the versions of the hosts are listed by: tctl inventory status; the Auth Service is upgraded first, then the proxies, then "
                          "nodes, tsh and tctl");
}

static struct error *with_code(enum error_code code, struct error *err)
{
        err->code = code;
        return err;
}

/* The error for an answer that is not gRPC, such as a load balancer's: it says nothing about the request. */
static struct error *not_grpc(const struct rpc_client_call *call)
{
        AUTO(buf) what = BUF_MAX(KiB);

        buf_printf(&what, "the server answered HTTP %d", (int)call->http_status);
        if (call->location != NULL)
                buf_printf(&what, " and sends us on to '%s'", call->location);
        else if (call->content_type != NULL)
                buf_printf(&what, " with '%s'", call->content_type);
        return error_for(error_hint(error_new(grpc_code_of_http(call->http_status), "%s, which is not gRPC", buf_c(&what)),
                                    "check that the address is that of an Auth or Proxy Service, and that no load balancer, HTTP proxy or "
                                    "captive portal in front of it ends TLS: it must let TCP through"),
                         REASON_CONNECTION);
}

/* The result of a call according to the server's headers and trailers; NULL: OK. */
static struct error *verdict(const struct rpc_client_call *call, uint32_t h2_error)
{
        if (call->grpc_status == 0 && grpc_inbox_is_midway(&call->inbox))
                return error_new(ERROR_DATA_LOSS, "the answer ends in the middle of a message");
        if (call->grpc_status == 0)
                return NULL;
        if (call->grpc_status > 0 && is_foreign(call))
                return with_code(ERROR_UNIMPLEMENTED, interop_refuse_server("it does not know the methods of cteleport"));
        if (call->grpc_status == ERROR_UNIMPLEMENTED && str_starts_with(buf_str(&call->grpc_message), STR(NO_METHOD)))
                return error_for(no_method(call), call->reason);
        if (call->grpc_status > 0)
                return error_for(status_to_error((uint64_t)call->grpc_status, buf_str(&call->grpc_message)), call->reason);
        if (h2_error != NGHTTP2_NO_ERROR)
                return error_for(error_new(grpc_code_of_reset(h2_error), "the server broke the call off: %s", nghttp2_http2_strerror(h2_error)),
                                 REASON_CONNECTION);
        if (call->http_status != 0 && (call->http_status != 200 || !call->is_grpc))
                return not_grpc(call);
        return error_for(error_new(ERROR_INTERNAL, "the server ended the call without a status"), REASON_CONNECTION);
}

/* ---- output ------------------------------------------------------------------------------------------------- */

static ssize_t read_queue(nghttp2_session *session, int32_t stream, uint8_t *out, size_t room, uint32_t *flags,
                          nghttp2_data_source *source UNUSED, void *ctx UNUSED)
{
        struct rpc_client_call *call = nghttp2_session_get_stream_user_data(session, stream);

        if (call == NULL) { /* the call has ended: no more output */
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                return 0;
        }
        size_t len = call->queue.len - call->queue_sent;
        if (len > room)
                len = room;
        if (len > 0)
                memcpy(out, call->queue.ptr + call->queue_sent, len);
        call->queue_sent += len;
        call->client->h2.queued -= len;
        if (call->queue_sent < call->queue.len)
                return (ssize_t)len;
        buf_release(&call->queue);
        call->queue = BUF_MAX(QUEUE_MAX);
        call->queue_sent = 0;
        if (call->is_half_closed) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        } else if (len == 0) {
                call->is_paused = true;
                return NGHTTP2_ERR_DEFERRED;
        }
        return (ssize_t)len;
}

static void resume(struct rpc_client_call *call)
{
        struct h2 *h = &call->client->h2;

        if (call->is_paused)
                nghttp2_session_resume_data(h->session, call->stream);
        call->is_paused = false;
        h2_wants(h);
}

/* ---- input --------------------------------------------------------------------------------------------------- */

static void on_header(struct h2 *h, int32_t stream, struct str name, struct str value)
{
        struct rpc_client_call *call = h2_stream_owner(h, stream);
        int64_t number = 0;

        if (call == NULL)
                return;
        if (str_equal(name, STR(":status"))) {
                error_free(parse_int(value, 100, 999, "the HTTP status", &call->http_status)); /* nghttp2 has checked it */
        } else if (str_equal(name, STR("content-type"))) {
                call->is_grpc = grpc_is_content_type(value);
                if (!call->is_grpc && call->content_type == NULL)
                        call->content_type = escaped(str_slice(value, 0, SHOWN_MAX));
        } else if (str_equal(name, STR("version"))) {
                version_text(call->server_version, value);
        } else if (str_equal(name, STR("location")) && call->location == NULL) {
                call->location = escaped(str_slice(value, 0, SHOWN_MAX));
        } else if (str_equal(name, STR("grpc-status"))) {
                struct error *err = parse_int(value, 0, INT32_MAX, "the gRPC status", &number);

                call->grpc_status = err == NULL ? number : ERROR_UNKNOWN;
                error_free(err);
        } else if (str_equal(name, STR("grpc-message"))) {
                buf_clear(&call->grpc_message);
                grpc_put_percent_decoded(&call->grpc_message, str_slice(value, 0, 3 * STATUS_TEXT_MAX));
        } else if (str_equal(name, STR(STATUS_REASON_HEADER))) {
                call->reason = error_reason_of(value);
        }
}

static struct error *take_message(struct rpc_client_call *call, struct str bytes)
{
        size_t cap = ANSWER_MEMORY_FACTOR * call->inbox.max + LIMIT_RPC_MEMORY_BASE;

        if (call->unary_done != NULL) {
                if (call->answer != NULL)
                        return error_new(ERROR_INTERNAL, "the server sent more than one answer");
                call->answer_arena = arena_new(cap);
                return wire_decode(call->answer_arena, call->response, bytes, &call->answer);
        }
        if (call->events->on_bytes != NULL) {
                call->events->on_bytes(call->ctx, bytes);
                return NULL;
        }
        AUTO_PTR(arena) arena = arena_new(cap);
        ProtobufCMessage *msg = NULL;

        TRY(wire_decode(arena, call->response, bytes, &msg));
        call->events->on_message(call->ctx, msg);
        return NULL;
}

static void on_data(struct h2 *h, int32_t stream, struct str bytes)
{
        struct rpc_client_call *call = h2_stream_owner(h, stream);

        /* A body that is not gRPC is ignored; the end of the stream brings the error. */
        if (call == NULL || call->http_status != 200 || !call->is_grpc)
                return;
        /* on_message may cancel the call or close the client: both only set a flag, so the call outlives the loop. */
        while (call->failure == NULL && !h->is_over && bytes.len > 0) {
                struct str message;
                bool is_whole = false;
                struct error *err = grpc_inbox_feed(&call->inbox, &bytes, &is_whole, &message);

                if (err == NULL && is_whole)
                        err = take_message(call, message);
                if (err != NULL) {
                        call_fail(call, error_for(error_wrap(err, "the server sent a bad answer"), REASON_ANSWER));
                        return;
                }
        }
}

static void on_last(struct h2 *h, int32_t stream)
{
        struct rpc_client_call *call = h2_stream_owner(h, stream);

        if (call == NULL || call->failure != NULL)
                return;
        if (call->is_paused) /* our direction ends with END_STREAM: see read_queue */
                nghttp2_session_resume_data(h->session, stream);
        else if (call->queue.len > call->queue_sent) /* unsent messages may wait for a window that never opens */
                reset_stream(call);
        call_done(call, verdict(call, NGHTTP2_NO_ERROR));
}

static void on_stream_end(struct h2 *h, int32_t stream, uint32_t error_code)
{
        struct rpc_client_call *call = h2_stream_owner(h, stream);

        if (call != NULL && call->failure == NULL)
                call_done(call, verdict(call, error_code));
        else if (call != NULL)
                call->stream = 0;
}

static void on_not_begun(struct h2 *h, int32_t stream)
{
        struct rpc_client *c = CONTAINER_OF(h, struct rpc_client, h2);

        for (struct rpc_client_call *call = c->calls; call != NULL; call = call->next) {
                if (call->stream != stream || call->failure != NULL)
                        continue;
                call_done(call, error_for(error_new(ERROR_UNAVAILABLE, "the server takes no more calls on this connection"),
                                          REASON_CONNECTION));
                return;
        }
}

/* ---- deadlines and turns ------------------------------------------------------------------------------------- */

static struct rpc_client_call *first_failed(struct rpc_client *c)
{
        for (struct rpc_client_call *call = c->calls; call != NULL; call = call->next)
                if (call->failure != NULL)
                        return call;
        return NULL;
}

static void report_failures(struct h2 *h)
{
        struct rpc_client *c = CONTAINER_OF(h, struct rpc_client, h2);
        struct rpc_client_call *call;

        while ((call = first_failed(c)) != NULL) {
                struct error *err = call->failure;

                call->failure = NULL;
                call_done(call, err);
        }
}

static struct rpc_client_call *first_expired(struct rpc_client *c, struct instant now)
{
        for (struct rpc_client_call *call = c->calls; call != NULL; call = call->next)
                if (now.ns >= call->deadline.ns)
                        return call;
        return NULL;
}

static struct instant on_time(struct h2 *h, struct instant now)
{
        struct rpc_client *c = CONTAINER_OF(h, struct rpc_client, h2);
        struct rpc_client_call *call;
        struct instant next = NEVER;

        while (!h->is_over && (call = first_expired(c, now)) != NULL)
                call_fail(call, error_for(error_new(ERROR_DEADLINE_EXCEEDED, "the server did not answer in time"), REASON_CONNECTION));
        for (call = c->calls; call != NULL; call = call->next)
                if (call->deadline.ns < next.ns)
                        next = call->deadline;
        return next;
}

static struct error *reason_of_end(const struct rpc_client *c)
{
        if (c->is_closed)
                return error_new(ERROR_CANCELLED, "the connection was closed before the call was done");
        struct error *err = error_copy(c->h2.why);
        if (err->code != ERROR_UNAVAILABLE)
                err = error_because(error_new(ERROR_UNAVAILABLE, "the connection to the server was lost"), err);
        return error_for(err, REASON_CONNECTION);
}

static void on_end(struct h2 *h)
{
        struct rpc_client *c = CONTAINER_OF(h, struct rpc_client, h2);

        report_failures(h);
        while (c->calls != NULL)
                call_done(c->calls, reason_of_end(c));
        if (!c->is_closed && !c->is_lost_reported) {
                c->is_lost_reported = true;
                c->on_closed(c->ctx, reason_of_end(c));
                return; /* the owner may have closed the client in the callback; another turn is due then */
        }
        if (!c->is_closed || h->is_turn_due)
                return;
        h2_release(h);
        free(c->authority);
        free(c);
}

static const struct h2_events client_events = {
        .on_header = on_header,
        .on_data = on_data,
        .on_last = on_last,
        .on_stream_end = on_stream_end,
        .on_not_begun = on_not_begun,
        .on_turn = report_failures,
        .on_time = on_time,
        .on_end = on_end,
};

/* ---- the connection -------------------------------------------------------------------------------------------- */

struct rpc_client *rpc_client_new(struct loop *l, struct stream *s, const char *authority,
                                  void (*on_closed)(void *ctx, struct error *err), void *ctx)
{
        struct rpc_client *c = NEW(struct rpc_client);

        c->authority = str_dup(str_of(authority));
        c->on_closed = on_closed;
        c->ctx = ctx;
        h2_init(&c->h2, l, s, &client_events,
                (struct h2_options){
                        .resets.burst = LIMIT_RESET_BURST_KNOWN,
                        .resets.per_second = LIMIT_RESET_PER_SECOND_KNOWN,
                });
        return c;
}

void rpc_client_keep_alive(struct rpc_client *c)
{
        c->h2.options.is_kept_alive = true;
        h2_wake_by(&c->h2, instant_add(c->h2.received, MILLISECONDS(TIMEOUT_KEEPALIVE)));
}

void rpc_client_close(struct rpc_client *c)
{
        if (c == NULL)
                return;
        c->is_closed = true;
        h2_end(&c->h2, NULL);
        h2_request_turn(&c->h2); /* also when the connection had ended before: the turn frees the client */
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

static void submit(struct rpc_client_call *call, struct rpc_client_call_options options)
{
        struct rpc_client *c = call->client;
        AUTO(buf) timeout = BUF_MAX(GRPC_TIMEOUT_TEXT_MAX);
        const char *version = options.client_version == NULL ? CTELEPORT_VERSION : options.client_version;
        nghttp2_nv headers[10] = {
                H2_CONST_HEADER(":method", "POST"),
                H2_CONST_HEADER(":scheme", "https"),
                H2_HEADER(":authority", str_of(c->authority)),
                H2_HEADER(":path", str_of(options.path)),
                H2_CONST_HEADER("te", "trailers"),
                H2_CONST_HEADER("content-type", "application/grpc"),
                H2_CONST_HEADER("user-agent", "cteleport/" CTELEPORT_VERSION),
                H2_HEADER("version", str_of(version)),
        };
        size_t count = 8;
        const nghttp2_data_provider source = { .read_callback = read_queue };

        if (options.within.ns > 0) {
                grpc_timeout_put(&timeout, options.within);
                headers[count++] = H2_HEADER("grpc-timeout", buf_str(&timeout));
        }
        call->stream = nghttp2_submit_request(c->h2.session, NULL, headers, count, &source, call);
        if (call->stream < 0) { /* stream numbers are exhausted, after 2^30 calls */
                const char *why = nghttp2_strerror(call->stream);

                call->stream = 0;
                call_fail_later(call, error_new(ERROR_UNAVAILABLE, "no more calls on this connection: %s", why));
        }
}

struct rpc_client_call *rpc_client_call(struct rpc_client *c, struct rpc_client_call_options options,
                                        const struct rpc_client_events *events, void *ctx)
{
        struct rpc_client_call *call = NEW(struct rpc_client_call);
        struct h2 *h = &c->h2;

        call->client = c;
        call->events = events;
        call->ctx = ctx;
        call->response = options.response;
        call->queue = BUF_MAX(QUEUE_MAX);
        call->grpc_message = BUF_MAX(3 * STATUS_TEXT_MAX);
        call->grpc_status = -1;
        call->deadline = NEVER;
        grpc_inbox_init(&call->inbox, options.response_max == 0 ? LIMIT_RPC : options.response_max);
        call->next = c->calls;
        call->at = &c->calls;
        if (call->next != NULL)
                call->next->at = &call->next;
        c->calls = call;
        h2_opened(h);
        if (h->is_over) {
                h2_request_turn(h); /* on_end reports the error */
                return call;
        }
        if (options.within.ns > 0) {
                call->deadline = instant_add(loop_now(h->loop), options.within);
                h2_wake_by(h, call->deadline);
        }
        submit(call, options);
        h2_wants(h);
        return call;
}

/* Whether a message may be queued; if the server reads too slowly, the call fails. */
static bool may_send(struct rpc_client_call *call)
{
        struct h2 *h = &call->client->h2;

        if (call->failure != NULL || call->is_half_closed || h->is_over)
                return false;
        if (h->queued + stream_pending(h->stream) > LIMIT_UNREAD_OUTPUT) {
                call_fail_later(call, error_new(ERROR_RESOURCE_EXHAUSTED, "the server does not keep up with what it is sent"));
                return false;
        }
        return true;
}

/* Sends the message that was just queued; the queue had `before` bytes. */
static void send_queued(struct rpc_client_call *call, size_t before)
{
        call->client->h2.queued += call->queue.len - before;
        if (call->queue.overflowed)
                call_fail_later(call, error_new(ERROR_RESOURCE_EXHAUSTED, "the request is larger than can be sent"));
        else
                resume(call);
}

void rpc_client_send(struct rpc_client_call *call, const ProtobufCMessage *msg)
{
        size_t before = call->queue.len;

        if (!may_send(call))
                return;
        grpc_put_message(&call->queue, msg);
        send_queued(call, before);
}

void rpc_client_send_bytes(struct rpc_client_call *call, struct str message)
{
        size_t before = call->queue.len;

        if (!may_send(call))
                return;
        grpc_put_bytes(&call->queue, message);
        send_queued(call, before);
}

void rpc_client_half_close(struct rpc_client_call *call)
{
        if (call->failure != NULL || call->is_half_closed)
                return;
        call->is_half_closed = true;
        if (!call->client->h2.is_over)
                resume(call);
}

void rpc_client_cancel(struct rpc_client_call *call)
{
        call_fail_later(call, error_new(ERROR_CANCELLED, "the call was cancelled"));
}

/* ---- one request, one answer ------------------------------------------------------------------------------------- */

void rpc_client_unary(struct rpc_client *c, struct rpc_client_call_options options, const ProtobufCMessage *request,
                      void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        struct rpc_client_call *call = rpc_client_call(c, options, NULL, ctx);

        call->unary_done = done;
        rpc_client_send(call, request);
        rpc_client_half_close(call);
}
