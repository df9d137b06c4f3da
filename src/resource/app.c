/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/access_role.h"
#include "resource/address.h"
#include "resource/app_cors.h"
#include "resource/app_header.h"
#include "resource/head.h"
#include "resource/label.h"

static const char *const versions[] = { "v3", NULL };
static const struct head_kind head = { "app", "an application", versions };

static const char how_to_write[] = "write http://HOST:PORT, https://HOST:PORT or tcp://HOST:PORT, for example http://127.0.0.1:8080";

enum { HTTP_PORT = 80, PATH_MAX_BYTES = 1 * KiB };

static const struct {
        const char *start;
        enum app_scheme scheme;
        int default_port;
} schemes[] = {
        { "tcp://", APP_TCP, PORT_REQUIRED },
        { "http://", APP_HTTP, HTTP_PORT },
        { "https://", APP_HTTPS, HTTPS_PORT },
};

bool app_is_tcp(struct str uri)
{
        return str_starts_with(uri, STR("tcp://"));
}

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

struct error *app_check_required(char *const *names, size_t count, struct str app, struct str uri)
{
        if (count > 0 && app_is_tcp(uri))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "required_apps is for applications of http and https"), "remove it");
        if (count > LIMIT_APP_REQUIRED)
                return error_new(ERROR_INVALID_ARGUMENT, "required_apps has more than %d applications", LIMIT_APP_REQUIRED);
        for (size_t i = 0; i < count; i++) {
                TRY(app_check_name(str_of(names[i]), "required_apps"));
                if (str_equal(str_of(names[i]), app))
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "required_apps names the application '%s' itself", names[i]), "remove it from the list");
                for (size_t k = 0; k < i; k++)
                        if (strcmp(names[k], names[i]) == 0)
                                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "required_apps names '%s' twice", names[i]), "remove one of them");
        }
        return NULL;
}

/* Characters of a path that are sent as they are (RFC 3986 section 3.3), and "%". A redirect to "//host" would lead to another host. */
static bool is_path(struct str path)
{
        if (str_starts_with(path, STR("//")))
                return false;
        for (size_t i = 0; i < path.len; i++)
                if (!char_is_alnum(path.ptr[i]) && (path.ptr[i] == '\0' || strchr("/-._~%!$&'()*+,;=:@", path.ptr[i]) == NULL))
                        return false;
        return path.len <= PATH_MAX_BYTES;
}

static struct error *read_authority(struct arena *arena, struct str authority, int default_port, const char **ret)
{
        TRY(address_normalize(arena, authority, default_port, "uri", ret));
        if (address_port(str_of(*ret)) == 0 || authority.len == 0 || authority.ptr[0] == ':') /* for listeners only */
                return error_new(ERROR_INVALID_ARGUMENT, "no host, or port 0");
        return NULL;
}

struct error *app_uri_read(struct arena *arena, struct str uri, struct app_uri *ret)
{
        AUTO_MEM char *shown = escaped(uri);

        for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
                if (!str_starts_with(uri, str_of(schemes[i].start)))
                        continue;
                struct str rest = str_slice(uri, strlen(schemes[i].start), uri.len);
                size_t slash = schemes[i].scheme == APP_TCP ? rest.len : str_find_char(rest, '/');
                struct str path = str_slice(rest, slash, rest.len);
                const char *target;
                struct error *err = read_authority(arena, str_slice(rest, 0, slash), schemes[i].default_port, &target);

                if (err != NULL)
                        return error_hint(error_because(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' has no host and port to connect to", shown), err), "%s", how_to_write);
                if (!is_path(path))
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the path of the uri '%s' begins with '//', or has other characters than those of paths", shown),
                                          "leave out query and fragment, and encode other characters as %%XX");
                const char *start = str_equal(path, STR("/")) || path.len == 0 ? "" : arena_printf(arena, "%.*s", STR_ARG(path));
                *ret = (struct app_uri){ schemes[i].scheme, target, start };
                return NULL;
        }
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' is not one of an application", shown), "%s", how_to_write);
}

struct error *app_uri_parse(struct arena *arena, struct str uri, const char **ret_target)
{
        struct app_uri read;

        TRY(app_uri_read(arena, uri, &read));
        *ret_target = read.target;
        return NULL;
}

/* Behind the host, which is in brackets if it is an address of IPv6. */
static bool has_port(struct str authority)
{
        size_t end = str_starts_with(authority, STR("[")) ? str_find_char(authority, ']') : 0;

        return str_find_char(str_slice(authority, end, authority.len), ':') < authority.len - end;
}

struct error *app_uri_at(struct arena *arena, struct str uri, uint32_t port, const char **ret_target)
{
        static const char how[] = "write uri: tcp://HOST, and the ports as tcp_ports";
        AUTO_MEM char *shown = escaped(uri);

        if (!str_starts_with(uri, STR("tcp://")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' is not one of an application with tcp_ports", shown), "%s", how);
        struct str authority = str_slice(uri, strlen("tcp://"), uri.len);
        if (has_port(authority))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' has a port beside tcp_ports", shown), "%s", how);
        struct error *err = read_authority(arena, authority, (int)port, ret_target);
        return err == NULL ? NULL : error_hint(error_because(error_new(ERROR_INVALID_ARGUMENT, "the uri '%s' has no host to connect to", shown), err), "%s", how);
}

struct error *app_check_uri(struct arena *arena, struct str uri, struct app_ports ports)
{
        const char *target;

        if (ports.count == 0)
                return app_uri_parse(arena, uri, &target);
        TRY(app_ports_check(ports, uri));
        return app_uri_at(arena, uri, ports.list[0]->port, &target);
}

/* ---- public_addr and rewrite ------------------------------------------------------------------------- */

static bool has_letters_last(struct str addr)
{
        size_t last = 0;

        for (size_t i = 0; i < addr.len; i++)
                if (addr.ptr[i] == '.')
                        last = i + 1;
        return last > 0 && last < addr.len && !char_is_digit(addr.ptr[last]);
}

static bool is_lower(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] != char_lower(s.ptr[i]))
                        return false;
        return true;
}

struct error *app_check_public_addr(struct str addr)
{
        AUTO_MEM char *shown = escaped(addr);

        if (addr.len == 0)
                return NULL;
        if (str_find_char(addr, ':') < addr.len || str_find_char(addr, '/') < addr.len)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the public_addr '%s' is not a host name alone", shown),
                                  "leave out scheme and port: applications use those of the proxy");
        if (!name_is_dns(addr) || !has_letters_last(addr) || !is_lower(addr))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the public_addr '%s' is not a host name of the DNS in lower case", shown),
                                  "write a name with a dot, for example grafana.example.com, no IP address");
        if (str_starts_with(addr, STR("kube-teleport-proxy-alpn.")) || str_ends_with(addr, STR(".teleport.cluster.local")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the public_addr '%s' is one of Teleport's own names", shown), "choose another name");
        return NULL;
}

static struct error *check_jwt_claims(struct str claims)
{
        static const struct str all[] = { STR_INIT(""), STR_INIT("roles-and-traits"), STR_INIT("roles"), STR_INIT("traits"), STR_INIT("none") };

        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                if (str_equal(claims, all[i]))
                        return NULL;
        AUTO_MEM char *shown = escaped(claims);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "rewrite.jwt_claims cannot be '%s'", shown), "write roles-and-traits, roles, traits or none");
}

struct error *app_check_rewrite(const Cteleport__V1__AppRewriteConfig *rewrite, struct str uri)
{
        struct error *err = NULL;
        struct app_header header;

        if (rewrite == NULL)
                return NULL;
        if (app_is_tcp(uri))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "rewrite is for applications of http and https"), "remove it");
        if (rewrite->n_headers > LIMIT_APP_HEADERS || rewrite->n_redirect > LIMIT_APP_HEADERS)
                return error_new(ERROR_INVALID_ARGUMENT, "rewrite has more than %d headers or hosts", LIMIT_APP_HEADERS);
        err = error_also(err, check_jwt_claims(str_of(rewrite->jwt_claims)));
        for (size_t i = 0; i < rewrite->n_headers; i++)
                err = error_also(err, error_about(app_header_parse(str_of(rewrite->headers[i]), &header), "rewrite.headers[%zu]", i + 1));
        for (size_t i = 0; i < rewrite->n_redirect; i++)
                err = error_also(err, error_about(name_check_host(str_of(rewrite->redirect[i]), "rewrite.redirect"), "rewrite.redirect[%zu]", i + 1));
        return err;
}

static Cteleport__V1__AppRewriteConfig *rewrite_of(const Cteleport__V1__AppRewrite *from, struct arena *arena)
{
        Cteleport__V1__AppRewriteConfig *rewrite = arena_alloc(arena, sizeof *rewrite);

        cteleport__v1__app_rewrite_config__init(rewrite);
        rewrite->redirect = from->redirect;
        rewrite->n_redirect = from->n_redirect;
        rewrite->headers = arena_alloc(arena, (from->n_headers + 1) * sizeof *rewrite->headers);
        for (size_t i = 0; i < from->n_headers; i++)
                rewrite->headers[rewrite->n_headers++] = unconst(arena_printf(arena, "%s: %s", from->headers[i]->name, from->headers[i]->value));
        if (from->jwt_claims[0] != '\0')
                rewrite->jwt_claims = from->jwt_claims;
        return rewrite;
}

Cteleport__V1__AppConfig *app_config_of(const Cteleport__V1__App *app, struct arena *arena)
{
        const Cteleport__V1__AppSpec *spec = app->spec;
        Cteleport__V1__AppConfig *config = arena_alloc(arena, sizeof *config);

        cteleport__v1__app_config__init(config);
        config->name = app->metadata->name;
        config->uri = spec->uri;
        config->tcp_ports = spec->tcp_ports;
        config->n_tcp_ports = spec->n_tcp_ports;
        if (spec->public_addr[0] != '\0')
                config->public_addr = spec->public_addr;
        config->has_insecure_skip_verify = spec->insecure_skip_verify;
        config->insecure_skip_verify = spec->insecure_skip_verify;
        if (spec->rewrite != NULL)
                config->rewrite = rewrite_of(spec->rewrite, arena);
        return config;
}

/* A name with a colon would be another one in the form of teleport.yaml. */
static struct error *check_spec_rewrite(const Cteleport__V1__App *app, struct arena *arena)
{
        const Cteleport__V1__AppRewrite *rewrite = app->spec->rewrite;

        if (rewrite == NULL)
                return NULL;
        if (rewrite->n_headers > LIMIT_APP_HEADERS) /* before memory is allocated for them */
                return error_new(ERROR_INVALID_ARGUMENT, "rewrite has more than %d headers or hosts", LIMIT_APP_HEADERS);
        for (size_t i = 0; i < rewrite->n_headers; i++)
                if (strchr(rewrite->headers[i]->name, ':') != NULL)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "rewrite.headers[%zu].name has a colon", i + 1), "write name and value apart");
        return app_check_rewrite(app_config_of(app, arena)->rewrite, str_of(app->spec->uri));
}

/* ---- the resource ------------------------------------------------------------------------------------ */

bool app_is_of_file(const Cteleport__V1__App *app)
{
        for (size_t i = 0; i < app->metadata->n_labels; i++)
                if (strcmp(app->metadata->labels[i]->key, APP_ORIGIN) == 0)
                        return strcmp(app->metadata->labels[i]->value, APP_ORIGIN_DYNAMIC) != 0;
        return true;
}

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
        TRY(head_check(&head, &app->kind, &app->sub_kind, &app->version));
        if (app->metadata == NULL || app->spec == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the application has no metadata or no spec"), "it needs metadata.name and spec.uri");
        struct error *err = error_about(app_check_name(str_of(app->metadata->name), "metadata.name"), "metadata.name");
        err = error_also(err, error_about(app_check_uri(arena, str_of(app->spec->uri), APP_PORTS(app->spec)), "spec.uri"));
        err = error_also(err, error_about(app_cors_check(app->spec->cors, str_of(app->spec->uri)), "spec.cors"));
        err = error_also(err, error_about(app_check_required(app->spec->required_apps, app->spec->n_required_apps, str_of(app->metadata->name), str_of(app->spec->uri)),
                                          "spec.required_apps"));
        err = error_also(err, error_about(app_check_public_addr(str_of(app->spec->public_addr)), "spec.public_addr"));
        err = error_also(err, error_about(check_spec_rewrite(app, arena), "spec.rewrite"));
        if (app->spec->insecure_skip_verify && !str_starts_with(str_of(app->spec->uri), STR("https://")))
                err = error_also(err, error_hint(error_about(error_new(ERROR_INVALID_ARGUMENT, "insecure_skip_verify is for applications of https"), "spec.insecure_skip_verify"),
                                                 "write uri: https://HOST:PORT, or remove it"));
        err = error_also(err, error_about(check_labels(app->metadata), "metadata.labels"));
        if (strlen(app->metadata->description) > LIMIT_APP_DESCRIPTION)
                err = error_also(err, error_about(error_new(ERROR_INVALID_ARGUMENT, "the description is longer than %d bytes", LIMIT_APP_DESCRIPTION),
                                                  "metadata.description"));
        if (protobuf_c_message_get_packed_size(&app->base) > LIMIT_APP_RESOURCE)
                err = error_also(err, error_new(ERROR_INVALID_ARGUMENT, "the application has more than %d bytes", LIMIT_APP_RESOURCE));
        if (app->metadata->expires != NULL)
                err = error_also(err, error_hint(error_about(error_new(ERROR_INVALID_ARGUMENT, "an application does not expire"), "metadata.expires"),
                                                 "leave it out, and remove the application with tctl rm"));
        if (err == NULL)
                app_set_origin(app, arena, APP_ORIGIN_DYNAMIC);
        return err;
}

/* ---- selecting ---------------------------------------------------------------------------------------- */

struct error *app_matcher_read(const Cteleport__V1__Matcher *matcher, struct arena *arena, const Cteleport__V1__RoleConditions **ret)
{
        Cteleport__V1__RoleConditions *conditions = arena_alloc(arena, sizeof *conditions);

        if (matcher->n_labels == 0 || matcher->n_labels > LIMIT_ROLE_ITEMS)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a row of app_service.resources has no labels, or more than %d", LIMIT_ROLE_ITEMS),
                                  "write, for example, labels: {env: prod}, or labels: {\"*\": \"*\"} for all applications");
        cteleport__v1__role_conditions__init(conditions);
        conditions->app_labels = arena_alloc(arena, matcher->n_labels * sizeof *conditions->app_labels);
        for (size_t i = 0; i < matcher->n_labels; i++) {
                Cteleport__V1__RoleConditions__AppLabelsEntry *entry = arena_alloc(arena, sizeof *entry);

                cteleport__v1__role_conditions__app_labels_entry__init(entry);
                entry->key = matcher->labels[i]->key;
                entry->value = matcher->labels[i]->value;
                for (size_t k = 0; entry->value != NULL && k < entry->value->n_values; k++)
                        if (str_contains(str_of(entry->value->values[k]), STR("{{")))
                                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a row of app_service.resources has a template, which stands for a trait of a user"),
                                                  "write the values of the labels");
                conditions->app_labels[conditions->n_app_labels++] = entry;
        }
        *ret = conditions;
        return role_labels_check(conditions, ROLE_APP_LABELS);
}
