/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of the opening handshake (RFC 6455 section 4; websocket.h). */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/http_answer.h"
#include "net/http_fetch.h"
#include "net/http_server.h"
#include "net/tls.h"
#include "net/websocket.h"
#include "pki/key.h"

enum { KEY_SIZE = 16, KEY_TEXT = 24, ACCEPT_MAX = 32, REQUEST_MAX = 4 * KiB, STATUS_SWITCHING = 101 };
enum { REFUSAL_SECONDS = 1 }; /* a refusal is reported without the rest of its body if that takes longer */

/* Sec-WebSocket-Accept (section 4.2.2): base64 of the SHA-1 of the key and this GUID. */
static void put_accept(struct buf *out, struct str key)
{
        AUTO(buf) text = BUF_MAX(128);
        uint8_t digest[20];

        buf_put(&text, key);
        buf_put_c(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        sha1(buf_str(&text), digest);
        base64_encode(out, str_of_bytes(digest, sizeof digest));
}

/* ---- server -------------------------------------------------------------------------------------------------- */

static bool is_key(struct str key)
{
        AUTO(buf) bytes = BUF_MAX(2 * KEY_SIZE);
        AUTO_PTR(error) err = NULL;

        if (key.len != KEY_TEXT)
                return false;
        err = base64_decode(&bytes, key);
        return err == NULL && bytes.len == KEY_SIZE;
}

/*
 * The connection is closed: a load balancer that takes it for upgraded without reading the status would pass on what follows
 * unchecked, as requests of its own.
 */
static void refuse(struct http_exchange *x, int status, const char *fields, const char *why)
{
        http_respond(x, (struct http_response){ .status = status, .content_type = "text/plain; charset=utf-8", .fields = fields,
                                                .body = str_of(why), .is_last = true });
}

struct stream *websocket_accept(struct loop *l, struct http_exchange *x, const char *const *protocols)
{
        const struct http1_request *r = http_exchange_request(x);
        AUTO(buf) fields = BUF_MAX(1 * KiB);

        if (!str_equal(r->method, STR("GET")) || !r->is_upgrade || !http1_lines_have(&r->upgrade, "websocket") ||
            !is_key(r->websocket_key)) {
                refuse(x, 400, NULL, "this is not a WebSocket handshake\n");
                return NULL;
        }
        if (!str_equal(r->websocket_version, STR("13"))) {
                refuse(x, 426, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n", "only version 13 of WebSocket is served\n");
                return NULL;
        }
        const char *protocol = protocols == NULL ? NULL : http1_lines_choose(&r->websocket_protocol, protocols);
        if (protocols != NULL && protocol == NULL) {
                refuse(x, 400, NULL, "the WebSocket handshake does not offer the subprotocol that is served here\n");
                return NULL;
        }
        buf_put_c(&fields, "Sec-WebSocket-Accept: ");
        put_accept(&fields, r->websocket_key);
        buf_put_c(&fields, "\r\n");
        if (protocol != NULL)
                buf_printf(&fields, "Sec-WebSocket-Protocol: %s\r\n", protocol);
        struct stream *s = http_exchange_upgrade(x, "websocket", buf_c(&fields));
        if (s != NULL)
                return websocket_stream(l, s, WEBSOCKET_SERVER);
        refuse(x, 400, NULL, "a client must not send before the WebSocket handshake is answered\n");
        return NULL;
}

/* ---- client -------------------------------------------------------------------------------------------------- */

struct websocket_connect {
        struct loop *loop;
        struct stream *stream;
        struct timer *deadline;
        struct buf input;
        char accept[ACCEPT_MAX]; /* expected value of Sec-WebSocket-Accept */
        char *protocol;          /* NULL: none */
        size_t head; /* length of a refusal's head, while its body is awaited; 0: none */
        struct error *(*refusal)(int status, struct str reason, struct str head, struct str body);
        void (*done)(void *ctx, struct stream *ws, struct error *err);
        void *ctx;
        bool is_cancelled; /* report_cancel() is due */
};

static void finish(struct websocket_connect *c, struct stream *ws, struct error *err)
{
        if (err != NULL)
                stream_close(c->stream);
        timer_free(c->deadline);
        c->done(c->ctx, ws, err);
        buf_release(&c->input);
        free(c->protocol);
        free(c);
}

/* The checks required of the client by section 4.1. */
static struct error *check_response(const struct websocket_connect *c, int status, struct str reason, struct str head)
{
        AUTO_MEM char *shown = escaped(str_slice(reason, 0, 64));
        AUTO_MEM char *server = http_fetch_server(head);
        struct str protocol = http1_response_field(head, "sec-websocket-protocol");

        if (status != STATUS_SWITCHING)
                return error_new(ERROR_UNAVAILABLE, "the server answered %d %s to a WebSocket handshake", status, shown);
        if (!str_equal_nocase(http1_response_field(head, "upgrade"), STR("websocket")) ||
            !http1_list_has(http1_response_field(head, "connection"), STR("upgrade")) ||
            !str_equal(http1_response_field(head, "sec-websocket-accept"), str_of(c->accept)))
                return error_hint(error_new(ERROR_UNAVAILABLE, "%s answered a WebSocket handshake with 101, which makes no sense: Upgrade, Connection or "
                                                               "Sec-WebSocket-Accept is missing or wrong", server),
                                  "let the load balancer pass the Proxy Service's answer back with all of its fields");
        if (http1_response_field(head, "sec-websocket-extensions").len > 0)
                return error_new(ERROR_UNAVAILABLE, "the server chose a WebSocket extension that was not offered");
        if (!str_equal(protocol, str_of(c->protocol)))
                return error_hint(error_new(ERROR_UNAVAILABLE, "%s did not choose the WebSocket subprotocol '%s'", server,
                                            c->protocol == NULL ? "" : c->protocol),
                                  "let the load balancer pass the field Sec-WebSocket-Protocol on, in both directions; is a Proxy Service behind it?");
        return NULL;
}

/* Once the body of a refusal has come, or nothing more of it is awaited. */
static void check_refusal(struct websocket_connect *c, bool is_ended)
{
        AUTO(buf) body = BUF_MAX(HTTP_ANSWER_BODY_MAX);
        struct str all = buf_str(&c->input), head = str_slice(all, 0, c->head), reason;
        int status = 0;
        size_t length;

        if (!http_answer_body(head, str_slice(all, c->head, all.len), &body) && !is_ended)
                return;
        stream_read(c->stream, false);
        error_free(http1_response_parse(all, &status, &reason, &length)); /* the second parse of the same head: cannot fail */
        finish(c, NULL, c->refusal(status, reason, head, buf_str(&body)));
}

static void on_read(void *ctx, struct str bytes)
{
        struct websocket_connect *c = ctx;
        struct str reason;
        int status;
        size_t head = 0;

        if (c->is_cancelled)
                return;
        buf_put(&c->input, bytes);
        if (c->head > 0) {
                check_refusal(c, false);
                return;
        }
        struct error *err = http1_response_parse(buf_str(&c->input), &status, &reason, &head);
        if (err == NULL && head == 0)
                return;
        if (err == NULL && status != STATUS_SWITCHING && c->refusal != NULL) {
                c->head = head;
                timer_start(c->deadline, SECONDS(REFUSAL_SECONDS));
                check_refusal(c, false);
                return;
        }
        stream_read(c->stream, false);
        if (err != NULL) {
                err->code = ERROR_UNAVAILABLE;
                err = error_hint(err, "is it the port of a load balancer or of a Proxy Service? its answer must be HTTP/1.1");
                finish(c, NULL, error_wrap(err, "the server's answer to a WebSocket handshake makes no sense"));
                return;
        }
        err = check_response(c, status, reason, str_slice(buf_str(&c->input), 0, head));
        if (err != NULL) {
                finish(c, NULL, err);
                return;
        }
        struct stream *s = stream_with_prefix(c->loop, c->stream, str_slice(buf_str(&c->input), head, c->input.len));
        finish(c, websocket_stream(c->loop, s, WEBSOCKET_CLIENT), NULL);
}

/*
 * A lost connection may be that of a load balancer whose backend is dead. A TLS alert that refuses this client would come again;
 * it is not the cluster's, and decides nothing about an identity.
 */
static struct error *explain_end(struct error *err)
{
        static const char what[] = "the server ended the connection in a WebSocket handshake";

        if (err == NULL || err->code == ERROR_UNAVAILABLE)
                return error_for(error_because(error_hint(error_new(ERROR_UNAVAILABLE, what),
                                                          "look for the request in the log of the load balancer: it must pass WebSockets on to a "
                                                          "Proxy Service that runs"),
                                               err),
                                 REASON_GATEWAY);
        if (err->code == ERROR_PERMISSION_DENIED)
                err = error_hint(err, "the server ends TLS there, such as a load balancer: let it accept clients without a certificate of their own");
        err->code = ERROR_UNAVAILABLE;
        return error_for(error_wrap(err, "%s", what), REASON_CONNECTION);
}

static void on_end(void *ctx, struct error *err)
{
        struct websocket_connect *c = ctx;

        if (!c->is_cancelled && c->head == 0) {
                finish(c, NULL, explain_end(err));
                return;
        }
        error_free(err);
        if (!c->is_cancelled)
                check_refusal(c, true);
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void on_deadline(void *ctx)
{
        struct websocket_connect *c = ctx;

        if (c->head > 0)
                check_refusal(c, true);
        else
                finish(c, NULL, error_hint(error_new(ERROR_DEADLINE_EXCEEDED, "the server did not answer a WebSocket handshake in time"),
                                           "look for the request in the log of the load balancer: the Proxy Service behind it may not be reached"));
}

struct websocket_connect *websocket_connect_start(struct loop *l, struct stream *s, const struct websocket_request *request,
                                                  void (*done)(void *ctx, struct stream *ws, struct error *err), void *ctx)
{
        struct websocket_connect *c = NEW(struct websocket_connect);
        AUTO(buf) key = BUF_MAX(2 * KEY_TEXT);
        AUTO(buf) accept = BUF_MAX(ACCEPT_MAX - 1);
        AUTO(buf) text = BUF_MAX(REQUEST_MAX);
        uint8_t bytes[KEY_SIZE];

        random_bytes(bytes, sizeof bytes);
        base64_encode(&key, str_of_bytes(bytes, sizeof bytes));
        put_accept(&accept, buf_str(&key));
        *c = (struct websocket_connect){ .loop = l, .stream = s, .refusal = request->refusal, .done = done, .ctx = ctx };
        c->input = BUF_MAX(LIMIT_HTTP1_HEADER + HTTP_ANSWER_INPUT_MAX + LOOP_BUFFER);
        memcpy(c->accept, buf_c(&accept), accept.len + 1);
        c->protocol = request->protocol == NULL ? NULL : str_dup(str_of(request->protocol));
        c->deadline = timer_new(l, on_deadline, c);
        timer_start(c->deadline, request->within);
        stream_listen(s, &events, c);
        buf_printf(&text,
                   "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: %s\r\n",
                   request->path, request->host, buf_c(&key));
        if (request->protocol != NULL)
                buf_printf(&text, "Sec-WebSocket-Protocol: %s\r\n", request->protocol);
        buf_put_c(&text, request->fields == NULL ? "" : request->fields);
        buf_put_c(&text, "\r\n");
        stream_write(s, buf_str(&text));
        stream_read(s, true);
        return c;
}

static void report_cancel(void *ctx)
{
        finish(ctx, NULL, error_new(ERROR_CANCELLED, "the WebSocket handshake was cancelled"));
}

void websocket_connect_cancel(struct websocket_connect *c)
{
        if (c->is_cancelled)
                return;
        c->is_cancelled = true;
        timer_stop(c->deadline);
        loop_defer(c->loop, report_cancel, c);
}
