/* SPDX-License-Identifier: Apache-2.0 */
/* Checks the hello of an agent and builds the presence record of its host. */
#include "auth/core/caller.h"
#include "auth/hosts/presence_internal.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/version.h"
#include "resource/address.h"
#include "resource/app.h"
#include "resource/label.h"
#include "rpc/pb.h"

enum { SERVICES_MAX = 8, LABELS_MAX = 100, ADDRS_MAX = 20, NONCE_MAX = 64, MATCHERS_ARENA = 512 * KiB };

/*
 * Removes reserved labels: only the cluster may set them, as roles may rely on them. The agent is not refused, so that the
 * host stays reachable.
 */
size_t presence_keep_labels(Cteleport__V1__PresenceUp__Hello__LabelsEntry **labels, size_t count)
{
        size_t kept = 0;

        for (size_t i = 0; i < count; i++)
                if (!label_name_is_reserved(str_of(labels[i]->key)))
                        labels[kept++] = labels[i];
        return kept;
}

size_t presence_keep_commands(Cteleport__V1__CommandLabel **commands, size_t count)
{
        size_t kept = 0;

        for (size_t i = 0; i < count; i++)
                if (!label_name_is_reserved(str_of(commands[i]->name)))
                        commands[kept++] = commands[i];
        return kept;
}

size_t presence_keep_app_labels(Cteleport__V1__PresenceUp__AppLabel **labels, size_t count)
{
        size_t kept = 0;

        for (size_t i = 0; i < count; i++)
                if (!label_name_is_reserved(str_of(labels[i]->name)))
                        labels[kept++] = labels[i];
        return kept;
}

/* Refuses duplicate labels: a node with two values of a label would match the roles for either value. */
static struct error *check_labels(Cteleport__V1__PresenceUp__Hello__LabelsEntry *const *labels, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                if (labels[i]->key[0] == '\0' || strlen(labels[i]->key) > LIMIT_LABEL_KEY)
                        return error_new(ERROR_INVALID_ARGUMENT, "a label has no name, or one of more than %d characters", LIMIT_LABEL_KEY);
                for (size_t j = 0; j < i; j++)
                        if (strcmp(labels[i]->key, labels[j]->key) == 0)
                                return error_new(ERROR_INVALID_ARGUMENT, "this host announces a label twice");
        }
        return NULL;
}

static bool is_repeated(Cteleport__V1__CommandLabel *const *commands, size_t index)
{
        for (size_t i = 0; i < index; i++)
                if (strcmp(commands[i]->name, commands[index]->name) == 0)
                        return true;
        return false;
}

struct error *presence_check_commands(Cteleport__V1__CommandLabel *const *commands, size_t count)
{
        if (count > LABELS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "this host announces more than %d labels of commands", LABELS_MAX);
        for (size_t i = 0; i < count; i++)
                if (commands[i]->name[0] == '\0' || strlen(commands[i]->name) > LIMIT_LABEL_KEY)
                        return error_new(ERROR_INVALID_ARGUMENT, "a label of a command has no name, or one of more than %d characters",
                                         LIMIT_LABEL_KEY);
                else if (is_repeated(commands, i))
                        return error_new(ERROR_INVALID_ARGUMENT, "this host announces a label of a command twice");
        return NULL;
}

struct error *presence_check_app_labels(Cteleport__V1__PresenceUp__AppLabel *const *labels, size_t count)
{
        if (count > LIMIT_LABEL_COMMANDS)
                return error_new(ERROR_INVALID_ARGUMENT, "this host announces more than %d labels of applications by commands", LIMIT_LABEL_COMMANDS);
        for (size_t i = 0; i < count; i++) {
                if (labels[i]->name[0] == '\0' || strlen(labels[i]->name) > LIMIT_LABEL_KEY)
                        return error_new(ERROR_INVALID_ARGUMENT, "a label of an application has no name, or one of more than %d characters", LIMIT_LABEL_KEY);
                for (size_t j = 0; j < i; j++)
                        if (strcmp(labels[i]->app, labels[j]->app) == 0 && strcmp(labels[i]->name, labels[j]->name) == 0)
                                return error_new(ERROR_INVALID_ARGUMENT, "this host announces a label of an application twice");
        }
        return NULL;
}

static size_t size_of_app(const Cteleport__V1__App *app)
{
        return protobuf_c_message_get_packed_size(&app->base);
}

static struct error *check_app(const Cteleport__V1__App *app)
{
        AUTO_PTR(arena) arena = arena_new(4 * LIMIT_NAME);

        if (app->metadata == NULL || app->spec == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "an application of this host has no name or no uri");
        TRY(app_check_name(str_of(app->metadata->name), "app_service.apps"));
        TRY(app_check_public_addr(str_of(app->spec->public_addr)));
        if (app->metadata->n_labels > LIMIT_APP_LABELS || strlen(app->metadata->description) > LIMIT_APP_DESCRIPTION)
                return error_new(ERROR_INVALID_ARGUMENT, "the application '%s' of this host has too many labels or a description that is too long", app->metadata->name);
        for (size_t i = 0; i < app->metadata->n_labels; i++)
                for (size_t j = 0; j <= i; j++)
                        if (app->metadata->labels[i]->key[0] == '\0' || strlen(app->metadata->labels[i]->key) > LIMIT_LABEL_KEY ||
                            (j < i && strcmp(app->metadata->labels[i]->key, app->metadata->labels[j]->key) == 0))
                                return error_new(ERROR_INVALID_ARGUMENT, "the application '%s' of this host has a label twice, or one with an invalid name",
                                                 app->metadata->name);
        return app_check_uri(arena, str_of(app->spec->uri), APP_PORTS(app->spec));
}

/* Applications are those of a host that joined with role App. */
static struct error *check_apps(const Cteleport__V1__PresenceUp__Hello *hello)
{
        bool has_role = false;
        size_t size = 0;

        for (size_t i = 0; i < hello->n_services; i++)
                has_role = has_role || services_offers(str_of(hello->services[i]), "app");
        if (hello->n_apps > 0 && !has_role)
                return error_new(ERROR_PERMISSION_DENIED, "this host announces applications without role App");
        if (hello->n_apps > LIMIT_APPS)
                return error_new(ERROR_INVALID_ARGUMENT, "this host announces more than %d applications", LIMIT_APPS);
        for (size_t i = 0; i < hello->n_apps; i++) {
                TRY(check_app(hello->apps[i]));
                size += size_of_app(hello->apps[i]);
                for (size_t j = 0; j < i; j++)
                        if (strcmp(hello->apps[i]->metadata->name, hello->apps[j]->metadata->name) == 0)
                                return error_new(ERROR_INVALID_ARGUMENT, "this host announces an application twice");
        }
        if (hello->n_app_matchers > 0 && !has_role)
                return error_new(ERROR_PERMISSION_DENIED, "this host selects applications without role App");
        if (hello->n_app_matchers > LIMIT_APP_MATCHERS || hello->n_app_names > LIMIT_APPS)
                return error_new(ERROR_INVALID_ARGUMENT, "this host has more than %d rows in app_service.resources, or offers more than %d applications", LIMIT_APP_MATCHERS,
                                 LIMIT_APPS);
        AUTO_PTR(arena) arena = arena_new(MATCHERS_ARENA);
        for (size_t i = 0; i < hello->n_app_matchers; i++) {
                const Cteleport__V1__RoleConditions *selector;

                TRY(app_matcher_read(hello->app_matchers[i], arena, &selector));
        }
        if (size > LIMIT_APPS_BYTES)
                return error_new(ERROR_INVALID_ARGUMENT, "the applications of this host have more than %d bytes", LIMIT_APPS_BYTES);
        return NULL;
}

struct error *presence_check_hello(const Cteleport__V1__PresenceUp__Hello *hello, const Cteleport__State__V1__Host *host)
{
        if (hello->n_services > SERVICES_MAX || hello->n_labels > LABELS_MAX || hello->n_public_addrs > ADDRS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "this host announces too many services, labels or addresses");
        if (strlen(hello->process_nonce) > NONCE_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the nonce of this host's process is longer than %d characters", NONCE_MAX);
        if (strlen(hello->ca_revision) > LIMIT_NAME)
                return error_new(ERROR_INVALID_ARGUMENT, "the revision of this host's CAs is longer than %d characters", LIMIT_NAME);
        /* During an upgrade of the auth machine its other services are newer for a moment: the Auth Service is replaced last. */
        if (strcmp(host->join_method, "local") != 0)
                TRY(error_for(version_check_host(str_of(hello->version), STR(CTELEPORT_VERSION)), REASON_REFUSED));
        TRY(check_labels(hello->labels, hello->n_labels));
        TRY(presence_check_commands(hello->commands, hello->n_commands));
        TRY(presence_check_app_labels(hello->app_labels, hello->n_app_labels));
        for (size_t i = 0; i < hello->n_services; i++) {
                bool allowed = false;

                for (size_t j = 0; j < host->n_system_roles; j++)
                        allowed = allowed || str_equal(str_of(hello->services[i]), str_of(host->system_roles[j]));
                if (!allowed) {
                        AUTO_MEM char *shown = escaped(str_of(hello->services[i]));

                        return error_new(ERROR_PERMISSION_DENIED, "this host did not join with role '%s'", shown);
                }
        }
        return check_apps(hello);
}

bool presence_announces_proxy(const Cteleport__V1__PresenceUp__Hello *hello)
{
        for (size_t i = 0; i < hello->n_services; i++)
                if (strcmp(hello->services[i], "Proxy") == 0)
                        return true;
        return false;
}

/* The address of the host's proxy, with its port; "" if it announces none or an invalid one. */
static char *announced_proxy(struct presence *p, const Cteleport__V1__PresenceUp__Hello *hello)
{
        const char *whole = "";

        if (presence_announces_proxy(hello) && hello->proxy_addr[0] != '\0')
                error_free(address_normalize(p->arena, str_of(hello->proxy_addr), WEB_PORT, "proxy_addr", &whole));
        return pb_text(whole);
}

/* Reserved labels are removed, as those of the host are; other fields than name, description, labels and uri are not the host's to set. */
static void keep_apps(struct presence *p, Cteleport__State__V1__Presence *r)
{
        r->apps = p->hello->apps;
        r->n_apps = p->hello->n_apps;
        for (size_t i = 0; i < r->n_apps; i++) {
                Cteleport__V1__Metadata *m = r->apps[i]->metadata;
                size_t kept = 0;

                r->apps[i]->kind = pb_text("app");
                r->apps[i]->sub_kind = pb_text("");
                r->apps[i]->version = pb_text("v3");
                m->expires = NULL;
                m->revision = pb_text("");
                for (size_t j = 0; j < m->n_labels; j++)
                        if (!label_name_is_reserved(str_of(m->labels[j]->key)))
                                m->labels[kept++] = m->labels[j];
                m->n_labels = kept;
                app_set_origin(r->apps[i], p->arena, APP_ORIGIN_FILE);
        }
}

/* Name and identity are those of the join. The agent provides only its version and the properties of its services. */
void presence_fill_record(struct presence *p, const Cteleport__State__V1__Host *host)
{
        const Cteleport__V1__PresenceUp__Hello *hello = p->hello;
        const struct caller *caller = rpc_call_caller(p->call);
        Cteleport__State__V1__Presence *r = arena_alloc(p->arena, sizeof *r);

#define KEEP(text) (pb_text(arena_str(p->arena, str_of(text)).ptr))
        cteleport__state__v1__presence__init(r);
        r->host_id = KEEP(host->host_id);
        r->hostname = KEEP(host->hostname);
        r->join_method = KEEP(host->join_method);
        r->token_name = KEEP(host->token_name);
        r->aws_account = KEEP(host->aws_account);
        r->aws_arn = KEEP(host->aws_arn);
        r->joined = host->joined;
        r->remote_addr = KEEP(caller->peer);
        r->cert_not_after = walltime_unix(caller->cert_not_after);
        r->system_roles = arena_alloc(p->arena, (host->n_system_roles + 1) * sizeof *r->system_roles);
        bool is_local = strcmp(host->join_method, "local") == 0; /* its host record has all local roles */
        for (size_t i = 0; i < host->n_system_roles && !is_local; i++)
                r->system_roles[r->n_system_roles++] = KEEP(host->system_roles[i]);
        r->version = hello->version;
        r->services = hello->services;
        r->n_services = hello->n_services;
        r->addr = hello->addr;
        r->public_addrs = hello->public_addrs;
        r->n_public_addrs = hello->n_public_addrs;
        r->labels = arena_alloc(p->arena, (hello->n_labels + 1) * sizeof *r->labels);
        for (size_t i = 0; i < hello->n_labels; i++) {
                Cteleport__State__V1__Presence__LabelsEntry *label = arena_alloc(p->arena, sizeof *label);

                cteleport__state__v1__presence__labels_entry__init(label);
                label->key = hello->labels[i]->key;
                label->value = hello->labels[i]->value;
                r->labels[r->n_labels++] = label;
        }
        r->commands = hello->commands;
        r->n_commands = hello->n_commands;
        keep_apps(p, r);
        r->use_tunnel = hello->use_tunnel;
        r->has_no_file_copy = hello->has_no_file_copy;
        r->knows_no_proxy = hello->knows_no_proxy;
        r->ca_revision = hello->ca_revision;
        r->proxy_addr = announced_proxy(p, hello);
        r->since = loop_wall(&p->auth->loop).ns / 1000000;
#undef KEEP
        p->record = r;
}
