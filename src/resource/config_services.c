/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of teleport.yaml that configure one service each. */
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/network.h"
#include "base/secret.h"
#include "base/text.h"
#include "os/file.h"
#include "resource/address.h"
#include "resource/app.h"
#include "resource/app_cors.h"
#include "resource/config_internal.h"
#include "resource/label.h"
#include "resource/role.h"
#include "schema/node.h"
#include "services/services.h"

#define AUTH_LISTEN_DEFAULT "0.0.0.0:3025"
#define WEB_LISTEN_DEFAULT "0.0.0.0:3080"
#define PEER_LISTEN_DEFAULT "0.0.0.0:3021"
#define ACME_DIRECTORY_DEFAULT "https://acme-v02.api.letsencrypt.org/directory"

enum { PEER_PORT = 3021, AGENT_CONNECTIONS_MAX = 64 };

/* ---- shared --------------------------------------------------------------------------------------- */

static struct error *settle_listen(struct config_checker *c, char **at, const char *fallback, int default_port,
                                   const char *field)
{
        const char *address = fallback;

        if (!is_unset(*at))
                TRY(address_normalize(c->arena, str_of(*at), default_port, field, &address));
        *at = unconst(address);
        return NULL;
}

static struct error *check_public_addresses(struct config_checker *c, char **addresses, size_t count, const char *field)
{
        const char *address = NULL;
        struct error *err = NULL;

        for (size_t i = 0; i < count; i++)
                addresses[i] = unconst(arena_str(c->arena, name_of_url(str_of(addresses[i]))).ptr);
        for (size_t i = 0; i < count; i++)
                err = error_also(err, address_normalize(c->arena, str_of(addresses[i]), 0, field, &address));
        return err;
}

static struct error *check_duration(const Cteleport__V1__Duration *d, int64_t min, int64_t max, const char *field)
{
        AUTO(buf) least = BUF_MAX(64), most = BUF_MAX(64);

        if (d == NULL || (d->seconds >= min && (d->seconds < max || (d->seconds == max && d->nanos == 0))))
                return NULL;
        duration_put(&least, SECONDS(min));
        duration_put(&most, SECONDS(max));
        return error_new(ERROR_INVALID_ARGUMENT, "%s must lie between %s and %s", field, buf_c(&least), buf_c(&most));
}

/* Sets *proxy_protocol to "on", "off" or NULL. */
static struct error *settle_proxy_protocol(char **proxy_protocol, const char *section)
{
        struct str text = str_of(*proxy_protocol);
        bool is_on = false;

        if (str_is_empty(text) || str_equal_nocase(text, STR("unspecified"))) {
                *proxy_protocol = NULL;
                return NULL;
        }
        if (!text_as_bool(text, &is_on)) {
                AUTO_MEM char *shown = escaped(text);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s.proxy_protocol '%s' is unknown", section, shown),
                                  "write on or off, or leave it out");
        }
        *proxy_protocol = unconst(is_on ? "on" : "off");
        return NULL;
}

static bool is_on(const char *proxy_protocol)
{
        return proxy_protocol != NULL && strcmp(proxy_protocol, "on") == 0;
}

/* Checks who may announce the addresses of clients. `key`: the setting that needs the list, or NULL. */
static struct error *check_load_balancers(struct config_checker *c, char *const *networks, size_t count, const char *section, const char *key)
{
        struct error *err = NULL;

        if (count > LIMIT_LOAD_BALANCERS)
                return error_new(ERROR_INVALID_ARGUMENT, "%s.load_balancers has more than %d networks", section, LIMIT_LOAD_BALANCERS);
        if (count == 0 && key != NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s.%s needs load_balancers", section, key),
                                  "write load_balancers: [10.0.0.0/24] with the addresses from which your load balancers connect; any other "
                                  "peer could forge its address");
        if (count > 0 && key == NULL)
                config_warn(c, "%s.load_balancers has no effect: no setting that trusts them is on", section);
        for (size_t i = 0; i < count; i++) {
                struct network network;
                struct error *wrong = network_parse(str_of(networks[i]), &network);

                err = error_also(err, wrong == NULL ? NULL : error_wrap(wrong, "%s.load_balancers", section));
        }
        return err;
}

/* ---- auth_service --------------------------------------------------------------------------------- */

/* Parses the roles before the colon of `node,proxy:SECRET` into canonical form; the rest stays in *text. */
static struct error *parse_static_roles(struct str *text, struct arena *arena, const struct str **ret, size_t *ret_count)
{
        size_t room = 1, count = 0;

        if (str_find_char(*text, ':') == text->len) /* it may be only a secret: not shown */
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "an entry of auth_service.tokens has no roles"),
                                  "write roles, a colon and the secret or the path of a file: node,proxy:/path");
        struct str list = str_split(text, ':');
        for (size_t i = 0; i < list.len; i++)
                room += list.ptr[i] == ',';
        struct str *roles = arena_alloc(arena, room * sizeof *roles);
        while (!str_is_empty(list)) {
                struct str name = str_trim(str_split(&list, ','));
                const struct system_role *role = system_role_parse(name);

                if (role == NULL)
                        return error_wrap(system_role_unknown(name), "auth_service.tokens");
                if (!role->is_joinable)
                        return error_new(ERROR_INVALID_ARGUMENT, "auth_service.tokens: a token cannot give role %s",
                                         role->name.ptr);
                roles[count++] = role->name;
        }
        if (count == 0)
                return error_new(ERROR_INVALID_ARGUMENT, "an entry of auth_service.tokens names no role before its colon");
        *ret = roles;
        *ret_count = count;
        return NULL;
}

static struct error *check_secret(struct str secret)
{
        if (name_is_token(secret))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a secret of auth_service.tokens is not a valid token"),
                          "use letters, digits and ._-+=@: only, at most %d characters, not beginning with '-'", LIMIT_NAME);
}

static struct error *check_static_tokens(struct config_checker *c, const Cteleport__V1__AuthConfig *auth)
{
        struct error *err = NULL;

        for (size_t i = 0; i < auth->n_tokens; i++) {
                struct str rest = str_of(auth->tokens[i]);
                const struct str *roles = NULL;
                size_t count = 0;
                struct error *wrong = parse_static_roles(&rest, c->arena, &roles, &count);

                if (wrong == NULL && !str_starts_with(rest, STR("/")))
                        wrong = check_secret(rest);
                err = error_also(err, wrong);
        }
        return err;
}

/* `region` or `region=partition`; src/aws checks whether the partition exists. */
static bool is_region(struct str text)
{
        struct str parts[] = { str_split(&text, '='), text };

        for (size_t p = 0; p < ARRAY_LEN(parts); p++)
                for (size_t i = 0; i < parts[p].len; i++)
                        if (!char_is_digit(parts[p].ptr[i]) && parts[p].ptr[i] != '-' &&
                            (parts[p].ptr[i] < 'a' || parts[p].ptr[i] > 'z'))
                                return false;
        return parts[0].len > 0 && parts[0].len <= 64 && parts[1].len <= 64;
}

static struct error *check_aws(struct config_checker *c, Cteleport__V1__AwsConfig *aws)
{
        const char *address = NULL;
        struct error *err = NULL;

        if (aws == NULL)
                return NULL;
        if (!is_unset(aws->sts_connect_to))
                err = address_normalize(c->arena, str_of(aws->sts_connect_to), HTTPS_PORT, "auth_service.aws.sts_connect_to", &address);
        aws->sts_connect_to = unconst(address);
        for (size_t i = 0; i < aws->n_extra_regions; i++) {
                AUTO_MEM char *shown = escaped(str_of(aws->extra_regions[i]));

                if (!is_region(str_of(aws->extra_regions[i])))
                        err = error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                                                   "auth_service.aws.extra_regions '%s' is not a region", shown),
                                                         "write it as us-east-9, or cn-south-9=aws-cn for another partition"));
        }
        return err;
}

static struct error *check_tunnel_strategy(Cteleport__V1__TunnelStrategyConfig *s)
{
        static const char *const types[] = { "agent_mesh", "proxy_peering", NULL };
        const char *type = types[0];

        if (s == NULL)
                return NULL;
        if (!is_unset(s->type) && !config_word(s->type, types, &type)) {
                AUTO_MEM char *shown = escaped(str_of(s->type));

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "auth_service.tunnel_strategy.type cannot be '%s'", shown),
                                  "use agent_mesh (agents connect to every proxy) or proxy_peering (proxies relay to each other)");
        }
        s->type = unconst(type);
        if (!s->has_agent_connection_count)
                return NULL;
        if (type == types[0])
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "auth_service.tunnel_strategy.agent_connection_count has no meaning with type: agent_mesh"),
                                  "leave it out, or write type: proxy_peering");
        if (s->agent_connection_count < 1 || s->agent_connection_count > AGENT_CONNECTIONS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "auth_service.tunnel_strategy.agent_connection_count must lie between 1 and %d",
                                 AGENT_CONNECTIONS_MAX);
        return NULL;
}

static struct error *check_token_algorithm(char **at)
{
        static const char *const algorithms[] = { "RS256", "ES256", NULL };
        const char *algorithm = algorithms[0];

        if (!is_unset(*at) && !config_word(*at, algorithms, &algorithm)) {
                AUTO_MEM char *shown = escaped(str_of(*at));

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "auth_service.app_token_algorithm cannot be '%s'", shown), "use RS256 or ES256");
        }
        *at = unconst(algorithm);
        return NULL;
}

struct error *config_check_auth(struct config_checker *c)
{
        Cteleport__V1__AuthConfig *auth = c->config->auth_service;

        if (auth == NULL) {
                auth = c->config->auth_service = arena_alloc(c->arena, sizeof *auth);
                cteleport__v1__auth_config__init(auth);
        }
        struct error *err = settle_listen(c, &auth->listen_addr, AUTH_LISTEN_DEFAULT, AUTH_PORT, "auth_service.listen_addr");
        err = error_also(err, check_public_addresses(c, auth->public_addr, auth->n_public_addr, "auth_service.public_addr"));
        if (is_unset(auth->cluster_name))
                auth->cluster_name = NULL;
        else
                err = error_also(err, name_check_cluster(str_of(auth->cluster_name), "auth_service.cluster_name"));
        err = error_also(err, check_static_tokens(c, auth));
        err = error_also(err, check_aws(c, auth->aws));
        err = error_also(err, settle_proxy_protocol(&auth->proxy_protocol, "auth_service"));
        err = error_also(err, check_load_balancers(c, auth->load_balancers, auth->n_load_balancers, "auth_service",
                                                   is_on(auth->proxy_protocol) ? "proxy_protocol: on" : NULL));
        err = error_also(err, check_duration(auth->host_cert_ttl, LIMIT_HOST_CERT_SECONDS_MIN, LIMIT_HOST_CERT_SECONDS,
                                             "auth_service.host_cert_ttl"));
        err = error_also(err, check_token_algorithm(&auth->app_token_algorithm));
        err = error_also(err, check_tunnel_strategy(auth->tunnel_strategy));
        return error_also(err, check_duration(auth->heartbeat_ttl, LIMIT_HEARTBEAT_SECONDS_MIN, LIMIT_HEARTBEAT_SECONDS,
                                              "auth_service.heartbeat_ttl"));
}

/* The secrets of a file, one a line; empty lines and comments are skipped. */
static struct error *read_secrets(struct str path, struct arena *arena, struct static_token like,
                                  struct static_token *tokens, size_t *count)
{
        AUTO(buf) content = BUF_MAX(LIMIT_YAML_FILE);
        const char *path_c = str_to_c(arena, path);
        size_t before = *count;

        TRY(file_read(path_c, &content));
        struct str rest = buf_str(&content);
        while (!str_is_empty(rest)) {
                struct str line = str_trim(str_split(&rest, '\n'));

                if (line.len == 0 || line.ptr[0] == '#')
                        continue;
                if (*count == LIMIT_STATIC_TOKENS)
                        return error_new(ERROR_INVALID_ARGUMENT, "auth_service.tokens has more than %d tokens",
                                         LIMIT_STATIC_TOKENS);
                TRY(check_secret(line));
                like.secret = arena_str(arena, line);
                tokens[(*count)++] = like;
        }
        wipe(content.ptr, content.len);
        if (*count == before)
                return error_new(ERROR_INVALID_ARGUMENT, "auth_service.tokens: the file %s holds no token", path_c);
        return NULL;
}

struct error *config_static_tokens(const Cteleport__V1__Config *config, struct arena *arena,
                                   const struct static_token **ret, size_t *ret_count)
{
        struct static_token *tokens = arena_alloc(arena, LIMIT_STATIC_TOKENS * sizeof *tokens);
        const Cteleport__V1__AuthConfig *auth = config->auth_service;
        size_t count = 0;

        for (size_t i = 0; auth != NULL && i < auth->n_tokens; i++) {
                struct str rest = str_of(auth->tokens[i]);
                struct static_token token = { 0 };

                TRY(parse_static_roles(&rest, arena, &token.roles, &token.role_count));
                if (str_starts_with(rest, STR("/"))) {
                        TRY(read_secrets(rest, arena, token, tokens, &count));
                        continue;
                }
                if (count == LIMIT_STATIC_TOKENS)
                        return error_new(ERROR_INVALID_ARGUMENT, "auth_service.tokens has more than %d tokens",
                                         LIMIT_STATIC_TOKENS);
                TRY(check_secret(rest));
                token.secret = rest;
                tokens[count++] = token;
        }
        *ret = tokens;
        *ret_count = count;
        return NULL;
}

/* ---- proxy_service -------------------------------------------------------------------------------- */

/* config_check_auth() has been called. */
static struct error *check_peering(struct config_checker *c, Cteleport__V1__ProxyConfig *proxy)
{
        const char *fallback = config_agent_connections(c->config) > 0 ? PEER_LISTEN_DEFAULT : "", *address = NULL;
        struct error *err = settle_listen(c, &proxy->peer_listen_addr, fallback, PEER_PORT, "proxy_service.peer_listen_addr");

        if (proxy->n_peer_public_addr == 0 || err != NULL)
                return err;
        if (proxy->peer_listen_addr[0] == '\0')
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "proxy_service.peer_public_addr has no meaning without peer_listen_addr"),
                                  "set proxy_service.peer_listen_addr (" PEER_LISTEN_DEFAULT "), or leave it out");
        TRY(address_normalize(c->arena, str_of(proxy->peer_public_addr[0]), PEER_PORT, "proxy_service.peer_public_addr", &address));
        if (proxy->n_peer_public_addr > 1)
                return error_new(ERROR_INVALID_ARGUMENT, "proxy_service.peer_public_addr has more than one address");
        proxy->peer_public_addr[0] = unconst(address);
        return NULL;
}

/* Whether an address of public_addr has a host name, not an IP address. */
static bool has_host_name(struct str address)
{
        struct str host = str_slice(address, 0, str_find_char(address, ':'));

        return name_is_host(host) && !name_is_ip(host) && !name_is_ip(address);
}

static struct error *check_acme_names(const Cteleport__V1__ProxyConfig *proxy)
{
        size_t count = 0;

        for (size_t i = 0; i < proxy->n_public_addr; i++)
                count += has_host_name(str_of(proxy->public_addr[i]));
        if (count == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "proxy_service.acme needs a host name in proxy_service.public_addr"),
                                  "write the name for which the CA is to issue a certificate: public_addr: teleport.example.com:443");
        if (count > LIMIT_CERT_NAMES)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "proxy_service.public_addr has %zu host names; a certificate has at most %d",
                                            count, LIMIT_CERT_NAMES),
                                  "use https_keypairs with a wildcard");
        return NULL;
}

static bool is_https_url(const char *text)
{
        for (const char *c = text; *c != '\0'; c++)
                if (*c <= ' ' || *c > '~')
                        return false;
        return strncmp(text, "https://", 8) == 0 && text[8] != '\0' && text[8] != '/' && strlen(text) <= LIMIT_ACME_URL;
}

/* The CA connects to port 443 of the public name, whatever the port of public_addr is (RFC 8737 section 3). */
static void warn_of_port(struct config_checker *c, const Cteleport__V1__ProxyConfig *proxy)
{
        int port = is_unset(proxy->web_listen_addr) ? 0 : address_port(str_of(proxy->web_listen_addr));

        if (port != HTTPS_PORT)
                config_warn(c, "proxy_service.acme: the CA connects to port 443 of public_addr; it must lead to port %d, where the proxy listens", port);
}

static struct error *check_acme(struct config_checker *c, Cteleport__V1__ProxyConfig *proxy)
{
        Cteleport__V1__AcmeConfig *acme = proxy->acme;

        if (acme == NULL || !acme->has_enabled || !acme->enabled)
                return NULL;
        struct error *err = check_acme_names(proxy);
        if (proxy->n_https_keypairs > 0)
                err = error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT, "proxy_service has https_keypairs and acme"),
                                                 "certificates are either your files or those of ACME: remove one of the two"));
        if (is_unset(acme->uri))
                acme->uri = unconst(ACME_DIRECTORY_DEFAULT);
        if (!is_https_url(acme->uri))
                err = error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT, "proxy_service.acme.uri is not an https URL"),
                                                 "write the URL of the CA's directory, such as " ACME_DIRECTORY_DEFAULT));
        if (!is_unset(acme->email) && (strchr(acme->email, '@') == NULL || strpbrk(acme->email, " ,?<>\t\r\n") != NULL))
                err = error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT, "proxy_service.acme.email is not one e-mail address"),
                                                 "write it as admin@example.com, or leave it out"));
        warn_of_port(c, proxy);
        return err;
}

struct error *config_check_proxy(struct config_checker *c)
{
        Cteleport__V1__ProxyConfig *proxy = c->config->proxy_service;

        if (proxy == NULL) {
                proxy = c->config->proxy_service = arena_alloc(c->arena, sizeof *proxy);
                cteleport__v1__proxy_config__init(proxy);
        }
        struct error *err = settle_listen(c, &proxy->web_listen_addr, WEB_LISTEN_DEFAULT, WEB_PORT, "proxy_service.web_listen_addr");
        err = error_also(err, settle_listen(c, &proxy->plain_http_addr, "", PORT_REQUIRED, "proxy_service.plain_http_addr"));
        err = error_also(err, check_public_addresses(c, proxy->public_addr, proxy->n_public_addr, "proxy_service.public_addr"));
        err = error_also(err, check_peering(c, proxy));
        for (size_t i = 0; i < proxy->n_https_keypairs; i++)
                if (is_unset(proxy->https_keypairs[i]->key_file) || is_unset(proxy->https_keypairs[i]->cert_file))
                        err = error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                                                   "proxy_service.https_keypairs[%zu] needs key_file and cert_file", i + 1),
                                                         "give both, or remove the pair"));
        err = error_also(err, settle_proxy_protocol(&proxy->proxy_protocol, "proxy_service"));
        err = error_also(err, check_acme(c, proxy));
        return error_also(err, check_load_balancers(c, proxy->load_balancers, proxy->n_load_balancers, "proxy_service",
                                                    is_on(proxy->proxy_protocol)   ? "proxy_protocol: on"
                                                    : proxy->trust_x_forwarded_for ? "trust_x_forwarded_for: yes"
                                                                                   : NULL));
}

/* ---- ssh_service ---------------------------------------------------------------------------------- */

static struct error *check_label_command(Cteleport__V1__CommandLabelConfig *const *commands, size_t index, const char *field)
{
        const Cteleport__V1__CommandLabelConfig *command = commands[index];
        AUTO_MEM char *shown = escaped(str_of(command->name));

        AUTO_MEM char *setting = mem_printf("%s[%zu].name", field, index + 1);

        TRY(label_check_configured(str_of(command->name), setting));
        for (size_t i = 0; i < index; i++)
                if (strcmp(commands[i]->name, command->name) == 0)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: the label '%s' occurs twice", field, shown),
                                          "give each label one command");
        if (command->n_command == 0 || command->command[0][0] == '\0')
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: the label '%s' has no command", field, shown),
                                  "write command: [/usr/bin/uname, -r]; for a shell: [/bin/sh, -c, \"...\"]");
        if (command->period != NULL && command->period->seconds < 1)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                            "%s: the label '%s' has a period shorter than a second", field, shown),
                                  "write period: 1m, or longer");
        return NULL;
}

static struct error *check_label_commands(Cteleport__V1__CommandLabelConfig *const *commands, size_t count, const char *field)
{
        if (count > LIMIT_LABEL_COMMANDS)
                return error_new(ERROR_INVALID_ARGUMENT, "%s has more than %d commands", field, LIMIT_LABEL_COMMANDS);
        struct error *err = NULL;
        for (size_t i = 0; i < count; i++)
                err = error_also(err, check_label_command(commands, i, field));
        return err;
}

struct error *config_check_ssh(struct config_checker *c)
{
        Cteleport__V1__SSHConfig *ssh = c->config->ssh_service;
        const char *address = NULL;
        struct error *err = NULL;

        if (ssh == NULL) {
                ssh = c->config->ssh_service = arena_alloc(c->arena, sizeof *ssh);
                cteleport__v1__sshconfig__init(ssh);
        }
        if (!is_unset(ssh->listen_addr))
                err = address_normalize(c->arena, str_of(ssh->listen_addr), SSH_PORT, "ssh_service.listen_addr", &address);
        err = error_also(err, check_public_addresses(c, ssh->public_addr, ssh->n_public_addr, "ssh_service.public_addr"));
        for (size_t i = 0; i < ssh->n_labels; i++)
                err = error_also(err, label_check_configured(str_of(ssh->labels[i]->key), "ssh_service.labels"));
        return error_also(err, check_label_commands(ssh->commands, ssh->n_commands, "ssh_service.commands"));
}

/* ---- app_service ---------------------------------------------------------------------------------- */

static struct error *check_app_tls(struct config_checker *c, const Cteleport__V1__AppConfig *app, const char *field)
{
        bool is_https = str_starts_with(str_of(app->uri), STR("https://"));

        if (app->has_insecure_skip_verify && app->insecure_skip_verify && !is_https)
                config_warn(c, "%s.insecure_skip_verify has no effect: its uri is not https", field);
        if (app->tls == NULL)
                return NULL;
        if (!is_https)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s.tls is for applications of https", field), "write uri: https://HOST:PORT, or remove tls");
        if (is_unset(app->tls->cert_file) != is_unset(app->tls->key_file))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s.tls has one of cert_file and key_file", field), "write both, or neither");
        if (!is_unset(app->tls->server_name))
                return error_about(name_check_host(str_of(app->tls->server_name), "tls.server_name"), "%s.tls.server_name", field);
        return NULL;
}

static struct error *check_app_networks(char *const *texts, size_t count, const char *key)
{
        struct error *err = NULL;
        struct network network;

        if (count > LIMIT_APP_NETWORKS)
                return error_new(ERROR_INVALID_ARGUMENT, "app_service.%s has more than %d networks", key, LIMIT_APP_NETWORKS);
        for (size_t i = 0; i < count; i++) {
                struct error *wrong = network_parse(str_of(texts[i]), &network);

                err = error_also(err, wrong == NULL ? NULL : error_wrap(wrong, "app_service.%s", key));
        }
        return err;
}

/* An address of two applications would lead to neither. */
static struct error *check_own_address(const Cteleport__V1__AppServiceConfig *service, size_t index, const char *field)
{
        const char *addr = service->apps[index]->public_addr;

        for (size_t i = 0; i < index && !is_unset(addr); i++)
                if (str_equal(str_of(service->apps[i]->public_addr), str_of(addr)))
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s.public_addr is that of the application '%s', too", field, service->apps[i]->name),
                                          "give each application an address of its own");
        return NULL;
}

static struct error *check_app(struct config_checker *c, const Cteleport__V1__AppServiceConfig *service, size_t index)
{
        const Cteleport__V1__AppConfig *app = service->apps[index];
        AUTO_MEM char *field = mem_printf("app_service.apps[%zu]", index + 1), *name = mem_printf("%s.name", field), *labels = mem_printf("%s.labels", field);
        AUTO_MEM char *commands = mem_printf("%s.commands", field);
        AUTO_MEM char *shown = escaped(str_of(app->name));
        TRY(app_check_name(str_of(app->name), name));
        for (size_t i = 0; i < index; i++)
                if (str_equal(str_of(service->apps[i]->name), str_of(app->name)))
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "app_service.apps: the application '%s' occurs twice", shown),
                                          "give each application a name of its own");
        if (is_unset(app->uri))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "missing application \"%s\" URI", shown), "write uri: http://HOST:PORT, https://HOST:PORT or tcp://HOST:PORT");
        struct error *err = app_check_uri(c->arena, str_of(app->uri), APP_PORTS(app));
        if (err != NULL)
                return error_wrap(err, "%s", field);
        err = error_also(err, check_app_tls(c, app, field));
        struct error *rewrite = app_check_rewrite(app->rewrite, str_of(app->uri)), *addr = app_check_public_addr(str_of(app->public_addr));
        err = error_also(err, rewrite == NULL ? NULL : error_wrap(rewrite, "%s", field));
        err = error_also(err, addr == NULL ? NULL : error_wrap(addr, "%s", field));
        err = error_also(err, check_own_address(service, index, field));
        err = error_also(err, error_about(app_cors_check(app->cors, str_of(app->uri)), "%s.cors", field));
        err = error_also(err, error_about(app_check_required(app->required_apps, app->n_required_apps, str_of(app->name), str_of(app->uri)), "%s.required_apps", field));
        if (!is_unset(app->description) && strlen(app->description) > LIMIT_APP_DESCRIPTION)
                err = error_also(err, error_new(ERROR_INVALID_ARGUMENT, "the description of the application '%s' is longer than %d bytes", shown, LIMIT_APP_DESCRIPTION));
        if (app->n_labels > LIMIT_APP_LABELS)
                return error_also(err, error_new(ERROR_INVALID_ARGUMENT, "the application '%s' has more than %d labels", shown, LIMIT_APP_LABELS));
        for (size_t i = 0; i < app->n_labels; i++)
                err = error_also(err, label_check_configured(str_of(app->labels[i]->key), labels));
        return error_also(err, check_label_commands(app->commands, app->n_commands, commands));
}

/* All commands of a host run in one process, and their values are reported together. */
static struct error *check_command_count(const Cteleport__V1__Config *config)
{
        size_t count = config->ssh_service == NULL ? 0 : config->ssh_service->n_commands;

        for (size_t i = 0; i < config->app_service->n_apps; i++)
                count += config->app_service->apps[i]->n_commands;
        return count <= LIMIT_LABEL_COMMANDS ? NULL
                                             : error_new(ERROR_INVALID_ARGUMENT, "ssh_service.commands and the commands of app_service.apps are more than %d together",
                                                         LIMIT_LABEL_COMMANDS);
}

/* Adds the application of debug_app, which is one as others for the cluster. */
static struct error *add_dumper(struct config_checker *c, Cteleport__V1__AppServiceConfig *service)
{
        Cteleport__V1__AppConfig **apps = arena_alloc(c->arena, (service->n_apps + 1) * sizeof *apps), *dumper = arena_alloc(c->arena, sizeof *dumper);

        if (!service->has_debug_app || !service->debug_app)
                return NULL;
        for (size_t i = 0; i < service->n_apps; i++) {
                if (is_unset(service->apps[i]->name) || strcmp(service->apps[i]->name, APP_DUMPER) != 0)
                        continue;
                if (!is_unset(service->apps[i]->uri) && strcmp(service->apps[i]->uri, APP_DUMPER_URI) == 0)
                        return NULL; /* a configuration that was checked before */
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "app_service.apps: '%s' is the name of the application of debug_app", APP_DUMPER),
                                  "give this application another name, or write debug_app: no");
        }
        cteleport__v1__app_config__init(dumper);
        dumper->name = unconst(APP_DUMPER);
        dumper->uri = unconst(APP_DUMPER_URI);
        dumper->description = unconst("Answers with the request that it got");
        memcpy(apps, service->apps, service->n_apps * sizeof *apps);
        apps[service->n_apps++] = dumper;
        service->apps = apps;
        return NULL;
}

struct error *config_check_app(struct config_checker *c)
{
        Cteleport__V1__AppServiceConfig *service = c->config->app_service;
        const Cteleport__V1__RoleConditions *selector;
        struct error *err = NULL;
        size_t size = 0, rows = 0;

        if (service == NULL)
                return NULL;
        TRY(add_dumper(c, service));
        if (service->n_apps > LIMIT_APPS)
                return error_new(ERROR_INVALID_ARGUMENT, "app_service.apps has more than %d applications", LIMIT_APPS);
        if (service->has_enabled && service->enabled && service->n_apps == 0 && service->n_resources == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "app_service is enabled and has no applications"),
                                  "write apps: [{name: NAME, uri: \"http://HOST:PORT\"}], or resources: [{labels: {\"*\": \"*\"}}], or debug_app: yes, or enabled: no");
        for (size_t i = 0; i < service->n_apps; i++) {
                err = error_also(err, check_app(c, service, i));
                size += protobuf_c_message_get_packed_size(&service->apps[i]->base);
                rows += service->apps[i]->n_labels + service->apps[i]->n_tcp_ports;
        }
        err = error_also(err, check_command_count(c->config));
        if (size > LIMIT_APPS_BYTES)
                err = error_also(err, error_new(ERROR_INVALID_ARGUMENT, "app_service.apps has more than %d bytes", LIMIT_APPS_BYTES));
        if (rows > LIMIT_APPS_ROWS)
                err = error_also(err, error_new(ERROR_INVALID_ARGUMENT, "app_service.apps has more than %d labels and ports", LIMIT_APPS_ROWS));
        if (service->n_allowed_hosts > 0 && service->n_denied_hosts > 0)
                err = error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT, "app_service has allowed_hosts and denied_hosts"), "remove one of them"));
        err = error_also(err, check_app_networks(service->allowed_hosts, service->n_allowed_hosts, "allowed_hosts"));
        err = error_also(err, check_app_networks(service->denied_hosts, service->n_denied_hosts, "denied_hosts"));
        if (service->n_resources > LIMIT_APP_MATCHERS)
                return error_also(err, error_new(ERROR_INVALID_ARGUMENT, "app_service.resources has more than %d rows", LIMIT_APP_MATCHERS));
        for (size_t i = 0; i < service->n_resources; i++) {
                struct error *bad = app_matcher_read(service->resources[i], c->arena, &selector);

                err = error_also(err, bad == NULL ? NULL : error_wrap(bad, "app_service.resources[%zu]", i + 1));
        }
        return err;
}

/* ---- services of other releases ------------------------------------------------------------------- */

struct error *config_check_others(struct config_checker *c)
{
        const struct service_row *row;
        struct error *err = NULL;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->section != NULL && !services_is_present(services_of_section(row->section)) && services_is_enabled(c->config, row))
                        err = error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                                                   "%s is not part of this release; its role %s already joins",
                                                                   row->section, row->role.name.ptr),
                                                         "write enabled: no in %s", row->section));
        return err;
}
