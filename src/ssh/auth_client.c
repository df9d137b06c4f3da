/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to the Auth Service, made when somebody needs it: an agent that nobody visits has none. Its
 * end comes from the server, when no call was open for TIMEOUT_IDLE_CONNECTION.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "rpc/rpc.h"
#include "ssh/ssh_service.h"

struct waiter {
        struct waiter *next;
        void (*done)(void *ctx, struct rpc_client *client, struct error *err);
        void *ctx;
};

struct auth_client {
        struct ssh_service *service;
        struct rpc_client *client; /* NULL: none */
        char *host_id;             /* under which it was opened; NULL: on auth's machine */
        struct waiter *waiters, **waiters_end;
        bool is_turn_due, is_freed;
        struct error *why; /* there is no way; told in the next turn */

        int link_fd;               /* on auth's machine: a link that was not needed yet; -1 */
        struct timer *timeout;    /* for a link that was asked for */
        unsigned requested;            /* how often */

        char *address;             /* elsewhere: auth's own; "" when it is reached through a proxy */
        struct connect *connect;
        struct connect_way way;
        struct connect_trust trust;
        struct held_identity *identity; /* shown in the connect under way */
};

static void free_when_done(struct auth_client *a)
{
        if (!a->is_freed || a->is_turn_due || a->connect != NULL)
                return;
        free(a->address);
        free(a->host_id);
        free(a);
}

/* ---- those who wait ---------------------------------------------------------------------------------------- */

/* err is owned; NULL: there is a client. */
static void answer_all(struct auth_client *a, struct error *err)
{
        struct waiter *all = a->waiters;

        a->waiters = NULL;
        a->waiters_end = &a->waiters;
        while (all != NULL) {
                struct waiter *w = all;

                all = w->next;
                /* Whoever came before may have lost it again. */
                struct error *own = err != NULL ? error_copy(err) :
                                    a->client == NULL ? error_new(ERROR_UNAVAILABLE, "the Auth Service hung up") : NULL;
                w->done(w->ctx, own == NULL ? a->client : NULL, own);
                free(w);
        }
        error_free(err);
}

static void on_turn(void *ctx)
{
        struct auth_client *a = ctx;

        a->is_turn_due = false;
        if (a->is_freed)
                answer_all(a, error_new(ERROR_CANCELLED, "the SSH Service ends"));
        else if (a->client != NULL)
                answer_all(a, NULL);
        else if (a->why != NULL)
                answer_all(a, error_copy(a->why));
        error_free(a->why);
        a->why = NULL;
        free_when_done(a);
}

static void schedule(struct auth_client *a)
{
        if (a->is_turn_due)
                return;
        a->is_turn_due = true;
        loop_defer(&a->service->loop, on_turn, a);
}

/* ---- the connection ------------------------------------------------------------------------------------------ */

static void on_closed(void *ctx, struct error *err)
{
        struct auth_client *a = ctx;

        error_free(err); /* open calls have been told; without one nobody misses it */
        rpc_client_close(a->client);
        a->client = NULL;
}

static void use_stream(struct auth_client *a, struct stream *s)
{
        a->client = rpc_client_new(&a->service->loop, s, "teleport.cluster.local", on_closed, a);
        schedule(a);
}

/* Whether this host has another ID than the one that `opened` was under. */
static bool is_of_another_host(const struct auth_client *a, struct str opened)
{
        return a->service->identity != NULL && !str_equal(a->service->identity->id.host_id, opened);
}

static void begin_connect(struct auth_client *a);

static void on_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct auth_client *a = ctx;
        bool is_outdated = !a->is_freed && is_of_another_host(a, a->identity->id.host_id);

        a->connect = NULL;
        free(a->host_id);
        a->host_id = str_dup(a->identity->id.host_id);
        identity_let_go(a->identity);
        a->identity = NULL;
        if (is_outdated) { /* to auth it would be that of a host which is gone */
                stream_close(tls);
                error_free(err);
                begin_connect(a);
                return;
        }
        if (a->is_freed) {
                stream_close(tls);
                error_free(err);
                free_when_done(a);
                return;
        }
        if (err != NULL)
                answer_all(a, err);
        else
                use_stream(a, tls);
}

static struct error *connect_to_auth(struct auth_client *a)
{
        const char *proxy = a->service->config->proxy_server;

        if (a->service->identity == NULL)
                return error_new(ERROR_UNAVAILABLE, "this host has no identity of the cluster yet");
        if (a->address[0] == '\0' && (proxy == NULL || proxy[0] == '\0'))
                return error_new(ERROR_UNAVAILABLE, "this host knows no way to the Auth Service");
        TRY(connect_way_of_member(str_of(a->address[0] == '\0' ? proxy : NULL), str_of(a->address), &a->way));
        a->identity = identity_hold(a->service->identity);
        a->trust = (struct connect_trust){ .stored = &a->identity->id };
        a->connect = connect_start(&a->service->loop, &a->way, &a->trust, on_connected, a);
        return NULL;
}

static void begin_connect(struct auth_client *a)
{
        a->why = connect_to_auth(a);
        if (a->why != NULL)
                schedule(a);
}

/* ---- on the machine of auth ------------------------------------------------------------------------------------ */

static void request_for_link(struct auth_client *a)
{
        service_relink(a->service->service, "auth");
        timer_start(a->timeout, MILLISECONDS(PACE_RELINK));
}

static void on_timeout(void *ctx)
{
        struct auth_client *a = ctx;

        if (a->waiters == NULL)
                return;
        if (++a->requested < TIMEOUT_CONNECT / PACE_RELINK)
                request_for_link(a);
        else
                answer_all(a, error_new(ERROR_UNAVAILABLE, "the Auth Service of this machine is not there"));
}

static void connect_locally(struct auth_client *a)
{
        if (a->link_fd >= 0) {
                int fd = a->link_fd;

                a->link_fd = -1;
                use_stream(a, socket_stream(&a->service->loop, fd));
                return;
        }
        a->requested = 0;
        if (!timer_is_running(a->timeout))
                request_for_link(a);
}

void auth_client_use(struct auth_client *a, int fd)
{
        fd_close_at(&a->link_fd);
        a->link_fd = fd;
        if (a->client != NULL) { /* of an auth that is gone, or a link that it does not hear any more */
                rpc_client_close(a->client);
                a->client = NULL;
        }
        timer_stop(a->timeout);
        if (a->waiters != NULL)
                connect_locally(a);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

void ssh_auth_client(struct ssh_service *s, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        struct auth_client *a = s->auth;
        struct waiter *w = NEW(struct waiter);
        bool is_first = a->waiters == NULL;

        *w = (struct waiter){ .done = done, .ctx = ctx };
        *a->waiters_end = w;
        a->waiters_end = &w->next;
        if (a->client != NULL) {
                schedule(a);
        } else if (is_first && s->is_local) {
                connect_locally(a);
        } else if (is_first && a->connect == NULL) {
                begin_connect(a);
        }
}

void auth_client_set_identity(struct auth_client *a, const char *auth_addr)
{
        free(a->address);
        a->address = str_dup(str_of(auth_addr));
        if (a->client == NULL || a->host_id == NULL || !is_of_another_host(a, str_of(a->host_id)))
                return;
        rpc_client_close(a->client);
        a->client = NULL;
        if (a->waiters != NULL)
                begin_connect(a);
}

struct auth_client *auth_client_new(struct ssh_service *s)
{
        struct auth_client *a = NEW(struct auth_client);

        a->service = s;
        a->waiters_end = &a->waiters;
        a->link_fd = -1;
        a->address = str_dup(STR(""));
        a->timeout = timer_new(&s->loop, on_timeout, a);
        return a;
}

void auth_client_free(struct auth_client *a)
{
        if (a == NULL)
                return;
        a->is_freed = true;
        rpc_client_close(a->client);
        a->client = NULL;
        fd_close_at(&a->link_fd);
        timer_free(a->timeout);
        if (a->connect != NULL)
                connect_cancel(a->connect);
        schedule(a);
}
