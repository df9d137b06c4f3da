/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/resource_dial.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "loop/conversation.h"
#include "proxy/node_dial.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

enum { REQUEST, CONNECT, ALTERNATIVE, OVER };

static const struct conversation_state states[] = {
        [REQUEST] = { "request", SECONDS(0), TO(CONNECT) | TO(ALTERNATIVE) | TO(OVER) }, /* the call has its own deadline */
        [CONNECT] = { "connect", MILLISECONDS(TIMEOUT_SSH_CONNECT), TO(OVER) },
        /* As CONNECT, to one of several hosts: if it fails, auth names another one. */
        [ALTERNATIVE] = { "alternative", MILLISECONDS(TIMEOUT_ALTERNATIVE), TO(REQUEST) | TO(OVER) },
        [OVER] = { "over", SECONDS(0), 0 },
};

struct resource_dial {
        struct proxy *proxy;
        struct conversation talk;
        struct buf certificate;
        char *target, *login;
        uint32_t port;
        char kind[LIMIT_NAME], peer[ADDRESS_TEXT_MAX];
        struct rpc_client_call *call;
        struct error *call_failure;
        struct node_dial *dial;
        struct node_dial_peers peers;
        struct resource_dial_route route;
        char tried[LIMIT_DIAL_TRIES][LIMIT_NAME]; /* hosts that could not be reached */
        size_t tried_count;
        struct error *unreached; /* why not: of the last of them */
        bool is_permitted;       /* events->permitted was called */
        bool is_expired;
        bool is_cancelled; /* the current call or dial is ending */
        struct error *result; /* of a dial that ends without a call or dial */
        const struct resource_dial_events *events;
        void *ctx;
};

/* ---- the end ------------------------------------------------------------------------------------------------ */

/* From the loop; s or err is owned by the receiver. */
static void finish(struct resource_dial *d, struct stream *s, struct error *err)
{
        struct resource_dial_route route = d->route;

        conversation_enter(&d->talk, OVER);
        conversation_release(&d->talk);
        d->events->done(d->ctx, s, &route, err);
        buf_release(&d->certificate);
        error_free(d->call_failure);
        error_free(d->unreached);
        free(d->target);
        free(d->login);
        free(d);
}

static struct error *cancelled(void)
{
        return error_new(ERROR_CANCELLED, "the connection was given up");
}

static void on_failed(void *ctx)
{
        struct resource_dial *d = ctx;

        finish(d, NULL, d->result);
}

static void fail_later(struct resource_dial *d, struct error *err)
{
        d->result = err;
        loop_defer(&d->proxy->loop, on_failed, d);
}

/* ---- the host ----------------------------------------------------------------------------------------------- */

static void request_again(struct resource_dial *d, struct error *err);

static void on_connected(void *ctx, struct stream *host, struct error *err)
{
        struct resource_dial *d = ctx;

        d->route.is_relayed = node_dial_is_relayed(d->dial);
        d->dial = NULL;
        if (d->is_cancelled) {
                stream_close(host);
                error_free(err);
                finish(d, NULL, cancelled());
                return;
        }
        if (err != NULL && d->is_expired)
                err = error_because(error_new(ERROR_UNAVAILABLE, "the %s did not answer in time", strcmp(d->kind, "node") == 0 ? "node" : "host"), err);
        if (err != NULL && d->talk.state == ALTERNATIVE)
                request_again(d, err);
        else
                finish(d, host, err);
}

/* ---- auth decides ------------------------------------------------------------------------------------------- */

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

static struct error *take_answer(struct resource_dial *d, const Cteleport__V1__DialResponse *answer)
{
        struct resource_dial_route *r = &d->route;

        TRY(take(r->host_id, answer->host_id));
        TRY(take(r->connection_id, answer->connection_id));
        TRY(take(r->service, answer->service));
        if (answer->hostname[0] != '\0')
                TRY(take(r->hostname, answer->hostname));
        if (answer->resource[0] != '\0')
                TRY(take(r->resource, answer->resource));
        if (answer->user[0] != '\0') /* an older Auth Service does not set it */
                TRY(take(r->user, answer->user));
        r->has_alternatives = answer->has_alternatives && d->tried_count + 1 < LIMIT_DIAL_TRIES;
        node_dial_read_peers(answer->peers, answer->n_peers, &d->peers);
        d->peers.is_peering = answer->is_peering;
        return NULL;
}

static void on_answer(void *ctx, const ProtobufCMessage *msg)
{
        struct resource_dial *d = ctx;

        if (d->call_failure == NULL)
                d->call_failure = take_answer(d, (const Cteleport__V1__DialResponse *)msg);
}

static void on_requested(void *ctx, struct error *err)
{
        struct resource_dial *d = ctx;

        d->call = NULL;
        if (d->is_cancelled) {
                error_free(err);
                finish(d, NULL, cancelled());
                return;
        }
        if (err == NULL) {
                err = d->call_failure;
                d->call_failure = NULL;
        }
        if (err == NULL && (d->route.host_id[0] == '\0' || d->route.connection_id[0] == '\0'))
                err = error_new(ERROR_INTERNAL, "the Auth Service did not answer");
        if (err != NULL && d->unreached != NULL) { /* no other host offers it */
                error_free(err);
                err = d->unreached;
                d->unreached = NULL;
        } else if (err == NULL && !d->is_permitted && d->events->permitted != NULL) {
                d->is_permitted = true;
                err = d->events->permitted(d->ctx, &d->route);
        }
        if (err != NULL) {
                finish(d, NULL, err);
                return;
        }
        conversation_enter(&d->talk, d->route.has_alternatives ? ALTERNATIVE : CONNECT);
        struct tunnel_request request = {
                .host_id = str_of(d->route.host_id),
                .service = str_of(d->route.service),
                .kind = str_of(d->kind),
                .name = str_of(d->route.resource[0] == '\0' ? d->route.hostname : d->route.resource),
                .connection_id = str_of(d->route.connection_id),
                .client_addr = str_of(d->peer),
                .user = str_of(d->route.user),
        };
        d->dial = node_dial_start(d->proxy, &request, &d->peers, on_connected, d);
}

static const struct rpc_client_events call_events = { .on_message = on_answer, .on_done = on_requested };

static void send_request(struct resource_dial *d)
{
        struct rpc_client *auth = d->proxy->upstream == NULL ? NULL : upstream_client(d->proxy->upstream);
        Cteleport__V1__DialRequest request = CTELEPORT__V1__DIAL_REQUEST__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;
        Cteleport__V1__AppDial app = CTELEPORT__V1__APP_DIAL__INIT;
        char *tried[LIMIT_DIAL_TRIES];

        metric_add_at(METRIC_DIALS, 0, 1);
        for (size_t i = 0; i < d->tried_count; i++)
                tried[i] = d->tried[i];
        if (auth == NULL) {
                fail_later(d, d->proxy->upstream == NULL ? cancelled() : upstream_absence(d->proxy->upstream));
                return;
        }
        request.user_cert = pb_bytes(buf_str(&d->certificate));
        request.tried_hosts = tried;
        request.n_tried_hosts = d->tried_count;
        request.kind = d->kind;
        request.target = d->target;
        node.login = d->login;
        request.node = strcmp(d->kind, "node") == 0 ? &node : NULL;
        app.port = d->port;
        request.app = strcmp(d->kind, "app") == 0 ? &app : NULL;
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
static void request_again(struct resource_dial *d, struct error *err)
{
        log_info("A host that offers an application cannot be reached: another one is tried", LOG_C("app", d->route.resource),
                 LOG_C("host_id", d->route.host_id), LOG_ERR(err));
        error_free(d->unreached);
        d->unreached = err;
        memcpy(d->tried[d->tried_count++], d->route.host_id, sizeof d->route.host_id);
        d->route.host_id[0] = d->route.connection_id[0] = '\0';
        d->is_expired = d->route.has_alternatives = false;
        conversation_enter(&d->talk, REQUEST);
        send_request(d);
}

/* Hosts that the client has tried itself. */
static struct error *read_tried(struct resource_dial *d, struct str list)
{
        while (!str_is_empty(list)) {
                struct str id = str_trim(str_split(&list, ','));

                if (d->tried_count + 1 == LIMIT_DIAL_TRIES)
                        return error_new(ERROR_INVALID_ARGUMENT, "the client has tried %d hosts, and may try no more", LIMIT_DIAL_TRIES);
                if (!name_is_host_id(id) || id.len >= LIMIT_NAME)
                        return error_new(ERROR_INVALID_ARGUMENT, "the client has tried a host that has no ID");
                memcpy(d->tried[d->tried_count++], id.ptr, id.len);
        }
        return NULL;
}

/* ---- interface ---------------------------------------------------------------------------------------------- */

static void on_expired(void *ctx)
{
        struct resource_dial *d = ctx;

        d->is_expired = true;
        node_dial_cancel(d->dial); /* on_connected() reports it */
}

struct resource_dial *resource_dial_start(struct proxy *p, const struct resource_dial_request *request, const struct resource_dial_events *events, void *ctx)
{
        struct resource_dial *d = NEW(struct resource_dial);

        *d = (struct resource_dial){ .proxy = p, .certificate = BUF_MAX(CERT_MAX), .target = str_dup(request->target), .login = str_dup(request->login), .port = request->port,
                                     .events = events, .ctx = ctx };
        buf_put(&d->certificate, request->certificate);
        snprintf(d->kind, sizeof d->kind, "%.*s", STR_ARG(request->kind));
        snprintf(d->peer, sizeof d->peer, "%s", request->client_addr);
        conversation_init(&d->talk, &p->loop, states, REQUEST, on_expired, d);
        struct error *err = read_tried(d, request->tried);
        if (err == NULL)
                send_request(d);
        else
                fail_later(d, err);
        return d;
}

void resource_dial_cancel(struct resource_dial *d)
{
        if (d->is_cancelled)
                return;
        d->is_cancelled = true;
        if (d->call != NULL)
                rpc_client_cancel(d->call);
        else if (d->dial != NULL)
                node_dial_cancel(d->dial);
}
