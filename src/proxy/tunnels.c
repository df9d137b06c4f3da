/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tunnels.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/sources.h"

struct node_tunnel {
        struct tunnels *all;
        struct node_tunnel *next, **at;
        struct node_tunnel *older; /* of the same host */
        struct tunnel *tunnel;
        char *host_id, *peer;
};

/* ---- the chain of a host: newest first ------------------------------------------------------------- */

static void leave_chain(struct node_tunnel *n)
{
        struct tunnels *t = n->all;
        struct node_tunnel *first = map_get(&t->by_host, str_of(n->host_id));
        struct node_tunnel **at = &first;
        while (*at != n)
                at = &(*at)->older;
        *at = n->older;
        if (first == NULL)
                (void)map_remove(&t->by_host, str_of(n->host_id));
        else
                (void)map_put(&t->by_host, str_of(n->host_id), first);
}

/* The tunnel that makes this chain too long; NULL: it is not. */
static struct node_tunnel *one_too_many(struct node_tunnel *first)
{
        size_t length = 0;
        for (; first != NULL; first = first->older) {
                if (++length > LIMIT_TUNNELS_PER_HOST)
                        return first;
        }
        return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------ */

static void tell_empty(void *ctx)
{
        struct tunnels *t = ctx;
        if (t->list == NULL && t->on_empty != NULL)
                t->on_empty(t->ctx);
}

static void node_tunnel_free(struct node_tunnel *n)
{
        struct tunnels *t = n->all;
        leave_chain(n);
        *n->at = n->next;
        if (n->next != NULL)
                n->next->at = n->at;
        t->count--;
        sources_leave(t->sources, SOURCE_TUNNELS, n->peer);
        tunnel_close(n->tunnel);
        free(n->host_id);
        free(n->peer);
        free(n);
        if (t->is_closing && t->list == NULL)
                loop_defer(t->loop, tell_empty, t);
}

static void on_end(void *ctx, struct error *err)
{
        struct node_tunnel *n = ctx;
        log_info("A node's tunnel has ended", LOG_C("host_id", n->host_id), LOG_ERR(err));
        error_free(err);
        node_tunnel_free(n);
}

void tunnels_add(struct tunnels *t, struct stream *tls, struct str host_id, const char *peer)
{
        if (t->is_closing || !sources_enter(t->sources, SOURCE_TUNNELS, peer)) {
                if (!t->is_closing)
                        log_warn("A node's tunnel was turned away: too many are open", LOG_STR("host_id", host_id),
                                 LOG_C("peer", peer));
                stream_close(tls);
                return;
        }
        struct node_tunnel *n = NEW(struct node_tunnel);
        *n = (struct node_tunnel){ .all = t, .next = t->list, .at = &t->list, .host_id = str_dup(host_id),
                                    .peer = str_dup(str_of(peer)) };
        if (n->next != NULL)
                n->next->at = &n->next;
        t->list = n;
        t->count++;
        n->tunnel = tunnel_new(t->loop, tls, on_end, n);
        n->older = map_put(&t->by_host, host_id, n);
        log_info("A node's tunnel is open", LOG_STR("host_id", host_id), LOG_C("peer", peer), LOG_INT("open", t->count));
        struct node_tunnel *oldest = one_too_many(n);
        if (oldest != NULL)
                node_tunnel_free(oldest);
}

struct tunnel_dial *tunnels_connect(struct tunnels *t, const struct tunnel_request *request,
                                    void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct node_tunnel *newest = map_get(&t->by_host, request->host_id);
        return newest == NULL ? NULL : tunnel_connect(newest->tunnel, request, done, ctx);
}

static void stop_taking(struct tunnels *t)
{
        t->is_closing = true;
        if (t->list == NULL)
                loop_defer(t->loop, tell_empty, t);
}

void tunnels_drain(struct tunnels *t)
{
        stop_taking(t);
        for (struct node_tunnel *n = t->list; n != NULL; n = n->next)
                tunnel_drain(n->tunnel);
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
}
