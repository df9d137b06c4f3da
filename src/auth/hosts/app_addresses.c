/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/app_addresses.h"

#include <stdlib.h>

#include "auth/hosts/app_catalog.h"
#include "auth/hosts/nodes.h"
#include "auth/hosts/servers.h"
#include "auth/hosts/tunnels_service.h"
#include "auth/sessions/sessions.h"
#include "base/limits.h"
#include "base/log.h"
#include "rpc/pb.h"

/* What an address leads to. */
struct address {
        Cteleport__V1__AppAddress row;
        bool is_of_resource;
};

struct reading {
        const struct auth *auth;
        struct arena *arena;
        struct map by_addr; /* addr -> struct address, in the arena */
        Cteleport__V1__AppAddress **rows;
        size_t count;
        bool is_of_resource;
        struct buf conflicts; /* one line for each */
        bool is_logged;       /* the log gets them */
};

enum { CONFLICTS_MAX = 64 * KiB };

/* NULL while the hosts are not read yet: at the start, when resources are. */
static const struct nodes *nodes_of(const struct auth *a)
{
        return a->sessions == NULL ? NULL : sessions_nodes(a->sessions);
}

static bool is_of_server(const struct auth *a, struct str addr)
{
        AUTO_PTR(error) err = servers_check_name(a, addr, (struct server_claim){ 0 });

        return err != NULL;
}

static struct address *new_address(struct reading *r, struct str addr)
{
        struct address *known = arena_alloc(r->arena, sizeof *known);

        cteleport__v1__app_address__init(&known->row);
        known->row.addr = pb_text(arena_str(r->arena, addr).ptr);
        r->rows[r->count++] = &known->row;
        map_put(&r->by_addr, addr, known);
        return known;
}

static bool logs_conflict(struct reading *r, struct str app, struct str addr)
{
        buf_printf(&r->conflicts, "%.*s %.*s\n", STR_ARG(app), STR_ARG(addr));
        return r->is_logged;
}

static void add(void *ctx, struct str app, struct str addr)
{
        struct reading *r = ctx;
        struct address *known = map_get(&r->by_addr, addr);

        if (!r->is_of_resource && app_catalog_has(r->auth->apps, app)) /* a host chooses nothing for what administrators have named */
                return;
        if (known == NULL && (is_of_server(r->auth, addr) || r->count == LIMIT_APP_ADDRESSES)) {
                if (logs_conflict(r, app, addr))
                        log_warn("The public_addr of an application is not served", LOG_STR("app", app), LOG_STR("public_addr", addr),
                                 LOG_C("reason", r->count == LIMIT_APP_ADDRESSES ? "the cluster has LIMIT_APP_ADDRESSES of them"
                                                                                 : "it is the name of a server of the cluster, or below that of a proxy"));
                return;
        }
        if (known == NULL) {
                known = new_address(r, addr);
                known->is_of_resource = r->is_of_resource;
                known->row.app = pb_text(arena_str(r->arena, app).ptr);
        } else if (!str_equal(str_of(known->row.app), app)) {
                if (logs_conflict(r, app, addr))
                        log_warn("Two applications have one public_addr", LOG_STR("public_addr", addr), LOG_STR("app", app), LOG_C("other_app", known->row.app),
                                 LOG_C("hint", known->is_of_resource && !r->is_of_resource ? "it leads to the other one, which is a resource"
                                                                                           : "it leads to neither: tctl apps ls lists them"));
                if (known->is_of_resource == r->is_of_resource)
                        known->row.app = pb_text("");
        }
}

static int compare(const void *a, const void *b)
{
        return strcmp((*(Cteleport__V1__AppAddress *const *)a)->addr, (*(Cteleport__V1__AppAddress *const *)b)->addr);
}

struct names {
        struct arena *arena;
        char **list;
        size_t count;
};

static void add_app(void *ctx, struct str app)
{
        struct names *n = ctx;

        if (n->count < LIMIT_APP_NAMES)
                n->list[n->count++] = pb_text(arena_str(n->arena, app).ptr);
}

static int compare_texts(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_names(const struct auth *a, struct arena *arena, Cteleport__V1__AppAddresses *ret)
{
        struct names n = { .arena = arena, .list = arena_alloc(arena, LIMIT_APP_NAMES * sizeof *n.list) };

        if (nodes_of(a) != NULL)
                nodes_each_app(nodes_of(a), add_app, &n);
        if (n.count > 1)
                qsort(n.list, n.count, sizeof *n.list, compare_texts);
        ret->names = n.list;
        ret->n_names = n.count;
}

/* *ret_conflicts: empty; those of the addresses. */
static void read_all(const struct auth *a, struct arena *arena, Cteleport__V1__AppAddresses *ret, bool is_logged, struct buf *ret_conflicts)
{
        struct reading r = { .auth = a, .arena = arena, .rows = arena_alloc(arena, LIMIT_APP_ADDRESSES * sizeof *r.rows), .is_of_resource = true,
                             .conflicts = BUF_MAX(CONFLICTS_MAX), .is_logged = is_logged };

        cteleport__v1__app_addresses__init(ret);
        app_catalog_each_address(a->apps, add, &r);
        r.is_of_resource = false;
        if (nodes_of(a) != NULL)
                nodes_each_app_address(nodes_of(a), add, &r);
        map_release(&r.by_addr);
        if (r.count > 1)
                qsort(r.rows, r.count, sizeof *r.rows, compare);
        ret->addresses = r.rows;
        ret->n_addresses = r.count;
        read_names(a, arena, ret);
        *ret_conflicts = r.conflicts;
}

void app_addresses_read(const struct auth *a, struct arena *arena, Cteleport__V1__AppAddresses *ret)
{
        AUTO(buf) conflicts = { 0 };

        read_all(a, arena, ret, false, &conflicts);
}

/* Logs the conflicts, if they are not those that the log has already: hosts come and go. */
static void log_conflicts(struct auth *a, struct str conflicts)
{
        AUTO_PTR(arena) arena = arena_new(APP_ADDRESSES_ARENA);
        AUTO(buf) again = { 0 };
        Cteleport__V1__AppAddresses addresses;

        if (str_equal(conflicts, str_of(a->app_conflicts)))
                return;
        free(a->app_conflicts);
        a->app_conflicts = str_dup(conflicts);
        read_all(a, arena, &addresses, true, &again);
}

size_t app_warnings(const struct auth *a, struct arena *arena, char **ret)
{
        Cteleport__V1__AppAddresses addresses;
        size_t count = nodes_of(a) == NULL ? 0 : nodes_app_conflicts(nodes_of(a), arena, ret, APP_WARNINGS);

        app_addresses_read(a, arena, &addresses);
        for (size_t i = 0; i < addresses.n_addresses && count < APP_WARNINGS; i++)
                if (addresses.addresses[i]->app[0] == '\0')
                        ret[count++] = pb_text(arena_printf(arena, "several applications have the public_addr '%s', which leads to none of them: tctl apps ls",
                                                            addresses.addresses[i]->addr));
        return count;
}

/* ---- to the proxies ----------------------------------------------------------------------------------------- */

static void send_all(void *ctx)
{
        struct auth *a = ctx;
        AUTO_PTR(arena) arena = arena_new(APP_ADDRESSES_ARENA);
        Cteleport__V1__AppAddresses addresses;

        if (a->is_stopping) /* and the sessions may be closed */
                return;
        AUTO(buf) conflicts = { 0 };
        read_all(a, arena, &addresses, false, &conflicts);
        log_conflicts(a, buf_str(&conflicts));
        tunnels_send_addresses(a, &addresses);
}

void app_addresses_changed(struct auth *a)
{
        if (a->is_stopping)
                return;
        if (a->app_addresses == NULL)
                a->app_addresses = timer_new(&a->loop, send_all, a);
        if (!timer_is_running(a->app_addresses))
                timer_start(a->app_addresses, MILLISECONDS(PACE_APP_ADDRESSES));
}

void app_addresses_stop(struct auth *a)
{
        timer_free(a->app_addresses);
        a->app_addresses = NULL;
        free(a->app_conflicts);
        a->app_conflicts = NULL;
}

/* ---- writing a resource ------------------------------------------------------------------------------------- */

struct search {
        struct str app, addr;
        const char *other; /* another resource with the address */
        struct arena *arena;
};

static void find_other(void *ctx, struct str app, struct str addr)
{
        struct search *s = ctx;

        if (str_equal(addr, s->addr) && !str_equal(app, s->app))
                s->other = arena_str(s->arena, app).ptr;
}

struct error *app_addresses_check(const struct auth *a, const Cteleport__V1__App *app)
{
        AUTO_PTR(arena) arena = arena_new(4 * LIMIT_NAME);
        struct search s = { .app = str_of(app->metadata->name), .addr = str_of(app->spec->public_addr), .arena = arena };

        if (str_is_empty(s.addr))
                return NULL;
        if (is_of_server(a, s.addr))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "the public_addr '%s' is the name of a server of the cluster, or below that of a proxy", s.addr.ptr),
                                  "every application has NAME.PROXY without public_addr; choose a name of another domain, or leave it out");
        app_catalog_each_address(a->apps, find_other, &s);
        if (s.other != NULL)
                return error_hint(error_new(ERROR_ALREADY_EXISTS, "the application '%s' has the public_addr '%s'", s.other, s.addr.ptr),
                                  "choose another name, or remove it there: tctl edit app/%s", s.other);
        return NULL;
}

const char *app_addresses_other(const struct auth *a, const Cteleport__V1__App *app, struct arena *arena)
{
        struct search s = { .app = str_of(app->metadata->name), .addr = str_of(app->spec->public_addr), .arena = arena };

        if (nodes_of(a) != NULL)
                nodes_each_app_address(nodes_of(a), find_other, &s);
        return s.other;
}
