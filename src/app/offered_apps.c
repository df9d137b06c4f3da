/* SPDX-License-Identifier: Apache-2.0 */
#include "app/offered_apps.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "resource/app_ports.h"
#include "rpc/wire.h"

enum { APP_ARENA = 1 * MiB, PACKED_MAX = LIMIT_APPS_BYTES };

struct offered_app *offered_app_find(const struct offered_apps *a, struct str name)
{
        return map_get(&a->by_name, name);
}

struct offered_app *offered_app_hold(struct offered_app *app)
{
        app->holders++;
        return app;
}

void offered_app_release(struct offered_app *app)
{
        if (app == NULL || --app->holders > 0)
                return;
        arena_free(app->arena);
        free(app);
}

static struct error *copy(const Cteleport__V1__AppConfig *sent, struct offered_app *ret)
{
        AUTO(buf) packed = BUF_MAX(PACKED_MAX);
        ProtobufCMessage *message = NULL;

        wire_encode(&packed, &sent->base);
        ret->packed = arena_str(ret->arena, buf_str(&packed));
        TRY(wire_copy(ret->arena, &sent->base, &message));
        ret->config = (const Cteleport__V1__AppConfig *)(const void *)message;
        return NULL;
}

static void add(struct offered_apps *a, struct map *former, const Cteleport__V1__AppConfig *sent)
{
        struct offered_app *app = NEW(struct offered_app), *same = map_get(former, str_of(sent->name));

        *app = (struct offered_app){ .arena = arena_new(APP_ARENA), .holders = 1 };
        struct error *err = copy(sent, app);
        if (err != NULL) {
                log_warn("An application is not offered", LOG_C("app", sent->name), LOG_ERR(err));
                error_free(err);
                offered_app_release(app);
                return;
        }
        if (same != NULL && str_equal(same->packed, app->packed)) {
                offered_app_release(app);
                app = map_remove(former, str_of(sent->name));
        }
        offered_app_release(map_put(&a->by_name, str_of(sent->name), app));
}

struct leaving {
        const struct offered_apps *now;
        void (*ended)(void *ctx, struct offered_app *app, const char *why);
        void *ctx;
};

/* An application of the former table that is not in the new one as it was. */
static void leave(void *ctx, struct str name, void *value)
{
        struct leaving *l = ctx;
        struct offered_app *app = value;
        const struct offered_app *now = offered_app_find(l->now, name);

        if (now == NULL)
                l->ended(l->ctx, app, "this host does not offer the application any more");
        else if (strcmp(now->config->uri, app->config->uri) != 0)
                l->ended(l->ctx, app, "the address of the application was changed: connect again");
        else if (!app_ports_equal(APP_PORTS(now->config), APP_PORTS(app->config)))
                l->ended(l->ctx, app, "the application does not have this port any more");
        offered_app_release(app);
}

void offered_apps_set(struct offered_apps *a, const Cteleport__Internal__V1__Apps *sent, void (*ended)(void *ctx, struct offered_app *app, const char *why), void *ctx)
{
        struct map former = a->by_name;
        struct leaving l = { a, ended, ctx };

        a->by_name = (struct map){ 0 };
        for (size_t i = 0; i < sent->n_apps; i++)
                if (sent->apps[i]->name != NULL && sent->apps[i]->uri != NULL)
                        add(a, &former, sent->apps[i]);
        map_each(&former, leave, &l);
        map_release(&former);
}

struct names {
        char **list;
        size_t count;
};

static void add_name(void *ctx, struct str name, void *value)
{
        struct names *n = ctx;

        (void)name;
        if (n->count < LIMIT_APPS)
                n->list[n->count++] = ((struct offered_app *)value)->config->name;
}

size_t offered_apps_names(struct offered_apps *a, char **list)
{
        struct names n = { list, 0 };

        map_each(&a->by_name, add_name, &n);
        return n.count;
}

static void release_one(void *ctx, struct str name, void *value)
{
        (void)ctx;
        (void)name;
        offered_app_release(value);
}

void offered_apps_release(struct offered_apps *a)
{
        map_each(&a->by_name, release_one, NULL);
        map_release(&a->by_name);
}
