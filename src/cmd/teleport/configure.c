/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/config_find.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/launch.h"
#include "cmd/teleport/launch_flags.h"
#include "cmd/teleport/output.h"
#include "resource/join_method.h"
#include "schema/schema.h"

/* clang-format off */
#define CONFIGURE_FLAGS                                                                                                \
        { "output", .letter = 'o', .kind = FLAG_TEXT, .value = "DEST", .fallback = "stdout",                           \
          .help = "Output: stdout, file (/etc/teleport.yaml), or an absolute path" },                             \
        { "version", .kind = FLAG_TEXT, .value = "VERSION", .fallback = "v3", .is_hidden = true,                       \
          .help = "Version of the configuration" },                                                                    \
        { "public-addr", .kind = FLAG_LIST, .value = "ADDR", .help = "host:port by which users and agents reach it" },   \
        { "data-dir", .kind = FLAG_TEXT, .value = "DIR", .fallback = CONFIG_DATA_DIR,                                   \
          .help = "Directory of identity and state" },                                                                   \
        { "token", .kind = FLAG_TEXT, .value = "TOKEN", .help = "Join token, or the absolute path of a file with it" },\
        { "join-method", .kind = FLAG_TEXT, .value = "METHOD", .choices = join_method_names,                                \
          .help = "How the host joins (token)" },                                                                      \
        { "auth-server", .kind = FLAG_TEXT, .value = "ADDR", .help = "Address of the Auth Service" },                  \
        { "proxy", .kind = FLAG_TEXT, .value = "ADDR", .help = "Address of the Proxy Service" },                       \
        { "ca-pin", .kind = FLAG_LIST, .value = "PIN", .help = "Pin of the cluster's CA" },                            \
        { "node-name", .kind = FLAG_TEXT, .value = "NAME", .help = "Name of this host (its host name)" }
/* clang-format on */

const struct flag configure_flags[] = {
        CONFIGURE_FLAGS,
        { "test", .kind = FLAG_TEXT, .value = "FILE", .help = "Check this file instead of writing one" },
        { "cluster-name", .kind = FLAG_TEXT, .value = "NAME", .help = "Name of the cluster, fixed at its first start" },
        { "cert-file", .kind = FLAG_TEXT, .value = "FILE", .help = "Certificate of the web port" },
        { "key-file", .kind = FLAG_TEXT, .value = "FILE", .help = "Key of that certificate" },
        { "acme", .kind = FLAG_SWITCH, .help = "Get the certificate of the web port from Let's Encrypt; needs --cluster-name" },
        { "acme-email", .kind = FLAG_TEXT, .value = "EMAIL", .help = "Contact of the account there" },
        { "app-name", .kind = FLAG_TEXT, .value = "NAME", .help = "Name of an application that this host offers, with --app-uri" },
        { "app-uri", .kind = FLAG_TEXT, .value = "URI", .help = "Where this host reaches it: http://HOST:PORT, https://HOST:PORT or tcp://HOST:PORT" },
        { "roles", .kind = FLAG_LIST, .value = "ROLES", .help = "Services to enable, of " SERVICES_FLAGS },
        { "node-labels", .kind = FLAG_LIST, .value = "LABELS", .help = "Labels of this host: env=prod,team=web" },
        { 0 },
};

const struct flag node_configure_flags[] = {
        CONFIGURE_FLAGS,
        { "labels", .kind = FLAG_LIST, .value = "LABELS", .help = "Labels of this host: env=prod,team=web" },
        { 0 },
};

/* The contents of the file. */
struct sample {
        bool is_enabled[SERVICE_ROWS_MAX]; /* by position among the services that this release runs */
        const char *cluster_name, *cert_file, *key_file, *acme_email;
        bool has_acme;
        bool is_whole; /* of `configure`, which has flags of all services */
        const char *app_name, *app_uri;
        const char *const *labels;
        const struct flags *given;
};

static size_t position_of(const struct service_row *row)
{
        size_t i = 0;

        while (services_present_at(i) != row)
                i++;
        return i;
}

static bool is_enabled(const struct sample *s, const struct service_row *row)
{
        return s->is_enabled[position_of(row)];
}

static void set_enabled(struct sample *s, const struct service_row *row, bool is_on)
{
        s->is_enabled[position_of(row)] = is_on;
}

/* ---- YAML ---------------------------------------------------------------------------------------------- */

/* Whether a text reads as itself in YAML 1.1 without quotes; when in doubt, no. */
static bool is_plain(struct str s)
{
        static const char *const words[] = { "y", "n", "yes", "no", "on", "off", "true", "false", "null" };

        if (s.len == 0 || !(char_is_alpha(s.ptr[0]) || s.ptr[0] == '/') || s.ptr[s.len - 1] == ':')
                return false;
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && strchr("._/:-", s.ptr[i]) == NULL)
                        return false;
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
                if (str_equal_nocase(s, str_of(words[i])))
                        return false;
        return true;
}

static void put_scalar(struct buf *out, struct str value)
{
        if (is_plain(value))
                buf_put(out, value);
        else
                json_put_string(out, value); /* a YAML double-quoted scalar as well */
}

static void put_key(struct buf *out, const char *indent, const char *key, const char *value)
{
        buf_printf(out, "%s%s: ", indent, key);
        put_scalar(out, str_of(value));
        buf_put_char(out, '\n');
}

static void put_list(struct buf *out, const char *key, const char *const *values)
{
        if (*values == NULL)
                return;
        buf_printf(out, "  %s:\n", key);
        for (; *values != NULL; values++) {
                buf_put_c(out, "    - ");
                put_scalar(out, str_of(*values));
                buf_put_char(out, '\n');
        }
}

static void put_switch(struct buf *out, bool is_on)
{
        buf_printf(out, "  enabled: \"%s\"\n", is_on ? "yes" : "no");
}

/* ---- the sections ---------------------------------------------------------------------------------------- */

static void put_join(struct buf *out, const struct flags *given)
{
        const char *token = flags_text(given, "token"), *method = flags_text(given, "join-method");

        if (token == NULL && method == NULL)
                return;
        buf_put_c(out, "  # How this host joins: the name of a token (or the absolute path of a file that holds it),\n"
                       "  # and the method that token is made for.\n"
                       "  join_params:\n");
        put_key(out, "    ", "token_name", token == NULL ? "" : token);
        put_key(out, "    ", "method", method == NULL ? "token" : method);
}

static void put_teleport(struct buf *out, const struct sample *s)
{
        char host[LIMIT_NAME + 1] = "";
        const char *name = flags_text(s->given, "node-name");
        const char *const *pins = flags_list(s->given, "ca-pin");

        buf_put_c(out, "teleport:\n");
        if (name == NULL && gethostname(host, sizeof(host) - 1) == 0)
                name = host;
        if (name != NULL && name[0] != '\0')
                put_key(out, "  ", "nodename", name);
        put_key(out, "  ", "data_dir", flags_text(s->given, "data-dir"));
        put_join(out, s->given);
        if (flags_text(s->given, "proxy") != NULL)
                put_key(out, "  ", "proxy_server", flags_text(s->given, "proxy"));
        if (flags_text(s->given, "auth-server") != NULL) {
                const char *servers[] = { flags_text(s->given, "auth-server"), NULL };

                if (str_equal(str_of(flags_text(s->given, "version")), STR("v3")))
                        put_key(out, "  ", "auth_server", servers[0]);
                else
                        put_list(out, "auth_servers", servers);
        }
        buf_put_c(out, "  log:\n"
                       "    output: stderr\n"
                       "    severity: INFO\n"
                       "    format:\n"
                       "      output: text\n");
        buf_put_c(out, "  # The CA to trust at the first connection: the CA pin that `tctl status` shows.\n");
        if (*pins == NULL)
                buf_put_c(out, "  ca_pin: \"\"\n");
        else
                put_list(out, "ca_pin", pins);
}

static void put_auth(struct buf *out, const struct sample *s)
{
        buf_put_c(out, "  listen_addr: 0.0.0.0:3025\n");
        if (s->cluster_name != NULL)
                put_key(out, "  ", "cluster_name", s->cluster_name);
}

/* With ACME the cluster's name is the host name for which the CA issues a certificate, unless --public-addr is given. */
static void put_public_addresses(struct buf *out, const struct sample *s)
{
        const char *const *given = flags_list(s->given, "public-addr");
        AUTO_MEM char *address = s->has_acme ? mem_printf("%s:443", s->cluster_name) : NULL;
        const char *const made[] = { address, NULL };

        put_list(out, "public_addr", *given == NULL && s->has_acme ? made : given);
}

static void put_acme(struct buf *out, const struct sample *s)
{
        buf_put_c(out, "  https_keypairs: []\n"
                       "  https_keypairs_reload_interval: 0s\n"
                       "  # The CA connects to port 443 of each host of public_addr. Its terms of service are agreed to.\n"
                       "  acme:\n"
                       "    enabled: \"yes\"\n");
        if (s->acme_email != NULL)
                put_key(out, "    ", "email", s->acme_email);
}

static void put_proxy(struct buf *out, const struct sample *s)
{
        buf_printf(out, "  web_listen_addr: 0.0.0.0:%d\n", s->has_acme ? 443 : 3080);
        put_public_addresses(out, s);
        if (s->has_acme) {
                put_acme(out, s);
                return;
        }
        if (s->cert_file != NULL) {
                buf_put_c(out, "  https_keypairs:\n");
                put_key(out, "    - ", "key_file", s->key_file);
                put_key(out, "      ", "cert_file", s->cert_file);
        } else {
                buf_put_c(out, "  # Without a certificate here the proxy makes one that browsers do not trust.\n"
                               "  https_keypairs: []\n");
        }
        buf_put_c(out, "  https_keypairs_reload_interval: 0s\n");
}

static void put_ssh(struct buf *out, const struct sample *s)
{
        if (!is_enabled(s, services_find("proxy")))
                put_list(out, "public_addr", flags_list(s->given, "public-addr"));
        if (*s->labels != NULL)
                buf_put_c(out, "  labels:\n");
        for (const char *const *label = s->labels; *label != NULL; label++) {
                struct str value = str_of(*label);
                struct str key = str_split(&value, '=');

                buf_put_c(out, "    ");
                json_put_string(out, key);
                buf_put_c(out, ": ");
                json_put_string(out, value);
                buf_put_char(out, '\n');
        }
}

static void put_app(struct buf *out, const struct sample *s)
{
        if (s->app_name == NULL) {
                buf_put_c(out, "  # This host offers the applications of `tctl create` whose labels match one of these rows: here, all of them.\n"
                               "  resources:\n"
                               "    - labels:\n"
                               "        \"*\": \"*\"\n");
                return;
        }
        buf_put_c(out, "  apps:\n");
        put_key(out, "    - ", "name", s->app_name);
        put_key(out, "      ", "uri", s->app_uri);
}

/* The settings of a service's section, except the switch. */
static const struct {
        const char *service;
        void (*put)(struct buf *out, const struct sample *s);
} sections[] = { { "auth", put_auth }, { "proxy", put_proxy }, { "ssh", put_ssh }, { "app", put_app } };

static void put_section(struct buf *out, const struct sample *s, const struct service_row *row)
{
        buf_printf(out, "\n# %s\n%s:\n", row->about, row->section);
        put_switch(out, is_enabled(s, row));
        for (size_t i = 0; i < ARRAY_LEN(sections) && is_enabled(s, row); i++)
                if (strcmp(sections[i].service, row->name) == 0)
                        sections[i].put(out, s);
}

/* Writes the text, and parses it as `start` does, so that `start` accepts every file written here. */
static struct error *put_sample(struct buf *out, const struct sample *s)
{
        AUTO_PTR(arena) arena = arena_new(4 * MiB);
        const struct service_row *row;
        ProtobufCMessage *message;

        buf_printf(out, "version: %s\n", flags_text(s->given, "version"));
        put_teleport(out, s);
        for (size_t i = 0; (row = services_present_at(i)) != NULL; i++)
                if (row->section != NULL)
                        put_section(out, s, row);
        TRY(buf_finish(out, "the configuration"));
        TRY(schema_load_yaml(arena, "configuration", buf_str(out), &cteleport__v1__config__descriptor, &message));
        return config_check((Cteleport__V1__Config *)(void *)message, arena, NULL);
}

/* ---- the commands ------------------------------------------------------------------------------------------ */

static struct error *check_flags(const struct sample *s)
{
        const struct flags *given = s->given;
        const char *files[] = { s->cert_file, s->key_file };

        TRY(launch_check_pins(given));
        if (s->is_whole)
                TRY(launch_check_app(given));
        if (flags_text(given, "proxy") != NULL && flags_text(given, "auth-server") != NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "--proxy and --auth-server exclude each other");
        if (flags_text(given, "proxy") != NULL && !str_equal(str_of(flags_text(given, "version")), STR("v3")))
                return error_new(ERROR_INVALID_ARGUMENT, "--proxy needs --version v3");
        if ((s->cert_file == NULL) != (s->key_file == NULL))
                return error_new(ERROR_INVALID_ARGUMENT, "--cert-file and --key-file belong together");
        if (s->has_acme && s->cluster_name == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--acme needs --cluster-name"),
                                  "give the public host name of the proxy: --cluster-name=teleport.example.com");
        if (s->has_acme && s->cert_file != NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "--acme and --cert-file exclude each other");
        if (!s->has_acme && s->acme_email != NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "--acme-email needs --acme");
        for (size_t i = 0; i < ARRAY_LEN(files); i++)
                if (files[i] != NULL && access(files[i], F_OK) < 0)
                        return error_new(ERROR_NOT_FOUND, "the file %s does not exist", files[i]);
        return NULL;
}

static bool dir_has_content(const char *path)
{
        DIR *dir = opendir(path);
        size_t count = 0;

        if (dir == NULL)
                return false;
        while (count <= 2 && readdir(dir) != NULL)
                count++;
        closedir(dir);
        return count > 2; /* "." and ".." */
}

static struct error *write_sample(const struct sample *s)
{
        const char *data_dir = flags_text(s->given, "data-dir"), *path;
        AUTO(buf) text = BUF_MAX(LIMIT_YAML_FILE);

        TRY(output_path(flags_text(s->given, "output"), &path));
        TRY(check_flags(s));
        TRY(put_sample(&text, s));
        if (dir_has_content(data_dir))
                fprintf(stderr, "The data directory %s is not empty: its state and identity will be used.\n", data_dir);
        if (path == NULL) {
                printf("#\n# A configuration for `teleport start`. Settings that are left out have their defaults.\n#\n%.*s\n",
                       STR_ARG(buf_str(&text)));
                return NULL;
        }
        TRY(output_create(path, buf_str(&text)));
        printf("\nThe configuration file \"%s\" has been created.\nStart Teleport with it:\n\n"
               "    %steleport start --config=\"%s\"\n\nHappy Teleporting!\n",
               path, geteuid() == 0 ? "" : "sudo ", path);
        if (geteuid() != 0)
                printf("(It needs root's rights for %s.)\n", data_dir);
        return NULL;
}

static struct error *read_roles(struct sample *s)
{
        const char *const *roles = flags_list(s->given, "roles");
        bool is_agent = flags_text(s->given, "proxy") != NULL || flags_text(s->given, "auth-server") != NULL;
        const struct service_row *row;

        for (size_t i = 0; *roles == NULL && (row = services_present_at(i)) != NULL; i++)
                set_enabled(s, row, row->is_on_by_default && !(is_agent && (row->certificate & SERVICE_CERT_CLUSTER)));
        for (; *roles != NULL; roles++) {
                row = launch_find_role(str_of(*roles));
                if (row == NULL || !services_is_present(row))
                        return launch_unknown_role(str_trim(str_of(*roles)));
                set_enabled(s, row, true);
        }
        if (s->app_name != NULL)
                set_enabled(s, services_find("app"), true);
        return NULL;
}

static struct error *test_file(const char *path)
{
        AUTO_MEM char *ignored = NULL;
        struct error *err = launch_check_file(path, &ignored);

        ignored_keys_print(ignored);
        fprintf(stderr, "%s %s\n", err == NULL ? "OK" : "FAIL", path);
        return err;
}

struct error *configure_run(void *ctx, const struct flags *given)
{
        const char *test = flags_text(given, "test");
        struct sample s = {
                .cluster_name = flags_text(given, "cluster-name"),
                .cert_file = flags_text(given, "cert-file"),
                .key_file = flags_text(given, "key-file"),
                .acme_email = flags_text(given, "acme-email"),
                .has_acme = flags_switch(given, "acme"),
                .app_name = flags_text(given, "app-name"),
                .app_uri = flags_text(given, "app-uri"),
                .is_whole = true,
                .labels = flags_list(given, "node-labels"),
                .given = given,
        };

        (void)ctx;
        if (test != NULL && flags_given(given, "output"))
                return error_new(ERROR_INVALID_ARGUMENT, "--test and --output exclude each other");
        if (test != NULL)
                return test_file(test);
        TRY(read_roles(&s));
        return write_sample(&s);
}

struct error *node_configure_run(void *ctx, const struct flags *given)
{
        struct sample s = { .labels = flags_list(given, "labels"), .given = given };

        (void)ctx;
        set_enabled(&s, services_find("ssh"), true);
        return write_sample(&s);
}
