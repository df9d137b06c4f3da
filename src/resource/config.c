/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/config.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/address.h"
#include "resource/config_internal.h"
#include "resource/join_method.h"
#include "services/services.h"

void config_warn(struct config_checker *c, const char *format, ...)
{
        char *text = NULL;
        va_list args;

        if (c->warnings == NULL || c->warnings->count == CONFIG_WARNINGS_MAX)
                return;
        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                bug("out of memory while formatting a warning");
        va_end(args);
        c->warnings->texts[c->warnings->count++] = arena_str(c->arena, str_of(text)).ptr;
        free(text);
}

bool config_word(const char *word, const char *const *list, const char **ret)
{
        for (; *list != NULL; list++)
                if (str_equal_nocase(str_of(word), str_of(*list))) {
                        *ret = *list;
                        return true;
                }
        return false;
}

/* ---- version and addresses of the cluster ----------------------------------------------------------- */

static bool is_v3(const Cteleport__V1__Config *config)
{
        return strcmp(config->version, "v3") == 0;
}

static struct error *check_version(struct config_checker *c)
{
        static const char *const versions[] = { "v1", "v2", "v3", NULL };
        const char *version = "v1"; /* a file without a version has version v1 */

        if (!is_unset(c->config->version) && !config_word(c->config->version, versions, &version)) {
                AUTO_MEM char *shown = escaped(str_of(c->config->version));

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "version '%s' of the configuration is not supported", shown),
                                  "write version: v3");
        }
        c->config->version = unconst(version);
        return NULL;
}

static struct error *check_server(struct config_checker *c, char **at, int default_port, const char *field)
{
        const char *address = NULL;
        struct str text = name_of_url(str_of(*at)); /* newer documentation writes proxy_server as a URL */

        TRY(address_normalize(c->arena, text, default_port, field, &address));
        if (address[0] == ':' || address_port(str_of(address)) == 0) {
                AUTO_MEM char *shown = escaped(text);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: '%s' cannot be connected to", field, shown),
                                  "write the name or IP of a host, and its port");
        }
        *at = unconst(address);
        return NULL;
}

/* In v1 and v2 there is only auth_servers; the port shows whether the address is a proxy's. */
static struct error *settle_old_servers(struct config_checker *c)
{
        Cteleport__V1__TeleportConfig *t = c->config->teleport;

        if (!is_unset(t->auth_server) || !is_unset(t->proxy_server))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                            "teleport.auth_server and teleport.proxy_server are supported from version v3 onwards"),
                                  "write version: v3 at the top");
        if (t->n_auth_servers > 1)
                config_warn(c, "teleport.auth_servers: only the first of %zu is used", t->n_auth_servers);
        char *server = t->n_auth_servers > 0 ? t->auth_servers[0] : NULL;
        if (server == NULL && config_service_enabled(c->config, "auth"))
                return NULL;
        if (server == NULL)
                server = unconst("127.0.0.1");
        TRY(check_server(c, &server, AUTH_PORT, "teleport.auth_servers"));
        int port = address_port(str_of(server));
        if (port == WEB_PORT || port == HTTPS_PORT)
                t->proxy_server = server;
        else
                t->auth_server = server;
        t->n_auth_servers = 0;
        return NULL;
}

static struct error *settle_servers(struct config_checker *c)
{
        Cteleport__V1__TeleportConfig *t = c->config->teleport;
        bool has_auth = !is_unset(t->auth_server), has_proxy = !is_unset(t->proxy_server);

        if (t->n_auth_servers > 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "teleport.auth_servers is not supported in version v3"),
                                  "use teleport.proxy_server or teleport.auth_server instead");
        if (has_auth && has_proxy)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                            "only one of teleport.auth_server and teleport.proxy_server may be set"),
                                  "keep proxy_server: it works from everywhere");
        if (!has_auth && !has_proxy && !config_service_enabled(c->config, "auth"))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "auth_server or proxy_server is required"),
                                  "set teleport.proxy_server to the cluster's public address, such as "
                                  "teleport.example.com:443");
        if (has_auth)
                TRY(check_server(c, &t->auth_server, AUTH_PORT, "teleport.auth_server"));
        if (has_proxy)
                TRY(check_server(c, &t->proxy_server, WEB_PORT, "teleport.proxy_server"));
        int auth_port = has_auth ? address_port(str_of(t->auth_server)) : 0;
        if (auth_port == WEB_PORT || auth_port == HTTPS_PORT)
                config_warn(c, "teleport.auth_server has port %d, which is usually a proxy's; did you mean proxy_server",
                            auth_port);
        if (has_proxy && address_port(str_of(t->proxy_server)) == AUTH_PORT)
                config_warn(c, "teleport.proxy_server has port %d, which is usually an Auth Service's; did you mean auth_server",
                            AUTH_PORT);
        return NULL;
}

/* ---- joining ------------------------------------------------------------------------------------- */

static struct error *check_join(struct config_checker *c)
{
        Cteleport__V1__TeleportConfig *t = c->config->teleport;

        if (t->join_params == NULL)
                return NULL;
        struct error *err = NULL;
        if (!is_unset(t->auth_token))
                err = error_hint(error_new(ERROR_INVALID_ARGUMENT, "teleport.auth_token and teleport.join_params cannot both be set"),
                                 "move the token into teleport.join_params.token_name");
        if (is_unset(t->join_params->method))
                t->join_params->method = unconst("token");
        err = error_also(err, join_method_check(str_of(t->join_params->method), "teleport.join_params.method"));
        if (is_unset(t->join_params->token_name))
                config_warn(c, "teleport.join_params.token_name is missing: this host cannot join with it");
        return err;
}

bool config_is_pin(struct str pin)
{
        static const struct str prefix = STR_INIT("sha256:");
        AUTO(buf) bytes = BUF_MAX(64);

        if (!str_starts_with(pin, prefix) || pin.len != prefix.len + 64)
                return false;
        AUTO_PTR(error) err = hex_decode(&bytes, str_slice(pin, prefix.len, pin.len));
        return err == NULL;
}

/* "sha256:" and 64 hex digits, or the absolute path of a file; empty pins, as in samples, are removed. */
static struct error *check_pins(struct config_checker *c)
{
        Cteleport__V1__TeleportConfig *t = c->config->teleport;
        struct error *err = NULL;
        size_t kept = 0;

        for (size_t i = 0; i < t->n_ca_pin; i++) {
                struct str pin = str_of(t->ca_pin[i]);
                AUTO_MEM char *shown = escaped(pin);

                if (pin.len == 0)
                        continue;
                if (!config_is_pin(pin) && pin.ptr[0] != '/')
                        err = error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT, "teleport.ca_pin '%s' is not a CA pin", shown),
                                                         "copy the line sha256:<64 hex digits> from tctl status, or name a file by "
                                                         "its absolute path"));
                t->ca_pin[kept++] = t->ca_pin[i];
        }
        t->n_ca_pin = kept;
        return err;
}

/* ---- logs, storage, other keys -------------------------------------------------------------------- */

static struct error *wrong_word(const char *field, const char *word, const char *hint)
{
        AUTO_MEM char *shown = escaped(str_of(word));

        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s cannot be '%s'", field, shown), "%s", hint);
}

static struct error *check_log_format(Cteleport__V1__LogFormatConfig *f)
{
        static const char *const outputs[] = { "text", "json", NULL };
        static const char *const fields[] = { "timestamp", "level", "component", "caller", NULL };
        const char *word = "text";
        struct error *err = NULL;

        if (f == NULL)
                return NULL;
        if (!is_unset(f->output) && !config_word(f->output, outputs, &word))
                err = wrong_word("teleport.log.format.output", f->output, "use text or json");
        f->output = unconst(word);
        for (size_t i = 0; i < f->n_extra_fields; i++)
                if (!config_word(f->extra_fields[i], fields, &word))
                        err = error_also(err, wrong_word("teleport.log.format.extra_fields", f->extra_fields[i],
                                                         "use timestamp, level, component and caller"));
        return err;
}

/* Normalizes the values: DEBUG, INFO, WARN, ERROR; stderr, stdout or an absolute path. */
static struct error *check_log(Cteleport__V1__LogConfig *log)
{
        static const struct {
                const char *spellings[4];
                const char *name;
        } severities[] = {
                { { "DEBUG", "TRACE", NULL }, "DEBUG" },
                { { "INFO", NULL }, "INFO" },
                { { "WARN", "WARNING", NULL }, "WARN" },
                { { "ERROR", "ERR", NULL }, "ERROR" },
        };
        static const char *const errs[] = { "stderr", "err", "error", NULL };
        static const char *const outs[] = { "stdout", "out", NULL };
        const char *severity = NULL, *word = NULL;
        struct error *err = NULL;

        if (log == NULL)
                return NULL;
        for (size_t i = 0; i < ARRAY_LEN(severities) && !is_unset(log->severity); i++)
                if (config_word(log->severity, severities[i].spellings, &word))
                        severity = severities[i].name;
        if (!is_unset(log->severity) && severity == NULL)
                err = wrong_word("teleport.log.severity", log->severity, "use DEBUG, INFO, WARN or ERROR");
        log->severity = unconst(severity == NULL ? "INFO" : severity);
        if (is_unset(log->output) || config_word(log->output, errs, &word))
                log->output = unconst("stderr");
        else if (config_word(log->output, outs, &word))
                log->output = unconst("stdout");
        else if (log->output[0] != '/')
                err = error_also(err, wrong_word("teleport.log.output", log->output, "use stderr, stdout or the absolute path of a file"));
        return error_also(err, check_log_format(log->format));
}

static struct error *check_period(const Cteleport__V1__Duration *d, int64_t min, const char *field)
{
        AUTO(buf) least = BUF_MAX(64), most = BUF_MAX(64);

        if (d == NULL || (d->seconds >= min && d->seconds < LIMIT_RETENTION_SECONDS))
                return NULL;
        duration_put(&least, SECONDS(min));
        duration_put(&most, SECONDS(LIMIT_RETENTION_SECONDS));
        return error_new(ERROR_INVALID_ARGUMENT, "teleport.storage.%s must lie between %s and %s", field, buf_c(&least), buf_c(&most));
}

static struct error *check_size(bool is_given, uint32_t mib, uint32_t max, const char *field)
{
        if (!is_given || (mib >= 1 && mib <= max))
                return NULL;
        return error_new(ERROR_INVALID_ARGUMENT, "teleport.storage.%s must lie between 1 and %u", field, max);
}

static struct error *check_retention(const Cteleport__V1__StorageConfig *s)
{
        struct error *err = check_size(s->has_audit_rotation_size_mib, s->audit_rotation_size_mib, LIMIT_AUDIT_ROTATION_MIB, "audit_rotation_size_mib");

        err = error_also(err, check_period(s->audit_rotation_period, LIMIT_AUDIT_ROTATION_SECONDS_MIN, "audit_rotation_period"));
        err = error_also(err, check_period(s->audit_retention_period, LIMIT_AUDIT_RETENTION_SECONDS_MIN, "audit_retention_period"));
        err = error_also(err, check_size(s->has_audit_retention_size_mib, s->audit_retention_size_mib, UINT32_MAX, "audit_retention_size_mib"));
        err = error_also(err, check_period(s->session_recording_retention, LIMIT_RECORDING_RETENTION_SECONDS_MIN, "session_recording_retention"));
        return error_also(err, check_size(s->has_session_recording_retention_size_mib, s->session_recording_retention_size_mib, UINT32_MAX,
                                          "session_recording_retention_size_mib"));
}

static struct error *check_storage(struct config_checker *c)
{
        static const char *const types[] = { "sqlite", "dir", NULL };
        Cteleport__V1__TeleportConfig *t = c->config->teleport;
        const char *type = "sqlite";
        struct error *err = NULL;

        if (t->storage == NULL) {
                t->storage = arena_alloc(c->arena, sizeof *t->storage);
                cteleport__v1__storage_config__init(t->storage);
        }
        if (!is_unset(t->storage->type) && !config_word(t->storage->type, types, &type))
                err = wrong_word("teleport.storage.type", t->storage->type, "this release has one storage: sqlite");
        t->storage->type = unconst("sqlite");
        if (is_unset(t->storage->path))
                t->storage->path = unconst(arena_printf(c->arena, "%s/backend", t->data_dir));
        if (t->storage->path[0] != '/')
                err = error_also(err, wrong_word("teleport.storage.path", t->storage->path, "write an absolute path"));
        return error_also(err, check_retention(t->storage));
}

struct error *config_check_nodename(struct str name, const char *field)
{
        TRY(name_check_host(name, field));
        if (name_is_any_ip(name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s '%.*s' is an address: auth certifies no host under one",
                                            field, STR_ARG(name)),
                                  "set teleport.nodename to a name; the address is certified beside it");
        return NULL;
}

/* Auth may certify its own machine under a reserved name, but never a joining machine. */
static struct error *check_reserved(const struct config_checker *c, struct str name)
{
        if (config_service_enabled(c->config, "auth") || !name_is_reserved(name, STR("")))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "teleport.nodename '%.*s' is reserved: auth certifies no host under it", STR_ARG(name)),
                          "set teleport.nodename to the name of this machine, or leave it out: then it is the host name");
}

static struct error *check_host(struct config_checker *c)
{
        Cteleport__V1__TeleportConfig *t = c->config->teleport;
        const char *address = NULL;
        struct error *err = NULL;

        if (!is_unset(t->data_dir) && t->data_dir[0] != '/')
                err = wrong_word("teleport.data_dir", t->data_dir, "write an absolute path");
        if (is_unset(t->data_dir) || err != NULL) /* if invalid: reported once, not again for the paths below it */
                t->data_dir = unconst(CONFIG_DATA_DIR);
        if (is_unset(t->nodename))
                t->nodename = NULL;
        else
                err = error_also(err, config_check_nodename(str_of(t->nodename), "teleport.nodename"));
        if (t->nodename != NULL && err == NULL)
                err = check_reserved(c, str_of(t->nodename));
        if (is_unset(t->pid_file))
                t->pid_file = NULL;
        if (!is_unset(t->advertise_ip))
                err = error_also(err, address_normalize(c->arena, str_of(t->advertise_ip), 0, "teleport.advertise_ip", &address));
        if (is_unset(t->diag_addr))
                t->diag_addr = NULL;
        else
                err = error_also(err, address_normalize(c->arena, str_of(t->diag_addr), PORT_REQUIRED, "teleport.diag_addr", &address));
        if (t->diag_addr != NULL && err == NULL)
                t->diag_addr = unconst(address);
        return err;
}

/* ---- the whole file ------------------------------------------------------------------------------ */

static struct error *check_services(const Cteleport__V1__Config *config)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->section != NULL && services_is_present(row) && services_is_enabled(config, row))
                        return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "at least one service must be enabled"),
                          "enable ssh_service, proxy_service or auth_service");
}

struct error *config_check(Cteleport__V1__Config *config, struct arena *arena, struct config_warnings *warnings)
{
        struct config_checker c = { config, arena, warnings };

        if (config->teleport == NULL) {
                config->teleport = arena_alloc(arena, sizeof *config->teleport);
                cteleport__v1__teleport_config__init(config->teleport);
        }
        TRY(check_version(&c)); /* the meaning of other keys depends on it */
        struct error *err = config_check_others(&c);
        err = error_also(err, check_services(config));
        err = error_also(err, check_host(&c));
        err = error_also(err, is_v3(config) ? settle_servers(&c) : settle_old_servers(&c));
        err = error_also(err, check_join(&c));
        err = error_also(err, check_pins(&c));
        err = error_also(err, check_log(config->teleport->log));
        err = error_also(err, check_storage(&c));
        err = error_also(err, config_check_auth(&c));
        err = error_also(err, config_check_proxy(&c));
        err = error_also(err, config_check_ssh(&c));
        return error_join(error_also(err, config_check_app(&c)), "the configuration");
}

bool config_service_enabled(const Cteleport__V1__Config *config, const char *service)
{
        const struct service_row *row = services_find(service);

        if (row == NULL)
                bug("there is no service '%s'", service);
        return services_is_enabled(config, row);
}

static struct duration duration_or(const Cteleport__V1__Duration *d, int64_t default_seconds)
{
        return d == NULL ? SECONDS(default_seconds) : (struct duration){ d->seconds * 1000000000 + d->nanos };
}

struct duration config_host_cert_ttl(const Cteleport__V1__Config *config)
{
        return duration_or(config->auth_service == NULL ? NULL : config->auth_service->host_cert_ttl,
                           LIMIT_HOST_CERT_SECONDS);
}

bool config_signs_tokens_by_es256(const Cteleport__V1__Config *config)
{
        const char *algorithm = config->auth_service == NULL ? NULL : config->auth_service->app_token_algorithm;

        return !is_unset(algorithm) && strcmp(algorithm, "ES256") == 0;
}

uint32_t config_agent_connections(const Cteleport__V1__Config *config)
{
        const Cteleport__V1__TunnelStrategyConfig *strategy = config->auth_service == NULL ? NULL : config->auth_service->tunnel_strategy;

        if (strategy == NULL || is_unset(strategy->type) || strcmp(strategy->type, "proxy_peering") != 0)
                return 0;
        return strategy->has_agent_connection_count ? strategy->agent_connection_count : 1;
}

struct duration config_heartbeat_ttl(const Cteleport__V1__Config *config)
{
        enum { DEFAULT_SECONDS = 600 };

        return duration_or(config->auth_service == NULL ? NULL : config->auth_service->heartbeat_ttl, DEFAULT_SECONDS);
}

struct retention_settings config_retention(const Cteleport__V1__Config *config)
{
        const Cteleport__V1__StorageConfig none = CTELEPORT__V1__STORAGE_CONFIG__INIT;
        const Cteleport__V1__StorageConfig *s = config->teleport == NULL || config->teleport->storage == NULL ? &none : config->teleport->storage;

        return (struct retention_settings){
                .audit_rotation_size = (s->has_audit_rotation_size_mib ? (int64_t)s->audit_rotation_size_mib : LIMIT_AUDIT_ROTATION_MIB_DEFAULT) * MiB,
                .audit_rotation_age = duration_or(s->audit_rotation_period, LIMIT_AUDIT_ROTATION_SECONDS_DEFAULT),
                .audit_age = duration_or(s->audit_retention_period, 0),
                .audit_size = (int64_t)s->audit_retention_size_mib * MiB,
                .recording_age = duration_or(s->session_recording_retention, 0),
                .recording_size = (int64_t)s->session_recording_retention_size_mib * MiB,
        };
}
