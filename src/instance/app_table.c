/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/app_table.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/key.h"
#include "resource/app.h"
#include "rpc/pb.h"
#include "rpc/wire.h"

enum { TABLE_ARENA = 1 * MiB, RESOURCE_ARENA = 16 * LIMIT_APP_RESOURCE, PACKED_MAX = 2 * LIMIT_APPS_BYTES + 32 * LIMIT_APPS };

/* A resource that the cluster has sent, in the arena. */
struct resource {
        struct arena *arena;
        Cteleport__V1__App *app;
};

struct app_table {
        const Cteleport__V1__AppServiceConfig *config;
        struct map resources; /* name -> struct resource, owned */
        bool is_known;        /* the cluster has sent them; always without matchers */
        struct arena *arena;  /* of message */
        Cteleport__Internal__V1__Apps message;
};

/* ---- the message ------------------------------------------------------------------------------------------ */

static bool is_of_file(const struct app_table *t, struct str name)
{
        for (size_t i = 0; i < t->config->n_apps; i++)
                if (str_equal(str_of(t->config->apps[i]->name), name))
                        return true;
        return false;
}

static void add_resource(void *ctx, struct str name, void *value)
{
        struct app_table *t = ctx;

        if (!is_of_file(t, name))
                t->message.apps[t->message.n_apps++] = app_config_of(((struct resource *)value)->app, t->arena);
}

static int compare(const void *a, const void *b)
{
        return strcmp((*(Cteleport__V1__AppConfig *const *)a)->name, (*(Cteleport__V1__AppConfig *const *)b)->name);
}

/* The revision is a digest: a new instance process gives the same one to the same table. */
static void build(struct app_table *t)
{
        AUTO(buf) packed = BUF_MAX(PACKED_MAX), revision = BUF_MAX(128);
        uint8_t digest[32];

        arena_free(t->arena);
        t->arena = arena_new(TABLE_ARENA);
        cteleport__internal__v1__apps__init(&t->message);
        t->message.apps = arena_alloc(t->arena, (t->config->n_apps + t->resources.count + 1) * sizeof *t->message.apps);
        for (size_t i = 0; i < t->config->n_apps; i++)
                t->message.apps[t->message.n_apps++] = t->config->apps[i];
        map_each(&t->resources, add_resource, t);
        if (t->message.n_apps > 1)
                qsort(t->message.apps, t->message.n_apps, sizeof *t->message.apps, compare);
        wire_encode(&packed, &t->message.base);
        sha256(buf_str(&packed), digest);
        hex_encode(&revision, str_of_bytes(digest, sizeof digest));
        t->message.revision = pb_text(arena_str(t->arena, buf_str(&revision)).ptr);
}

/* ---- resources -------------------------------------------------------------------------------------------- */

static void resource_free(struct resource *r)
{
        if (r == NULL)
                return;
        arena_free(r->arena);
        free(r);
}

static void free_one(void *ctx, struct str name, void *value)
{
        (void)ctx;
        (void)name;
        resource_free(value);
}

static struct error *read_resource(const Cteleport__V1__App *sent, struct resource *ret)
{
        ProtobufCMessage *copy = NULL;

        if (sent->metadata == NULL || sent->spec == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "it has no name or no uri");
        TRY(app_check_name(str_of(sent->metadata->name), "metadata.name"));
        TRY(app_check_uri(ret->arena, str_of(sent->spec->uri), APP_PORTS(sent->spec)));
        TRY(wire_copy(ret->arena, &sent->base, &copy));
        ret->app = (Cteleport__V1__App *)copy;
        return app_check_rewrite(app_config_of(ret->app, ret->arena)->rewrite, str_of(sent->spec->uri));
}

static void take_one(struct app_table *t, const Cteleport__V1__App *sent)
{
        struct resource *r = NEW(struct resource);

        r->arena = arena_new(RESOURCE_ARENA);
        struct error *err = read_resource(sent, r);
        if (err != NULL) {
                log_warn("The cluster has sent an application that this host cannot offer", LOG_C("app", sent->metadata == NULL ? "" : sent->metadata->name), LOG_ERR(err));
                error_free(err);
                resource_free(r);
                if (sent->metadata != NULL)
                        resource_free(map_remove(&t->resources, str_of(sent->metadata->name)));
                return;
        }
        resource_free(map_put(&t->resources, str_of(r->app->metadata->name), r));
}

void app_table_take(struct app_table *t, const Cteleport__V1__PresenceDown__Apps *sent)
{
        if (sent->is_complete) {
                map_each(&t->resources, free_one, NULL);
                map_release(&t->resources);
        }
        for (size_t i = 0; i < sent->n_removed; i++)
                resource_free(map_remove(&t->resources, str_of(sent->removed[i])));
        for (size_t i = 0; i < sent->n_apps && t->resources.count < LIMIT_APPS; i++)
                take_one(t, sent->apps[i]);
        t->is_known = t->is_known || sent->is_complete;
        build(t);
}

/* ---- the table -------------------------------------------------------------------------------------------- */

const Cteleport__Internal__V1__Apps *app_table_for(const struct app_table *t, const char *have)
{
        if (strcmp(have, t->message.revision) == 0 || (!t->is_known && have[0] != '\0'))
                return NULL;
        return &t->message;
}

struct app_table *app_table_new(const Cteleport__V1__AppServiceConfig *config)
{
        struct app_table *t = NEW(struct app_table);

        *t = (struct app_table){ .config = config, .is_known = config->n_resources == 0 };
        build(t);
        return t;
}

void app_table_free(struct app_table *t)
{
        if (t == NULL)
                return;
        map_each(&t->resources, free_one, NULL);
        map_release(&t->resources);
        arena_free(t->arena);
        free(t);
}

struct error *app_table_explain_refusal(const Cteleport__V1__AppServiceConfig *config, struct error *err)
{
        if (config == NULL || err == NULL || err->code != ERROR_INVALID_ARGUMENT)
                return err;
        for (size_t i = 0; i < config->n_apps; i++) {
                AUTO_MEM char *shown = mem_printf("'%s'", config->apps[i]->uri);

                if (config->apps[i]->n_tcp_ports > 0 && str_contains(str_of(err->what), str_of(shown)))
                        return error_hint(err, "the Auth Service has an earlier release than this host, without tcp_ports: upgrade it, or write an application with "
                                               "uri: tcp://HOST:PORT for each port until then");
        }
        return err;
}
