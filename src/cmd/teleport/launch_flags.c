/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/teleport/launch_flags.h"

#include "base/mem.h"
#include "base/text.h"
#include "cmd/teleport/launch.h"
#include "rpc/pb.h"

const struct flag launch_flags[] = {
        { "config", .letter = 'c', .kind = FLAG_TEXT, .value = "FILE",
          .help = "Configuration file (/etc/teleport.yaml if it exists)" },
        { "config-string", .kind = FLAG_TEXT, .value = "BASE64", .env = "TELEPORT_CONFIG", .is_hidden = true,
          .help = "A whole configuration file in base64" },
        { "debug", .letter = 'd', .help = "Log at level DEBUG to standard error" },
        { "roles", .letter = 'r', .kind = FLAG_LIST, .value = "ROLES",
          .help = "Services to run, of " SERVICES_FLAGS ", instead of those the file enables" },
        { "nodename", .kind = FLAG_TEXT, .value = "NAME", .help = "Name of this host in the cluster" },
        { "data-dir", .kind = FLAG_TEXT, .value = "DIR", .help = "Directory of identity and state (/var/lib/teleport)" },
        { "listen-ip", .letter = 'l', .kind = FLAG_TEXT, .value = "IP",
          .help = "Address that services listen on (0.0.0.0)" },
        { "advertise-ip", .kind = FLAG_TEXT, .value = "ADDR", .help = "Address that heartbeats announce" },
        { "auth-server", .kind = FLAG_LIST, .value = "ADDR",
          .help = "Address of the Auth Service; disables the local one" },
        { "token", .kind = FLAG_TEXT, .value = "TOKEN",
          .help = "Join token, or the absolute path of a file that holds it" },
        { "ca-pin", .kind = FLAG_LIST, .value = "PIN",
          .help = "Pin of the cluster's CA, or the absolute path of a file with pins" },
        { "labels", .kind = FLAG_LIST, .value = "LABELS", .help = "Labels of this host: env=prod,team=web" },
        { "app-name", .kind = FLAG_TEXT, .value = "NAME", .help = "Name of an application that this host offers, with --app-uri; enables the Application Service" },
        { "app-uri", .kind = FLAG_TEXT, .value = "URI", .help = "Where this host reaches it: http://HOST:PORT, https://HOST:PORT or tcp://HOST:PORT" },
        { "app-public-addr", .kind = FLAG_TEXT, .value = "HOST", .help = "Another host name at which it is opened in browsers, beside NAME.PROXY" },
        { "pid-file", .kind = FLAG_TEXT, .value = "FILE", .help = "Write the process ID here when all services run" },
        { "diag-addr", .kind = FLAG_TEXT, .value = "ADDR", .help = "Where to serve /healthz, /readyz and /metrics, without authentication" },
        { "insecure", .help = "Do not verify the certificate of the proxy when joining" },
        { "insecure-no-tls", .is_hidden = true, .help = "Refused" },
        { 0 },
};

const struct flag app_start_flags[] = {
        { "name", .kind = FLAG_TEXT, .value = "NAME", .help = "Name of the application that this host offers, with --uri, instead of those of the file" },
        { "uri", .kind = FLAG_TEXT, .value = "URI", .help = "Where this host reaches it: http://HOST:PORT, https://HOST:PORT or tcp://HOST:PORT" },
        { "public-addr", .kind = FLAG_TEXT, .value = "HOST", .help = "Another host name at which it is opened in browsers, beside NAME.PROXY" },
        { "labels", .kind = FLAG_LIST, .value = "LABELS", .help = "Labels of the application: env=prod,team=web" },
        { "config", .letter = 'c', .kind = FLAG_TEXT, .value = "FILE",
          .help = "Configuration file (/etc/teleport.yaml if it exists)" },
        { "config-string", .kind = FLAG_TEXT, .value = "BASE64", .env = "TELEPORT_CONFIG", .is_hidden = true,
          .help = "A whole configuration file in base64" },
        { "debug", .letter = 'd', .help = "Log at level DEBUG to standard error" },
        { "auth-server", .kind = FLAG_LIST, .value = "ADDR", .help = "Address of the proxy" },
        { "token", .kind = FLAG_TEXT, .value = "TOKEN",
          .help = "Join token, or the absolute path of a file that holds it" },
        { "ca-pin", .kind = FLAG_LIST, .value = "PIN",
          .help = "Pin of the cluster's CA, or the absolute path of a file with pins" },
        { "pid-file", .kind = FLAG_TEXT, .value = "FILE", .help = "Write the process ID here when all services run" },
        { "diag-addr", .kind = FLAG_TEXT, .value = "ADDR", .help = "Where to serve /healthz, /readyz and /metrics, without authentication" },
        { "insecure", .help = "Do not verify the certificate of the proxy when joining" },
        { "insecure-no-tls", .is_hidden = true, .help = "Refused" },
        { 0 },
};

/* ---- parts of the configuration that may be missing ---------------------------------------------- */

/* Defines a function that returns a section of its owner and creates it if it is missing. */
#define PART_OF(owner_type, field, type, init)                                                                         \
        static type *field##_of(struct arena *arena, owner_type *owner)                                                \
        {                                                                                                              \
                if (owner->field == NULL) {                                                                            \
                        owner->field = arena_alloc(arena, sizeof(*owner->field));                                      \
                        init(owner->field);                                                                            \
                }                                                                                                      \
                return owner->field;                                                                                   \
        }

PART_OF(Cteleport__V1__Config, teleport, Cteleport__V1__TeleportConfig, cteleport__v1__teleport_config__init)
PART_OF(Cteleport__V1__Config, auth_service, Cteleport__V1__AuthConfig, cteleport__v1__auth_config__init)
PART_OF(Cteleport__V1__Config, proxy_service, Cteleport__V1__ProxyConfig, cteleport__v1__proxy_config__init)
PART_OF(Cteleport__V1__Config, ssh_service, Cteleport__V1__SSHConfig, cteleport__v1__sshconfig__init)
PART_OF(Cteleport__V1__Config, app_service, Cteleport__V1__AppServiceConfig, cteleport__v1__app_service_config__init)
PART_OF(Cteleport__V1__TeleportConfig, log, Cteleport__V1__LogConfig, cteleport__v1__log_config__init)

static size_t count_of(const char *const *texts)
{
        size_t count = 0;

        while (texts[count] != NULL)
                count++;
        return count;
}

static char *text_of(struct arena *arena, const char *text)
{
        return pb_text(str_to_c(arena, str_of(text)));
}

/* ---- the flags ----------------------------------------------------------------------------------- */

const struct service_row *launch_find_role(struct str flag)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->flag != NULL && str_equal(str_trim(flag), str_of(row->flag)))
                        return row;
        return NULL;
}

struct error *launch_unknown_role(struct str flag)
{
        AUTO_MEM char *shown = escaped(flag);
        AUTO(buf) flags = BUF_MAX(KiB);

        services_put_flags(&flags);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "unknown role: '%s'", shown), "--roles takes %s", buf_c(&flags));
}

/* Enables only the services of --roles. (config_check refuses services that this release does not have.) */
static struct error *overlay_roles(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->flag != NULL)
                        services_enable(config, arena, row, false);
        for (const char *const *role = flags_list(given, "roles"); *role != NULL; role++) {
                row = launch_find_role(str_of(*role));
                if (row == NULL)
                        return launch_unknown_role(str_of(*role));
                services_enable(config, arena, row, true);
        }
        return NULL;
}

static struct error *overlay_auth_server(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config)
{
        const char *const *servers = flags_list(given, "auth-server");
        bool has_list = config->version == NULL || !str_equal(str_of(config->version), STR("v3"));
        Cteleport__V1__AuthConfig *auth = auth_service_of(arena, config);
        size_t count = count_of(servers);

        if (!has_list && count > 1)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--auth-server is given %zu times", count),
                                  "one address is enough; a load balancer's for several");
        auth->has_enabled = true;
        auth->enabled = false;
        if (!has_list) {
                /* Applications are reached by tunnels to the proxy, so that the server of `app start` is one. */
                bool is_proxy = flags_command(given)->flags == app_start_flags;

                config->teleport->auth_server = is_proxy ? NULL : text_of(arena, servers[0]);
                config->teleport->proxy_server = is_proxy ? text_of(arena, servers[0]) : NULL;
                return NULL;
        }
        config->teleport->auth_servers = arena_alloc(arena, count * sizeof(char *));
        config->teleport->n_auth_servers = count;
        for (size_t i = 0; i < count; i++)
                config->teleport->auth_servers[i] = text_of(arena, servers[i]);
        return NULL;
}

/* Parses k=v or k="v with, comma"; the flag parser has split the list at commas outside of quotes. */
static struct error *parse_label(struct arena *arena, const char *text, char **ret_key, char **ret_value)
{
        struct str value = str_of(text);
        bool has_value = str_contains(value, STR("="));
        struct str key = str_trim(str_split(&value, '='));

        if (!has_value || str_is_empty(key)) {
                AUTO_MEM char *shown = escaped(str_of(text));

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a label", shown),
                                  "labels are written env=prod,team=web");
        }
        if (value.len >= 2 && (value.ptr[0] == '"' || value.ptr[0] == '\'') &&
            value.ptr[value.len - 1] == value.ptr[0])
                value = str_slice(value, 1, value.len - 2);
        *ret_key = pb_text(str_to_c(arena, key));
        *ret_value = pb_text(str_to_c(arena, value));
        return NULL;
}

static struct error *overlay_labels(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config)
{
        typedef Cteleport__V1__SSHConfig__LabelsEntry entry;
        const char *const *labels = flags_list(given, "labels");
        Cteleport__V1__SSHConfig *ssh = ssh_service_of(arena, config);
        size_t count = count_of(labels);

        ssh->labels = arena_alloc(arena, count * sizeof(entry *));
        ssh->n_labels = count;
        for (size_t i = 0; i < count; i++) {
                ssh->labels[i] = arena_alloc(arena, sizeof(entry));
                cteleport__v1__sshconfig__labels_entry__init(ssh->labels[i]);
                TRY(parse_label(arena, labels[i], &ssh->labels[i]->key, &ssh->labels[i]->value));
        }
        return NULL;
}

static void overlay_token(const char *token, struct arena *arena, Cteleport__V1__TeleportConfig *t)
{
        if (t->join_params != NULL)
                t->join_params->token_name = text_of(arena, token);
        else
                t->auth_token = text_of(arena, token);
}

/* Refuses --ca-pin without a value, as from --ca-pin=$PIN with an empty $PIN: it would remove the pins of the file. */
struct error *launch_check_pins(const struct flags *given)
{
        if (!flags_given(given, "ca-pin") || flags_list(given, "ca-pin")[0] != NULL)
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--ca-pin has no value"),
                          "give the pin that 'tctl status' prints, or leave the flag out");
}

static void overlay_pins(const char *const *pins, struct arena *arena, Cteleport__V1__TeleportConfig *t)
{
        size_t count = count_of(pins);

        t->ca_pin = arena_alloc(arena, count * sizeof(char *));
        t->n_ca_pin = count;
        for (size_t i = 0; i < count; i++)
                t->ca_pin[i] = text_of(arena, pins[i]);
}

/* Keeps the port of the file, and puts an IPv6 address into brackets. */
static char *listen_address(struct arena *arena, const char *ip, const char *from_file, const char *default_port)
{
        const char *colon = from_file == NULL ? NULL : strrchr(from_file, ':');
        const char *port = colon == NULL ? default_port : colon + 1;
        bool is_bare_v6 = strchr(ip, ':') != NULL && ip[0] != '[';

        return pb_text(arena_printf(arena, "%s%s%s:%s", is_bare_v6 ? "[" : "", ip, is_bare_v6 ? "]" : "",
                                               port));
}

static void overlay_listen_ip(const char *ip, struct arena *arena, Cteleport__V1__Config *config)
{
        Cteleport__V1__AuthConfig *auth = auth_service_of(arena, config);
        Cteleport__V1__ProxyConfig *proxy = proxy_service_of(arena, config);

        auth->listen_addr = listen_address(arena, ip, auth->listen_addr, "3025");
        proxy->web_listen_addr = listen_address(arena, ip, proxy->web_listen_addr, "3080");
}

struct error *launch_check_app(const struct flags *given)
{
        bool has_name = flags_text(given, "app-name") != NULL;

        if (has_name == (flags_text(given, "app-uri") != NULL))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--app-name and --app-uri belong together"), "give both: --app-name=NAME --app-uri=http://HOST:PORT");
}

/* Makes this the only application of the configuration. */
static Cteleport__V1__AppConfig *set_app(struct arena *arena, Cteleport__V1__Config *config, const char *name, const char *uri, const char *public_addr)
{
        Cteleport__V1__AppConfig *app = arena_alloc(arena, sizeof *app);
        Cteleport__V1__AppServiceConfig *service;

        services_enable(config, arena, services_find("app"), true);
        cteleport__v1__app_config__init(app);
        app->name = text_of(arena, name);
        app->uri = text_of(arena, uri);
        if (public_addr != NULL)
                app->public_addr = text_of(arena, public_addr);
        service = app_service_of(arena, config);
        service->apps = arena_alloc(arena, sizeof *service->apps);
        service->apps[0] = app;
        service->n_apps = 1;
        return app;
}

/* The application of the flags, instead of those of the file. */
static struct error *overlay_app(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config)
{
        TRY(launch_check_app(given));
        if (flags_text(given, "app-name") != NULL)
                set_app(arena, config, flags_text(given, "app-name"), flags_text(given, "app-uri"), flags_text(given, "app-public-addr"));
        else if (flags_text(given, "app-public-addr") != NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--app-public-addr needs --app-name and --app-uri"), "give all three");
        return NULL;
}

static struct error *overlay_app_labels(const struct flags *given, struct arena *arena, Cteleport__V1__AppConfig *app)
{
        typedef Cteleport__V1__AppConfig__LabelsEntry entry;
        const char *const *labels = flags_list(given, "labels");

        app->n_labels = count_of(labels);
        app->labels = arena_alloc(arena, app->n_labels * sizeof(entry *));
        for (size_t i = 0; i < app->n_labels; i++) {
                app->labels[i] = arena_alloc(arena, sizeof(entry));
                cteleport__v1__app_config__labels_entry__init(app->labels[i]);
                TRY(parse_label(arena, labels[i], &app->labels[i]->key, &app->labels[i]->value));
        }
        return NULL;
}

/* Enables the Application Service alone, with the application of the flags or, without them, those of the file. */
static struct error *overlay_app_start(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config)
{
        const char *name = flags_text(given, "name"), *uri = flags_text(given, "uri");
        const struct service_row *row;

        if ((name == NULL) != (uri == NULL) || (name == NULL && (flags_given(given, "labels") || flags_given(given, "public-addr"))))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, name == uri ? "--labels and --public-addr need --name and --uri" : "--name and --uri belong together"),
                                  "give both: --name=NAME --uri=http://HOST:PORT");
        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->flag != NULL)
                        services_enable(config, arena, row, false);
        services_enable(config, arena, services_find("app"), true);
        return name == NULL ? NULL : overlay_app_labels(given, arena, set_app(arena, config, name, uri, flags_text(given, "public-addr")));
}

static void overlay_texts(const struct flags *given, bool is_start, struct arena *arena, Cteleport__V1__TeleportConfig *t)
{
        const struct {
                const char *flag;
                char **field;
        } texts[] = {
                { "pid-file", &t->pid_file }, { "diag-addr", &t->diag_addr },
                { "nodename", &t->nodename }, { "data-dir", &t->data_dir },   { "advertise-ip", &t->advertise_ip }, /* of `start` alone */
        };

        for (size_t i = 0; i < (is_start ? ARRAY_LEN(texts) : 2); i++) {
                const char *value = flags_text(given, texts[i].flag);

                if (value != NULL)
                        *texts[i].field = text_of(arena, value);
        }
}

static struct error *overlay_services(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config)
{
        if (flags_text(given, "listen-ip") != NULL)
                overlay_listen_ip(flags_text(given, "listen-ip"), arena, config);
        if (flags_given(given, "roles"))
                TRY(overlay_roles(given, arena, config));
        TRY(overlay_app(given, arena, config));
        return flags_given(given, "labels") ? overlay_labels(given, arena, config) : NULL;
}

struct error *launch_overlay(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config)
{
        Cteleport__V1__TeleportConfig *t = teleport_of(arena, config);
        bool is_start = flags_command(given)->flags != app_start_flags;

        TRY(launch_check_pins(given));
        overlay_texts(given, is_start, arena, t);
        if (flags_switch(given, "debug"))
                log_of(arena, t)->severity = text_of(arena, "DEBUG");
        if (flags_text(given, "token") != NULL)
                overlay_token(flags_text(given, "token"), arena, t);
        if (flags_given(given, "ca-pin"))
                overlay_pins(flags_list(given, "ca-pin"), arena, t);
        TRY(is_start ? overlay_services(given, arena, config) : overlay_app_start(given, arena, config));
        return flags_given(given, "auth-server") ? overlay_auth_server(given, arena, config) : NULL;
}

struct error *launch_overlay_connection(const struct flags *given, struct arena *arena, Cteleport__V1__Config *config)
{
        Cteleport__V1__TeleportConfig *t = teleport_of(arena, config);

        TRY(launch_check_pins(given));
        if (flags_text(given, "data-dir") != NULL)
                t->data_dir = text_of(arena, flags_text(given, "data-dir"));
        if (flags_given(given, "ca-pin"))
                overlay_pins(flags_list(given, "ca-pin"), arena, t);
        return NULL;
}
