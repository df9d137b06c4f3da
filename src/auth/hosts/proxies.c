/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/proxies.h"

#include <stdlib.h>

#include "auth/hosts/hosts.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "state/presence.h"
#include "state/state_watch.h"

/* Memory of one decoded presence record. */
enum { RECORD_ARENA = 4 * LIMIT_STORE_VALUE };

struct proxies {
        struct auth *auth;
        struct map by_id; /* host ID -> address, owned; "": not announced */
        struct state_watch *watch;
        void (*ready)(void *ctx, struct error *err); /* NULL after its call */
        void (*changed)(void *ctx);
        void *ctx;
        bool is_reporting; /* report() is deferred */
        bool is_closed;  /* report() frees the list */
};

/* ---- the list ------------------------------------------------------------------------------------------- */

static void free_address(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        free(value);
}

static void proxies_free(struct proxies *p)
{
        map_each(&p->by_id, free_address, NULL);
        map_release(&p->by_id);
        free(p);
}

static void report(void *ctx)
{
        struct proxies *p = ctx;

        p->is_reporting = false;
        if (p->is_closed)
                proxies_free(p);
        else
                p->changed(p->ctx);
}

static void report_soon(struct proxies *p)
{
        if (p->is_reporting || p->ready != NULL)
                return;
        p->is_reporting = true;
        loop_defer(&p->auth->loop, report, p);
}

void proxies_note(struct proxies *p, struct str host_id, bool is_proxy, struct str addr)
{
        const char *known = map_get(&p->by_id, host_id);

        if (is_proxy ? known != NULL && str_equal(str_of(known), addr) : known == NULL)
                return;
        if (is_proxy)
                free(map_put(&p->by_id, host_id, str_dup(addr)));
        else
                free(map_remove(&p->by_id, host_id));
        report_soon(p);
}

void proxies_note_connected(struct proxies *p)
{
        if (p != NULL)
                report_soon(p);
}

struct gathering {
        const struct auth *auth;
        struct arena *arena;
        Cteleport__V1__PresenceDown__Proxy **list;
        size_t count;
};

static void gather(void *ctx, struct str key, void *value)
{
        struct gathering *g = ctx;
        Cteleport__V1__PresenceDown__Proxy *proxy = arena_alloc(g->arena, sizeof *proxy);

        cteleport__v1__presence_down__proxy__init(proxy);
        proxy->host_id = pb_text(arena_str(g->arena, key).ptr);
        proxy->addr = pb_text(arena_str(g->arena, str_of(value)).ptr);
        proxy->is_away = map_get(&g->auth->live, key) == NULL; /* proxies never poll */
        g->list[g->count++] = proxy;
}

static int compare(const void *a, const void *b)
{
        return strcmp((*(Cteleport__V1__PresenceDown__Proxy *const *)a)->host_id, (*(Cteleport__V1__PresenceDown__Proxy *const *)b)->host_id);
}

void proxies_list(const struct proxies *p, struct arena *arena, Cteleport__V1__PresenceDown__Proxies *ret)
{
        struct gathering g = { p->auth, arena, arena_alloc(arena, (p->by_id.count + 1) * sizeof *g.list), 0 };

        map_each((struct map *)(uintptr_t)&p->by_id, gather, &g); /* the map is not changed */
        qsort(g.list, g.count, sizeof *g.list, compare);
        cteleport__v1__presence_down__proxies__init(ret);
        ret->proxies = g.list;
        ret->n_proxies = g.count;
        ret->connection_count = p->auth->agent_connections;
}

struct str proxies_public_addr(const struct proxies *p, struct arena *arena)
{
        Cteleport__V1__PresenceDown__Proxies all;

        proxies_list(p, arena, &all);
        for (size_t i = 0; i < all.n_proxies; i++)
                if (all.proxies[i]->addr[0] != '\0')
                        return str_of(all.proxies[i]->addr);
        return STR("");
}

/* ---- following the store ---------------------------------------------------------------------------------- */

/* Only deletions count: presence.c adds a proxy when its host connects, so heartbeats are ignored here. */
static void on_change(void *ctx, const struct state_record *record, bool is_deleted)
{
        if (is_deleted)
                proxies_note(ctx, record->id, false, STR(""));
}

static struct error *note_record(void *ctx, const struct state_record *record)
{
        struct proxies *p = ctx;
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        Cteleport__State__V1__Presence *presence = NULL;
        bool is_proxy = false;

        TRY(presence_read(arena, record, &presence));
        for (size_t i = 0; i < presence->n_services; i++)
                is_proxy = is_proxy || strcmp(presence->services[i], "Proxy") == 0;
        proxies_note(p, record->id, is_proxy, str_of(presence->proxy_addr));
        return NULL;
}

static void each_id(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        state_each_key(&((struct proxies *)ctx)->by_id, fn, fn_ctx);
}

static const struct state_watch_events watch_events = { .changed = on_change, .found = note_record, .each_id = each_id };

static void finish(void *ctx, struct error *err)
{
        struct proxies *p = ctx;
        void (*ready)(void *ctx, struct error *err) = p->ready;

        p->ready = NULL;
        ready(p->ctx, err);
}

struct proxies *proxies_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void (*changed)(void *ctx), void *ctx)
{
        struct proxies *p = NEW(struct proxies);

        *p = (struct proxies){ .auth = a, .ready = ready, .changed = changed, .ctx = ctx };
        p->watch = state_copy_new(a->store, &presence_kind, &a->is_stopping, &watch_events, finish, p);
        return p;
}

void proxies_stop(struct proxies *p)
{
        if (p == NULL)
                return;
        state_watch_free(p->watch);
        p->watch = NULL;
}

void proxies_close(struct proxies *p)
{
        if (p == NULL)
                return;
        proxies_stop(p);
        p->is_closed = true;
        if (!p->is_reporting)
                proxies_free(p);
}
