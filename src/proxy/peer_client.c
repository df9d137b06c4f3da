/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/peer_client.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/connect.h"
#include "net/tls.h"
#include "pki/cert.h"
#include "proxy/proxy.h"
#include "proxy/tunnel_guard.h"

/*
 *     CONNECTING ── TLS, its host ID is right ──▶ OPEN ── lost, ended ──▶ freed
 *         └── failed, late: its dials fail ──▶ freed
 */
struct peer_link {
        struct peer_client *all;
        struct peer_link *next, **at;
        char *host_id, *addr;
        struct connect *connect; /* while CONNECTING */
        struct connect_way way;
        struct connect_trust trust;
        struct timer *deadline;
        struct tunnel *tunnel; /* while OPEN */
        struct cert_issue cert; /* of the other proxy, while OPEN */
        struct peer_dial *dials; /* that wait for the tunnel */
        bool is_old;           /* it was made with an earlier identity, or the other proxy leaves: it gets no new streams */
        bool is_left;          /* the other proxy leaves it, which was the latest */
        bool is_outdated;      /* its connect has an earlier identity: it is made again */
        bool is_late;          /* its connect was cancelled by the deadline */
        bool is_cancelled;     /* its connect was cancelled, for one of these reasons */
        bool is_ended;         /* its connect was cancelled: the link is freed */
};

struct peer_dial {
        struct peer_link *link; /* NULL: the link has ended */
        struct loop *loop;
        struct peer_dial *next, **at; /* while it waits */
        struct tunnel_request request;
        struct tunnel_dial *dial;
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
        struct error *failure; /* until it is reported */
        bool is_cancelled;
};

/* ---- dials --------------------------------------------------------------------------------------------- */

static void stop_waiting(struct peer_dial *d)
{
        if (d->at == NULL)
                return;
        *d->at = d->next;
        if (d->next != NULL)
                d->next->at = d->at;
        d->at = NULL;
}

static void on_connected_to_node(void *ctx, struct stream *s, struct error *err)
{
        struct peer_dial *d = ctx;

        d->done(d->ctx, s, err);
        free(d);
}

static void report_failure(void *ctx)
{
        struct peer_dial *d = ctx;

        d->done(d->ctx, NULL, d->failure);
        free(d);
}

/* Ends a dial that has no stream yet; err is owned. */
static void fail(struct peer_dial *d, struct error *err)
{
        stop_waiting(d);
        d->link = NULL;
        d->failure = err;
        loop_defer(d->loop, report_failure, d);
}

void peer_dial_cancel(struct peer_dial *d)
{
        if (d->is_cancelled || d->failure != NULL)
                return;
        d->is_cancelled = true;
        if (d->dial != NULL)
                tunnel_connect_cancel(d->dial);
        else
                fail(d, error_new(ERROR_CANCELLED, "the connection was given up"));
}

/* ---- links --------------------------------------------------------------------------------------------- */

/* err (owned) is the error of the dials that wait. */
static void link_free(struct peer_link *k, struct error *err)
{
        *k->at = k->next;
        if (k->next != NULL)
                k->next->at = k->at;
        while (k->dials != NULL)
                fail(k->dials, error_copy(err));
        error_free(err);
        timer_free(k->deadline);
        tunnel_close(k->tunnel);
        free(k->host_id);
        free(k->addr);
        free(k);
}

static void on_end(void *ctx, struct error *err)
{
        struct peer_link *k = ctx;

        log_info("The connection to another proxy has ended", LOG_C("proxy", k->host_id), LOG_ERR(err));
        link_free(k, err);
}

/* The other proxy drains the connection, because it stops or restarts. */
static void on_leaving(void *ctx)
{
        struct peer_link *k = ctx;

        log_info("Another proxy drains its connection: open streams continue", LOG_C("proxy", k->host_id));
        k->is_left = !k->is_old;
        k->is_old = true;
}

static struct error *check_host(struct peer_link *k, const struct stream *tls)
{
        AUTO_PTR(arena) a = arena_new(2 * CERT_MAX);
        struct cert_info info;

        TRY(cert_read(a, tls_peer_cert_der(tls), &info));
        if (!str_equal(info.host_id, str_of(k->host_id)))
                return error_hint(error_new(ERROR_UNAUTHENTICATED, "the proxy %.*s answers instead", STR_ARG(info.host_id)),
                                  "each proxy needs an address of its own for the others: set proxy_service.peer_public_addr");
        k->cert = cert_issue_of(walltime_unix(info.times.not_before), info.serial_hex);
        return NULL;
}

static void begin(struct peer_link *k);

static void open_link(struct peer_link *k, struct stream *tls)
{
        struct proxy *p = k->all->proxy;

        tls_forget_peer(tls);
        log_info("Connected to another proxy", LOG_C("proxy", k->host_id), LOG_C("addr", k->addr));
        k->tunnel = tunnel_new(&p->loop, tls, on_end, k);
        tunnel_watch(k->tunnel, NULL, on_leaving);
        tunnel_guard_name_peer(p->tunnels.guard, str_of(k->host_id), k->cert);
        while (k->dials != NULL) {
                struct peer_dial *d = k->dials;

                stop_waiting(d);
                d->dial = tunnel_connect(k->tunnel, &d->request, on_connected_to_node, d);
        }
}

static void on_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct peer_link *k = ctx;

        k->connect = NULL;
        k->is_cancelled = false;
        timer_stop(k->deadline);
        if (err == NULL && !k->is_ended && !k->is_outdated)
                err = check_host(k, tls);
        if (err == NULL && !k->is_ended && !k->is_outdated) {
                open_link(k, tls);
                return;
        }
        stream_close(tls);
        if (k->is_outdated && !k->is_ended && !k->is_late) {
                error_free(err);
                k->is_outdated = false;
                begin(k);
                return;
        }
        if (k->is_late)
                err = error_because(error_new(ERROR_UNAVAILABLE, "it did not answer in time"), err);
        if (err == NULL)
                err = error_new(ERROR_UNAVAILABLE, "the connection was closed");
        err = error_for(error_wrap(err, "another proxy of the cluster cannot be reached"), REASON_CONNECTION);
        log_warn("Another proxy cannot be reached: users cannot reach the nodes that are connected to it only", LOG_C("proxy", k->host_id),
                 LOG_C("addr", k->addr), LOG_ERR(err));
        link_free(k, err);
}

static void cancel_connect(struct peer_link *k)
{
        if (!k->is_cancelled)
                connect_cancel(k->connect);
        k->is_cancelled = true;
}

static void on_late(void *ctx)
{
        struct peer_link *k = ctx;

        k->is_late = true;
        cancel_connect(k);
}

static void begin(struct peer_link *k)
{
        struct proxy *p = k->all->proxy;

        k->trust = (struct connect_trust){ .stored = &p->identity };
        k->connect = connect_start(&p->loop, &k->way, &k->trust, on_connected, k);
        timer_start(k->deadline, MILLISECONDS(TIMEOUT_PEER_CONNECT));
}

static struct error *link_new(struct peer_client *c, const char *host_id, const char *addr, struct peer_link **ret)
{
        struct connect_way way;

        if (host_identity_is_empty(&c->proxy->identity))
                return error_new(ERROR_UNAVAILABLE, "this proxy has no identity of the cluster yet");
        TRY(connect_way_of_peer(str_of(addr), &way));
        struct peer_link *k = NEW(struct peer_link);
        *k = (struct peer_link){ .all = c, .next = c->links, .at = &c->links, .host_id = str_dup(str_of(host_id)),
                                 .addr = str_dup(str_of(addr)), .way = way };
        if (k->next != NULL)
                k->next->at = &k->next;
        c->links = k;
        k->deadline = timer_new(&c->proxy->loop, on_late, k);
        begin(k);
        *ret = k;
        return NULL;
}

static struct peer_link *link_of(const struct peer_client *c, const char *host_id)
{
        for (struct peer_link *k = c->links; k != NULL; k = k->next)
                if (!k->is_old && !k->is_ended && strcmp(k->host_id, host_id) == 0)
                        return k;
        return NULL;
}

/* A proxy that leaves each connection while streams are open would otherwise get any number of them. */
static struct error *check_left(const struct peer_client *c, const char *host_id)
{
        size_t left = 0;

        for (const struct peer_link *k = c->links; k != NULL; k = k->next)
                left += k->is_left && strcmp(k->host_id, host_id) == 0;
        if (left < LIMIT_PEER_LINKS)
                return NULL;
        return error_new(ERROR_UNAVAILABLE, "another proxy has left %zu connections in which streams are open", left);
}

struct peer_dial *peer_dial_start(struct peer_client *c, const char *host_id, const char *addr, const struct tunnel_request *request,
                                  void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct peer_dial *d = NEW(struct peer_dial);
        struct peer_link *k = link_of(c, host_id);
        struct error *err = NULL;

        *d = (struct peer_dial){ .loop = &c->proxy->loop, .request = *request, .done = done, .ctx = ctx };
        if (k == NULL)
                err = check_left(c, host_id);
        if (k == NULL && err == NULL)
                err = link_new(c, host_id, addr, &k);
        if (err != NULL) {
                fail(d, error_for(err, REASON_CONNECTION));
        } else if (k->tunnel != NULL) {
                d->dial = tunnel_connect(k->tunnel, request, on_connected_to_node, d);
        } else {
                d->link = k;
                d->next = k->dials;
                d->at = &k->dials;
                if (d->next != NULL)
                        d->next->at = &d->next;
                k->dials = d;
        }
        return d;
}

/* ---- changes -------------------------------------------------------------------------------------------- */

void peer_client_renew(struct peer_client *c)
{
        for (struct peer_link *k = c->links; k != NULL; k = k->next) {
                if (k->connect != NULL) {
                        k->is_outdated = true;
                        cancel_connect(k);
                } else if (k->tunnel != NULL && !k->is_old) {
                        struct peer_link *fresh;

                        k->is_old = true;
                        tunnel_drain(k->tunnel);
                        /* The peer serves the streams of the old link as long as one of this proxy's certificates is valid there. */
                        if (link_of(c, k->host_id) == NULL)
                                error_free(link_new(c, k->host_id, k->addr, &fresh));
                }
        }
}

static void end(struct peer_link *k)
{
        k->is_ended = true;
        if (k->connect != NULL)
                cancel_connect(k); /* on_connected() frees the link */
        else
                link_free(k, error_new(ERROR_UNAVAILABLE, "the connection to another proxy was closed"));
}

void peer_client_end_host(struct peer_client *c, struct str host_id, struct cert_issue before)
{
        for (struct peer_link *k = c->links, *next; k != NULL; k = next) {
                next = k->next;
                if (!str_equal(str_of(k->host_id), host_id))
                        continue;
                if (before.not_before == 0 || (k->tunnel != NULL && cert_issue_is_before(k->cert, before)))
                        end(k);
        }
}

void peer_client_each(const struct peer_client *c, void (*each)(void *ctx, const char *host_id, struct cert_issue cert), void *ctx)
{
        for (const struct peer_link *k = c->links; k != NULL; k = k->next)
                if (k->tunnel != NULL)
                        each(ctx, k->host_id, k->cert);
}

void peer_client_shut(struct peer_client *c)
{
        for (struct peer_link *k = c->links, *next; k != NULL; k = next) {
                next = k->next;
                end(k);
        }
}
