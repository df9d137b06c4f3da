/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ssh_dial.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/conversation.h"
#include "net/http1.h"
#include "proxy/proxy.h"
#include "proxy/resource_dial.h"
#include "rpc/status.h"
#include "tunnel/tunnel_memory.h"

enum { HEAD, DIAL, SPLICE, OVER };

static const struct conversation_state states[] = {
        [HEAD] = { "head", MILLISECONDS(TIMEOUT_HTTP1), TO(DIAL) | TO(OVER) },
        [DIAL] = { "dial", SECONDS(0), TO(SPLICE) | TO(OVER) }, /* its steps have deadlines */
        [SPLICE] = { "splice", SECONDS(0), TO(OVER) },
        [OVER] = { "over", SECONDS(0), 0 },
};

struct ssh_dial {
        struct proxy *proxy;
        struct conversation talk;
        struct stream *stream; /* to the user; NULL while the splice owns it */
        char peer[ADDRESS_TEXT_MAX];
        struct buf input; /* the request and the bytes after it */
        struct buf certificate; /* of the user, DER; until the connection is established */
        size_t head;      /* length of the request */
        struct resource_dial *dial;
        struct splice *splice;
        struct tunnel_memory memory; /* used by the splice */
        char connection_id[LIMIT_NAME];
        bool is_cancelled; /* the current dial or splice is ending */
        void (*done)(void *ctx);
        void *ctx;
};

/* ---- end of the dial ------------------------------------------------------------------------------- */

static void report_done(void *ctx)
{
        struct ssh_dial *d = ctx;
        d->done(d->ctx);
        tunnel_memory_close(&d->memory);
        buf_release(&d->input);
        buf_release(&d->certificate);
        free(d);
}

/* Ends the dial after its current operation has ended. */
static void end(struct ssh_dial *d)
{
        conversation_enter(&d->talk, OVER);
        conversation_release(&d->talk);
        stream_close(d->stream);
        d->stream = NULL;
        loop_defer(&d->proxy->loop, report_done, d);
}

static const struct {
        enum error_code code;
        int status;
} statuses[] = {
        { ERROR_INVALID_ARGUMENT, 400 },  { ERROR_UNAUTHENTICATED, 401 },    { ERROR_PERMISSION_DENIED, 403 },
        { ERROR_NOT_FOUND, 404 },         { ERROR_FAILED_PRECONDITION, 409 }, { ERROR_RESOURCE_EXHAUSTED, 429 },
        { ERROR_UNIMPLEMENTED, 501 },     { ERROR_UNAVAILABLE, 503 },         { ERROR_DEADLINE_EXCEEDED, 503 },
};

static int status_of(enum error_code code)
{
        for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
                if (statuses[i].code == code)
                        return statuses[i].status;
        }
        return 502;
}

/* Sends the error to the client and ends; err is owned. */
static void refuse(struct ssh_dial *d, struct error *err)
{
        AUTO(buf) body = BUF_MAX(STATUS_TEXT_MAX + 1);
        AUTO(buf) answer = BUF_MAX(STATUS_TEXT_MAX + 1 * KiB);
        int status = status_of(err->code);
        status_put_text(&body, err);
        buf_put_char(&body, '\n');
        buf_printf(&answer, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                   status, http1_reason(status), body.len);
        buf_put(&answer, buf_str(&body));
        metric_add_at(METRIC_FAILED_DIALS, 0, 1);
        log_debug("A connection to a node was refused", LOG_C("peer", d->peer), LOG_ERR(err));
        error_free(err);
        stream_write(d->stream, buf_str(&answer));
        stream_shutdown(d->stream);
        end(d);
}

/* ---- bytes ----------------------------------------------------------------------------------------- */

static void on_spliced(void *ctx, uint64_t from_node, uint64_t to_node)
{
        struct ssh_dial *d = ctx;
        d->splice = NULL;
        metric_add_at(METRIC_PROXY_SESSIONS, 0, -1);
        log_debug("A connection to a node has ended", LOG_C("connection", d->connection_id), LOG_INT("sent", to_node),
                  LOG_INT("received", from_node));
        end(d);
}

static struct error *on_permitted(void *ctx, const struct resource_dial_route *route)
{
        struct ssh_dial *d = ctx;

        return tunnel_memory_open(&d->memory, &d->proxy->memory, str_of(route->user[0] == '\0' ? d->peer : route->user));
}

static void on_connected(void *ctx, struct stream *node, const struct resource_dial_route *route, struct error *err)
{
        struct ssh_dial *d = ctx;
        d->dial = NULL;
        if (d->is_cancelled) {
                stream_close(node);
                error_free(err);
                end(d);
                return;
        }
        if (err != NULL) {
                refuse(d, err);
                return;
        }
        memcpy(d->connection_id, route->connection_id, sizeof d->connection_id);
        AUTO(buf) answer = BUF_MAX(1 * KiB);
        struct stream *user = d->stream;
        conversation_enter(&d->talk, SPLICE);
        buf_printf(&answer, "HTTP/1.1 200 OK\r\nX-Teleport-Host-Id: %s\r\nX-Teleport-Connection: %s\r\n\r\n", route->host_id,
                   d->connection_id);
        stream_write(user, buf_str(&answer));
        stream_write(node, str_slice(buf_str(&d->input), d->head, d->input.len));
        buf_release(&d->input);
        buf_release(&d->certificate);
        d->stream = NULL;
        metric_add_at(METRIC_PROXY_SESSIONS, 0, 1);
        d->splice = tunnel_splice(&d->memory, &d->proxy->loop, node, user, on_spliced, d);
}

static const struct resource_dial_events dial_events = { .permitted = on_permitted, .done = on_connected };

static void start_dial(struct ssh_dial *d, const struct http1_request *http)
{
        const struct resource_dial_request request = {
                .certificate = buf_str(&d->certificate),
                .kind = str_is_empty(http->kind) ? STR("node") : http->kind,
                .target = http->authority,
                .login = http->login,
                .port = http->port,
                .client_addr = d->peer,
                .tried = str_is_empty(http->kind) ? STR("") : http->tried,
        };

        conversation_enter(&d->talk, DIAL);
        d->dial = resource_dial_start(d->proxy, &request, &dial_events, d);
}

/* ---- the request ----------------------------------------------------------------------------------- */

static void on_read(void *ctx, struct str bytes)
{
        struct ssh_dial *d = ctx;
        struct http1_request request;
        buf_put(&d->input, bytes); /* it has room for one read beyond the longest head */
        struct error *err = http1_parse(buf_str(&d->input), 0, &request, &d->head);
        if (err == NULL && d->head == 0)
                return;
        stream_read(d->stream, false);
        buf_put(&d->certificate, tls_peer_cert_der(d->stream));
        tls_forget_peer(d->stream);
        if (err == NULL && !str_equal(request.method, STR("CONNECT")))
                err = error_new(ERROR_INVALID_ARGUMENT, "only CONNECT is served here");
        if (err != NULL)
                refuse(d, err);
        else
                start_dial(d, &request);
}

static void on_stream_end(void *ctx, struct error *err)
{
        struct ssh_dial *d = ctx;
        error_free(err); /* the user has closed */
        if (d->talk.state == HEAD)
                end(d);
        else
                ssh_dial_cancel(d);
}

static const struct stream_events user_events = { .on_read = on_read, .on_end = on_stream_end };

static void on_expired(void *ctx)
{
        ssh_dial_cancel(ctx);
}

struct ssh_dial *ssh_dial_start(struct proxy *p, struct stream *tls, const char *peer, void (*done)(void *ctx), void *ctx)
{
        struct ssh_dial *d = NEW(struct ssh_dial);
        *d = (struct ssh_dial){ .proxy = p, .stream = tls, .done = done, .ctx = ctx };
        d->input = BUF_MAX(LIMIT_HTTP1_HEADER + LOOP_BUFFER);
        d->certificate = BUF_MAX(CERT_MAX);
        snprintf(d->peer, sizeof d->peer, "%s", peer);
        conversation_init(&d->talk, &p->loop, states, HEAD, on_expired, d);
        stream_listen(tls, &user_events, d);
        stream_read(tls, true);
        return d;
}

void ssh_dial_drain(struct ssh_dial *d)
{
        if (d->talk.state != SPLICE)
                ssh_dial_cancel(d);
}

void ssh_dial_cancel(struct ssh_dial *d)
{
        if (d->is_cancelled || d->talk.state == OVER)
                return;
        d->is_cancelled = true;
        if (d->dial != NULL)
                resource_dial_cancel(d->dial);
        else if (d->splice != NULL)
                splice_cancel(d->splice);
        else
                end(d);
}
