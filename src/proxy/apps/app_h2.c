/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_h2.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/http2.h"
#include "http/outgoing.h"
#include "net/memory_stream.h"
#include "net/stream.h"
#include "proxy/apps/app_address.h"
#include "proxy/apps/app_page.h"
#include "proxy/proxy.h"
#include "rpc/h2.h"

struct exchange;

/* A gateway and the connection to it. */
struct channel {
        struct channel *next, **at;
        struct app_h2 *conn;
        char app[APP_NAME_MAX + 1];
        struct app_gateway *gateway;     /* NULL: it has ended */
        struct http_outgoing *outgoing;  /* NULL: closed */
        struct exchange *user;           /* NULL: it is free */
};

/* A stream of the browser. */
struct exchange {
        struct exchange *next, **at;
        struct app_h2 *conn;
        int32_t id;
        struct http2_request head;
        struct error *refusal;   /* of a field of the head */
        bool is_head_complete;
        bool is_of_head, is_page_wanted; /* the method is HEAD; a browser opens a page */
        struct channel *channel; /* NULL before the request was sent, and after its response has arrived */
        struct http_framing body;
        uint64_t received;       /* bytes of the body of the request */
        size_t unread;           /* of these, bytes that the gateway has not read */
        bool is_idempotent;
        size_t reserved;         /* of the memory of unauthenticated peers */
        size_t uncharged;        /* of UNCHARGED_MOST */
        struct buf out;          /* of the response, for the browser; out_sent of it are sent */
        size_t out_sent;
        struct instant waiting;  /* since when the browser has taken nothing of a response that has more; 0: nothing waits */
        struct http_fields trailers, request_trailers;
        size_t request_trailer_size;
        bool is_request_complete, is_responding, is_response_complete, is_reset;
};

struct app_h2 {
        struct h2 h2;
        struct app_gateway_options options;
        struct budget_holder *memory;
        size_t uncharged;         /* of the requests whose user is not known */
        bool has_user;            /* it is a connection of a user, and counts for that one */
        char app[APP_NAME_MAX + 1];
        char peer[ADDRESS_TEXT_MAX];
        struct channel *channels;
        struct exchange *exchanges;
        struct exchange *waiting; /* its head is complete, whether a body follows is not known yet */
};

static struct app_h2 *app_h2_of(struct h2 *h)
{
        return CONTAINER_OF(h, struct app_h2, h2);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void free_when_ended(struct app_h2 *c)
{
        if (!c->h2.is_ended || c->h2.is_turn_due || c->channels != NULL)
                return;
        h2_release(&c->h2);
        c->options.on_closed(c->options.ctx);
        free(c);
}

static void channel_free(struct channel *ch)
{
        http_outgoing_close(ch->outgoing);
        *ch->at = ch->next;
        if (ch->next != NULL)
                ch->next->at = ch->at;
        free(ch);
}

/* Its connection is closed: the gateway notices, and ends. */
static void channel_close(struct channel *ch)
{
        ch->user = NULL;
        http_outgoing_close(ch->outgoing);
        ch->outgoing = NULL;
        if (ch->gateway != NULL)
                app_gateway_close(ch->gateway);
        else
                channel_free(ch);
}

static void on_gateway_closed(void *ctx)
{
        struct channel *ch = ctx;
        struct app_h2 *c = ch->conn;

        ch->gateway = NULL;
        if (ch->user != NULL) /* the end of its response may still be on its way */
                return;
        channel_free(ch);
        free_when_ended(c);
}

/* The exchange needs its channel no more, which is kept if it can be. */
static void leave_channel(struct exchange *x)
{
        struct channel *ch = x->channel;

        x->channel = NULL;
        if (ch == NULL)
                return;
        ch->user = NULL;
        if (ch->gateway == NULL || !http_outgoing_is_idle(ch->outgoing))
                channel_close(ch);
}

/* ---- memory of requests whose user is not known --------------------------------------------------------------- */

/*
 * What a connection has without a charge, as one with gRPC and one with pages have: enough for a request without a body. So a browser with a session gets
 * on though unauthenticated peers use all of the budget.
 */
enum { UNCHARGED_MOST = LIMIT_RPC_MEMORY_FREE + LIMIT_HTTP1_HEADER };

static void unreserve(struct exchange *x)
{
        budget_unreserve(x->conn->memory, x->reserved);
        x->conn->uncharged -= x->uncharged;
        x->reserved = x->uncharged = 0;
}

static bool reserve_size(struct exchange *x, size_t size)
{
        if (x->conn->has_user)
                return true;
        size_t left = UNCHARGED_MOST - x->conn->uncharged, uncharged = size < left ? size : left;
        if (!budget_reserve(x->conn->memory, size - uncharged))
                return false;
        x->reserved = size - uncharged;
        x->uncharged = uncharged;
        x->conn->uncharged += uncharged;
        return true;
}

static bool reserve(struct exchange *x, const struct http_request *request)
{
        bool has_body = request->body.kind == HTTP_BODY_CHUNKED || request->body.length > 0;

        return reserve_size(x, request->target.len + http_fields_size(&request->fields) + LIMIT_HTTP2_APP_UNKNOWN + (has_body ? LIMIT_HTTP_WINDOW : 0));
}

static void note_user(struct app_h2 *c)
{
        c->has_user = true;
        for (struct exchange *x = c->exchanges; x != NULL; x = x->next)
                unreserve(x);
}

static void exchange_free(struct exchange *x)
{
        struct app_h2 *c = x->conn;

        unreserve(x);
        leave_channel(x);
        if (c->waiting == x)
                c->waiting = NULL;
        if (!c->h2.is_ended)
                nghttp2_session_set_stream_user_data(c->h2.session, x->id, NULL);
        *x->at = x->next;
        if (x->next != NULL)
                x->next->at = x->at;
        http2_request_release(&x->head);
        http_fields_release(&x->trailers);
        http_fields_release(&x->request_trailers);
        error_free(x->refusal);
        buf_release(&x->out);
        free(x);
        h2_closed(&c->h2);
}

/* Ends the stream with an error; nothing of it is passed on any more. */
static void reset(struct exchange *x, uint32_t code)
{
        struct h2 *h = &x->conn->h2;

        if (x->is_reset)
                return;
        x->is_reset = true;
        leave_channel(x);
        if (h->is_over)
                return;
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->id, code);
        h2_wants(h);
}

/* ---- responses ---------------------------------------------------------------------------------------------- */

static bool may_send(const struct exchange *x)
{
        return !x->is_reset && !x->conn->h2.is_over;
}

static void put_trailers(struct exchange *x);

/* The source of DATA frames; the bytes are copied by on_put_data(). */
static ssize_t on_source(nghttp2_session *session UNUSED, int32_t id UNUSED, uint8_t *out UNUSED, size_t most, uint32_t *flags,
                         nghttp2_data_source *source, void *ctx UNUSED)
{
        struct exchange *x = source->ptr;
        size_t left = x->out.len - x->out_sent;
        size_t len = left < most ? left : most;

        if (left == 0 && !x->is_response_complete)
                return NGHTTP2_ERR_DEFERRED;
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (len < left || !x->is_response_complete)
                return (ssize_t)len;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (x->trailers.count > 0) {
                *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                put_trailers(x);
        }
        return (ssize_t)len;
}

static void on_put_data(struct h2 *h, int32_t id, char *out, size_t len)
{
        struct exchange *x = h2_stream_owner(h, id);

        if (x == NULL || len == 0)
                return;
        x->waiting = x->out_sent + len < x->out.len ? loop_now(h->loop) : (struct instant){ 0 };
        memcpy(out, x->out.ptr + x->out_sent, len);
        x->out_sent += len;
        if (x->out_sent < x->out.len)
                return;
        buf_release(&x->out);
        x->out_sent = 0;
        if (x->channel != NULL)
                http_outgoing_read(x->channel->outgoing, true);
}

/* The fields for nghttp2, which copies them: a list of `extra` unset ones and these. Names are in lower case in *names. */
static nghttp2_nv *nv_of(const struct http_fields *fields, size_t extra, struct buf *names)
{
        nghttp2_nv *list = mem_resize(NULL, extra + fields->count + 1, sizeof *list);

        for (size_t i = 0; i < fields->count; i++) {
                for (size_t n = 0; n < fields->list[i].name.len; n++)
                        buf_put_char(names, char_lower(fields->list[i].name.ptr[n]));
        }
        size_t at = 0;
        for (size_t i = 0; i < fields->count; i++) {
                size_t len = fields->list[i].name.len;

                list[extra + i] = h2_header(str_slice(buf_str(names), at, len), fields->list[i].value, NGHTTP2_NV_FLAG_NONE);
                at += len;
        }
        return list;
}

static void put_trailers(struct exchange *x)
{
        AUTO(buf) names = BUF_MAX(LIMIT_HTTP_HEAD);
        AUTO_MEM nghttp2_nv *list = nv_of(&x->trailers, 0, &names);

        nghttp2_submit_trailer(x->conn->h2.session, x->id, list, x->trailers.count);
}

static void submit_head(struct exchange *x, int status, const struct http_fields *fields, struct http_framing body)
{
        AUTO(buf) names = BUF_MAX(LIMIT_HTTP_HEAD);
        AUTO_MEM nghttp2_nv *list = nv_of(fields, 1, &names);
        const nghttp2_data_provider source = { .source.ptr = x, .read_callback = on_source };
        bool is_empty = body.kind == HTTP_BODY_NONE || (body.kind == HTTP_BODY_LENGTH && body.length == 0);
        size_t count = 1 + fields->count;
        char text[4], length[24];

        snprintf(text, sizeof text, "%d", status);
        list[0] = H2_HEADER(":status", str_of(text));
        if (body.kind == HTTP_BODY_LENGTH) {
                snprintf(length, sizeof length, "%llu", (unsigned long long)body.length);
                list[count++] = H2_HEADER("content-length", str_of(length));
        }
        if (status < 200) {
                nghttp2_submit_headers(x->conn->h2.session, NGHTTP2_FLAG_NONE, x->id, NULL, list, count, NULL);
        } else {
                x->is_responding = true;
                nghttp2_submit_response(x->conn->h2.session, x->id, list, count, is_empty ? NULL : &source);
        }
        h2_wants(&x->conn->h2);
}

static void on_response(void *ctx, struct http_response *response)
{
        struct exchange *x = ctx;

        if (may_send(x))
                submit_head(x, response->status, &response->fields, response->status < 200 ? (struct http_framing){ 0 } : response->body);
}

static struct instant stall_of(const struct exchange *x)
{
        return instant_add(x->waiting, MILLISECONDS(TIMEOUT_HTTP_STALL));
}

static void more_output(struct exchange *x)
{
        if (!may_send(x))
                return;
        if (x->waiting.ns == 0) {
                x->waiting = loop_now(x->conn->h2.loop);
                h2_wake_by(&x->conn->h2, stall_of(x));
        }
        nghttp2_session_resume_data(x->conn->h2.session, x->id);
        h2_wants(&x->conn->h2);
}

static void on_response_body(void *ctx, struct str piece)
{
        struct exchange *x = ctx;

        if (!may_send(x))
                return;
        x->out.max = LIMIT_HTTP_WINDOW + LOOP_BUFFER;
        buf_put(&x->out, piece);
        if (x->out.len >= LIMIT_HTTP_WINDOW)
                http_outgoing_read(x->channel->outgoing, false);
        more_output(x);
}

static void on_response_end(void *ctx, const struct http_fields *trailers)
{
        struct exchange *x = ctx;
        struct error *err = NULL;

        for (size_t i = 0; trailers != NULL && i < trailers->count && err == NULL; i++)
                err = http_fields_add(&x->trailers, trailers->list[i].name, trailers->list[i].value);
        error_free(err); /* they were parsed within the same limits */
        x->is_response_complete = true;
        leave_channel(x);
        more_output(x);
}

/* The browser may send the request again if no byte of a response came and it can do no harm (RFC 9113 section 8.7). */
static void on_response_failed(void *ctx, struct error *err, bool is_unanswered)
{
        struct exchange *x = ctx;
        bool is_slow = err->code == ERROR_DEADLINE_EXCEEDED;
        bool is_repeatable = is_unanswered && !is_slow && x->is_idempotent && x->received == 0;

        log_debug("A request by HTTP/2 has failed", LOG_C("peer", x->conn->peer), LOG_ERR(err));
        error_free(err);
        if (!may_send(x) || x->is_responding || is_repeatable) {
                reset(x, is_repeatable ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR);
                return;
        }
        leave_channel(x);
        submit_head(x, is_slow ? 504 : 502, &x->trailers, (struct http_framing){ 0 });
}

/* The gateway has read all of the request so far: the browser may send more. */
static void on_request_read(void *ctx)
{
        struct exchange *x = ctx;

        if (x->unread == 0 || !may_send(x))
                return;
        nghttp2_session_consume_stream(x->conn->h2.session, x->id, x->unread);
        x->unread = 0;
        h2_wants(&x->conn->h2);
}

static const struct http_outgoing_events outgoing_events = {
        .on_head = on_response,
        .on_body = on_response_body,
        .on_end = on_response_end,
        .on_drain = on_request_read,
        .on_failed = on_response_failed,
};

/* ---- requests ----------------------------------------------------------------------------------------------- */

static struct error *on_user(void *ctx, struct str user, const char *client)
{
        const struct channel *ch = ctx;

        TRY(ch->conn->options.on_user(ch->conn->options.ctx, user, client));
        note_user(ch->conn);
        return NULL;
}

static struct channel *channel_new(struct app_h2 *c, const char *app)
{
        struct channel *ch = NEW(struct channel);
        struct stream *ours, *theirs;

        ch->conn = c;
        snprintf(ch->app, sizeof ch->app, "%s", app);
        ch->next = c->channels;
        ch->at = &c->channels;
        if (ch->next != NULL)
                ch->next->at = &ch->next;
        c->channels = ch;
        memory_stream_pair(&c->options.proxy->loop, &ours, &theirs);
        ch->outgoing = http_outgoing_new(&c->options.proxy->loop, ours);
        ch->gateway = app_gateway_start(theirs, &(struct app_gateway_options){ .proxy = c->options.proxy, .app = app, .peer = c->peer, .ingress = c->options.ingress,
                                                                                .certificate = c->options.certificate, .has_old_tls = c->options.has_old_tls,
                                                                                .on_user = on_user, .on_closed = on_gateway_closed, .ctx = ch });
        return ch;
}

/* A browser may name many hosts, each of which would keep a gateway: a free channel of another host makes room. */
static void make_room(struct app_h2 *c)
{
        struct channel *last = NULL;
        size_t count = 0;

        for (struct channel *ch = c->channels; ch != NULL; ch = ch->next, count++) {
                if (ch->user == NULL && ch->outgoing != NULL)
                        last = ch;
        }
        if (count >= LIMIT_HTTP2_APP_STREAMS && last != NULL)
                channel_close(last);
}

/* A free channel for the host of a request; a browser may use one connection for all names of a certificate. */
static struct channel *channel_for(struct app_h2 *c, struct str host)
{
        char app[APP_NAME_MAX + 1];
        struct str public_addr;

        if (!proxy_find_app(c->options.proxy, host, app, &public_addr))
                snprintf(app, sizeof app, "%s", c->app); /* its gateway refuses the request */
        for (struct channel *ch = c->channels; ch != NULL; ch = ch->next) {
                if (ch->user == NULL && ch->gateway != NULL && ch->outgoing != NULL && http_outgoing_is_idle(ch->outgoing) && strcmp(ch->app, app) == 0)
                        return ch;
        }
        make_room(c);
        return channel_new(c, app);
}

/* A response of the proxy itself. */
static void submit_page(struct exchange *x, int status, const struct error_page *page)
{
        struct http_fields fields = { 0 };

        x->out.max = LIMIT_HTTP_WINDOW;
        app_page_put(&x->out, &fields, x->is_page_wanted, page);
        if (x->is_of_head)
                buf_release(&x->out);
        x->is_response_complete = true;
        submit_head(x, status, &fields, x->is_of_head ? (struct http_framing){ 0 } : (struct http_framing){ .kind = HTTP_BODY_LENGTH, .length = x->out.len });
        http_fields_release(&fields);
        if (x->out.len > 0)
                more_output(x);
}

/* A head that is too long, or asks for what there is not, has an answer; a malformed one is an error of the stream (RFC 9113 section 8.1.1). */
static void refuse(struct exchange *x, struct error *err)
{
        int status = err->code == ERROR_RESOURCE_EXHAUSTED ? 431 : err->code == ERROR_UNIMPLEMENTED ? 501 : err->code == ERROR_FAILED_PRECONDITION ? 417 : 0;

        char id[APP_PAGE_ID_LEN + 1];

        app_page_new_id(id);
        log_debug("A request by HTTP/2 was refused", LOG_C("peer", x->conn->peer), LOG_C("request_id", id), LOG_ERR(err));
        if (status == 0)
                reset(x, NGHTTP2_PROTOCOL_ERROR);
        else if (!reserve_size(x, LIMIT_HTTP2_APP_UNKNOWN))
                reset(x, NGHTTP2_REFUSED_STREAM);
        else
                submit_page(x, status, &(struct error_page){ .title = "The request cannot be forwarded", .what = err->what, .hint = err->hint, .id = id });
        error_free(err);
}

/* Begins the request whose head is complete. is_ended: it has no body. */
static void start_waiting(struct app_h2 *c, bool is_ended)
{
        struct exchange *x = c->waiting;
        AUTO(http_request) request = { 0 };

        c->waiting = NULL;
        if (x == NULL || !may_send(x))
                return;
        struct error *err = x->refusal;
        x->refusal = NULL;
        if (err == NULL)
                err = http2_request_parse(&x->head, is_ended, &request);
        http2_request_release(&x->head);
        x->is_request_complete = is_ended;
        if (err != NULL) {
                refuse(x, err);
                return;
        }
        if (!reserve(x, &request)) {
                log_warn("Requests to applications whose users are not known need too much memory: one is refused", LOG_C("peer", c->peer));
                reset(x, NGHTTP2_REFUSED_STREAM);
                return;
        }
        x->body = request.body;
        x->is_idempotent = http_method_is_idempotent(request.method);
        x->channel = channel_for(c, request.host);
        x->channel->user = x;
        http_outgoing_request(x->channel->outgoing, &request, &outgoing_events, x);
}

static void on_begin(struct h2 *h, int32_t id)
{
        struct app_h2 *c = app_h2_of(h);
        struct exchange *x = NEW(struct exchange);

        start_waiting(c, false);
        x->conn = c;
        x->id = id;
        x->next = c->exchanges;
        x->at = &c->exchanges;
        if (x->next != NULL)
                x->next->at = &x->next;
        c->exchanges = x;
        nghttp2_session_set_stream_user_data(h->session, id, x);
        h2_opened(h);
}

/* The gateway removes those that are not for trailers. */
static void add_trailer(struct exchange *x, struct str name, struct str value)
{
        struct error *err;

        if (x->channel == NULL)
                return;
        x->request_trailer_size += name.len + value.len + strlen(": \r\n");
        err = x->request_trailer_size > LIMIT_HTTP_TRAILER - strlen("\r\n") ? error_new(ERROR_RESOURCE_EXHAUSTED, "the trailer of the request is too long")
                                                                             : http_fields_add(&x->request_trailers, name, value);
        if (err != NULL)
                reset(x, err->code == ERROR_RESOURCE_EXHAUSTED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
        error_free(err);
}

static void on_header(struct h2 *h, int32_t id, struct str name, struct str value)
{
        struct exchange *x = h2_stream_owner(h, id);

        if (x == NULL)
                return;
        if (!x->is_head_complete) {
                x->is_of_head |= str_equal(name, STR(":method")) && str_equal(value, STR("HEAD"));
                x->is_page_wanted |= str_equal(name, STR("sec-fetch-mode")) && str_equal(value, STR("navigate"));
                if (x->refusal == NULL)
                        x->refusal = http2_request_add(&x->head, name, value);
                return;
        }
        start_waiting(app_h2_of(h), false); /* trailers may be right behind a head */
        add_trailer(x, name, value);
}

static void on_headers(struct h2 *h, int32_t id)
{
        struct app_h2 *c = app_h2_of(h);
        struct exchange *x = h2_stream_owner(h, id);

        start_waiting(c, false);
        if (x == NULL || x->is_head_complete)
                return;
        x->is_head_complete = true;
        c->waiting = x;
}

static void on_data(struct h2 *h, int32_t id, struct str bytes)
{
        struct exchange *x = h2_stream_owner(h, id);

        start_waiting(app_h2_of(h), false);
        if (x == NULL || x->channel == NULL || bytes.len == 0)
                return;
        x->received += bytes.len;
        if (x->body.kind == HTTP_BODY_LENGTH && x->received > x->body.length) {
                reset(x, NGHTTP2_PROTOCOL_ERROR);
                return;
        }
        x->unread += bytes.len;
        http_outgoing_body(x->channel->outgoing, bytes);
}

static void on_last(struct h2 *h, int32_t id)
{
        struct app_h2 *c = app_h2_of(h);
        struct exchange *x = h2_stream_owner(h, id);

        if (x == NULL)
                return;
        if (c->waiting == x) {
                start_waiting(c, true);
                return;
        }
        x->is_request_complete = true;
        if (x->channel == NULL)
                return;
        if (x->body.kind == HTTP_BODY_LENGTH && x->received < x->body.length)
                reset(x, NGHTTP2_PROTOCOL_ERROR);
        else
                http_outgoing_body_end(x->channel->outgoing, &x->request_trailers);
}

static void on_received(struct h2 *h)
{
        start_waiting(app_h2_of(h), false);
}

/* The response was sent: the rest of a request that has not ended is not needed (RFC 9113 section 8.1). */
static void on_sent_last(struct h2 *h, int32_t id)
{
        const struct exchange *x = h2_stream_owner(h, id);

        if (x != NULL && !x->is_request_complete)
                nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
}

static void on_stream_end(struct h2 *h, int32_t id, uint32_t error_code UNUSED)
{
        struct exchange *x = h2_stream_owner(h, id);

        if (x != NULL)
                exchange_free(x);
}

/* ---- the connection ----------------------------------------------------------------------------------------- */

/* A browser may answer each PING and take no byte of its responses, by a window of 0. */
static struct instant on_time(struct h2 *h, struct instant now)
{
        struct instant next = NEVER;

        for (struct exchange *x = app_h2_of(h)->exchanges; x != NULL; x = x->next) {
                if (x->waiting.ns == 0 || x->is_reset)
                        continue;
                if (now.ns >= stall_of(x).ns)
                        reset(x, NGHTTP2_CANCEL);
                else if (stall_of(x).ns < next.ns)
                        next = stall_of(x);
        }
        return next;
}

static void on_end(struct h2 *h)
{
        struct app_h2 *c = app_h2_of(h);

        if (h->why != NULL)
                log_debug("A connection of a browser by HTTP/2 has ended", LOG_C("peer", c->peer), LOG_ERR(h->why));
        while (c->exchanges != NULL)
                exchange_free(c->exchanges);
        for (struct channel *ch = c->channels, *next; ch != NULL; ch = next) {
                next = ch->next;
                channel_close(ch);
        }
        free_when_ended(c);
}

static const struct h2_events events = {
        .on_begin = on_begin,
        .on_header = on_header,
        .on_headers = on_headers,
        .on_data = on_data,
        .on_last = on_last,
        .on_received = on_received,
        .on_sent_last = on_sent_last,
        .on_sent_data_end = on_sent_last,
        .on_stream_end = on_stream_end,
        .put_data = on_put_data,
        .on_time = on_time,
        .on_end = on_end,
};

struct app_h2 *app_h2_start(struct stream *tls, const struct app_gateway_options *options, struct budget_holder *memory)
{
        struct app_h2 *c = NEW(struct app_h2);

        c->options = *options;
        c->memory = memory;
        snprintf(c->app, sizeof c->app, "%s", options->app);
        snprintf(c->peer, sizeof c->peer, "%s", options->peer);
        h2_init(&c->h2, &options->proxy->loop, tls, &events,
                (struct h2_options){
                        .is_server = true,
                        .max_streams = LIMIT_HTTP2_APP_STREAMS,
                        .resets = { .burst = LIMIT_RESET_BURST, .per_second = LIMIT_RESET_PER_SECOND },
                        .control_frames = { .burst = LIMIT_TUNNEL_CONTROL_BURST, .per_second = LIMIT_TUNNEL_CONTROL_PER_SECOND },
                        .idle = MILLISECONDS(TIMEOUT_HTTP_IDLE),
                        .stream_window = LIMIT_HTTP_WINDOW,
                });
        return c;
}

void app_h2_drain(struct app_h2 *c)
{
        h2_go_away(&c->h2);
}

void app_h2_close(struct app_h2 *c)
{
        h2_end(&c->h2, NULL);
}
