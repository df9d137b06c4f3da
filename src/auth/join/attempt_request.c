/* SPDX-License-Identifier: Apache-2.0 */
/* The steps AWAIT_INIT, FIND_TOKEN and AWAIT_PARAMS of an attempt. */
#include <string.h>

#include "auth/certs/issue.h"
#include "auth/hosts/servers.h"
#include "auth/join/attempt_internal.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "base/version.h"
#include "net/sources.h"
#include "pki/cert.h"
#include "resource/role.h"
#include "resource/token.h"
#include "schema/schema.h"

/* ---- the token ------------------------------------------------------------------------------------- */

static struct error *token_absent(const struct attempt *at)
{
        AUTO_MEM char *name = attempt_safe_token_name(at);

        return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED,
                                              "this host can not join the cluster with role '%.*s': token '%s' expired or not found",
                                              STR_ARG(at->role), name), REASON_TOKEN),
                          "an administrator lists tokens with `tctl tokens ls` and makes one with `tctl create -f token.yaml`");
}

struct error *attempt_token_ended(const struct attempt *at)
{
        const Cteleport__V1__Token *token = at->token.token;
        AUTO_MEM char *name = attempt_safe_token_name(at);
        AUTO(buf) when = BUF_MAX(64);

        /* The error must not reveal that the secret was the name of an expired token. */
        if (at->method == NULL || at->method->has_secret_name)
                return token_absent(at);
        timestamp_put(&when, token->metadata->expires->seconds, 0);
        return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "token '%s' expired at %s", name, buf_c(&when)), REASON_TOKEN),
                          "an administrator sets a later metadata.expires: tctl edit token/%s", name);
}

/* Sets the method of the token. After the proof it must not change; the older service has set it before the token is read. */
static struct error *settle_method(struct attempt *at)
{
        const struct join_method *method = join_method_find(str_of(at->token.token->spec->join_method));

        if (method == NULL)
                return error_new(ERROR_FAILED_PRECONDITION, "the token is of a join method that this release does not have");
        if (at->method != NULL && at->method != method && at->is_decided)
                return error_new(ERROR_ABORTED, "the token changed its join method meanwhile");
        at->method = at->verifier.method = method;
        return NULL;
}

static struct error *check_token(struct attempt *at)
{
        const Cteleport__V1__Token *token = at->token.token;
        struct str method = str_of(token->spec->join_method);
        AUTO_MEM char *name = attempt_safe_token_name(at);

        TRY(settle_method(at));
        if (at->token.is_expired)
                return attempt_token_ended(at);
        if (!str_is_empty(at->claimed_method) && !str_equal(at->claimed_method, method)) {
                AUTO_MEM char *claimed = escaped(at->claimed_method);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "this host asked to join by method '%s', token '%s' only supports '%.*s'",
                                            claimed, name, STR_ARG(method)),
                                  "set teleport.join_params.method: %.*s in teleport.yaml", STR_ARG(method));
        }
        if (!token_gives_role(token, at->role))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "token '%s' does not allow role '%.*s'", name, STR_ARG(at->role)),
                                  "an administrator adds it under spec.roles: tctl edit token/%s", name);
        return NULL;
}

static void on_find_token(void *ctx, struct token_found *found, struct error *err)
{
        struct attempt *at = ctx;

        if (err == NULL && found != NULL) {
                if (found->revision != at->token.revision)
                        at->certs = NULL; /* of an earlier try, with the roles of the token at that time */
                token_found_release(&at->token);
                at->token = *found;
                *found = (struct token_found){ 0 };
        }
        if (!attempt_resume(at)) {
                error_free(err);
                return;
        }
        if (err == NULL)
                err = found == NULL ? token_absent(at) : check_token(at);
        if (err != NULL) {
                attempt_fail(at, "token", err);
        } else if (at->is_decided) {
                attempt_decide(at); /* another try, after a conflict */
        } else {
                conversation_enter(&at->at, AWAIT_PARAMS);
                at->events->on_token(at->ctx, at->method);
        }
}

void attempt_find_token(struct attempt *at)
{
        conversation_enter(&at->at, FIND_TOKEN);
        at->is_waiting = true;
        token_find(at->auth, at->token_name, on_find_token, at);
}

/* ---- init ------------------------------------------------------------------------------------------ */

void attempt_init(struct attempt *at, struct str token_name, struct str role, struct str claimed_method, struct str claimed_host_id)
{
        if (at->at.state != AWAIT_INIT || at->is_waiting) {
                attempt_unexpected(at, "ClientInit");
                return;
        }
        at->token_name = arena_str(at->arena, str_slice(token_name, 0, LIMIT_NAME + 1));
        at->role = arena_str(at->arena, str_slice(role, 0, 64));
        at->claimed_method = arena_str(at->arena, str_slice(claimed_method, 0, 64));
        at->claimed_host_id = arena_str(at->arena, str_slice(claimed_host_id, 0, LIMIT_NAME + 1));
        at->is_legacy = !str_is_empty(claimed_host_id);
        if (at->admitted.admission == NULL && !attempt_admit(at))
                return;
        if (at->has_bad_peer) {
                attempt_fail(at, "request", error_new(ERROR_INVALID_ARGUMENT, "the client's address is not one"));
        } else if (str_is_empty(token_name) || str_is_empty(role)) {
                attempt_fail(at, "request", error_new(ERROR_INVALID_ARGUMENT, "a join needs a token name and a system role"));
        } else if (system_role_find(at->role) == NULL) {
                attempt_fail(at, "request", system_role_unknown(at->role));
        } else if (!name_is_token(at->token_name)) {
                attempt_fail(at, "token", name_check_token(at->token_name, "token"));
        } else if (at->is_legacy && !name_is_host_id(at->claimed_host_id)) {
                attempt_fail(at, "request", error_hint(error_for(error_new(ERROR_INVALID_ARGUMENT, "the host ID is not a UUID"), REASON_HOST_ID),
                                               "remove host_uuid from the agent's data_dir, it makes a new one"));
        } else {
                /* Tools that use Teleport's older service have versions of their own. */
                struct error *err = at->is_legacy ? NULL : version_check_host(at->client_version, STR(CTELEPORT_VERSION));

                if (err == NULL)
                        attempt_find_token(at);
                else
                        attempt_fail(at, "version", err);
        }
}

/* ---- the host's parameters --------------------------------------------------------------------------- */

static struct error *check_keys(struct attempt *at, const struct attempt_params *params)
{
        AUTO(buf) tls = BUF_MAX(2 * KiB), ssh = BUF_MAX(2 * KiB);

        if (params->is_legacy_form) {
                TRY(public_key_check_pem(params->tls_public_key, &tls));
                TRY(public_key_check_ssh_line(params->ssh_public_key, &ssh));
        } else {
                TRY(public_key_check_der(params->tls_public_key, &tls));
                TRY(public_key_check_ssh(params->ssh_public_key, &ssh));
        }
        at->tls_public_key = arena_str(at->arena, buf_str(&tls));
        at->ssh_public_key = arena_str(at->arena, buf_str(&ssh));
        TRY(servers_check_key(at->auth, buf_str(&tls), attempt_claim(at)));
        return servers_check_ssh_key(at->auth, buf_str(&ssh));
}

/* Allows only names of this host: a certificate for the name of another host would be the identity of that host. */
static struct error *check_names(struct attempt *at, char *const *names, size_t count, const char *field)
{
        struct str ip = address_ip(at->peer);

        if (!name_is_ip(ip))
                ip = (struct str){ 0 }; /* a proxy may report an address, but no name */
        if (count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "more than %d %s", LIMIT_CERT_NAMES, field);
        for (size_t i = 0; i < count; i++) {
                struct str name = str_of(names[i]);
                struct str host_id = at->is_legacy ? at->claimed_host_id : (struct str){ 0 };
                AUTO_MEM char *shown = escaped(name);

                /* Agents always request the unspecified and loopback addresses; they do not need them, so these are skipped. */
                if (name_is_reserved(name, at->auth->cluster) && name_is_ip(name))
                        continue;
                if (!name_is_host(name) && !name_is_ip(name))
                        return error_new(ERROR_INVALID_ARGUMENT, "%s '%s' is not a host name or address", field, shown);
                if (name_is_reserved(name, at->auth->cluster) ||
                    !issue_name_is_own(name, host_id, at->host_name, at->auth->cluster, ip))
                        return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s '%s' is not this host's own name or address", field, shown),
                                          "a joining host is certified for its nodename, its ID and the address it is seen at (%.*s)",
                                          STR_ARG(ip));
                at->principals[at->principal_count++] = arena_str(at->arena, name);
        }
        return NULL;
}

static struct error *check_params(struct attempt *at, const struct attempt_params *params)
{
        if (strcmp(params->method, at->method->name) != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the message is of join method '%s', the token's is '%s'", params->method,
                                 at->method->name);
        AUTO(buf) id_in_name = BUF_MAX(LIMIT_NAME);

        TRY(name_check_host(params->host_name, "host name"));
        at->host_name = arena_str(at->arena, params->host_name);
        TRY(issue_check_host_name(at->host_name, at->auth->cluster));
        if (name_is_under_host_id(params->host_name, at->auth->cluster, &id_in_name) &&
            (!at->is_legacy || !str_equal(buf_str(&id_in_name), at->claimed_host_id)))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "the host name '%.*s' is the ID of a host", STR_ARG(at->host_name)),
                                  "set teleport.nodename in teleport.yaml to a name");
        TRY(check_keys(at, params));
        TRY(check_names(at, params->principals, params->principal_count, "additional principal"));
        return check_names(at, params->dns_names, params->dns_name_count, "DNS name");
}

/* Computes the binding of the fields as they were sent; only the keys are in canonical form already. */
static void bind_attempt(struct attempt *at, const struct attempt_params *params)
{
        join_binding_digest(&(struct join_binding){
                                    .channel = at->channel_binding,
                                    .token_name = at->token_name,
                                    .role = at->role,
                                    .host_id = at->claimed_host_id,
                                    .host_name = params->host_name,
                                    .tls_public_key = at->tls_public_key,
                                    .ssh_public_key = at->ssh_public_key,
                                    .principals = (const char *const *)params->principals,
                                    .principal_count = params->principal_count,
                                    .dns_names = (const char *const *)params->dns_names,
                                    .dns_name_count = params->dns_name_count,
                            },
                            at->proof_binding);
}

void attempt_params(struct attempt *at, const struct attempt_params *params)
{
        if (at->at.state != AWAIT_PARAMS || at->is_waiting) {
                attempt_unexpected(at, "the host's parameters");
                return;
        }
        struct error *err = check_params(at, params);
        if (err != NULL) {
                attempt_fail(at, "params", err);
        } else {
                bind_attempt(at, params);
                attempt_begin_proof(at);
        }
}
