/* SPDX-License-Identifier: Apache-2.0 */
/* tctl tokens add, ls, rm. */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/kinds.h"
#include "cmd/tctl/tokens_shared.h"
#include "resource/address.h"
#include "resource/app.h"
#include "join/method.h"
#include "join/token_check.h"
#include "rpc/pb.h"
#include "tctl.pb-c.h"

enum { SECRET_BYTES = 16 };

/* ---- add ------------------------------------------------------------------------------------------ */

const struct flag tokens_add_flags[] = {
        { "type", 't', FLAG_LIST, .value = "ROLES", .is_required = true, .help = "Roles the token gives: node,app,db …" },
        { "value", 'v', FLAG_TEXT, .value = "TOKEN", .help = "The token itself; default: random" },
        { "labels", 'l', FLAG_LIST, .value = "K=V", .help = "Labels of the token" },
        { "ttl", 0, FLAG_TEXT, .value = "DURATION", .fallback = "30m", .help = "Lifetime" },
        { "app-name", 0, FLAG_TEXT, .value = "NAME", .fallback = "example-app", .help = "With --type=app: name of the application in the printed command" },
        { "app-uri", 0, FLAG_TEXT, .value = "URI", .fallback = "http://localhost:8080", .help = "With --type=app: where the host reaches it" },
        OUTPUT_FORMAT_FLAG(NULL),
        { NULL },
};

static struct error *random_secret(struct arena *arena, const char **ret)
{
        char bytes[SECRET_BYTES];
        AUTO(buf) hex = BUF_MAX(2 * SECRET_BYTES);

        if (getentropy(bytes, sizeof bytes) != 0)
                return error_errno(errno, "the kernel returned no random bytes");
        hex_encode(&hex, str_of_bytes(bytes, sizeof bytes));
        wipe(bytes, sizeof bytes);
        *ret = arena_str(arena, buf_str(&hex)).ptr;
        return NULL;
}

/* Removes the quotes around the key or the value of a label. */
static struct str unquoted(struct str s)
{
        s = str_trim(s);
        if (s.len >= 2 && (s.ptr[0] == '"' || s.ptr[0] == '\'') && s.ptr[s.len - 1] == s.ptr[0])
                return str_slice(s, 1, s.len - 2);
        return s;
}

static struct error *take_labels(struct arena *arena, const char *const *given, Cteleport__V1__Metadata *metadata)
{
        size_t count = 0;

        while (given[count] != NULL)
                count++;
        metadata->labels = arena_alloc(arena, count * sizeof *metadata->labels);
        for (size_t i = 0; i < count; i++) {
                Cteleport__V1__Metadata__LabelsEntry *entry = arena_alloc(arena, sizeof *entry);
                struct str text = str_of(given[i]), key = str_split(&text, '=');
                AUTO_MEM char *shown = escaped(str_of(given[i]));

                if (unquoted(key).len == 0 || key.len == strlen(given[i]))
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a label", shown),
                                          "write --labels=key=value,other=\"a value\"");
                cteleport__v1__metadata__labels_entry__init(entry);
                entry->key = pb_text(arena_str(arena, unquoted(key)).ptr);
                entry->value = pb_text(arena_str(arena, unquoted(text)).ptr);
                metadata->labels[metadata->n_labels++] = entry;
        }
        return NULL;
}

static struct error *build_token(struct arena *arena, const struct flags *given, struct duration ttl,
                                 Cteleport__V1__Token **ret)
{
        Cteleport__V1__Token *token = arena_alloc(arena, sizeof *token);
        const char *name = flags_text(given, "value"), *const *roles = flags_list(given, "type");
        size_t count = 0;

        while (roles[count] != NULL)
                count++;
        if (name == NULL)
                TRY(random_secret(arena, &name));
        cteleport__v1__token__init(token);
        token->metadata = arena_alloc(arena, sizeof *token->metadata);
        cteleport__v1__metadata__init(token->metadata);
        token->spec = arena_alloc(arena, sizeof *token->spec);
        cteleport__v1__token_spec__init(token->spec);
        token->metadata->name = pb_text(name);
        token->metadata->expires = arena_alloc(arena, sizeof *token->metadata->expires);
        cteleport__v1__timestamp__init(token->metadata->expires);
        token->metadata->expires->seconds = walltime_unix(walltime_add(clock_wall(clock_system()), ttl));
        TRY(take_labels(arena, flags_list(given, "labels"), token->metadata));
        token->spec->join_method = pb_text("token");
        token->spec->roles = arena_alloc(arena, (count + 1) * sizeof *token->spec->roles);
        for (; token->spec->n_roles < count; token->spec->n_roles++)
                token->spec->roles[token->spec->n_roles] = pb_text(roles[token->spec->n_roles]);
        *ret = token;
        return token_check(token, arena, NULL);
}

/* The port of the Auth Service's listener, used without a public address. */
static int auth_port(struct session *s)
{
        const Cteleport__V1__AuthConfig *auth = s->config->auth_service;
        const char *listen = NULL;

        if (auth == NULL || auth->listen_addr == NULL)
                return AUTH_PORT;
        struct error *err = address_normalize(s->arena, str_of(auth->listen_addr), AUTH_PORT, "auth_service.listen_addr", &listen);
        if (err == NULL)
                return address_port(str_of(listen));
        error_free(err);
        return AUTH_PORT;
}

/* The address of the Auth Service for other hosts, from this host's file, or the proxy in use. */
static const char *auth_address(struct session *s)
{
        const Cteleport__V1__AuthConfig *auth = s->config->auth_service;
        const char *named = auth != NULL && auth->n_public_addr > 0 ? auth->public_addr[0] : s->config->teleport->advertise_ip;
        char host[LIMIT_NAME + 1] = "";
        const char *address = NULL;
        struct error *err;

        if (s->proxy != NULL)
                return s->proxy;
        if (named == NULL || *named == '\0') {
                named = s->config->teleport->nodename;
                if ((named == NULL || *named == '\0') && gethostname(host, sizeof host - 1) == 0)
                        named = host;
        }
        err = address_normalize(s->arena, str_of(named), auth_port(s), "the address of the Auth Service", &address);
        if (err == NULL)
                return address;
        error_free(err);
        return "<auth server>:3025";
}

/* The address of a proxy for other hosts: the one in use, or that of this host's file. */
static const char *proxy_address(struct session *s)
{
        const Cteleport__V1__ProxyConfig *proxy = s->config->proxy_service;
        const char *address = NULL;

        if (s->proxy != NULL)
                return s->proxy;
        if (proxy == NULL || proxy->n_public_addr == 0)
                return "<proxyhost>:3080";
        struct error *err = address_normalize(s->arena, str_of(proxy->public_addr[0]), WEB_PORT, "proxy_service.public_addr", &address);
        if (err == NULL)
                return address;
        error_free(err);
        return "<proxyhost>:3080";
}

static bool is_for_applications(const Cteleport__V1__Token *token)
{
        return token->spec->n_roles == 1 && strcmp(token->spec->roles[0], "App") == 0;
}

static struct error *check_app_flags(struct arena *arena, const struct flags *given, const Cteleport__V1__Token *token)
{
        const char *target;

        if (!is_for_applications(token) && (flags_given(given, "app-name") || flags_given(given, "app-uri")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--app-name and --app-uri are for tokens of hosts with applications"),
                                  "give --type=app, or leave them out");
        TRY(app_check_name(str_of(flags_text(given, "app-name")), "--app-name"));
        return app_uri_parse(arena, str_of(flags_text(given, "app-uri")), &target);
}

static void put_pins(struct buf *out, const Cteleport__V1__ClusterStatusResponse *status)
{
        for (size_t i = 0; i < status->n_ca_pins; i++)
                buf_printf(out, "   --ca-pin=%s \\\n", status->ca_pins[i]);
}

static void put_notes(struct buf *out, int64_t minutes, const char *address)
{
        buf_put_c(out, "\nPlease note:\n\n");
        buf_printf(out, "  - This invitation token will expire in %lld minutes\n", (long long)minutes);
        buf_printf(out, "  - %s must be reachable from the new node\n", address);
}

/* The command for a host that offers one application. */
static void put_app_command(struct buf *out, struct session *s, const struct flags *given, const Cteleport__V1__Token *token, int64_t minutes,
                            const Cteleport__V1__ClusterStatusResponse *status)
{
        const char *address = proxy_address(s);

        buf_printf(out, "Run this on the new node to join the cluster with the application:\n\n> teleport app start \\\n   --token=%s \\\n", token->metadata->name);
        put_pins(out, status);
        buf_printf(out, "   --auth-server=%s \\\n   --name=%s \\\n   --uri='%s'\n", address, flags_text(given, "app-name"), flags_text(given, "app-uri"));
        put_notes(out, minutes, address);
}

static void put_command(struct buf *out, struct session *s, const Cteleport__V1__Token *token, int64_t minutes,
                        const Cteleport__V1__ClusterStatusResponse *status)
{
        AUTO(buf) roles = BUF_MAX(4 * KiB);
        const char *address = auth_address(s);

        for (size_t i = 0; i < token->spec->n_roles; i++) {
                buf_put_c(&roles, i == 0 ? "" : ",");
                for (const char *c = token->spec->roles[i]; *c != '\0'; c++)
                        buf_put_char(&roles, char_lower(*c));
        }
        buf_printf(out, "Run this on the new node to join the cluster:\n\n> teleport start \\\n   --roles=%s \\\n   --token=%s \\\n",
                   buf_c(&roles), token->metadata->name);
        put_pins(out, status);
        buf_printf(out, "   --auth-server=%s\n", address);
        put_notes(out, minutes, address);
}

static void put_invitation(struct buf *out, struct session *s, const struct flags *given, const Cteleport__V1__Token *token, struct duration ttl,
                           const Cteleport__V1__ClusterStatusResponse *status)
{
        int64_t minutes = (ttl.ns + MINUTES(1).ns - 1) / MINUTES(1).ns;

        buf_printf(out, "The invite token: %s\n", token->metadata->name);
        buf_printf(out, "This token will expire in %lld minutes.\n\n", (long long)minutes);
        if (is_for_applications(token))
                put_app_command(out, s, given, token, minutes, status);
        else
                put_command(out, s, token, minutes, status);
}

static void put_new_token(struct buf *out, const struct flags *given, const Cteleport__V1__Token *token)
{
        Cteleport__Tctl__V1__NewToken view = CTELEPORT__TCTL__V1__NEW_TOKEN__INIT;

        view.token = token->metadata->name;
        view.roles = token->spec->roles;
        view.n_roles = token->spec->n_roles;
        view.expires = token->metadata->expires;
        output_put_one(out, given, &view.base);
}

static struct error *parse_ttl(const char *text, struct duration *ret)
{
        TRY(flags_parse_duration("ttl", text, ret));
        if (ret->ns < SECONDS(1).ns || ret->ns > HOURS(10 * 366 * 24).ns)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--ttl must lie between 1s and ten years"),
                                  "a token that never ends is better one of method %s: tctl create FILE",
                                  join_method_with_rules()->name);
        return NULL;
}

struct error *tokens_add_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__Token *token = NULL;
        ProtobufCMessage *answer = NULL;
        struct duration ttl = { 0 };
        bool was_there = false;

        (void)ctx;
        TRY(parse_ttl(flags_text(given, "ttl"), &ttl));
        TRY(session_open(&s, given));
        TRY(build_token(s.arena, given, ttl, &token));
        TRY(check_app_flags(s.arena, given, token));
        TRY(session_request_name(&s, "ClusterStatus", NULL, &cteleport__v1__cluster_status_response__descriptor, &answer));
        TRY(kind_write(&s, kind_of(&token->base), &token->base, (struct kind_put){ .must_be_new = true }, &was_there));
        if (flags_text(given, "format") == NULL)
                put_invitation(&out, &s, given, token, ttl, (Cteleport__V1__ClusterStatusResponse *)answer);
        else if (output_is_text(given))
                buf_printf(&out, "%s\n", token->metadata->name);
        else
                put_new_token(&out, given, token);
        return output_flush(&out);
}

/* ---- ls ------------------------------------------------------------------------------------------- */

static const char *const listing_formats[] = { "text", "json", "yaml", "names", NULL };

const struct flag tokens_ls_flags[] = {
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .fallback = "text", .choices = listing_formats, .help = "Output format" },
        { "with-secrets", 0, FLAG_SWITCH, .help = "Show the complete names of method token, which are secrets" },
        { NULL },
};

struct error *tokens_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__Token **tokens = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(session_open(&s, given));
        TRY(tokens_list(&s, &tokens, &count));
        if (strcmp(flags_text(given, "format"), "names") == 0) {
                tokens_put_names(&out, tokens, count, flags_switch(given, "with-secrets"));
                return output_flush(&out);
        }
        if (!flags_switch(given, "with-secrets"))
                tokens_mask(s.arena, tokens, count);
        if (!output_is_text(given))
                output_put_list(&out, given, (ProtobufCMessage **)tokens, count);
        else if (count == 0)
                buf_put_c(&out, "No active tokens found.\n");
        else
                tokens_put_table(&out, tokens, count, clock_wall(clock_system()));
        return output_flush(&out);
}

/* ---- rm ------------------------------------------------------------------------------------------- */

const struct argument tokens_rm_arguments[] = {
        { "token", .is_required = true, .help = "Name of the token" },
        { NULL },
};

struct error *tokens_rm_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        ProtobufCMessage *answer = NULL;
        AUTO_MEM char *shown = escaped(str_of(flags_argument(given, 0)));

        (void)ctx;
        TRY(session_open(&s, given));
        TRY(session_request_name(&s, "DeleteToken", flags_argument(given, 0), &cteleport__v1__empty__descriptor, &answer));
        printf("Token %s has been deleted\n", shown);
        return NULL;
}
