/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/upstream.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/connect.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "net/tls.h"

enum { CHAIN_PEM_MAX = 256 * KiB };

struct upstream {
        struct loop *loop;
        struct rpc_client *client;
        bool is_link;
        void (*relink)(void *ctx); /* NULL: nobody can be asked */
        void *relink_ctx;

        const char *address; /* mutual TLS: where, and as whom */
        const struct host_identity *id;
        char *host_id; /* under which the connection was made, or is being made; NULL: none was */
        struct dial *dial;
        struct tls_handshake *handshake;
        struct timer *retry;
        struct backoff backoff;
        struct timer *wake;
        bool is_reported; /* the operator knows that auth is away */
        bool is_freed;
};

static void connect_now(void *ctx);

/* ---- while connected ------------------------------------------------------------------------------- */

static void on_ping_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        (void)ctx;
        (void)answer;
        error_free(err);
}

/* A connection without a call would end as idle; on the link that would be for good. */
static void on_wake(void *ctx)
{
        struct upstream *u = ctx;
        if (u->client == NULL)
                return;
        Cteleport__V1__Empty nothing = CTELEPORT__V1__EMPTY__INIT;
        rpc_client_unary(u->client,
                         (struct rpc_client_call_options){
                                 .path = "/cteleport.v1.PingService/Ping",
                                 .response = &cteleport__v1__ping_response__descriptor,
                                 .within = MILLISECONDS(TIMEOUT_RPC),
                         },
                         &nothing.base, on_ping_answer, NULL);
        timer_start(u->wake, MILLISECONDS(TIMEOUT_IDLE_CONNECTION / 3));
}

static void report_away(struct upstream *u, const struct error *err)
{
        if (!u->is_reported)
                log_warn("The Auth Service is away: joins are refused until it is back", LOG_ERR(err));
        u->is_reported = true;
}

static void on_closed(void *ctx, struct error *err)
{
        struct upstream *u = ctx;
        report_away(u, err);
        error_free(err);
        rpc_client_close(u->client);
        u->client = NULL;
        timer_stop(u->wake);
        /* With the process behind it a link is replaced by the supervisor; if that lives it has to be asked for. */
        timer_start(u->retry, u->is_link ? MILLISECONDS(PACE_RELINK) : backoff_next(&u->backoff));
}

static void use_stream(struct upstream *u, struct stream *s)
{
        u->client = rpc_client_new(u->loop, s, "teleport.cluster.local", on_closed, u);
        backoff_reset(&u->backoff);
        if (u->is_reported)
                log_info("The Auth Service is back");
        u->is_reported = false;
        timer_start(u->wake, MILLISECONDS(TIMEOUT_IDLE_CONNECTION / 3));
}

/* ---- mutual TLS ------------------------------------------------------------------------------------ */

static void upstream_destroy(struct upstream *u)
{
        free(u->host_id);
        free(u);
}

static void connect_failed(struct upstream *u, struct error *err)
{
        if (!u->is_freed) {
                report_away(u, err);
                timer_start(u->retry, backoff_next(&u->backoff));
        }
        error_free(err);
        if (u->is_freed)
                upstream_destroy(u);
}

static bool is_of_another_host(const struct upstream *u)
{
        return u->host_id != NULL && !str_equal(str_of(u->host_id), u->id->host_id);
}

static void on_handshake(void *ctx, struct stream *tls, struct error *err)
{
        struct upstream *u = ctx;
        u->handshake = NULL;
        if (err == NULL && !u->is_freed && is_of_another_host(u)) { /* to auth it would be that of a host which is gone */
                stream_close(tls);
                timer_start(u->retry, MILLISECONDS(1));
                return;
        }
        if (err == NULL) {
                err = connect_check_role(tls_peer_cert_der(tls), "Auth", loop_wall(u->loop));
                if (err != NULL)
                        stream_close(tls);
        }
        if (err != NULL)
                connect_failed(u, err);
        else
                use_stream(u, tls);
}

static struct error *shake_hands(struct upstream *u, struct stream *tcp)
{
        AUTO(buf) trust = BUF_MAX(CHAIN_PEM_MAX);
        AUTO(buf) chain = BUF_MAX(CHAIN_PEM_MAX);
        AUTO(buf) name = BUF_MAX(3 * LIMIT_NAME);
        AUTO(buf) protocol = BUF_MAX(3 * LIMIT_NAME);
        AUTO_PTR(tls_context) context = NULL;

        host_identity_trust_pem(u->id, &trust);
        host_identity_chain_pem(u->id, &chain);
        cluster_auth_name(u->id->cluster, &name);
        free(u->host_id);
        u->host_id = str_dup(u->id->host_id);
        buf_put_c(&protocol, "teleport-auth@");
        buf_put(&protocol, buf_str(&name));
        const char *alpn[] = { buf_c(&protocol), "h2", NULL };
        struct error *err = tls_context_new((struct tls_options){ .peer = TLS_PEER_REQUIRED, .is_internal = true,
                                                                  .trust_pem = buf_str(&trust), .alpn = alpn },
                                            &context);
        if (err == NULL)
                err = tls_context_add(context, NULL,
                                      (struct tls_identity){ .cert_chain_pem = buf_str(&chain),
                                                             .key_pem = secret_str(&u->id->tls_key_pem) });
        if (err != NULL) {
                stream_close(tcp);
                return err;
        }
        u->handshake = tls_start(u->loop, context, tcp, buf_c(&name), MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_handshake,
                                 u);
        return NULL;
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct upstream *u = ctx;
        u->dial = NULL;
        if (err == NULL)
                err = shake_hands(u, socket_stream(u->loop, fd));
        if (err != NULL)
                connect_failed(u, err);
}

static void request_for_link(struct upstream *u)
{
        if (u->client != NULL || u->relink == NULL)
                return;
        u->relink(u->relink_ctx);
        timer_start(u->retry, MILLISECONDS(PACE_RELINK));
}

static void connect_now(void *ctx)
{
        struct upstream *u = ctx;
        if (u->is_link) {
                request_for_link(u);
                return;
        }
        if (u->client != NULL || u->dial != NULL || u->handshake != NULL || u->address == NULL)
                return;
        u->dial = dial_start(u->loop, str_of(u->address), MILLISECONDS(TIMEOUT_CONNECT), on_dialled, u);
}

/* ---- life ------------------------------------------------------------------------------------------ */

struct upstream *upstream_new(struct loop *l)
{
        struct upstream *u = NEW(struct upstream);
        u->loop = l;
        u->retry = timer_new(l, connect_now, u);
        u->wake = timer_new(l, on_wake, u);
        u->backoff = (struct backoff){ .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_RETRY_MOST) };
        return u;
}

static void drop_client(struct upstream *u)
{
        rpc_client_close(u->client);
        u->client = NULL;
        timer_stop(u->wake);
}

void upstream_free(struct upstream *u)
{
        if (u == NULL)
                return;
        drop_client(u);
        timer_free(u->retry);
        timer_free(u->wake);
        if (u->dial == NULL && u->handshake == NULL) {
                upstream_destroy(u);
                return;
        }
        u->is_freed = true; /* the memory goes when what is under way has answered */
        if (u->dial != NULL)
                dial_cancel(u->dial);
        else
                tls_cancel(u->handshake);
}

void upstream_on_lost_link(struct upstream *u, void (*relink)(void *ctx), void *ctx)
{
        u->relink = relink;
        u->relink_ctx = ctx;
}

void upstream_use_link(struct upstream *u, int fd)
{
        drop_client(u);
        timer_stop(u->retry);
        u->is_link = true;
        use_stream(u, socket_stream(u->loop, fd));
}

void upstream_use_tls(struct upstream *u, const char *address, const struct host_identity *id)
{
        u->address = address;
        u->id = id;
        /* Calls under way finish on the old connection only if it is kept; a renewed identity is for the next one. */
        if (u->client != NULL && !u->is_link && is_of_another_host(u))
                drop_client(u);
        if (u->client == NULL)
                timer_start(u->retry, MILLISECONDS(1));
}

struct rpc_client *upstream_client(struct upstream *u)
{
        return u->client;
}

struct error *upstream_absence(const struct upstream *u)
{
        bool is_new = !u->is_link && u->address == NULL;
        return error_hint(error_new(ERROR_UNAVAILABLE, is_new ? "this proxy has no identity of the cluster yet"
                                                              : "this proxy cannot reach the Auth Service right now"),
                          "try again in a moment; the proxy's log says more");
}
