/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/kinds.h"

#include "auth/users/decision.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/app_ports.h"
#include "services/services.h"

/* ---- node: a host with an SSH server ---------------------------------------------------------------------- */

static struct error *node_read(const Cteleport__V1__DialRequest *m, struct str *ret_target, struct kind_fields *ret_fields)
{
        struct str target = str_of(m->target);

        *ret_fields = kind_fields_of(m->node);
        if (str_ends_with(target, STR("."))) /* the trailing dot of a fully qualified domain name */
                target.len--;
        *ret_target = target;
        if (!name_is_host(target) && !name_is_host_id(target)) {
                AUTO_MEM char *shown = escaped(str_of(m->target));

                return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not the name of a node", shown);
        }
        if (!str_is_empty(ret_fields->node.login) && !name_is_login(ret_fields->node.login)) {
                AUTO_MEM char *shown = escaped(ret_fields->node.login);

                return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not the name of an account", shown);
        }
        return NULL;
}

static bool node_is_offered(const struct node *host, const struct kind_fields *fields)
{
        (void)fields;
        return host->has_ssh;
}

static bool node_is_seen(const struct access_user *user, const struct node *host, const struct kind_fields *fields)
{
        (void)fields;
        return access_sees(user, ROLE_NODE_LABELS, host->labels, host->label_count);
}

static struct kind_resource node_resource(const struct node *host, const struct kind_fields *fields)
{
        (void)fields;
        return (struct kind_resource){ .labels = host->labels, .label_count = host->label_count };
}

static struct error *node_check(const struct directory *d, struct str user, const struct kind_fields *fields, const struct node *host,
                                struct arena *arena, struct access_user *ret_user, struct access_session *ret_may)
{
        return decision_check(d, user, fields->node.login, host, arena, ret_user, ret_may);
}

/* ---- app: an application that hosts reach ---------------------------------------------------------------------- */

static struct error *app_read(const Cteleport__V1__DialRequest *m, struct str *ret_target, struct kind_fields *ret_fields)
{
        *ret_target = str_of(m->target);
        *ret_fields = (struct kind_fields){ .app.name = *ret_target, .app.port = m->app == NULL ? 0 : m->app->port };
        if (!name_is_app(*ret_target)) {
                AUTO_MEM char *shown = escaped(*ret_target);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not the name of an application", shown),
                                  "`tsh apps ls` shows the applications you can reach");
        }
        return NULL;
}

static bool app_is_offered(const struct node *host, const struct kind_fields *fields)
{
        return node_find_app(host, fields->app.name) != NULL;
}

static bool app_is_seen(const struct access_user *user, const struct node *host, const struct kind_fields *fields)
{
        const struct node_app *app = node_find_app(host, fields->app.name);

        return app != NULL && access_sees(user, ROLE_APP_LABELS, app->labels, app->label_count);
}

static struct kind_resource app_resource(const struct node *host, const struct kind_fields *fields)
{
        const struct node_app *app = node_find_app(host, fields->app.name);

        return app == NULL ? (struct kind_resource){ 0 } : (struct kind_resource){ .uri = app->uri, .public_addr = app->public_addr, .labels = app->labels, .label_count = app->label_count };
}

static struct error *app_check(const struct directory *d, struct str user, const struct kind_fields *fields, const struct node *host,
                               struct arena *arena, struct access_user *ret_user, struct access_session *ret_may)
{
        TRY(decision_check_app(d, user, fields->app.name, host, arena, ret_user, ret_may));
        const Cteleport__V1__AppSpec *spec = node_find_app(host, fields->app.name)->spec;
        return spec == NULL ? NULL : app_ports_permit(APP_PORTS(spec), fields->app.name, fields->app.port);
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static const struct resource_kind kinds[KIND_COUNT] = {
        [KIND_NODE] = {
                .name = "node",
                .missing_hint = "`tsh ls` shows the nodes you can reach",
                .ambiguous = "ambiguous host could match multiple nodes", /* the text of Teleport */
                .ambiguous_hint = "connect to the host ID that `tsh ls -v` shows",
                .place = "node",
                .limits = { LIMIT_SSH_CONNECTIONS, LIMIT_SSH_CONNECTIONS_USER, LIMIT_SSH_CONNECTIONS_RESERVE, LIMIT_SSH_CONNECTIONS_RESERVED },
                .read = node_read,
                .find = nodes_dialled,
                .is_offered = node_is_offered,
                .is_seen = node_is_seen,
                .resource = node_resource,
                .check = node_check,
                .check_certificate = decision_check_ssh_certificate,
        },
        [KIND_APP] = {
                .name = "app",
                .missing_hint = "`tsh apps ls` shows the applications you can reach",
                .place = "application's host",
                .limits = { LIMIT_APP_CONNECTIONS, LIMIT_APP_CONNECTIONS_USER, LIMIT_APP_CONNECTIONS_RESERVE, LIMIT_APP_CONNECTIONS_RESERVED },
                .read = app_read,
                .find = nodes_offering_app,
                .is_offered = app_is_offered,
                .is_seen = app_is_seen,
                .resource = app_resource,
                .check = app_check,
                .check_certificate = decision_check_x509_certificate,
        },
};

const struct resource_kind *kind_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (strcmp(kinds[i].name, name) == 0)
                        return &kinds[i];
        return NULL;
}

const struct resource_kind *kind_of_record(const char *name)
{
        return kind_find(name[0] == '\0' ? "node" : name);
}

size_t kind_index(const struct resource_kind *kind)
{
        return (size_t)(kind - kinds);
}

const struct service_row *kind_service(const struct resource_kind *kind)
{
        return services_of_kind(str_of(kind->name));
}

struct error *kind_unknown(const char *name)
{
        AUTO_MEM char *shown = escaped(str_slice(str_of(name), 0, LIMIT_NAME));
        AUTO(buf) known = BUF_MAX(KiB);

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                buf_printf(&known, "%s%s", i == 0 ? "" : ", ", kinds[i].name);
        return error_hint(error_new(ERROR_UNIMPLEMENTED, "this cluster has no resources of the kind '%s'", shown),
                          "the Auth Service connects users to resources of these kinds: %s", buf_c(&known));
}
