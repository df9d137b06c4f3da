/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/teleport/launch.h"

#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "cmd/common/config_find.h"
#include "cmd/teleport/launch_flags.h"
#include "os/file.h"
#include "services/services.h"
#include "supervisor/web_certificate.h"

enum {
        ARENA_MAX = 8 * MiB,
        SECRET_FILE_MAX = 4 * KiB, /* a token, or a few pins */
        PINS_MAX = 16,             /* pins of the current and the next CA, and spare room */
};

/* ---- files and names in the configuration -------------------------------------------------------- */

static bool is_path(const char *text)
{
        return text != NULL && text[0] == '/';
}

static struct error *resolve_token(struct launch *l)
{
        const Cteleport__V1__TeleportConfig *t = l->config->teleport;
        const char *value = t->join_params != NULL ? t->join_params->token_name : t->auth_token;
        AUTO(buf) text = BUF_MAX(SECRET_FILE_MAX);
        struct str token = str_of(value);

        if (is_path(value)) {
                struct error *err = file_read(value, &text);
                if (err != NULL)
                        return error_wrap(err, "cannot read the join token");
                token = str_trim(buf_str(&text));
                if (str_is_empty(token))
                        return error_new(ERROR_INVALID_ARGUMENT, "the join token's file %s is empty", value);
        }
        l->token = secret_of(token);
        wipe(text.ptr, text.len);
        if (l->token.len > 0 && !name_is_token(secret_str(&l->token)))
                return error_hint(
                        error_new(ERROR_INVALID_ARGUMENT, "the join token holds characters that no token name has"),
                        "a token given by file must be given by its absolute path");
        return NULL;
}

static struct error *add_pin(struct launch *l, struct str pin)
{
        if (!config_is_pin(pin)) {
                AUTO_MEM char *shown = escaped(pin);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a CA pin", shown),
                                  "a pin is sha256: and 64 hex digits; tctl status shows it");
        }
        if (l->ca_pin_count == PINS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "ca_pin has more than %d pins", PINS_MAX);
        char *lower = arena_alloc(l->arena, pin.len + 1);
        for (size_t i = 0; i < pin.len; i++)
                lower[i] = char_lower(pin.ptr[i]); /* pins are compared as text */
        l->ca_pins[l->ca_pin_count++] = lower;
        return NULL;
}

static struct error *add_pins_of_file(struct launch *l, const char *path)
{
        AUTO(buf) text = BUF_MAX(SECRET_FILE_MAX);
        size_t before = l->ca_pin_count;
        struct error *err = file_read(path, &text);

        if (err != NULL)
                return error_wrap(err, "cannot read the ca_pin");
        for (struct str rest = buf_str(&text); !str_is_empty(rest);) {
                struct str line = str_trim(str_split(&rest, '\n'));

                if (!str_is_empty(line))
                        TRY(add_pin(l, line));
        }
        if (l->ca_pin_count == before)
                return error_new(ERROR_INVALID_ARGUMENT, "the ca_pin's file %s is empty", path);
        return NULL;
}

static struct error *resolve_pins(struct launch *l)
{
        const Cteleport__V1__TeleportConfig *t = l->config->teleport;

        l->ca_pins = arena_alloc(l->arena, PINS_MAX * sizeof(*l->ca_pins));
        for (size_t i = 0; i < t->n_ca_pin; i++) {
                if (is_path(t->ca_pin[i]))
                        TRY(add_pins_of_file(l, t->ca_pin[i]));
                else if (t->ca_pin[i][0] != '\0') /* sample files have `ca_pin: ""` */
                        TRY(add_pin(l, str_of(t->ca_pin[i])));
        }
        return NULL;
}

/* A configured name must be valid. An invalid host name of the machine is changed, because the operator did not configure it. */
static struct error *resolve_nodename(struct launch *l)
{
        const char *configured = l->config->teleport->nodename;
        char *host = arena_alloc(l->arena, LIMIT_NAME + 1);

        if (configured != NULL && configured[0] != '\0') {
                l->nodename = configured;
                return config_check_nodename(str_of(configured), "nodename");
        }
        if (gethostname(host, LIMIT_NAME) < 0 || host[0] == '\0')
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "this machine has no host name"),
                                  "set teleport.nodename, or give --nodename");
        for (char *c = host; *c != '\0'; c++) {
                bool is_inside = c > host && c[1] != '\0';

                if (!char_is_alnum(*c) && !(is_inside && (*c == '-' || *c == '.')))
                        *c = is_inside ? '-' : 'x';
        }
        l->nodename = host;
        return config_check_nodename(str_of(host), "the host name");
}

/* ---- the whole configuration --------------------------------------------------------------------- */

/* Without TLS, a network attacker can read and use the proof of a join and its certificates. */
static struct error *refuse_to_go_without_tls(const struct flags *given)
{
        if (!flags_switch(given, "insecure-no-tls"))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--insecure-no-tls is not supported: hosts join over TLS only"),
                          "leave it out: without https_keypairs the proxy makes a certificate itself; for a load balancer that "
                          "forwards plain HTTP, set proxy_service.plain_http_addr");
}

static struct error *prepare_again(const void *ctx, struct launch *ret)
{
        return launch_prepare(ctx, ret);
}

struct error *launch_prepare(const struct flags *given, struct launch *ret)
{
        *ret = (struct launch){ .arena = arena_new(ARENA_MAX), .again = prepare_again, .again_ctx = given };
        TRY(refuse_to_go_without_tls(given));
        TRY(config_file_find(ret->arena, given, &ret->config_path, &ret->ignored_keys, &ret->config));
        TRY(launch_overlay(given, ret->arena, ret->config));
        TRY(config_check(ret->config, ret->arena, &ret->warnings));
        TRY(resolve_nodename(ret));
        TRY(resolve_pins(ret));
        TRY(resolve_token(ret));
        ret->data_dir = ret->config->teleport->data_dir;
        ret->pid_file = ret->config->teleport->pid_file;
        ret->insecure = flags_switch(given, "insecure");
        return NULL;
}

struct error *launch_prepare_connection(const struct flags *given, struct launch *ret)
{
        *ret = (struct launch){ .arena = arena_new(ARENA_MAX) };
        TRY(config_file_find(ret->arena, given, &ret->config_path, &ret->ignored_keys, &ret->config));
        TRY(launch_overlay_connection(given, ret->arena, ret->config));
        TRY(config_check(ret->config, ret->arena, &ret->warnings));
        TRY(resolve_pins(ret));
        ret->data_dir = ret->config->teleport->data_dir;
        return NULL;
}

/* Without configured ones the proxy makes its own at its start. */
static struct error *check_web_certificates(const struct launch *l)
{
        AUTO(web_keypairs) pairs = { 0 };

        if (!services_is_enabled(l->config, services_find("proxy")) || l->config->proxy_service == NULL ||
            l->config->proxy_service->n_https_keypairs == 0)
                return NULL;
        return web_keypairs_load(l, clock_wall(clock_system()), &pairs);
}

struct error *launch_check_file(const char *path, char **ret_ignored)
{
        AUTO(launch) l = { .arena = arena_new(ARENA_MAX) };

        TRY(config_file_load(l.arena, path, &l.ignored_keys, &l.config));
        TRY(config_check(l.config, l.arena, NULL));
        TRY(resolve_nodename(&l));
        TRY(check_web_certificates(&l));
        *ret_ignored = str_dup(str_of(l.ignored_keys));
        return NULL;
}
