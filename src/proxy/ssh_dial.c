/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ssh_dial.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/conversation.h"
#include "net/http1.h"
#include "proxy/node_dial.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "rpc/status.h"
#include "tunnel/tunnel_memory.h"

enum { HEAD, REQUEST, CONNECT, ALTERNATIVE, SPLICE, OVER };

static const struct conversation_state states[] = {
        [HEAD] = { "head", MILLISECONDS(TIMEOUT_HTTP1), TO(REQUEST) | TO(OVER) },
        [REQUEST] = { "request", SECONDS(0), TO(CONNECT) | TO(ALTERNATIVE) | TO(OVER) }, /* the call has its own deadline */
        [CONNECT] = { "connect", MILLISECONDS(TIMEOUT_SSH_CONNECT), TO(SPLICE) | TO(OVER) },
        /* As CONNECT, to one of several hosts: if it fails, auth names another one. */
        [ALTERNATIVE] = { "alternative", MILLISECONDS(TIMEOUT_ALTERNATIVE), TO(REQUEST) | TO(SPLICE) | TO(OVER) },
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
        struct rpc_client_call *call;
        struct error *call_failure;
        struct node_dial *dial;
        struct node_dial_peers peers;
        struct splice *splice;
        struct tunnel_memory memory; /* used by the splice */
        char host_id[LIMIT_NAME], hostname[LIMIT_NAME], connection_id[LIMIT_NAME], user[LIMIT_NAME], service[LIMIT_NAME];
        char kind[LIMIT_NAME], resource[LIMIT_NAME]; /* of the resource: from the request; its name, by the Auth Service */
        char tried[LIMIT_DIAL_TRIES][LIMIT_NAME]; /* hosts that could not be reached */
        size_t tried_count;
        struct error *unreached; /* why not: of the last of them */
        bool has_alternatives;   /* to host_id, by the Auth Service */
        bool is_expired;
        bool is_cancelled; /* the current call, dial or splice is ending */
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
        error_free(d->unreached);
        free(d);
}

/* Ends the dial after its current operation has ended. */
static void end(struct ssh_dial *d)
{
        conversation_enter(&d->talk, OVER);
        conversation_release(&d->talk);
        stream_close(d->stream);
        d->stream = NULL;
        error_free(d->call_failure);
        d->call_failure = NULL;
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

static void request_again(struct ssh_dial *d, struct error *err);

static void on_connected(void *ctx, struct stream *node, struct error *err)
{
        struct ssh_dial *d = ctx;
        d->dial = NULL;
        if (d->is_cancelled) {
                stream_close(node);
                error_free(err);
                end(d);
                return;
        }
        if (err != NULL && d->is_expired)
                err = error_because(error_new(ERROR_UNAVAILABLE, "the %s did not answer in time", strcmp(d->kind, "node") == 0 ? "node" : "host"), err);
        if (err != NULL && d->talk.state == ALTERNATIVE) {
                request_again(d, err);
                return;
        }
        if (err != NULL) {
                refuse(d, err);
                return;
        }
        AUTO(buf) answer = BUF_MAX(1 * KiB);
        struct stream *user = d->stream;
        conversation_enter(&d->talk, SPLICE);
        buf_printf(&answer, "HTTP/1.1 200 OK\r\nX-Teleport-Host-Id: %s\r\nX-Teleport-Connection: %s\r\n\r\n", d->host_id,
                   d->connection_id);
        stream_write(user, buf_str(&answer));
        stream_write(node, str_slice(buf_str(&d->input), d->head, d->input.len));
        buf_release(&d->input);
        buf_release(&d->certificate);
        d->stream = NULL;
        metric_add_at(METRIC_PROXY_SESSIONS, 0, 1);
        d->splice = tunnel_splice(&d->memory, &d->proxy->loop, node, user, on_spliced, d);
}

/* ---- auth decides ------------------------------------------------------------------------------------ */

/* Copies a text that can be a header value: visible ASCII, shorter than LIMIT_NAME. */
static struct error *take(char *ret, const char *text)
{
        struct str value = str_of(text);
        if (value.len == 0 || value.len >= LIMIT_NAME)
                return error_new(ERROR_INTERNAL, "the Auth Service's answer cannot be used");
        for (size_t i = 0; i < value.len; i++) {
                if (value.ptr[i] <= ' ' || value.ptr[i] >= 0x7f)
                        return error_new(ERROR_INTERNAL, "the Auth Service's answer cannot be used");
        }
        memcpy(ret, value.ptr, value.len + 1);
        return NULL;
}

static void on_answer(void *ctx, const ProtobufCMessage *msg)
{
        struct ssh_dial *d = ctx;
        const Cteleport__V1__DialResponse *answer = (const Cteleport__V1__DialResponse *)msg;
        if (d->call_failure == NULL)
                d->call_failure = take(d->host_id, answer->host_id);
        if (d->call_failure == NULL)
                d->call_failure = take(d->connection_id, answer->connection_id);
        if (d->call_failure == NULL)
                d->call_failure = take(d->service, answer->service);
        if (d->call_failure == NULL && answer->hostname[0] != '\0')
                d->call_failure = take(d->hostname, answer->hostname);
        if (d->call_failure == NULL && answer->resource[0] != '\0')
                d->call_failure = take(d->resource, answer->resource);
        d->has_alternatives = answer->has_alternatives;
        node_dial_read_peers(answer->peers, answer->n_peers, &d->peers);
        d->peers.is_peering = answer->is_peering;
        if (d->call_failure == NULL && answer->user[0] != '\0') /* an older Auth Service does not set it */
                d->call_failure = take(d->user, answer->user);
}

static void on_requested(void *ctx, struct error *err)
{
        struct ssh_dial *d = ctx;
        d->call = NULL;
        if (d->is_cancelled) {
                error_free(err);
                end(d);
                return;
        }
        if (err == NULL) {
                err = d->call_failure;
                d->call_failure = NULL;
        }
        if (err == NULL && (d->host_id[0] == '\0' || d->connection_id[0] == '\0'))
                err = error_new(ERROR_INTERNAL, "the Auth Service did not answer");
        if (err != NULL && d->unreached != NULL) { /* no other host offers it */
                error_free(err);
                err = d->unreached;
                d->unreached = NULL;
        } else if (err == NULL && d->tried_count == 0) {
                err = tunnel_memory_open(&d->memory, &d->proxy->memory, str_of(d->user[0] == '\0' ? d->peer : d->user));
        }
        if (err != NULL) {
                refuse(d, err);
                return;
        }
        conversation_enter(&d->talk, d->has_alternatives && d->tried_count + 1 < LIMIT_DIAL_TRIES ? ALTERNATIVE : CONNECT);
        struct tunnel_request request = {
                .host_id = str_of(d->host_id),
                .service = str_of(d->service),
                .kind = str_of(d->kind),
                .name = str_of(d->resource[0] == '\0' ? d->hostname : d->resource),
                .connection_id = str_of(d->connection_id),
                .client_addr = str_of(d->peer),
                .user = str_of(d->user),
        };
        d->dial = node_dial_start(d->proxy, &request, &d->peers, on_connected, d);
}

static const struct rpc_client_events call_events = { .on_message = on_answer, .on_done = on_requested };

static void send_request(struct ssh_dial *d, const struct http1_request *http)
{
        metric_add_at(METRIC_DIALS, 0, 1);
        struct rpc_client *auth = upstream_client(d->proxy->upstream);
        Cteleport__V1__DialRequest request = CTELEPORT__V1__DIAL_REQUEST__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;
        AUTO_MEM char *target = str_dup(http->authority);
        AUTO_MEM char *login = str_dup(http->login);
        char *tried[LIMIT_DIAL_TRIES];
        snprintf(d->kind, sizeof d->kind, "%.*s", STR_ARG(str_is_empty(http->kind) ? STR("node") : http->kind));
        for (size_t i = 0; i < d->tried_count; i++)
                tried[i] = d->tried[i];
        conversation_enter(&d->talk, REQUEST);
        if (auth == NULL) {
                refuse(d, upstream_absence(d->proxy->upstream));
                return;
        }
        request.user_cert = pb_bytes(buf_str(&d->certificate));
        request.tried_hosts = tried;
        request.n_tried_hosts = d->tried_count;
        request.kind = d->kind;
        request.target = target;
        node.login = login;
        request.node = strcmp(d->kind, "node") == 0 ? &node : NULL;
        request.client_addr = d->peer;
        d->call = rpc_client_call(auth,
                                  (struct rpc_client_call_options){
                                          .path = "/cteleport.v1.DialService/Dial",
                                          .response = &cteleport__v1__dial_response__descriptor,
                                          .within = MILLISECONDS(TIMEOUT_RPC),
                                  },
                                  &call_events, d);
        rpc_client_send(d->call, &request.base);
        rpc_client_half_close(d->call);
}

/* Requests another host that offers the resource; err, owned, is reported if there is none. */
static void request_again(struct ssh_dial *d, struct error *err)
{
        struct http1_request request = { 0 };
        size_t head = 0;

        log_info("A host that offers an application cannot be reached: another one is tried", LOG_C("app", d->resource), LOG_C("host_id", d->host_id),
                 LOG_ERR(err));
        error_free(d->unreached);
        d->unreached = err;
        memcpy(d->tried[d->tried_count++], d->host_id, sizeof d->host_id);
        d->host_id[0] = d->connection_id[0] = '\0';
        d->is_expired = d->has_alternatives = false;
        err = http1_parse(buf_str(&d->input), 0, &request, &head); /* as on_read() has */
        if (err != NULL)
                refuse(d, err);
        else
                send_request(d, &request);
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
                send_request(d, &request);
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
        struct ssh_dial *d = ctx;
        d->is_expired = true;
        if (d->talk.state == CONNECT || d->talk.state == ALTERNATIVE)
                node_dial_cancel(d->dial); /* on_connected() then refuses */
        else
                ssh_dial_cancel(d);
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
        if (d->call != NULL)
                rpc_client_cancel(d->call);
        else if (d->dial != NULL)
                node_dial_cancel(d->dial);
        else if (d->splice != NULL)
                splice_cancel(d->splice);
        else
                end(d);
}
