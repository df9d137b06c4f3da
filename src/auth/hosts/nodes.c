/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/nodes.h"

#include <stdlib.h>

#include "auth/hosts/app_addresses.h"
#include "auth/hosts/app_index.h"
#include "auth/hosts/hosts.h"
#include "auth/hosts/servers.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "rpc/rpc.h"
#include "state/state_watch.h"

enum { PRESENCE_ARENA = LIMIT_STORE_VALUE * 4 };

/* A host and the name that it announces; element of the list of hosts with that name. */
struct entry {
        struct entry *next, **at;
        char *name; /* in canonical form */
        char host_id[];
};

struct nodes {
        struct auth *auth;
        struct state_watch *watch;
        struct map by_id;   /* host ID -> struct entry, owned */
        struct map by_name; /* canonical form -> struct list, owned */
        struct app_index apps;
        void (*ready)(void *ctx, struct error *err);
        void *ready_ctx;
        bool is_closed; /* nodes_close() was called while the records are read */
};

struct list {
        struct entry *first;
};

/* ---- the index ----------------------------------------------------------------------------------------- */

static char *canonical(const struct nodes *n, struct str name)
{
        AUTO(buf) out = BUF_MAX(2 * LIMIT_NAME);

        name_put_canonical(&out, name, n->auth->cluster);
        return buf_take(&out);
}

static void forget(struct nodes *n, struct entry *e)
{
        struct list *list = map_get(&n->by_name, str_of(e->name));

        *e->at = e->next;
        if (e->next != NULL)
                e->next->at = e->at;
        if (list != NULL && list->first == NULL)
                free(map_remove(&n->by_name, str_of(e->name)));
        map_remove(&n->by_id, str_of(e->host_id));
        metric_set(METRIC_HOSTS, "node", "", (int64_t)n->by_id.count);
        free(e->name);
        free(e);
}

static void note(struct nodes *n, struct str host_id, struct str hostname)
{
        struct entry *e = map_get(&n->by_id, host_id);
        AUTO_MEM char *name = canonical(n, hostname);

        if (e != NULL && strcmp(e->name, name) == 0)
                return;
        if (e != NULL)
                forget(n, e);
        struct list *list = map_get(&n->by_name, str_of(name));
        if (list == NULL) {
                list = NEW(struct list);
                map_put(&n->by_name, str_of(name), list);
        }
        e = mem_alloc(sizeof *e + host_id.len + 1);
        memcpy(e->host_id, host_id.ptr, host_id.len);
        e->name = str_dup(str_of(name));
        e->next = list->first;
        e->at = &list->first;
        if (e->next != NULL)
                e->next->at = &e->next;
        list->first = e;
        map_put(&n->by_id, host_id, e);
        metric_set(METRIC_HOSTS, "node", "", (int64_t)n->by_id.count);
}

static void note_apps(struct nodes *n, struct str host_id, Cteleport__V1__App *const *apps, size_t count)
{
        if (app_index_note(&n->apps, host_id, apps, count))
                app_addresses_changed(n->auth);
}

static struct error *note_record(void *ctx, const struct state_record *record)
{
        AUTO_PTR(arena) arena = arena_new(PRESENCE_ARENA);
        Cteleport__State__V1__Presence *presence = NULL;

        TRY(presence_read(arena, record, &presence));
        note(ctx, record->id, str_of(presence->hostname));
        note_apps(ctx, record->id, presence->apps, presence->n_apps);
        return NULL;
}

static void on_change(void *ctx, const struct state_record *record, bool is_deleted)
{
        struct nodes *n = ctx;
        struct entry *e = map_get(&n->by_id, record->id);

        if (!is_deleted)
                state_log_unreadable(record, note_record(n, record));
        else if (e != NULL)
                forget(n, e);
        if (is_deleted)
                note_apps(n, record->id, NULL, 0);
}

size_t nodes_named(const struct nodes *n, struct str host_name, struct str *ret_ids, size_t room)
{
        AUTO_MEM char *name = canonical(n, host_name);
        const struct list *list = map_get(&n->by_name, str_of(name));
        size_t count = 0;

        for (const struct entry *e = list == NULL ? NULL : list->first; e != NULL; e = e->next, count++)
                if (count < room)
                        ret_ids[count] = str_of(e->host_id);
        return count;
}

size_t nodes_dialled(const struct nodes *n, struct str target, struct str ret_ids[LIMIT_DIAL_CANDIDATES])
{
        AUTO_MEM char *name = canonical(n, target);

        if (name_is_host_id(str_of(name))) {
                const struct entry *e = map_get(&n->by_id, str_of(name));

                if (e != NULL)
                        ret_ids[0] = str_of(e->host_id);
                return e != NULL;
        }
        size_t count = nodes_named(n, target, ret_ids, LIMIT_DIAL_CANDIDATES), kept = 0;
        for (size_t i = 0; i < count && i < LIMIT_DIAL_CANDIDATES; i++) {
                AUTO_PTR(error) err = servers_check_name(n->auth, target, (struct server_claim){ .host_id = ret_ids[i] });

                if (err == NULL) /* else the name is a public name of a proxy now, and the host is reached by its ID only */
                        ret_ids[kept++] = ret_ids[i];
        }
        return kept;
}

size_t nodes_offering_app(const struct nodes *n, struct str name, struct str ret_ids[LIMIT_DIAL_CANDIDATES])
{
        return app_index_find(&n->apps, n->auth, name, ret_ids);
}

void nodes_each_app_address(const struct nodes *n, void (*each)(void *ctx, struct str app, struct str addr), void *ctx)
{
        app_index_each_address(&n->apps, each, ctx);
}

void nodes_each_app(const struct nodes *n, void (*each)(void *ctx, struct str app), void *ctx)
{
        app_index_each_name(&n->apps, each, ctx);
}

size_t nodes_app_conflicts(const struct nodes *n, struct arena *arena, char **ret, size_t room)
{
        return app_index_conflicts(&n->apps, arena, ret, room);
}

/* ---- open and close --------------------------------------------------------------------------------------- */

static void free_entry(void *ctx, struct str key, void *value)
{
        struct entry *e = value;

        (void)ctx;
        (void)key;
        free(e->name);
        free(e);
}

static void free_list(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        free(value);
}

static void nodes_free(struct nodes *n)
{
        map_each(&n->by_id, free_entry, NULL);
        map_each(&n->by_name, free_list, NULL);
        map_release(&n->by_id);
        map_release(&n->by_name);
        app_index_release(&n->apps);
        free(n);
}

static void each_id(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        state_each_key(&((struct nodes *)ctx)->by_id, fn, fn_ctx);
}

static const struct state_watch_events watch_events = { .changed = on_change, .found = note_record, .each_id = each_id };

static void on_read(void *ctx, struct error *err)
{
        struct nodes *n = ctx;
        void (*ready)(void *ctx, struct error *err) = n->ready;
        void *ready_ctx = n->ready_ctx;

        n->ready = NULL;
        if (n->is_closed) {
                nodes_free(n);
                if (err == NULL)
                        err = error_new(ERROR_CANCELLED, "the list of nodes was closed");
        }
        ready(ready_ctx, err);
}

struct nodes *nodes_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx)
{
        struct nodes *n = NEW(struct nodes);

        n->auth = a;
        n->ready = ready;
        n->ready_ctx = ctx;
        n->watch = state_copy_new(a->store, &presence_kind, &n->is_closed, &watch_events, on_read, n);
        return n;
}

void nodes_close(struct nodes *n)
{
        if (n == NULL)
                return;
        state_watch_free(n->watch);
        if (n->ready == NULL)
                nodes_free(n);
        else
                n->is_closed = true;
}

/* ---- one node ------------------------------------------------------------------------------------------------- */

/* The result of a command replaces a static label of the same name: a node has one value for each label. */
static bool is_commanded(const Cteleport__State__V1__Presence *p, const char *name)
{
        for (size_t i = 0; i < p->n_commands; i++)
                if (strcmp(p->commands[i]->name, name) == 0)
                        return true;
        return false;
}

struct node_app node_app_of(struct arena *arena, const Cteleport__V1__App *app)
{
        const Cteleport__V1__Metadata *m = app->metadata;
        struct node_app result = { .name = m == NULL ? STR("") : str_of(m->name), .uri = app->spec == NULL ? STR("") : str_of(app->spec->uri),
                                   .public_addr = app->spec == NULL ? STR("") : str_of(app->spec->public_addr), .spec = app->spec };

        if (m == NULL)
                return result;
        result.labels = arena_alloc(arena, (m->n_labels + 1) * sizeof *result.labels);
        for (size_t i = 0; i < m->n_labels; i++)
                result.labels[result.label_count++] = (struct access_label){ str_of(m->labels[i]->key), str_of(m->labels[i]->value) };
        return result;
}

const struct node_app *node_find_app(const struct node *host, struct str name)
{
        for (size_t i = 0; i < host->app_count; i++)
                if (str_equal(host->apps[i].name, name))
                        return &host->apps[i];
        return NULL;
}

struct node node_of_presence(struct arena *arena, const Cteleport__State__V1__Presence *p)
{
        bool has_roles = p->n_system_roles > 0;
        struct node node = {
                .host_id = str_of(p->host_id),
                .hostname = str_of(p->hostname),
                .aws_account = str_of(p->aws_account),
                .aws_arn = str_of(p->aws_arn),
                .system_roles = has_roles ? p->system_roles : p->services,
                .system_role_count = has_roles ? p->n_system_roles : p->n_services,
        };

        node.labels = arena_alloc(arena, (p->n_labels + p->n_commands + 1) * sizeof *node.labels);
        for (size_t i = 0; i < p->n_labels; i++)
                if (!is_commanded(p, p->labels[i]->key))
                        node.labels[node.label_count++] = (struct access_label){ str_of(p->labels[i]->key), str_of(p->labels[i]->value) };
        for (size_t i = 0; i < p->n_commands; i++)
                node.labels[node.label_count++] = (struct access_label){ str_of(p->commands[i]->name), str_of(p->commands[i]->result) };
        for (size_t i = 0; i < p->n_services; i++)
                node.has_ssh = node.has_ssh || services_offers(str_of(p->services[i]), "node");
        node.apps = arena_alloc(arena, (p->n_apps + 1) * sizeof *node.apps);
        for (size_t i = 0; i < p->n_apps; i++)
                node.apps[node.app_count++] = node_app_of(arena, p->apps[i]);
        return node;
}

struct find {
        void (*done)(void *ctx, const struct node *node, struct error *err);
        void *ctx;
};

static void on_record(void *ctx, const struct state_record *record, struct error *err)
{
        struct find *f = ctx;
        AUTO_PTR(arena) arena = arena_new(PRESENCE_ARENA);
        Cteleport__State__V1__Presence *presence = NULL;
        struct node node = { 0 };

        if (err == NULL && record != NULL)
                err = presence_read(arena, record, &presence);
        if (err == NULL && presence != NULL)
                node = node_of_presence(arena, presence);
        f->done(f->ctx, err != NULL || presence == NULL ? NULL : &node, err);
        free(f);
}

void node_find(struct auth *a, struct str host_id, void (*done)(void *ctx, const struct node *node, struct error *err), void *ctx)
{
        struct find *f = NEW(struct find);

        *f = (struct find){ done, ctx };
        state_get(a->store, &presence_kind, host_id, on_record, f);
}
