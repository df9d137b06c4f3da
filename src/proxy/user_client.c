/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/user_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/connect.h"
#include "net/pass.h"
#include "net/tls.h"
#include "pki/cert.h"
#include "proxy/proxy.h"

struct waiter {
        struct waiter *next;
        void (*done)(void *ctx, struct rpc_client *client, struct error *err);
        void *ctx;
};

struct user_client {
        struct proxy *proxy;
        struct loop *loop;
        struct secret key;
        struct buf cert; /* PEM */
        char client_addr[ADDRESS_TEXT_MAX];
        struct rpc_client *rpc; /* while OPEN */
        struct timer *idle;
        struct waiter *waiters, **last;
        /* while CONNECTING, one of these */
        bool is_announcing;
        struct dial *dial;
        struct tls_handshake *tls;
        bool is_turn_due; /* on_turn() is deferred */
        bool is_freed;
        void (*on_freed)(void *ctx);
        void *ctx;
};

static bool is_connecting(const struct user_client *c)
{
        return c->is_announcing || c->dial != NULL || c->tls != NULL;
}

static void release_when_idle(struct user_client *c)
{
        if (!c->is_freed || is_connecting(c) || c->is_turn_due)
                return;
        c->on_freed(c->ctx);
        free(c);
}

/* ---- answers ------------------------------------------------------------------------------------------------- */

/* Answers all waiters: with err (owned), or with the client if err is NULL. */
static void answer(struct user_client *c, struct error *err)
{
        struct waiter *all = c->waiters;

        c->waiters = NULL;
        c->last = &c->waiters;
        while (all != NULL) {
                struct waiter *w = all;
                struct error *own = err != NULL ? error_copy(err) : NULL;

                all = w->next;
                if (own == NULL && c->rpc == NULL) /* the callback of an earlier one has closed it */
                        own = error_new(ERROR_UNAVAILABLE, "the connection to the Auth Service has ended");
                w->done(w->ctx, own == NULL ? c->rpc : NULL, own);
                free(w);
        }
        error_free(err);
}

static void begin_connect(struct user_client *c);

static void on_turn(void *ctx)
{
        struct user_client *c = ctx;

        c->is_turn_due = false;
        if (c->is_freed)
                answer(c, error_new(ERROR_CANCELLED, "the login has ended"));
        else if (c->rpc != NULL)
                answer(c, NULL);
        else if (c->waiters != NULL && !is_connecting(c))
                begin_connect(c);
        release_when_idle(c);
}

static void answer_soon(struct user_client *c)
{
        if (c->is_turn_due)
                return;
        c->is_turn_due = true;
        loop_defer(c->loop, on_turn, c);
}

/* Ends the attempt to connect; err is owned. */
static void fail(struct user_client *c, struct error *err)
{
        if (c->is_freed) {
                error_free(err);
                answer_soon(c);
                return;
        }
        log_debug("A connection to the Auth Service as a user has failed", LOG_ERR(err));
        answer(c, error_hint(error_because(error_for(error_new(ERROR_UNAVAILABLE, "this proxy cannot reach the Auth Service right now"), REASON_NO_AUTH), err),
                             "try again in a moment"));
}

/* ---- connecting ---------------------------------------------------------------------------------------------- */

static void drop_rpc(struct user_client *c)
{
        rpc_client_close(c->rpc);
        c->rpc = NULL;
        if (!c->is_freed)
                timer_stop(c->idle);
}

static void on_closed(void *ctx, struct error *err)
{
        error_free(err); /* open calls have ended with an error */
        drop_rpc(ctx);
}

static void on_idle(void *ctx)
{
        drop_rpc(ctx);
}

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct user_client *c = ctx;

        c->tls = NULL;
        if (err == NULL && !c->is_freed)
                err = connect_check_role(tls_peer_cert_der(tls), "Auth", loop_wall(c->loop));
        if (err != NULL || c->is_freed) {
                stream_close(tls);
                fail(c, err);
                return;
        }
        c->rpc = rpc_client_new(c->loop, tls, "auth", on_closed, c);
        timer_start(c->idle, MILLISECONDS(TIMEOUT_WEB_CLIENT_IDLE));
        answer_soon(c);
}

static struct error *start_tls(struct user_client *c, struct stream *s)
{
        static const char *const alpn[] = { "h2", NULL };
        AUTO_PTR(tls_context) made = NULL;
        AUTO(buf) name = BUF_MAX(3 * LIMIT_NAME);

        cluster_auth_name(proxy_cluster(c->proxy), &name);
        struct error *err = tls_context_new((struct tls_options){ .peer = TLS_PEER_REQUIRED, .trust_pem = buf_str(&c->proxy->host_cas), .alpn = alpn,
                                                                  .is_internal = true }, &made);
        if (err == NULL)
                err = tls_context_add(made, NULL, (struct tls_identity){ .cert_chain_pem = buf_str(&c->cert), .key_pem = secret_str(&c->key) });
        if (err == NULL)
                c->tls = tls_start(c->loop, made, s, buf_c(&name), MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_tls, c);
        else
                stream_close(s);
        return err;
}

/* The ticket of auth, which is sent before TLS. */
struct ticketed {
        struct user_client *client;
        uint8_t ticket[PASS_TICKET_SIZE];
        bool has_ticket;
};

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct ticketed *t = ctx;
        struct user_client *c = t->client;

        c->dial = NULL;
        if (err == NULL) {
                struct stream *s = socket_stream(c->loop, fd);

                if (t->has_ticket) {
                        stream_write(s, STR(PASS_MAGIC));
                        stream_write(s, str_of_bytes(t->ticket, sizeof t->ticket));
                }
                if (c->is_freed)
                        stream_close(s);
                else
                        err = start_tls(c, s);
        }
        free(t);
        if (err != NULL || c->is_freed)
                fail(c, err);
}

/* Without a ticket auth sees the address of this proxy. */
static void on_announced(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct user_client *c = ctx;
        const Cteleport__V1__PassResponse *ticket = (const Cteleport__V1__PassResponse *)msg;

        c->is_announcing = false;
        if (err != NULL || c->is_freed) {
                fail(c, err);
                return;
        }
        struct ticketed *t = NEW(struct ticketed);
        t->client = c;
        t->has_ticket = ticket->ticket.len == sizeof t->ticket;
        if (t->has_ticket)
                memcpy(t->ticket, ticket->ticket.data, sizeof t->ticket);
        c->dial = dial_start(c->loop, str_of(c->proxy->auth_address), MILLISECONDS(TIMEOUT_CONNECT), on_dialled, t);
}

static void begin_connect(struct user_client *c)
{
        struct proxy *p = c->proxy;
        struct rpc_client *auth = p->upstream == NULL ? NULL : upstream_client(p->upstream);
        Cteleport__V1__PassRequest request = CTELEPORT__V1__PASS_REQUEST__INIT;

        if (auth == NULL || p->auth_address == NULL || host_identity_is_empty(&p->identity)) {
                fail(c, p->upstream == NULL ? NULL : upstream_absence(p->upstream));
                return;
        }
        c->is_announcing = true;
        request.remote_addr = c->client_addr;
        rpc_client_unary(auth,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.PassService/Announce",
                                                           .response = &cteleport__v1__pass_response__descriptor,
                                                           .within = MILLISECONDS(TIMEOUT_CONNECT) },
                         &request.base, on_announced, c);
}

/* ---- interface ----------------------------------------------------------------------------------------------- */

struct user_client *user_client_new(struct proxy *p, struct str key_pem, struct str cert_der, void (*on_freed)(void *ctx), void *ctx)
{
        struct user_client *c = NEW(struct user_client);

        *c = (struct user_client){ .proxy = p, .loop = &p->loop, .key = secret_of(key_pem), .cert = BUF_MAX(2 * CERT_MAX), .on_freed = on_freed, .ctx = ctx };
        c->last = &c->waiters;
        c->idle = timer_new(c->loop, on_idle, c);
        cert_der_to_pem(cert_der, &c->cert);
        return c;
}

void user_client_free(struct user_client *c)
{
        if (c == NULL)
                return;
        c->is_freed = true;
        rpc_client_close(c->rpc);
        c->rpc = NULL;
        timer_free(c->idle);
        c->idle = NULL;
        secret_release(&c->key);
        buf_release(&c->cert);
        if (c->dial != NULL)
                dial_cancel(c->dial);
        if (c->tls != NULL)
                tls_cancel(c->tls);
        answer_soon(c);
}

void user_client_request(struct user_client *c, const char *client_addr, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        struct waiter *w = NEW(struct waiter);

        *w = (struct waiter){ .done = done, .ctx = ctx };
        *c->last = w;
        c->last = &w->next;
        if (c->rpc != NULL)
                timer_start(c->idle, MILLISECONDS(TIMEOUT_WEB_CLIENT_IDLE));
        if (!is_connecting(c)) {
                snprintf(c->client_addr, sizeof c->client_addr, "%s", client_addr);
                answer_soon(c);
        }
}
