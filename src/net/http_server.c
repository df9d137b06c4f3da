/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_server.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/secret.h"
#include "loop/conversation.h"
#include "net/tls.h"

enum state { IDLE, REQUEST, BODY, RESPOND, FLUSH, CLOSED };

/* The states, with the timeout of IDLE in ms. */
#define STATES(idle) \
        { \
                [IDLE] = { "idle", MILLISECONDS(idle), TO(REQUEST) | TO(CLOSED) }, \
                [REQUEST] = { "request", MILLISECONDS(TIMEOUT_HTTP1), TO(BODY) | TO(RESPOND) | TO(CLOSED) }, \
                [BODY] = { "body", MILLISECONDS(TIMEOUT_HTTP1), TO(BODY) | TO(RESPOND) | TO(FLUSH) | TO(CLOSED) }, /* per piece */ \
                [RESPOND] = { "respond", SECONDS(0), TO(FLUSH) | TO(BODY) | TO(CLOSED) }, /* handlers have their own deadlines */ \
                [FLUSH] = { "flush", MILLISECONDS(TIMEOUT_HTTP1), TO(IDLE) | TO(CLOSED) }, \
                [CLOSED] = { "closed", SECONDS(0), 0 }, \
        }

static const struct conversation_state states[] = STATES(TIMEOUT_HTTP1_IDLE), balancer_states[] = STATES(TIMEOUT_HTTP1_IDLE_BALANCER);

struct http_exchange {
        struct http1_request request;
        const struct http_route *route; /* NULL: the request was refused */
        const struct http_exchange_events *events;
        void *ctx;
        struct str body;      /* the complete body, for a route that collects it */
        size_t body_left;     /* undelivered bytes of a streamed body */
        size_t response_left; /* unsent bytes of a response in pieces with a known length */
        bool is_open;
        bool is_last;         /* the connection is closed after it */
        bool has_begun;       /* the head of the response was sent */
        bool is_chunked;
        bool is_read_paused;
};

struct http_server {
        struct http_server_options options;
        struct stream *stream; /* NULL: handed over or closed */
        struct conversation talk;
        struct buf input;      /* the current request: head and collected body */
        struct buf ahead;      /* bytes received after that request */
        struct http_exchange exchange;
        size_t requests;
        unsigned refs;         /* one until closed, one for each deferred call, one for each callback that may close it */
        bool has_overrun;      /* more bytes were received in advance than the limit */
        bool is_draining;
        bool is_advancing;     /* advance() is deferred */
};

static struct http_server *server_of(struct http_exchange *x)
{
        return CONTAINER_OF(x, struct http_server, exchange);
}

/* Wipes the buffer and frees its memory; requests may hold passwords. */
static void wipe_buf(struct buf *b)
{
        size_t max = b->max;

        if (b->ptr != NULL)
                wipe(b->ptr, b->len);
        buf_release(b);
        *b = BUF_MAX(max);
}

static void server_unref(struct http_server *h)
{
        if (--h->refs > 0)
                return;
        wipe_buf(&h->input);
        wipe_buf(&h->ahead);
        free(h);
}

static bool is_closed(const struct http_server *h)
{
        return h->talk.state == CLOSED;
}

/* ---- ending ---------------------------------------------------------------------------------------------- */

static void report_closed(void *ctx)
{
        struct http_server *h = ctx;

        h->options.on_closed(h->options.ctx);
        server_unref(h);
}

static void end(struct http_server *h)
{
        if (is_closed(h))
                return;
        conversation_enter(&h->talk, CLOSED);
        conversation_release(&h->talk);
        stream_close(h->stream);
        h->stream = NULL;
        loop_defer(h->options.loop, report_closed, h);
}

/* Ends an exchange before its response is complete, and notifies the handler. */
static void abandon(struct http_server *h)
{
        struct http_exchange x = h->exchange;

        if (is_closed(h))
                return;
        h->exchange = (struct http_exchange){ 0 };
        end(h);
        if (x.is_open && x.events != NULL)
                x.events->on_gone(x.ctx);
}

static void on_expired(void *ctx)
{
        abandon(ctx);
}

/* ---- the next request ------------------------------------------------------------------------------------ */

static void feed(struct http_server *h, struct str bytes);

/* Takes the stream out of the server, which ends. */
static struct stream *take_stream(struct http_server *h)
{
        stream_read(h->stream, false);
        struct stream *s = stream_with_prefix(h->options.loop, h->stream, buf_str(&h->ahead));

        h->stream = NULL;
        h->exchange = (struct http_exchange){ 0 };
        end(h);
        return s;
}

static void advance(void *ctx)
{
        struct http_server *h = ctx;

        h->is_advancing = false;
        if (h->talk.state == FLUSH && stream_pending(h->stream) == 0 && h->options.on_next != NULL) {
                h->options.on_next(h->options.ctx, take_stream(h));
        } else if (h->talk.state == FLUSH && stream_pending(h->stream) == 0) {
                struct buf ahead = h->ahead;

                h->ahead = BUF_MAX(ahead.max);
                conversation_enter(&h->talk, IDLE);
                stream_read(h->stream, true);
                feed(h, buf_str(&ahead));
                wipe_buf(&ahead);
        }
        server_unref(h);
}

static void advance_soon(struct http_server *h)
{
        if (h->is_advancing)
                return;
        h->is_advancing = true;
        h->refs++;
        loop_defer(h->options.loop, advance, h);
}

/* Ends an exchange whose response is complete. */
static void finish(struct http_exchange *x)
{
        struct http_server *h = server_of(x);
        bool is_last = x->is_last || h->is_draining;

        h->exchange = (struct http_exchange){ 0 };
        if (is_last) {
                stream_shutdown(h->stream);
                end(h);
                return;
        }
        conversation_enter(&h->talk, FLUSH);
        wipe_buf(&h->input);
        advance_soon(h);
}

/* ---- responses ------------------------------------------------------------------------------------------- */

static bool is_head(const struct http_exchange *x)
{
        return str_equal(x->request.method, STR("HEAD"));
}

/* Decides whether the connection closes after this exchange: after an unread body the next request cannot be found. */
static void settle_persistence(struct http_exchange *x)
{
        struct http_server *h = server_of(x);

        x->is_last = x->is_last || h->is_draining || h->has_overrun || x->body_left > 0;
}

static bool path_matches(const char *pattern, struct str path)
{
        struct str p = str_of(pattern);

        if (str_ends_with(p, STR("*")))
                return str_starts_with(path, str_slice(p, 0, p.len - 1));
        return str_equal(path, p);
}

static bool method_matches(const struct http_route *route, struct str method)
{
        if (route->method == NULL || str_equal(method, str_of(route->method)))
                return true;
        return str_equal(method, STR("HEAD")) && strcmp(route->method, "GET") == 0;
}

/* Allow, required with status 405 (RFC 9110 section 15.5.6): the methods of the routes with this path. */
static void put_allow(const struct http_exchange *x, struct buf *out)
{
        const struct http_server_options *o = &CONTAINER_OF(x, const struct http_server, exchange)->options;
        const char *before = "Allow: ";

        for (size_t i = 0; i < o->route_count; i++) {
                if (o->routes[i].method == NULL || !path_matches(o->routes[i].path, x->request.path))
                        continue;
                buf_printf(out, "%s%s%s", before, o->routes[i].method, strcmp(o->routes[i].method, "GET") == 0 ? ", HEAD" : "");
                before = ", ";
        }
        buf_put_c(out, "\r\n");
}

enum { RESPONSE_HEAD_MAX = 8 * KiB };

static void put_head(struct http_exchange *x, const struct http_response *response, size_t length, struct buf *out)
{
        if (x->has_begun || !x->is_open)
                bug("a request is answered twice");
        x->has_begun = true;
        /* A load balancer that takes a refused upgrade for done passes on what its client sends next as it is. */
        bool is_refused_upgrade = x->request.is_upgrade && x->request.upgrade.count > 0;
        x->is_last = x->is_last || response->is_last || is_refused_upgrade;
        settle_persistence(x);
        x->is_chunked = length == HTTP_LENGTH_UNKNOWN && x->request.minor >= 1;
        if (length == HTTP_LENGTH_UNKNOWN && !x->is_chunked)
                x->is_last = true;
        buf_printf(out, "HTTP/1.1 %d %s\r\n", response->status, http1_reason(response->status));
        if (response->content_type != NULL)
                buf_printf(out, "Content-Type: %s\r\n", response->content_type);
        if (x->is_chunked)
                buf_put_c(out, "Transfer-Encoding: chunked\r\n");
        else if (length != HTTP_LENGTH_UNKNOWN)
                buf_printf(out, "Content-Length: %zu\r\n", length);
        if (response->fields != NULL)
                buf_put_c(out, response->fields);
        if (response->status == 405)
                put_allow(x, out);
        if (x->is_last)
                buf_put_c(out, "Connection: close\r\n");
        buf_put_c(out, "\r\n");
        error_free(buf_finish(out, "the head of a response")); /* the head is our own and within its limit: never fails */
}

void http_respond(struct http_exchange *x, struct http_response response)
{
        AUTO(buf) out = BUF_MAX(RESPONSE_HEAD_MAX + response.body.len);

        put_head(x, &response, response.body.len, &out);
        if (!is_head(x))
                buf_put(&out, response.body);
        stream_write(server_of(x)->stream, buf_str(&out));
        finish(x);
}

void http_respond_begin(struct http_exchange *x, struct http_response response, size_t length)
{
        AUTO(buf) out = BUF_MAX(RESPONSE_HEAD_MAX);

        put_head(x, &response, length, &out);
        x->response_left = length;
        stream_write(server_of(x)->stream, buf_str(&out));
}

void http_respond_write(struct http_exchange *x, struct str bytes)
{
        struct stream *s = server_of(x)->stream;

        if (!x->has_begun)
                bug("the body of a response comes before its head");
        if (x->response_left != HTTP_LENGTH_UNKNOWN) {
                if (bytes.len > x->response_left)
                        bug("a response is longer than its Content-Length");
                x->response_left -= bytes.len;
        }
        if (str_is_empty(bytes) || is_head(x))
                return;
        if (!x->is_chunked) {
                stream_write(s, bytes);
                return;
        }
        AUTO(buf) chunk = BUF_MAX(bytes.len + 32);
        buf_printf(&chunk, "%zx\r\n", bytes.len);
        buf_put(&chunk, bytes);
        buf_put_c(&chunk, "\r\n");
        stream_write(s, buf_str(&chunk));
}

void http_respond_end(struct http_exchange *x)
{
        if (x->response_left != HTTP_LENGTH_UNKNOWN && x->response_left > 0)
                bug("a response is shorter than its Content-Length");
        if (x->is_chunked && !is_head(x))
                stream_write(server_of(x)->stream, STR("0\r\n\r\n"));
        finish(x);
}

size_t http_exchange_pending(const struct http_exchange *x)
{
        return stream_pending(CONTAINER_OF(x, const struct http_server, exchange)->stream);
}

struct stream *http_exchange_upgrade(struct http_exchange *x, const char *protocol, const char *fields)
{
        struct http_server *h = server_of(x);
        AUTO(buf) out = BUF_MAX(RESPONSE_HEAD_MAX);

        settle_persistence(x);
        if (x->is_last || !x->request.is_upgrade || !http1_lines_have(&x->request.upgrade, protocol))
                return NULL;
        buf_printf(&out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n%s\r\n", protocol, fields);
        stream_write(h->stream, buf_str(&out));
        return take_stream(h);
}

/* ---- requests -------------------------------------------------------------------------------------------- */

const struct http1_request *http_exchange_request(const struct http_exchange *x)
{
        return &x->request;
}

bool http_exchange_is_draining(const struct http_exchange *x)
{
        return CONTAINER_OF(x, const struct http_server, exchange)->is_draining;
}

struct str http_exchange_body(const struct http_exchange *x)
{
        return x->body;
}

void http_exchange_listen(struct http_exchange *x, const struct http_exchange_events *events, void *ctx)
{
        x->events = events;
        x->ctx = ctx;
}

void http_exchange_read(struct http_exchange *x, bool wanted)
{
        struct http_server *h = server_of(x);

        x->is_read_paused = !wanted;
        if (x->body_left == 0)
                return;
        if (h->talk.state != (unsigned)(wanted ? BODY : RESPOND))
                conversation_enter(&h->talk, wanted ? BODY : RESPOND);
        stream_read(h->stream, wanted);
}

static void refuse(struct http_server *h, int status, struct error *err)
{
        struct http_exchange *x = &h->exchange;

        x->is_open = true;
        x->is_last = x->is_last || x->request.body > 0;
        conversation_enter(&h->talk, RESPOND);
        stream_read(h->stream, false);
        h->options.refuse(h->options.ctx, x, status, err);
        error_free(err);
}

/* The HTTP status for an error of http1_parse(). */
static int status_of(const struct error *err)
{
        return err->code == ERROR_RESOURCE_EXHAUSTED ? 431 : err->code == ERROR_UNIMPLEMENTED ? 413 : 400;
}

static struct error *choose_route(struct http_server *h, const struct http1_request *request, const struct http_route **ret,
                                  int *ret_status)
{
        bool has_path = false;

        for (size_t i = 0; i < h->options.route_count; i++) {
                const struct http_route *route = &h->options.routes[i];

                if (!path_matches(route->path, request->path))
                        continue;
                has_path = true;
                if (!method_matches(route, request->method))
                        continue;
                *ret_status = 413;
                if (request->body > route->body_max)
                        return error_new(ERROR_UNIMPLEMENTED, "the body is longer than %zu bytes", route->body_max);
                *ret = route;
                return NULL;
        }
        *ret_status = has_path ? 405 : 404;
        return has_path ? error_new(ERROR_UNIMPLEMENTED, "this page has other methods") : error_new(ERROR_NOT_FOUND, "there is no such page");
}

/* Delivers a piece of a streamed body. */
static void deliver_body(struct http_server *h, struct str bytes)
{
        struct http_exchange *x = &h->exchange;

        x->body_left -= bytes.len;
        if (x->body_left == 0) {
                stream_read(h->stream, false);
                if (h->talk.state == BODY)
                        conversation_enter(&h->talk, RESPOND);
        } else if (h->talk.state == BODY) {
                conversation_enter(&h->talk, BODY);
        }
        if (x->events == NULL)
                bug("a request with a streamed body has no listener");
        bool is_all = x->body_left == 0;
        x->events->on_body(x->ctx, bytes);
        if (is_all && h->exchange.is_open)
                x->events->on_body_end(x->ctx);
}

static void keep_ahead(struct http_server *h, struct str bytes)
{
        size_t room = h->ahead.max - h->ahead.len;

        buf_put(&h->ahead, str_slice(bytes, 0, room));
        h->has_overrun = h->has_overrun || bytes.len > room;
}

static void open_exchange(struct http_server *h, size_t head)
{
        struct http_exchange *x = &h->exchange;
        bool is_streamed = x->route->is_body_streamed && x->request.body > 0;
        size_t used = head + (is_streamed ? 0 : x->request.body);
        struct str excess = str_slice(buf_str(&h->input), used, h->input.len);
        struct str piece = str_slice(excess, 0, is_streamed ? x->request.body : 0);

        x->is_open = true;
        if (is_streamed)
                x->body_left = x->request.body;
        else
                x->body = str_slice(buf_str(&h->input), head, x->request.body);
        keep_ahead(h, str_slice(excess, piece.len, excess.len));
        conversation_enter(&h->talk, is_streamed ? BODY : RESPOND);
        if (!is_streamed)
                stream_read(h->stream, false);
        x->route->open(h->options.ctx, x);
        if (!is_closed(h) && h->exchange.is_open && piece.len > 0)
                deliver_body(h, piece);
}

/* Parses the request received so far; serves it when it is complete. */
static void take_request(struct http_server *h)
{
        struct http_exchange *x = &h->exchange;
        size_t head = 0;
        int status = 0;

        *x = (struct http_exchange){ 0 };
        struct error *err = http1_parse(buf_str(&h->input), SIZE_MAX, &x->request, &head);
        if (err != NULL) {
                x->is_last = true;
                refuse(h, status_of(err), err);
                return;
        }
        if (head == 0)
                return;
        err = choose_route(h, &x->request, &x->route, &status);
        if (err == NULL && !x->route->is_body_streamed && h->input.len < head + x->request.body)
                return;
        if (err == NULL && h->options.check != NULL) {
                err = h->options.check(h->options.ctx, &x->request);
                status = err != NULL && err->code == ERROR_FAILED_PRECONDITION ? 421 : 400;
        }
        h->requests++;
        bool is_one_too_many = h->requests >= LIMIT_HTTP1_REQUESTS && !x->request.is_upgrade;
        x->is_last = x->request.minor == 0 || x->request.is_close || is_one_too_many;
        if (err != NULL) {
                keep_ahead(h, str_slice(buf_str(&h->input), head, h->input.len));
                refuse(h, status, err);
                return;
        }
        open_exchange(h, head);
}

static void feed(struct http_server *h, struct str bytes)
{
        h->refs++;
        while (!str_is_empty(bytes) && !is_closed(h)) {
                size_t n;

                switch (h->talk.state) {
                case IDLE:
                        conversation_enter(&h->talk, REQUEST);
                        continue;
                case REQUEST:
                        n = h->input.max - h->input.len;
                        buf_put(&h->input, str_slice(bytes, 0, n));
                        bytes = str_slice(bytes, n, bytes.len);
                        take_request(h);
                        continue;
                default:
                        break;
                }
                n = h->exchange.body_left < bytes.len ? h->exchange.body_left : bytes.len;
                if (h->exchange.is_open && n > 0) {
                        deliver_body(h, str_slice(bytes, 0, n));
                        bytes = str_slice(bytes, n, bytes.len);
                } else {
                        keep_ahead(h, bytes);
                        break;
                }
        }
        server_unref(h);
}

/* ---- the connection --------------------------------------------------------------------------------------- */

static void on_read(void *ctx, struct str bytes)
{
        feed(ctx, bytes);
}

static void on_drain(void *ctx)
{
        struct http_server *h = ctx;

        if (h->talk.state == FLUSH)
                advance_soon(h);
        else if (h->exchange.is_open && h->exchange.events != NULL && h->exchange.events->on_drain != NULL)
                h->exchange.events->on_drain(h->exchange.ctx);
}

static void on_end(void *ctx, struct error *err)
{
        error_free(err); /* the client disconnected */
        abandon(ctx);
}

static const struct stream_events events = { .on_read = on_read, .on_drain = on_drain, .on_end = on_end };

/* The longest request that is buffered: head and collected body. */
static size_t input_max(const struct http_server_options *o)
{
        size_t body = 0;

        for (size_t i = 0; i < o->route_count; i++)
                if (!o->routes[i].is_body_streamed && o->routes[i].body_max > body)
                        body = o->routes[i].body_max;
        return LIMIT_HTTP1_HEADER + body;
}

struct http_server *http_serve(struct stream *s, struct http_server_options options)
{
        struct http_server *h = NEW(struct http_server);

        *h = (struct http_server){ .options = options, .stream = s, .refs = 1, .requests = options.requests };
        h->input = BUF_MAX(input_max(&options));
        h->ahead = BUF_MAX(LIMIT_HTTP1_AHEAD);
        conversation_init(&h->talk, options.loop, states, REQUEST, on_expired, h);
        stream_listen(s, &events, h);
        stream_read(s, true);
        return h;
}

void http_server_expect_balancer(struct http_server *h)
{
        if (!is_closed(h))
                h->talk.table = balancer_states;
}

void http_server_drain(struct http_server *h)
{
        bool is_awaited = h->options.on_next != NULL; /* its owner has seen the request, which arrives in a turn of its own */
        bool has_begun = h->talk.state == REQUEST && (h->input.len > 0 || is_awaited);

        h->is_draining = true;
        if (!h->exchange.is_open && !has_begun)
                abandon(h);
}

void http_server_close(struct http_server *h)
{
        abandon(h);
}
