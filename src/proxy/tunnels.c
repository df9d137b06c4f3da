/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tunnels.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "net/sources.h"
#include "proxy/tunnel_guard.h"
#include "services/services.h"

struct node_tunnel {
        struct tunnels *all;
        struct node_tunnel *next, **at;
        struct node_tunnel *older; /* the next older tunnel of the host, of any role */
        struct tunnel *tunnel;
        char *host_id, *peer;
        const char *role; /* in the table of services */
        bool is_ready;             /* the node serves it */
        bool is_drained;           /* it accepts no streams: a newer tunnel does, or the node leaves */
        struct walltime not_after; /* expiry of its certificate */
        struct cert_issue cert;
};

/* ---- the chain of a host: newest first ------------------------------------------------------------- */

static struct map *chains_of(struct node_tunnel *n)
{
        return n->is_ready ? &n->all->by_host : &n->all->beginning;
}

static void enter_chain(struct node_tunnel *n)
{
        n->older = map_put(chains_of(n), str_of(n->host_id), n);
}

static void leave_chain(struct node_tunnel *n)
{
        struct map *chains = chains_of(n);
        struct node_tunnel *first = map_get(chains, str_of(n->host_id));
        struct node_tunnel **at = &first;
        while (*at != n)
                at = &(*at)->older;
        *at = n->older;
        if (first == NULL)
                (void)map_remove(chains, str_of(n->host_id));
        else
                (void)map_put(chains, str_of(n->host_id), first);
}

/* Roles of tunnels are pointers into the table of services. */
static bool is_of_role(const struct node_tunnel *n, const char *role)
{
        return n->role == role;
}

/* The role that offers resources of a kind; NULL: no service does. */
static const char *role_offering(struct str kind)
{
        const struct service_row *row = services_of_kind(kind);

        return row == NULL ? NULL : row->role.name.ptr;
}

/* The newest tunnel of the host in a role that accepts streams; NULL: there is none. */
static struct node_tunnel *open_tunnel(const struct tunnels *t, struct str host_id, const char *role)
{
        struct node_tunnel *n = map_get(&t->by_host, host_id);
        while (n != NULL && (n->is_drained || !is_of_role(n, role)))
                n = n->older;
        return n;
}

/* The first tunnel beyond a limit of its role in the chain; NULL: the chain is within its limits. */
static struct node_tunnel *one_too_many(struct node_tunnel *first)
{
        const char *role = first->role;
        size_t open = 0, drained = 0;
        for (; first != NULL; first = first->older) {
                if (is_of_role(first, role) && (first->is_drained ? ++drained > LIMIT_TUNNELS_DRAINED_PER_HOST : ++open > LIMIT_TUNNELS_PER_HOST))
                        return first;
        }
        return NULL;
}

/* ---- waiting for a tunnel -------------------------------------------------------------------------- */

struct tunnel_wait {
        struct tunnels *all;
        struct tunnel_wait *next, **at;
        struct timer *deadline;
        void (*done)(void *ctx, bool is_there);
        void *ctx;
        char *host_id;
        const char *role; /* in the table of services; NULL: no service offers the kind */
};

void tunnels_await_cancel(struct tunnel_wait *w)
{
        if (w == NULL)
                return;
        *w->at = w->next;
        if (w->next != NULL)
                w->next->at = w->at;
        timer_free(w->deadline);
        free(w->host_id);
        free(w);
}

static void on_waited(void *ctx)
{
        struct tunnel_wait *w = ctx;
        void (*done)(void *ctx, bool is_there) = w->done;
        void *done_ctx = w->ctx;
        bool is_there = open_tunnel(w->all, str_of(w->host_id), w->role) != NULL;
        tunnels_await_cancel(w);
        done(done_ctx, is_there);
}

struct tunnel_wait *tunnels_await(struct tunnels *t, struct str host_id, struct str kind, struct duration within,
                                  void (*done)(void *ctx, bool is_there), void *ctx)
{
        struct tunnel_wait *w = NEW(struct tunnel_wait);
        *w = (struct tunnel_wait){ .all = t, .next = t->waits, .at = &t->waits, .done = done, .ctx = ctx, .host_id = str_dup(host_id),
                                   .role = role_offering(kind) };
        if (w->next != NULL)
                w->next->at = &w->next;
        t->waits = w;
        w->deadline = timer_new(t->loop, on_waited, w);
        timer_start(w->deadline, t->is_closing ? MILLISECONDS(1) : within);
        return w;
}

/* Ends the waits for this tunnel, or all waits if it is NULL, in the next turn. */
static void wake(struct tunnels *t, const struct node_tunnel *n)
{
        for (struct tunnel_wait *w = t->waits; w != NULL; w = w->next)
                if (n == NULL || (is_of_role(n, w->role) && strcmp(w->host_id, n->host_id) == 0))
                        timer_start(w->deadline, MILLISECONDS(1));
}

/* ---- end of a tunnel ------------------------------------------------------------------------------- */

static void report_empty(void *ctx)
{
        struct tunnels *t = ctx;
        if (t->list == NULL && t->on_empty != NULL)
                t->on_empty(t->ctx);
}

/* This tunnel accepts no more streams. */
static void note_left(const struct node_tunnel *n)
{
        const struct tunnels *t = n->all;
        if (!t->is_closing && open_tunnel(t, str_of(n->host_id), n->role) == NULL)
                tunnel_guard_gone(t->guard, str_of(n->host_id), n->role);
}

static void node_tunnel_free(struct node_tunnel *n)
{
        struct tunnels *t = n->all;
        bool was_open = n->is_ready && !n->is_drained;
        leave_chain(n);
        if (was_open)
                note_left(n);
        *n->at = n->next;
        if (n->next != NULL)
                n->next->at = n->at;
        t->count--;
        metric_set_at(METRIC_TUNNELS, 0, (int64_t)t->count);
        sources_leave(t->sources, SOURCE_TUNNELS, n->peer);
        tunnel_close(n->tunnel);
        free(n->host_id);
        free(n->peer);
        free(n);
        if (t->is_closing && t->list == NULL)
                loop_defer(t->loop, report_empty, t);
}

static void on_end(void *ctx, struct error *err)
{
        struct node_tunnel *n = ctx;
        if (n->is_ready)
                log_info("A node's tunnel has ended", LOG_C("host_id", n->host_id), LOG_C("role", n->role), LOG_ERR(err));
        else
                log_debug("A node has closed a connection before it became a tunnel", LOG_C("host_id", n->host_id), LOG_ERR(err));
        error_free(err);
        node_tunnel_free(n);
}

/* ---- expired certificates ---------------------------------------------------------------------------- */

/* The latest expiry among the certificates of the node's tunnels in this role. */
static struct walltime proven_until(const struct node_tunnel *n)
{
        struct walltime latest = n->not_after;
        for (const struct node_tunnel *other = map_get(&n->all->by_host, str_of(n->host_id)); other != NULL; other = other->older)
                if (is_of_role(other, n->role) && other->not_after.ns > latest.ns)
                        latest = other->not_after;
        return latest;
}

static void on_expiry(void *ctx);

/* The wall clock may be set: the timer runs for PACE_EXPIRY_CHECK at most, then the expiry is checked again. */
static void plan_expiry(struct tunnels *t, struct walltime end)
{
        struct duration wait = walltime_since(end, loop_wall(t->loop));
        if (t->expiry == NULL)
                t->expiry = timer_new(t->loop, on_expiry, t);
        if (timer_is_running(t->expiry) && end.ns >= t->next_expiry.ns)
                return;
        t->next_expiry = end;
        if (wait.ns > MILLISECONDS(PACE_EXPIRY_CHECK).ns)
                wait = MILLISECONDS(PACE_EXPIRY_CHECK);
        timer_start(t->expiry, wait.ns < MILLISECONDS(1).ns ? MILLISECONDS(1) : wait);
}

static void on_expiry(void *ctx)
{
        struct tunnels *t = ctx;
        struct walltime now = loop_wall(t->loop), next = { 0 };
        for (struct node_tunnel *n = t->list, *after; n != NULL; n = after) {
                struct walltime end = proven_until(n);
                after = n->next;
                if (end.ns > now.ns) {
                        if (next.ns == 0 || end.ns < next.ns)
                                next = end;
                        continue;
                }
                log_info("The certificate that opened a node's tunnel has expired, the tunnel is closed", LOG_C("host_id", n->host_id),
                         LOG_C("peer", n->peer));
                node_tunnel_free(n);
        }
        if (next.ns != 0)
                plan_expiry(t, next);
}

/* The node has opened a tunnel with a renewed certificate: tunnels with earlier ones accept no further streams. */
static void drain_older(const struct node_tunnel *n)
{
        for (struct node_tunnel *older = n->older; older != NULL; older = older->older) {
                if (older->is_drained || !is_of_role(older, n->role) || older->not_after.ns >= n->not_after.ns)
                        continue;
                older->is_drained = true;
                tunnel_drain(older->tunnel);
        }
}

static void free_oldest(struct node_tunnel *newest)
{
        struct node_tunnel *oldest = one_too_many(newest);
        if (oldest != NULL)
                node_tunnel_free(oldest);
}

/* The node serves the connection: from now on it is used. */
static void on_ready(void *ctx)
{
        struct node_tunnel *n = ctx;
        struct tunnels *t = n->all;
        if (t->is_closing)
                return; /* the node was asked to leave already */
        leave_chain(n);
        n->is_ready = true;
        enter_chain(n);
        log_info("A node's tunnel is open", LOG_C("host_id", n->host_id), LOG_C("role", n->role), LOG_C("peer", n->peer), LOG_INT("open", t->count));
        drain_older(n);
        free_oldest(n);
        tunnel_guard_name(t->guard, str_of(n->host_id), n->role, n->cert);
        wake(t, n);
}

static void on_leaving(void *ctx)
{
        struct node_tunnel *n = ctx;
        if (n->is_drained || !n->is_ready)
                return;
        n->is_drained = true;
        note_left(n);
}

void tunnels_add(struct tunnels *t, struct stream *tls, const struct cert_info *cert, const char *peer)
{
        const struct service_row *row = services_of_role(cert->role);
        struct str host_id = cert->host_id;

        if (row == NULL || row->kind == NULL)
                bug("a tunnel of a role that offers nothing");
        if (t->is_closing || !sources_enter(t->sources, SOURCE_TUNNELS, peer)) {
                if (!t->is_closing)
                        log_warn("A node's tunnel was turned away: too many are open", LOG_STR("host_id", host_id),
                                 LOG_C("peer", peer));
                stream_close(tls);
                return;
        }
        struct node_tunnel *n = NEW(struct node_tunnel);
        *n = (struct node_tunnel){ .all = t, .next = t->list, .at = &t->list, .host_id = str_dup(host_id),
                                    .role = row->role.name.ptr, .not_after = cert->times.not_after,
                                    .cert = cert_issue_of(walltime_unix(cert->times.not_before), cert->serial_hex), .peer = str_dup(str_of(peer)) };
        if (n->next != NULL)
                n->next->at = &n->next;
        t->list = n;
        t->count++;
        metric_set_at(METRIC_TUNNELS, 0, (int64_t)t->count);
        n->tunnel = tunnel_new(t->loop, tls, on_end, n);
        tunnel_watch(n->tunnel, on_ready, on_leaving);
        enter_chain(n);
        free_oldest(n);
        plan_expiry(t, n->not_after);
}

void tunnels_end_host(struct tunnels *t, struct str host_id, struct str role, struct cert_issue before, const char *reason)
{
        bool is_reported = false;

        for (struct node_tunnel *n = map_get(&t->by_host, host_id), *older; n != NULL; n = older) {
                older = n->older;
                if (role.len > 0 && !str_equal(str_of(n->role), role))
                        continue;
                if (before.not_before != 0 && !cert_issue_is_before(n->cert, before))
                        continue;
                if (!is_reported)
                        log_warn("The tunnels of a node are ended by the cluster", LOG_STR("host_id", host_id), LOG_C("reason", reason));
                is_reported = true;
                node_tunnel_free(n);
        }
}

void tunnels_each(const struct tunnels *t, void (*each)(void *ctx, const char *host_id, const char *role, struct cert_issue cert), void *ctx)
{
        for (const struct node_tunnel *n = t->list; n != NULL; n = n->next)
                if (n->is_ready)
                        each(ctx, n->host_id, n->role, n->cert);
}

struct tunnel_dial *tunnels_connect(struct tunnels *t, const struct tunnel_request *request,
                                    void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct node_tunnel *newest = open_tunnel(t, request->host_id, role_offering(request->kind));
        return newest == NULL ? NULL : tunnel_connect(newest->tunnel, request, done, ctx);
}

static void stop_taking(struct tunnels *t)
{
        t->is_closing = true;
        wake(t, NULL);
        if (t->list == NULL)
                loop_defer(t->loop, report_empty, t);
}

void tunnels_drain(struct tunnels *t)
{
        stop_taking(t);
        for (struct node_tunnel *n = t->list; n != NULL; n = n->next) {
                tunnel_guard_gone(t->guard, str_of(n->host_id), n->role); /* open streams continue, new ones are not accepted */
                tunnel_drain(n->tunnel);
        }
}

void tunnels_shut(struct tunnels *t)
{
        stop_taking(t);
        while (t->list != NULL)
                node_tunnel_free(t->list);
}

void tunnels_release(struct tunnels *t)
{
        map_release(&t->by_host);
        map_release(&t->beginning);
        timer_free(t->expiry);
        t->expiry = NULL;
}
