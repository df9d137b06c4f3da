/* SPDX-License-Identifier: Apache-2.0 */
/* The resources of kind app that a host offers: sends it those that its matchers select, and records those that it has. */
#include "auth/hosts/app_catalog.h"
#include "auth/hosts/presence_internal.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

/* Warns the operator of the host, once for each state. */
static void warn(struct presence *p)
{
        char *hidden[LIMIT_APPS];
        size_t count = app_selection_hidden(p->apps, hidden), left_out = app_selection_left_out(p->apps);
        AUTO_MEM char *text = NULL;

        if (count > 0)
                text = mem_printf("the application '%s'%s of teleport.yaml is offered, and the resource of this name (tctl get app/%s) is not: give one of them another name",
                                  hidden[0], count > 1 ? ", among others," : "", hidden[0]);
        else if (left_out > 0)
                text = mem_printf("%zu applications match app_service.resources and are not offered: a host offers at most %d, of %d KiB", left_out, LIMIT_APPS,
                                  LIMIT_APPS_BYTES / KiB);
        if (text != NULL && (p->apps_warning == NULL || strcmp(p->apps_warning, text) != 0)) {
                presence_notice(p, "apps", text);
                log_warn("A host cannot offer all applications that its matchers select", LOG_C("node_name", p->record->hostname),
                         LOG_C("host_id", p->record->host_id), LOG_INT("hidden", (int64_t)count), LOG_INT("left_out", (int64_t)left_out));
        }
        free(p->apps_warning);
        p->apps_warning = text;
        text = NULL;
}

static void on_selected(void *ctx, const Cteleport__V1__PresenceDown__Apps *change, bool is_listed)
{
        struct presence *p = ctx;
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;

        if (change != NULL) {
                down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_APPS;
                down.apps = (Cteleport__V1__PresenceDown__Apps *)(uintptr_t)change;
                presence_send(p, &down);
        }
        warn(p);
        if (is_listed && p->is_written)
                presence_write(p);
}

static const struct app_selection_events selection_events = { .changed = on_selected };

void presence_select_apps(struct presence *p)
{
        if (p->hello->n_app_matchers == 0 || p->auth->apps == NULL)
                return;
        p->apps = app_selection_new(p->auth->apps, p->hello, &selection_events, p);
        app_selection_offer(p->apps, p->hello->app_names, p->hello->n_app_names);
}

void presence_send_apps(struct presence *p)
{
        if (p->apps != NULL)
                app_selection_report(p->apps);
}

void presence_offer_apps(struct presence *p, const Cteleport__V1__PresenceUp__Apps *sent)
{
        if (sent->n_names > LIMIT_APPS)
                presence_finish(p, error_new(ERROR_INVALID_ARGUMENT, "this host offers more than %d applications", LIMIT_APPS));
        else if (p->apps != NULL && app_selection_offer(p->apps, sent->names, sent->n_names))
                presence_write(p);
}

static bool has_label_of_command(const struct presence *p, const char *app, const char *name)
{
        for (size_t i = 0; i < p->app_label_count; i++)
                if (strcmp(p->app_labels[i]->app, app) == 0 && (name == NULL || strcmp(p->app_labels[i]->name, name) == 0))
                        return true;
        return false;
}

/* The application of the host's file, with the last values of its commands in place of static labels of their names. */
static Cteleport__V1__App *with_labels_of_commands(const struct presence *p, struct arena *arena, Cteleport__V1__App *app)
{
        const Cteleport__V1__Metadata *from = app->metadata;

        if (!has_label_of_command(p, from->name, NULL))
                return app;
        Cteleport__V1__App *result = arena_alloc(arena, sizeof *result);
        Cteleport__V1__Metadata *m = arena_alloc(arena, sizeof *m);
        *result = *app;
        *m = *from;
        result->metadata = m;
        m->labels = arena_alloc(arena, (from->n_labels + p->app_label_count) * sizeof *m->labels);
        m->n_labels = 0;
        for (size_t i = 0; i < from->n_labels; i++)
                if (!has_label_of_command(p, from->name, from->labels[i]->key))
                        m->labels[m->n_labels++] = from->labels[i];
        for (size_t i = 0; i < p->app_label_count; i++) {
                if (strcmp(p->app_labels[i]->app, from->name) != 0)
                        continue;
                Cteleport__V1__Metadata__LabelsEntry *label = m->labels[m->n_labels++] = arena_alloc(arena, sizeof *label);

                cteleport__v1__metadata__labels_entry__init(label);
                label->key = p->app_labels[i]->name;
                label->value = p->app_labels[i]->value;
        }
        return result;
}

void presence_put_apps(struct presence *p, struct arena *arena)
{
        Cteleport__State__V1__Presence *r = p->record;

        r->apps = arena_alloc(arena, (LIMIT_APPS + 1) * sizeof *r->apps);
        r->n_apps = p->hello->n_apps;
        for (size_t i = 0; i < p->hello->n_apps; i++)
                r->apps[i] = with_labels_of_commands(p, arena, p->hello->apps[i]);
        r->n_hidden_apps = 0;
        if (p->apps == NULL)
                return;
        r->n_apps += app_selection_put(p->apps, r->apps + r->n_apps);
        r->hidden_apps = arena_alloc(arena, (p->hello->n_apps + 1) * sizeof *r->hidden_apps);
        r->n_hidden_apps = app_selection_hidden(p->apps, r->hidden_apps);
}
