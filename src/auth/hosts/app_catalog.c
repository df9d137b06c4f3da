/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/app_catalog.h"

#include <stdlib.h>

#include "access/labels.h"
#include "auth/core/auth.h"
#include "auth/hosts/app_addresses.h"
#include "auth/hosts/nodes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "resource/app.h"
#include "state/app.h"
#include "state/state_watch.h"

enum { APP_ARENA = 16 * LIMIT_APP_RESOURCE, MATCHERS_ARENA = 512 * KiB };

/* A resource; immutable. */
struct catalog_app {
        struct arena *arena;
        Cteleport__V1__App *app;
        struct node_app labelled;
        size_t size;
};

struct app_catalog {
        struct auth *auth;
        struct state_watch *watch;
        struct map apps; /* name -> struct catalog_app, owned */
        struct app_selection *selections;
        void (*ready)(void *ctx, struct error *err);
        void *ctx;
};

struct app_selection {
        struct app_catalog *catalog;
        struct app_selection *next, **at;
        const struct app_selection_events *events;
        void *ctx;
        const Cteleport__V1__PresenceUp__Hello *hello;
        struct arena *arena; /* of the matchers */
        const Cteleport__V1__RoleConditions **matchers;
        struct map selected; /* name -> struct catalog_app of the catalog */
        struct map offered;  /* set of names */
        size_t size;         /* of all that is selected */
        size_t left_out;
};

/* ---- which resources match ------------------------------------------------------------------------------ */

static bool matches(const struct app_selection *s, const struct catalog_app *app)
{
        for (size_t i = 0; app != NULL && i < s->hello->n_app_matchers; i++)
                if (labels_match(NULL, s->matchers[i], ROLE_APP_LABELS, app->labelled.labels, app->labelled.label_count, false))
                        return true;
        return false;
}

static bool is_of_file(const struct app_selection *s, struct str name)
{
        for (size_t i = 0; i < s->hello->n_apps; i++)
                if (str_equal(str_of(s->hello->apps[i]->metadata->name), name))
                        return true;
        return false;
}

static bool has_room(const struct app_selection *s, size_t count, size_t size, const struct catalog_app *more)
{
        return s->hello->n_apps + count < LIMIT_APPS && size + more->size <= LIMIT_APPS_BYTES;
}

/* ---- changes of a selection ------------------------------------------------------------------------------- */

static void report_one(struct app_selection *s, const char *name, const struct catalog_app *now, bool was_selected)
{
        Cteleport__V1__PresenceDown__Apps change = CTELEPORT__V1__PRESENCE_DOWN__APPS__INIT;
        Cteleport__V1__App *app = now == NULL ? NULL : now->app;
        char *removed = unconst(name);

        change.apps = &app;
        change.n_apps = app != NULL;
        change.removed = &removed;
        change.n_removed = app == NULL;
        s->events->changed(s->ctx, &change, was_selected && map_get(&s->offered, str_of(name)) != NULL);
}

static int compare_names(const void *a, const void *b)
{
        const struct catalog_app *x = *(struct catalog_app *const *)a, *y = *(struct catalog_app *const *)b;

        return strcmp(x->app->metadata->name, y->app->metadata->name);
}

/* The resources that match, by name; the caller frees the list. */
struct matching {
        const struct app_selection *selection;
        struct catalog_app **list;
        size_t count;
};

static void add_if_matching(void *ctx, struct str name, void *value)
{
        struct matching *m = ctx;

        if (!is_of_file(m->selection, name) && matches(m->selection, value))
                m->list[m->count++] = value;
}

static void select_all(struct app_selection *s)
{
        AUTO_MEM struct catalog_app **list = mem_array(s->catalog->apps.count + 1, sizeof *list);
        struct matching m = { s, list, 0 };

        map_each(&s->catalog->apps, add_if_matching, &m);
        if (m.count > 1)
                qsort(list, m.count, sizeof *list, compare_names);
        map_release(&s->selected);
        s->size = 0;
        s->left_out = 0;
        for (size_t i = 0; i < m.count; i++) {
                if (s->left_out > 0 || !has_room(s, s->selected.count, s->size, list[i])) {
                        s->left_out++;
                        continue;
                }
                map_put(&s->selected, str_of(list[i]->app->metadata->name), list[i]);
                s->size += list[i]->size;
        }
}

static void add_selected(void *ctx, struct str name, void *value)
{
        Cteleport__V1__PresenceDown__Apps *all = ctx;

        (void)name;
        all->apps[all->n_apps++] = ((struct catalog_app *)value)->app;
}

void app_selection_report(struct app_selection *s)
{
        Cteleport__V1__PresenceDown__Apps all = CTELEPORT__V1__PRESENCE_DOWN__APPS__INIT;
        Cteleport__V1__App *list[LIMIT_APPS];

        all.is_complete = true;
        all.apps = list;
        map_each(&s->selected, add_selected, &all);
        s->events->changed(s->ctx, &all, true);
}

/* An application was written or removed; the catalog has the new state already, and `was` is what it had before. */
static void update(struct app_selection *s, const char *name, const struct catalog_app *was, struct catalog_app *now)
{
        bool was_selected = map_get(&s->selected, str_of(name)) != NULL, matches_now = matches(s, now);

        if (is_of_file(s, str_of(name))) {
                if (matches_now != matches(s, was))
                        s->events->changed(s->ctx, NULL, true);
                return;
        }
        if (!was_selected && !matches_now)
                return;
        size_t other_count = s->selected.count - was_selected, other_size = s->size - (was_selected ? was->size : 0);
        if (s->left_out > 0 || (matches_now && !has_room(s, other_count, other_size, now))) {
                select_all(s);
                app_selection_report(s);
                return;
        }
        map_remove(&s->selected, str_of(name));
        if (matches_now)
                map_put(&s->selected, str_of(name), now);
        s->size = other_size + (matches_now ? now->size : 0);
        report_one(s, name, matches_now ? now : NULL, was_selected);
}

/* ---- a selection ------------------------------------------------------------------------------------------ */

struct app_selection *app_selection_new(struct app_catalog *c, const Cteleport__V1__PresenceUp__Hello *hello, const struct app_selection_events *events, void *ctx)
{
        struct app_selection *s = NEW(struct app_selection);

        *s = (struct app_selection){ .catalog = c, .hello = hello, .events = events, .ctx = ctx, .arena = arena_new(MATCHERS_ARENA) };
        s->matchers = arena_alloc(s->arena, (hello->n_app_matchers + 1) * sizeof *s->matchers);
        for (size_t i = 0; i < hello->n_app_matchers; i++)
                error_free(app_matcher_read(hello->app_matchers[i], s->arena, &s->matchers[i])); /* checked with the hello */
        s->next = c->selections;
        s->at = &c->selections;
        if (s->next != NULL)
                s->next->at = &s->next;
        c->selections = s;
        select_all(s);
        return s;
}

void app_selection_free(struct app_selection *s)
{
        if (s == NULL)
                return;
        *s->at = s->next;
        if (s->next != NULL)
                s->next->at = s->at;
        map_release(&s->selected);
        map_release(&s->offered);
        arena_free(s->arena);
        free(s);
}

bool app_selection_offer(struct app_selection *s, char *const *names, size_t count)
{
        struct map before = s->offered;
        bool has_changed = false;
        size_t kept = 0;

        s->offered = (struct map){ 0 };
        for (size_t i = 0; i < count; i++) {
                bool is_new = map_get(&before, str_of(names[i])) == NULL;

                map_put(&s->offered, str_of(names[i]), s);
                kept += !is_new;
                has_changed = has_changed || (is_new && map_get(&s->selected, str_of(names[i])) != NULL);
        }
        has_changed = has_changed || kept < before.count;
        map_release(&before);
        return has_changed;
}

struct put {
        const struct app_selection *selection;
        Cteleport__V1__App **list;
        size_t count;
};

static void put_if_offered(void *ctx, struct str name, void *value)
{
        struct put *p = ctx;

        if (map_get(&p->selection->offered, name) != NULL)
                p->list[p->count++] = ((struct catalog_app *)value)->app;
}

static int compare_apps(const void *a, const void *b)
{
        return strcmp((*(Cteleport__V1__App *const *)a)->metadata->name, (*(Cteleport__V1__App *const *)b)->metadata->name);
}

size_t app_selection_put(struct app_selection *s, Cteleport__V1__App **list)
{
        struct put p = { s, list, 0 };

        map_each(&s->selected, put_if_offered, &p);
        if (p.count > 1)
                qsort(list, p.count, sizeof(Cteleport__V1__App *), compare_apps);
        return p.count;
}

size_t app_selection_hidden(const struct app_selection *s, char **list)
{
        size_t count = 0;

        for (size_t i = 0; i < s->hello->n_apps; i++)
                if (matches(s, map_get(&s->catalog->apps, str_of(s->hello->apps[i]->metadata->name))))
                        list[count++] = s->hello->apps[i]->metadata->name;
        return count;
}

size_t app_selection_left_out(const struct app_selection *s)
{
        return s->left_out;
}

/* ---- the catalog ------------------------------------------------------------------------------------------ */

bool app_catalog_has(const struct app_catalog *c, struct str name)
{
        return c != NULL && map_get(&c->apps, name) != NULL;
}

static void catalog_app_free(struct catalog_app *app)
{
        if (app == NULL)
                return;
        arena_free(app->arena);
        free(app);
}

static bool has_address(const struct catalog_app *app)
{
        return app != NULL && !str_is_empty(app->labelled.public_addr);
}

static void replace(struct app_catalog *c, struct str name, struct catalog_app *now)
{
        struct catalog_app *was = now == NULL ? map_remove(&c->apps, name) : map_put(&c->apps, name, now);
        AUTO_MEM char *text = str_dup(name);

        if (was == NULL || now == NULL || has_address(was) || has_address(now))
                app_addresses_changed(c->auth);
        for (struct app_selection *s = c->selections, *next; s != NULL; s = next) {
                next = s->next;
                update(s, text, was, now);
        }
        catalog_app_free(was);
}

static struct error *take(void *ctx, const struct state_record *record)
{
        struct app_catalog *c = ctx;
        AUTO_PTR(arena) arena = arena_new(APP_ARENA);
        Cteleport__V1__App *app = NULL;
        struct error *err = app_read(arena, record, &app);

        if (err != NULL) {
                replace(c, record->id, NULL); /* no host goes on with what is not known any more */
                return err;
        }
        struct catalog_app *now = NEW(struct catalog_app);
        *now = (struct catalog_app){ .app = app, .size = record->value.len, .labelled = node_app_of(arena, app) };
        now->arena = arena;
        arena = NULL;
        replace(c, record->id, now);
        return NULL;
}

static void on_change(void *ctx, const struct state_record *record, bool is_deleted)
{
        if (is_deleted)
                replace(ctx, record->id, NULL);
        else
                state_log_unreadable(record, take(ctx, record));
}

static void each_id(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        state_each_key(&((struct app_catalog *)ctx)->apps, fn, fn_ctx);
}

static const struct state_watch_events watch_events = { .changed = on_change, .found = take, .each_id = each_id };

static void on_all(void *ctx, struct error *err)
{
        struct app_catalog *c = ctx;

        c->ready(c->ctx, err);
}

struct app_catalog *app_catalog_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx)
{
        struct app_catalog *c = NEW(struct app_catalog);

        *c = (struct app_catalog){ .auth = a, .ready = ready, .ctx = ctx };
        c->watch = state_copy_new(a->store, &app_kind, &a->is_stopping, &watch_events, on_all, c);
        return c;
}

void app_catalog_stop(struct app_catalog *c)
{
        if (c == NULL)
                return;
        state_watch_free(c->watch);
        c->watch = NULL;
}

static void free_one(void *ctx, struct str name, void *value)
{
        (void)ctx;
        (void)name;
        catalog_app_free(value);
}

void app_catalog_close(struct app_catalog *c)
{
        if (c == NULL)
                return;
        app_catalog_stop(c);
        map_each(&c->apps, free_one, NULL);
        map_release(&c->apps);
        free(c);
}

struct each_address {
        void (*each)(void *ctx, struct str app, struct str addr);
        void *ctx;
};

static void pass_address(void *ctx, struct str name, void *value)
{
        const struct each_address *e = ctx;
        const struct catalog_app *app = value;

        if (!str_is_empty(app->labelled.public_addr))
                e->each(e->ctx, name, app->labelled.public_addr);
}

void app_catalog_each_address(struct app_catalog *c, void (*each)(void *ctx, struct str app, struct str addr), void *ctx)
{
        if (c != NULL)
                map_each(&c->apps, pass_address, &(struct each_address){ each, ctx });
}

size_t app_catalog_count(const struct app_catalog *c)
{
        return c == NULL ? 0 : c->apps.count;
}
