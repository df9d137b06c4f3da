/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/auth_client.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "rpc/rpc.h"

struct waiter {
        struct waiter *next;
        void (*done)(void *ctx, struct rpc_client *client, struct error *err);
        void *ctx;
};

struct auth_client {
        struct loop *loop;
        struct auth_client_options options;
        struct rpc_client *client; /* NULL: not connected */
        struct timer *keepalive;   /* runs while a kept connection is open */
        struct timer *retry;       /* runs until a link is requested again, or a kept connection is made again */
        struct backoff backoff;
        bool is_freed; /* memory is released after `connect` and the deferred turn */

        struct waiter *waiters, **waiters_end;
        bool is_turn_due;        /* on_turn() is deferred: it answers the waiters if there is a client */
        struct waiter *refused;  /* waiters that on_turn() answers with refusal */
        struct error *refusal;

        int link_fd;            /* a link that is not used yet; -1: none */
        unsigned link_requests; /* since the first waiter was added */

        char *proxy_addr, *auth_addr;
        char *others[LIMIT_OTHER_PROXIES]; /* addresses of other proxies */
        size_t other_count;
        size_t at;    /* the address in use: 0: proxy_addr, then the others */
        size_t tried; /* number of addresses that have failed one after the other */
        struct error *failure; /* of the first of them */
        const struct host_identity *id; /* NULL: none yet */
        char *host_id;                  /* of the current or last connection; NULL: there was none */
        struct connect *connect;        /* NULL: no connect is under way */
        struct connect_way way;
        struct connect_trust trust;
        bool is_outdated; /* the connect under way has an earlier identity, or was cancelled */
};

static void drop_others(struct auth_client *c)
{
        while (c->other_count > 0)
                free(c->others[--c->other_count]);
        c->at = 0;
}

static void free_when_done(struct auth_client *c)
{
        if (!c->is_freed || c->is_turn_due || c->connect != NULL)
                return;
        drop_others(c);
        error_free(c->failure);
        free(c->proxy_addr);
        free(c->auth_addr);
        free(c->host_id);
        free(c);
}

/* ---- waiting requests --------------------------------------------------------------------------------------- */

static struct waiter *take_waiters(struct auth_client *c)
{
        struct waiter *all = c->waiters;

        c->waiters = NULL;
        c->waiters_end = &c->waiters;
        return all;
}

/* Answers all waiters: with err (owned), or with the client if err is NULL. */
static void answer(struct auth_client *c, struct waiter *all, struct error *err)
{
        while (all != NULL) {
                struct waiter *w = all;

                all = w->next;
                /* The callback of an earlier waiter may have closed the connection. */
                struct error *own = err != NULL          ? error_copy(err)
                                    : c->client == NULL ? error_new(ERROR_UNAVAILABLE, "the Auth Service closed the connection")
                                                        : NULL;
                w->done(w->ctx, own == NULL ? c->client : NULL, own);
                free(w);
        }
        error_free(err);
}

static void on_turn(void *ctx)
{
        struct auth_client *c = ctx;
        struct waiter *refused = c->refused;
        struct error *refusal = c->refusal;

        c->is_turn_due = false;
        c->refused = NULL;
        c->refusal = NULL;
        if (refused != NULL)
                answer(c, refused, refusal);
        if (c->client != NULL)
                answer(c, take_waiters(c), NULL);
        free_when_done(c);
}

static void answer_soon(struct auth_client *c)
{
        if (c->is_turn_due)
                return;
        c->is_turn_due = true;
        loop_defer(c->loop, on_turn, c);
}

/* Refuses all waiters, in a later turn of the loop; err is owned. */
static void refuse_soon(struct auth_client *c, struct error *err)
{
        if (c->refused == NULL && c->waiters != NULL) {
                c->refused = take_waiters(c);
                c->refusal = err;
                err = NULL;
        } else if (c->waiters != NULL) { /* others are being refused already: their error is used for all */
                struct waiter *last = c->refused;

                while (last->next != NULL)
                        last = last->next;
                last->next = take_waiters(c);
        }
        error_free(err);
        answer_soon(c);
}

/* ---- the connection ------------------------------------------------------------------------------------------- */

static void report_change(struct auth_client *c, const struct error *err)
{
        if (c->options.on_change != NULL)
                c->options.on_change(c->options.ctx, err);
}

static void drop_client(struct auth_client *c)
{
        rpc_client_close(c->client);
        c->client = NULL;
        if (c->keepalive != NULL)
                timer_stop(c->keepalive);
}

static bool is_local(const struct auth_client *c)
{
        return c->options.relink != NULL;
}

/* If the process of a link has ended, the supervisor sends a new link. If it still runs, the link must be requested. */
static void retry_kept(struct auth_client *c)
{
        if (c->options.is_kept)
                timer_start(c->retry, is_local(c) ? MILLISECONDS(PACE_RELINK) : backoff_next(&c->backoff));
}

static void on_closed(void *ctx, struct error *err)
{
        struct auth_client *c = ctx;

        drop_client(c); /* all open calls have ended with an error */
        report_change(c, err);
        error_free(err);
        retry_kept(c);
}

static void on_ping_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        (void)ctx;
        (void)answer;
        error_free(err);
}

/* Calls Ping, as the server closes a connection without calls as idle. */
static void on_keepalive(void *ctx)
{
        struct auth_client *c = ctx;
        Cteleport__V1__Empty nothing = CTELEPORT__V1__EMPTY__INIT;

        if (c->client == NULL)
                return;
        rpc_client_unary(c->client,
                         (struct rpc_client_call_options){
                                 .path = "/cteleport.v1.PingService/Ping",
                                 .response = &cteleport__v1__ping_response__descriptor,
                                 .within = MILLISECONDS(TIMEOUT_RPC),
                         },
                         &nothing.base, on_ping_answer, NULL);
        timer_start(c->keepalive, MILLISECONDS(TIMEOUT_IDLE_CONNECTION / 3));
}

static void use_stream(struct auth_client *c, struct stream *s)
{
        c->client = rpc_client_new(c->loop, s, "teleport.cluster.local", on_closed, c);
        if (!is_local(c))
                rpc_client_keep_alive(c->client);
        timer_stop(c->retry);
        backoff_reset(&c->backoff);
        c->tried = 0;
        error_free(c->failure);
        c->failure = NULL;
        if (c->options.is_kept)
                timer_start(c->keepalive, MILLISECONDS(TIMEOUT_IDLE_CONNECTION / 3));
        report_change(c, NULL);
        if (c->waiters != NULL)
                answer_soon(c);
}

/* ---- remote ----------------------------------------------------------------------------------------------------- */

static void begin_connect(struct auth_client *c);

/* Whether another proxy may give another result: this one was not reached, or did not reach auth. */
static bool is_of_the_way(const struct error *err)
{
        return error_is_for(err, REASON_CONNECTION) || err->code == ERROR_UNAVAILABLE || err->code == ERROR_DEADLINE_EXCEEDED;
}

/* Connects through the next proxy; false when all have failed. err (owned) is the failure of this one. */
static bool try_next(struct auth_client *c, struct error **err)
{
        size_t count = c->proxy_addr[0] == '\0' ? 1 : 1 + c->other_count;
        bool is_last = ++c->tried >= count || !is_of_the_way(*err);

        if (c->failure == NULL || !is_of_the_way(*err)) {
                error_free(c->failure);
                c->failure = *err;
        } else {
                error_free(*err);
        }
        *err = NULL;
        c->at = (c->at + 1) % count;
        if (!is_last)
                return true;
        *err = c->failure;
        c->failure = NULL;
        c->tried = 0;
        return false;
}

/* err is owned. */
static void connect_failed(struct auth_client *c, struct error *err)
{
        if (try_next(c, &err)) {
                begin_connect(c);
                return;
        }
        report_change(c, err);
        retry_kept(c);
        answer(c, take_waiters(c), err);
}

static void on_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct auth_client *c = ctx;
        bool is_outdated = c->is_outdated;

        c->connect = NULL;
        c->is_outdated = false;
        if (c->is_freed || is_outdated) { /* it has the identity of an earlier host ID, or was cancelled */
                stream_close(tls);
                error_free(err);
                if (c->is_freed)
                        free_when_done(c);
                else if (c->options.is_kept || c->waiters != NULL)
                        begin_connect(c);
        } else if (err != NULL) {
                connect_failed(c, err);
        } else {
                use_stream(c, tls);
        }
}

static struct error *connect_to_auth(struct auth_client *c)
{
        if (c->id == NULL || host_identity_is_empty(c->id))
                return error_new(ERROR_UNAVAILABLE, "this host has no identity of the cluster yet");
        if (c->proxy_addr[0] == '\0' && c->auth_addr[0] == '\0')
                return error_new(ERROR_UNAVAILABLE, "this host has no address of the Auth Service");
        const char *proxy = c->at == 0 || c->proxy_addr[0] == '\0' ? c->proxy_addr : c->others[c->at - 1];
        TRY(connect_way_of_member(str_of(proxy), str_of(c->auth_addr), &c->way));
        if (c->options.is_direct)
                c->way.via = (struct http_proxy){ .userinfo = STR("") };
        free(c->host_id);
        c->host_id = str_dup(c->id->host_id);
        c->trust = (struct connect_trust){ .stored = c->id, .roots_pem = c->options.roots_pem, .is_insecure = c->options.is_insecure };
        c->connect = connect_start(c->loop, &c->way, &c->trust, on_connected, c);
        return NULL;
}

static void begin_connect(struct auth_client *c)
{
        struct error *err;

        if (c->client != NULL || c->connect != NULL)
                return;
        timer_stop(c->retry);
        err = connect_to_auth(c);
        if (err == NULL)
                return;
        report_change(c, err);
        retry_kept(c);
        refuse_soon(c, err);
}

/* ---- local ------------------------------------------------------------------------------------------------------ */

static void request_link(struct auth_client *c)
{
        c->options.relink(c->options.ctx);
        timer_start(c->retry, MILLISECONDS(PACE_RELINK));
}

static void connect_locally(struct auth_client *c)
{
        if (c->link_fd >= 0) {
                int fd = c->link_fd;

                c->link_fd = -1;
                use_stream(c, socket_stream(c->loop, fd));
                return;
        }
        c->link_requests = 0;
        if (!timer_is_running(c->retry))
                request_link(c);
}

static void on_no_link(struct auth_client *c)
{
        if (c->waiters != NULL && ++c->link_requests >= TIMEOUT_CONNECT / PACE_RELINK)
                answer(c, take_waiters(c), error_new(ERROR_UNAVAILABLE, "the Auth Service of this machine is not there"));
        if (!c->is_freed && c->client == NULL && (c->options.is_kept || c->waiters != NULL))
                request_link(c);
}

void auth_client_use_link(struct auth_client *c, int fd)
{
        fd_close_at(&c->link_fd);
        c->link_fd = fd;
        drop_client(c); /* its process has ended, or does not read the old link any more */
        timer_stop(c->retry);
        if (c->options.is_kept || c->waiters != NULL)
                connect_locally(c);
}

/* ---- interface ---------------------------------------------------------------------------------------------------- */

static void on_retry(void *ctx)
{
        struct auth_client *c = ctx;

        if (is_local(c))
                on_no_link(c);
        else
                begin_connect(c);
}

void auth_client_request(struct auth_client *c, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        struct waiter *w = NEW(struct waiter);
        bool is_first = c->waiters == NULL;

        *w = (struct waiter){ .done = done, .ctx = ctx };
        *c->waiters_end = w;
        c->waiters_end = &w->next;
        if (c->client != NULL)
                answer_soon(c);
        else if (is_first && is_local(c))
                connect_locally(c);
        else if (is_first)
                begin_connect(c);
}

struct rpc_client *auth_client_get(const struct auth_client *c)
{
        return c->client;
}

void auth_client_use_identity(struct auth_client *c, const struct host_identity *id, struct str proxy_addr, struct str auth_addr)
{
        char *old_proxy = c->proxy_addr, *old_auth = c->auth_addr; /* the arguments may be these texts */

        c->proxy_addr = str_dup(proxy_addr);
        c->auth_addr = str_dup(auth_addr);
        free(old_proxy);
        free(old_auth);
        c->id = id;
        if (c->connect != NULL) {
                c->is_outdated = true;
                connect_cancel(c->connect); /* on_connected() connects again */
        } else if (c->client != NULL && c->host_id != NULL && !str_equal(str_of(c->host_id), id->host_id)) {
                drop_client(c);
        }
        if (c->client == NULL && c->connect == NULL && c->options.is_kept)
                timer_start(c->retry, MILLISECONDS(1));
        else if (c->client == NULL && c->waiters != NULL)
                begin_connect(c);
}

/* Whether the address is among those in use: several proxies may share one. */
static bool is_in_use(const struct auth_client *c, const char *addr)
{
        for (size_t i = 0; i < c->other_count; i++)
                if (strcmp(addr, c->others[i]) == 0)
                        return true;
        return strcmp(addr, c->proxy_addr) == 0;
}

void auth_client_use_proxies(struct auth_client *c, const Cteleport__Internal__V1__Proxies *list)
{
        drop_others(c);
        for (size_t i = 0; i < list->n_proxies && c->other_count < LIMIT_OTHER_PROXIES; i++)
                if (!list->proxies[i]->is_away && !is_in_use(c, list->proxies[i]->addr))
                        c->others[c->other_count++] = str_dup(str_of(list->proxies[i]->addr));
}

void auth_client_disconnect(struct auth_client *c)
{
        drop_client(c);
        timer_stop(c->retry);
        if (c->connect != NULL) {
                c->is_outdated = true;
                connect_cancel(c->connect);
        }
        refuse_soon(c, error_new(ERROR_CANCELLED, "the connection to the Auth Service was closed"));
}

struct auth_client *auth_client_new(struct loop *l, struct auth_client_options options)
{
        struct auth_client *c = NEW(struct auth_client);

        *c = (struct auth_client){
                .loop = l,
                .options = options,
                .link_fd = -1,
                .proxy_addr = str_dup(STR("")),
                .auth_addr = str_dup(STR("")),
                .backoff = { .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_RETRY_MAX) },
        };
        c->waiters_end = &c->waiters;
        c->retry = timer_new(l, on_retry, c);
        if (options.is_kept)
                c->keepalive = timer_new(l, on_keepalive, c);
        return c;
}

void auth_client_free(struct auth_client *c)
{
        if (c == NULL)
                return;
        c->is_freed = true;
        c->options.on_change = NULL;
        drop_client(c);
        fd_close_at(&c->link_fd);
        timer_free(c->retry);
        timer_free(c->keepalive);
        c->keepalive = NULL;
        if (c->connect != NULL)
                connect_cancel(c->connect);
        refuse_soon(c, error_new(ERROR_CANCELLED, "this service is stopping"));
}
