/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/address.h"
#include "resource/head.h"
#include "resource/label.h"

static const char *const versions[] = { "v3", NULL };
static const struct head_kind head = { "app", "an application", versions };

static const char how_to_write[] = "write tcp://HOST:PORT, for example tcp://127.0.0.1:5432";

struct error *app_check_name(struct str name, const char *field)
{
        AUTO_MEM char *shown = escaped(name);

        if (name.len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "missing application name"), "set %s", field);
        if (!name_is_app(name)) /* the first words are Teleport's */
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "application name \"%s\" must be a valid DNS subdomain", shown),
                                  "use lower case letters, digits and '-', beginning with a letter and not ending with '-', at most 63 characters");
        return NULL;
}

struct error *app_uri_parse(struct arena *arena, struct str uri, const char **ret_target)
{
        AUTO_MEM char *shown = escaped(uri);
        struct str rest = str_slice(uri, sizeof("tcp://") - 1, uri.len);

        if (!str_starts_with(uri, STR("tcp://")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' is not one of a TCP server", shown), "%s", how_to_write);
        struct error *err = address_normalize(arena, rest, PORT_REQUIRED, "uri", ret_target);
        bool is_listener = err == NULL && (address_port(str_of(*ret_target)) == 0 || str_starts_with(rest, STR(":")));
        if (err == NULL && !is_listener)
                return NULL;
        return error_hint(error_because(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' has no host and port to connect to", shown), err), "%s", how_to_write);
}

/* ---- the resource ------------------------------------------------------------------------------------ */

void app_set_origin(Cteleport__V1__App *app, struct arena *arena, const char *origin)
{
        Cteleport__V1__Metadata *m = app->metadata;
        Cteleport__V1__Metadata__LabelsEntry **labels = arena_alloc(arena, (m->n_labels + 1) * sizeof *labels), *label = arena_alloc(arena, sizeof *label);
        size_t count = 0;

        for (size_t i = 0; i < m->n_labels; i++)
                if (strcmp(m->labels[i]->key, APP_ORIGIN) != 0)
                        labels[count++] = m->labels[i];
        cteleport__v1__metadata__labels_entry__init(label);
        label->key = unconst(APP_ORIGIN);
        label->value = unconst(origin);
        labels[count++] = label;
        m->labels = labels;
        m->n_labels = count;
}

static struct error *check_labels(const Cteleport__V1__Metadata *m)
{
        struct error *err = NULL;

        if (m->n_labels > LIMIT_APP_LABELS)
                return error_new(ERROR_INVALID_ARGUMENT, "an application has at most %d labels", LIMIT_APP_LABELS);
        for (size_t i = 0; i < m->n_labels; i++) {
                if (strcmp(m->labels[i]->key, APP_ORIGIN) == 0) /* as `tctl get` has printed it */
                        continue;
                err = error_also(err, label_check_configured(str_of(m->labels[i]->key), "metadata.labels"));
                if (strlen(m->labels[i]->key) > LIMIT_LABEL_KEY || strlen(m->labels[i]->value) > LIMIT_LABEL_VALUE)
                        err = error_also(err, error_new(ERROR_INVALID_ARGUMENT, "a label has a name of more than %d bytes, or a value of more than %d", LIMIT_LABEL_KEY,
                                                        LIMIT_LABEL_VALUE));
        }
        return err;
}

struct error *app_check(Cteleport__V1__App *app, struct arena *arena)
{
        const char *target;

        TRY(head_check(&head, &app->kind, &app->sub_kind, &app->version));
        if (app->metadata == NULL || app->spec == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the application has no metadata or no spec"), "it needs metadata.name and spec.uri");
        struct error *err = error_about(app_check_name(str_of(app->metadata->name), "metadata.name"), "metadata.name");
        err = error_also(err, error_about(app_uri_parse(arena, str_of(app->spec->uri), &target), "spec.uri"));
        err = error_also(err, error_about(check_labels(app->metadata), "metadata.labels"));
        if (strlen(app->metadata->description) > LIMIT_APP_DESCRIPTION)
                err = error_also(err, error_about(error_new(ERROR_INVALID_ARGUMENT, "the description is longer than %d bytes", LIMIT_APP_DESCRIPTION),
                                                  "metadata.description"));
        if (app->metadata->expires != NULL)
                err = error_also(err, error_hint(error_about(error_new(ERROR_INVALID_ARGUMENT, "an application does not expire"), "metadata.expires"),
                                                 "leave it out, and remove the application with tctl rm"));
        if (err == NULL)
                app_set_origin(app, arena, APP_ORIGIN_DYNAMIC);
        return err;
}
