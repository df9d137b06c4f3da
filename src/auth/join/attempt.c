/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/join/attempt.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/join/attempt_internal.h"
#include "auth/core/caller.h"
#include "auth/users/directory.h"
#include "auth/core/listener.h"
#include "auth/hosts/hosts.h"
#include "auth/certs/issue.h"
#include "auth/hosts/servers.h"
#include "auth/join/tokens.h"
#include "auth/hosts/tunnels_service.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "join/methods/iam_rules.h"
#include "loop/conversation.h"
#include "net/sources.h"
#include "pki/cert.h"
#include "resource/role.h"
#include "resource/token.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "schema/schema.h"

/* Another attempt of the same host may write its record between our read and our write. */
enum { COMMIT_TRIES = 4 };

enum state { WANT_INIT, FIND_TOKEN, WANT_PARAMS, WANT_PROOF, REQUEST_STS, FIND_HOST, FIND_NAME, SIGN, COMMIT, FAILING, DONE };

/* The whole attempt has TIMEOUT_JOIN; these keep one step from using it all up. */
static const struct conversation_state states[] = {
        [WANT_INIT] = { "want init", SECONDS(60), TO(FIND_TOKEN) | TO(FAILING) },
        [FIND_TOKEN] = { "find token", SECONDS(15), TO(WANT_PARAMS) | TO(FIND_HOST) | TO(FIND_NAME) | TO(FAILING) },
        [WANT_PARAMS] = { "want params", SECONDS(60), TO(WANT_PROOF) | TO(FIND_HOST) | TO(FIND_NAME) | TO(FAILING) },
        [WANT_PROOF] = { "want proof", SECONDS(60), TO(REQUEST_STS) | TO(FAILING) },
        [REQUEST_STS] = { "ask sts", SECONDS(50), TO(FIND_HOST) | TO(FIND_NAME) | TO(FAILING) },
        [FIND_HOST] = { "find host", SECONDS(15), TO(FIND_NAME) | TO(FAILING) },
        [FIND_NAME] = { "find name", SECONDS(15), TO(SIGN) | TO(COMMIT) | TO(FAILING) },
        [SIGN] = { "sign", SECONDS(10), TO(COMMIT) | TO(FAILING) },
        [COMMIT] = { "commit", SECONDS(15), TO(FIND_TOKEN) | TO(DONE) | TO(FAILING) },
        [FAILING] = { "failing", { 0 }, TO(DONE) },
        [DONE] = { "done", { 0 }, 0 },
};

/* ---- ends --------------------------------------------------------------------------------------- */

static void free_now(struct attempt *at)
{
        token_found_release(&at->token);
        conversation_release(&at->at);
        timer_free(at->deadline);
        timer_free(at->penalty);
        error_free(at->failure);
        arena_free(at->arena);
        free(at);
}

static void on_failing(void *ctx)
{
        struct attempt *at = ctx;

        at->is_waiting = false;
        if (at->is_released) {
                free_now(at);
                return;
        }
        struct error *err = at->failure;
        at->failure = NULL;
        conversation_enter(&at->at, DONE);
        at->events->on_done(at->ctx, NULL, err);
}

/* Ends the attempt with a refusal; nothing else may be under way. check names what failed. */
static void fail(struct attempt *at, const char *check, struct error *err)
{
        attempt_leave(at);
        if (err->code != ERROR_UNAVAILABLE && err->code != ERROR_DEADLINE_EXCEEDED)
                err = error_for_default(err, REASON_REFUSED);
        attempt_report_refusal(at, check, err);
        timer_stop(at->deadline);
        conversation_enter(&at->at, FAILING);
        AUTO_MEM char *hint = err->hint == NULL ? NULL : str_dup(str_of(err->hint));
        at->failure = error_hint(err, "%s%s(request %s)", hint == NULL ? "" : hint, hint == NULL ? "" : " ", at->request_id);
        at->is_waiting = true;
        struct duration wait = { 0 };
        /* Proxies count the refusals that they pass on themselves; that nobody could be asked, auth alone knows. */
        if ((!at->is_forwarded && sources_is_refusal(at->failure)) || at->is_sts_silent)
                wait = sources_failed(auth_listener_sources(at->auth->listener), at->peer, loop_now(&at->auth->loop));
        if (wait.ns == 0) {
                loop_defer(&at->auth->loop, on_failing, at);
                return;
        }
        at->penalty = timer_new(&at->auth->loop, on_failing, at);
        timer_start(at->penalty, wait);
}

/* Its place is for somebody else. */
static void make_room(struct attempt *at)
{
        fail(at, "load", error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "too many joins are under way, and this one made room for another"),
                                    "the agent tries again by itself"));
}

/* Whether there was a place; else the attempt has failed. */
static bool take_place(struct attempt *at)
{
        struct error *err = attempt_enter(at, make_room);

        if (err != NULL)
                fail(at, "load", err);
        return err == NULL;
}

/* Begins every continuation: false when the attempt ended while it waited. */
static bool resume(struct attempt *at)
{
        at->is_waiting = false;
        if (!at->is_released && !at->is_expired && at->out_of_turn == NULL)
                return true;
        if (at->is_released)
                free_now(at);
        else if (at->out_of_turn != NULL)
                fail(at, "order", error_new(ERROR_INVALID_ARGUMENT, "%s came out of turn (at: %s)", at->out_of_turn,
                                            conversation_state_name(&at->at)));
        else
                fail(at, "deadline", error_hint(error_new(ERROR_DEADLINE_EXCEEDED, "joining took longer than %d seconds (it was at: %s)",
                                                          TIMEOUT_JOIN / 1000, conversation_state_name(&at->at)),
                                                "the agent tries again by itself"));
        return false;
}

static void on_deadline(void *ctx)
{
        struct attempt *at = ctx;

        if (at->at.state == FAILING || at->at.state == DONE)
                return;
        at->is_expired = true;
        if (!at->is_waiting)
                resume(at);
}

void attempt_release(struct attempt *at)
{
        if (at == NULL)
                return;
        if (at->at.state != DONE && at->at.state != FAILING) {
                AUTO_PTR(error) err = error_new(ERROR_CANCELLED, "the joining host went away (it was at: %s)",
                                                conversation_state_name(&at->at));

                attempt_report_refusal(at, "aborted", err);
        }
        attempt_leave(at);
        at->is_released = true;
        if (!at->is_waiting)
                free_now(at);
        else
                timer_stop(at->deadline);
}

/* ---- beginning ------------------------------------------------------------------------------------ */

struct attempt *attempt_new(const struct caller *caller, struct str client_version, const struct attempt_events *events, void *ctx)
{
        struct auth *a = caller->auth;
        struct attempt *at = NEW(struct attempt);
        uint8_t id[8];
        AUTO(buf) hex = BUF_MAX(32);

        at->auth = a;
        at->events = events;
        at->ctx = ctx;
        at->arena = arena_new(ATTEMPT_ARENA);
        snprintf(at->peer, sizeof at->peer, "%s", caller->peer);
        at->channel_binding = arena_str(at->arena, str_of_bytes(caller->channel_binding, sizeof caller->channel_binding));
        at->client_version = arena_str(at->arena, str_slice(client_version, 0, 64));
        random_bytes(id, sizeof id);
        hex_encode(&hex, str_of_bytes(id, sizeof id));
        snprintf(at->request_id, sizeof at->request_id, "%s", buf_c(&hex));
        at->started = loop_now(&a->loop);
        conversation_init(&at->at, &a->loop, states, WANT_INIT, on_deadline, at);
        at->deadline = timer_new(&a->loop, on_deadline, at);
        timer_start(at->deadline, MILLISECONDS(TIMEOUT_JOIN));
        if ((caller->groups & CALLER_PROXY) == 0) /* else it is counted where its host is, once the proxy has said so */
                (void)take_place(at);
        return at;
}

void attempt_forwarded(struct attempt *at, struct str remote_addr, struct str client_version, struct str channel_binding)
{
        static const uint8_t none[TLS_CHANNEL_BINDING_SIZE]; /* no connection has this one */
        AUTO_MEM char *addr = escaped(str_slice(remote_addr, 0, ADDRESS_TEXT_MAX - 1));

        if (at->at.state != WANT_INIT)
                return; /* the address that was counted is the one to give back */
        at->is_forwarded = true;
        if (channel_binding.len != sizeof none)
                channel_binding = str_of_bytes(none, sizeof none);
        at->channel_binding = arena_str(at->arena, channel_binding);
        at->has_bad_peer = strlen(addr) >= sizeof at->peer || remote_addr.len >= ADDRESS_TEXT_MAX;
        snprintf(at->peer, sizeof at->peer, "%s", at->has_bad_peer ? "?" : addr);
        at->client_version = arena_str(at->arena, str_slice(client_version, 0, 64));
}

struct str attempt_challenge(struct attempt *at)
{
        uint8_t bytes[32];
        AUTO(buf) text = BUF_MAX(64);

        if (at->challenge[0] == '\0') {
                random_bytes(bytes, sizeof bytes);
                base64_encode_raw(&text, str_of_bytes(bytes, sizeof bytes));
                snprintf(at->challenge, sizeof at->challenge, "%s", buf_c(&text));
        }
        return str_of(at->challenge);
}

void attempt_out_of_turn(struct attempt *at, const char *what)
{
        if (at->at.state == FAILING || at->at.state == DONE)
                return;
        /* With a question under way only the mark is left; the answer then ends the attempt. */
        if (at->is_waiting) {
                at->out_of_turn = what;
                return;
        }
        fail(at, "order", error_new(ERROR_INVALID_ARGUMENT, "%s came out of turn (expected: %s)", what,
                                    conversation_state_name(&at->at)));
}

void attempt_give_up(struct attempt *at, const char *reason, struct str message)
{
        AUTO_MEM char *shown = escaped(message);

        if (at->is_waiting || at->at.state == WANT_INIT || at->at.state == DONE) {
                attempt_out_of_turn(at, "GivingUp");
                return;
        }
        fail(at, "client", error_new(ERROR_ABORTED, "the joining host gave up (%s): %s", reason, shown));
}

static void on_token_found(void *ctx, struct token_found *found, struct error *err);

static void find_token(struct attempt *at)
{
        conversation_enter(&at->at, FIND_TOKEN);
        at->is_waiting = true;
        token_find(at->auth, at->token_name, on_token_found, at);
}

void attempt_begin(struct attempt *at, struct str token_name, struct str role, struct str claimed_method,
                   struct str claimed_host_id)
{
        if (at->at.state != WANT_INIT || at->is_waiting) {
                attempt_out_of_turn(at, "ClientInit");
                return;
        }
        at->token_name = arena_str(at->arena, str_slice(token_name, 0, LIMIT_NAME + 1));
        at->role = arena_str(at->arena, str_slice(role, 0, 64));
        at->claimed_method = arena_str(at->arena, str_slice(claimed_method, 0, 64));
        at->claimed_host_id = arena_str(at->arena, str_slice(claimed_host_id, 0, LIMIT_NAME + 1));
        at->is_legacy = !str_is_empty(claimed_host_id);
        if (!at->is_counted && !take_place(at))
                return;
        if (at->has_bad_peer) {
                fail(at, "request", error_new(ERROR_INVALID_ARGUMENT, "the client's address is not one"));
        } else if (str_is_empty(token_name) || str_is_empty(role)) {
                fail(at, "request", error_new(ERROR_INVALID_ARGUMENT, "a join needs a token name and a system role"));
        } else if (system_role_find(at->role) == NULL) {
                fail(at, "request", system_role_unknown(at->role));
        } else if (!name_is_token(at->token_name)) {
                fail(at, "token", name_check_token(at->token_name, "token"));
        } else if (at->is_legacy && !name_is_host_id(at->claimed_host_id)) {
                fail(at, "request", error_hint(error_for(error_new(ERROR_INVALID_ARGUMENT, "the host ID is not a UUID"), REASON_HOST_ID),
                                               "remove host_uuid from the agent's data_dir, it makes a new one"));
        } else {
                find_token(at);
        }
}

/* ---- the token ------------------------------------------------------------------------------------- */

static struct error *token_absent(const struct attempt *at)
{
        AUTO_MEM char *name = attempt_safe_token_name(at);

        return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED,
                                              "this host can not join the cluster with role '%.*s': token '%s' expired or not found",
                                              STR_ARG(at->role), name), REASON_TOKEN),
                          "an administrator lists tokens with `tctl tokens ls` and makes one with `tctl create -f token.yaml`");
}

static struct error *token_ended(const struct attempt *at)
{
        const Cteleport__V1__Token *token = at->token.token;
        AUTO_MEM char *name = attempt_safe_token_name(at);
        AUTO(buf) when = BUF_MAX(64);

        /* The name of a secret token that has ended must not be confirmed. */
        if (str_equal(str_of(token->spec->join_method), STR("token")))
                return token_absent(at);
        timestamp_put(&when, token->metadata->expires->seconds, 0);
        return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "token '%s' expired at %s", name, buf_c(&when)), REASON_TOKEN),
                          "an administrator sets a later metadata.expires: tctl edit token/%s", name);
}

static struct error *check_token(struct attempt *at)
{
        const Cteleport__V1__Token *token = at->token.token;
        struct str method = str_of(token->spec->join_method);
        AUTO_MEM char *name = attempt_safe_token_name(at);

        if (at->token.is_expired)
                return token_ended(at);
        if (!str_is_empty(at->claimed_method) && !str_equal(at->claimed_method, method)) {
                AUTO_MEM char *claimed = escaped(at->claimed_method);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "this host asked to join by method '%s', token '%s' only supports '%.*s'",
                                            claimed, name, STR_ARG(method)),
                                  "set teleport.join_params.method: %.*s in teleport.yaml", STR_ARG(method));
        }
        if (at->is_legacy && !str_equal(method, STR("iam")))
                return error_new(ERROR_INVALID_ARGUMENT, "token '%s' is not for the IAM join method", name);
        if (!token_gives_role(token, at->role))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "token '%s' does not allow role '%.*s'", name, STR_ARG(at->role)),
                                  "an administrator adds it under spec.roles: tctl edit token/%s", name);
        return NULL;
}

static void decide(struct attempt *at);

static void on_token_found(void *ctx, struct token_found *found, struct error *err)
{
        struct attempt *at = ctx;

        if (err == NULL && found != NULL) {
                if (found->revision != at->token.revision)
                        at->certs = NULL; /* made before a write was refused, with the roles that the token gave then */
                token_found_release(&at->token);
                at->token = *found;
                *found = (struct token_found){ 0 };
        }
        if (!resume(at)) {
                error_free(err);
                return;
        }
        if (err == NULL)
                err = found == NULL ? token_absent(at) : check_token(at);
        if (err != NULL) {
                fail(at, "token", err);
        } else if (at->is_decided) {
                decide(at); /* again, after somebody else's write */
        } else {
                conversation_enter(&at->at, WANT_PARAMS);
                at->events->on_token(at->ctx, str_of(at->token.token->spec->join_method));
        }
}

/* ---- what the host says of itself ----------------------------------------------------------------------- */

static bool may_be_proxy(const struct attempt *at)
{
        for (size_t i = 0; i < at->system_role_count; i++)
                if (str_equal(str_of(at->system_roles[i]), STR("Proxy")))
                        return true;
        return false;
}

/* The host as it may claim names and keys of the cluster's servers; before it is identified, by what it says. */
static struct server_claim claim_of(const struct attempt *at)
{
        return (struct server_claim){
                .host_id = str_is_empty(at->host_id) ? at->claimed_host_id : at->host_id,
                .proxy_binding = may_be_proxy(at) ? at->binding : STR(""),
                .is_proxy = str_equal(at->role, STR("Proxy")),
        };
}

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
        TRY(servers_check_key(at->auth, buf_str(&tls), claim_of(at)));
        return servers_check_ssh_key(at->auth, buf_str(&ssh));
}

/* Only the host's own names: a certificate for another's name would be that other's identity. */
static struct error *check_names(struct attempt *at, char *const *names, size_t count, const char *field)
{
        struct str ip = address_ip(at->peer);

        if (!name_is_ip(ip))
                ip = (struct str){ 0 }; /* a proxy's word counts for an address, not for a name */
        if (count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "more than %d %s", LIMIT_CERT_NAMES, field);
        for (size_t i = 0; i < count; i++) {
                struct str name = str_of(names[i]);
                struct str host_id = at->is_legacy ? at->claimed_host_id : (struct str){ 0 };
                AUTO_MEM char *shown = escaped(name);

                /* Agents ask for the unspecified and loopback addresses out of habit; they get them or do not need them. */
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
        if (!str_equal(params->method, str_of(at->token.token->spec->join_method)))
                return error_new(ERROR_INVALID_ARGUMENT, "the message is of join method '%.*s', the token's is '%s'",
                                 STR_ARG(params->method), at->token.token->spec->join_method);
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

/* From what was sent, before anything of it is brought into a form of ours; the keys are in one already. */
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
        if (at->at.state != WANT_PARAMS || at->is_waiting) {
                attempt_out_of_turn(at, "the host's parameters");
                return;
        }
        struct error *err = check_params(at, params);
        if (err != NULL) {
                fail(at, "params", err);
        } else if (str_equal(params->method, STR("iam"))) {
                bind_attempt(at, params);
                conversation_enter(&at->at, WANT_PROOF);
        } else {
                at->is_decided = true;
                decide(at);
        }
}

bool attempt_wants_proof(const struct attempt *at)
{
        return at->at.state == WANT_PROOF;
}

bool attempt_wants_anything(const struct attempt *at)
{
        return at->at.state == WANT_INIT || at->at.state == WANT_PARAMS || at->at.state == WANT_PROOF ||
               (at->at.state == FIND_TOKEN && !at->is_decided);
}

/* ---- proof ------------------------------------------------------------------------------------------------ */

static struct error *error_of_answer(struct attempt *at, const Cteleport__Internal__V1__StsAnswer *answer)
{
        AUTO_MEM char *code = escaped(str_of(answer->code));
        AUTO_MEM char *message = escaped(str_of(answer->message));
        const char *colon = code[0] == '\0' ? "" : ": "; /* there is a code only where STS spoke */

        switch (answer->outcome) {
        case CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__IDENTIFIED:
                return attempt_check_identity(at, answer);
        case CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__REFUSED:
                return attempt_explain_sts_refusal(at, answer, code, message);
        case CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE:
                return error_hint(error_because(error_new(ERROR_UNAVAILABLE, "AWS STS (%s) could not be asked", at->sts_host),
                                                error_new(ERROR_UNAVAILABLE, "%s%s%s, after %d %s", code, colon, message, answer->tries,
                                                          answer->tries == 1 ? "try" : "tries")),
                                  "the agent tries again by itself; if it lasts, the administrator finds the reason in the Auth Service's log");
        default:
                return error_because(error_new(ERROR_PERMISSION_DENIED, "AWS STS (%s) gave an answer that proves nothing", at->sts_host),
                                     error_new(ERROR_INTERNAL, "%s%s%s", code, colon, message));
        }
}

static struct error *error_of_rules(struct attempt *at)
{
        AUTO_MEM char *name = attempt_safe_token_name(at);
        AUTO_MEM char *arn = escaped(at->identity.arn);

        return error_hint(error_new(ERROR_PERMISSION_DENIED, "AWS identity %s of account %.*s is not allowed by any rule of token '%s'", arn,
                                    STR_ARG(at->identity.account), name),
                          "an administrator sees why with `tctl tokens explain %s --account %.*s --arn %s` and adds a rule with `tctl edit token/%s`",
                          name, STR_ARG(at->identity.account), arn, name);
}

/* AWS's clock is the right one: an Auth Service whose own is off will one day refuse good hosts. */
static void compare_clocks(struct attempt *at, int64_t aws_date)
{
        int64_t skew = walltime_unix(loop_wall(&at->auth->loop)) - aws_date;
        bool is_off = skew > LIMIT_CLOCK_WARN_SECONDS || skew < -LIMIT_CLOCK_WARN_SECONDS;

        at->has_aws_skew = true;
        at->aws_skew_seconds = skew;
        if (is_off && !at->auth->is_clock_off)
                log_warn("The clock of the Auth Service is off", LOG_INT("ahead_of_aws_by_seconds", skew),
                         LOG_C("hint", "let it follow a time server (chrony, systemd-timesyncd)"));
        at->auth->is_clock_off = is_off;
}

static void on_sts_answer(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct attempt *at = ctx;
        const Cteleport__Internal__V1__StsAnswer *answer = (const Cteleport__Internal__V1__StsAnswer *)msg;

        if (!resume(at)) {
                error_free(err);
                return;
        }
        if (err != NULL) {
                fail(at, "sts", error_hint(error_because(error_new(ERROR_UNAVAILABLE, "AWS STS could not be asked"), err),
                                           "the agent tries again by itself"));
                return;
        }
        at->sts_ms = answer->ms;
        if (answer->aws_date != 0)
                compare_clocks(at, answer->aws_date);
        /* No answer at all: the host named one that is out of reach, or not there. */
        at->is_sts_silent = answer->outcome == CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE && answer->http_status == 0;
        err = error_of_answer(at, answer);
        if (err != NULL) {
                fail(at, "sts", err);
                return;
        }
        at->identity.account = arena_str(at->arena, str_of(answer->account));
        at->identity.arn = arena_str(at->arena, str_of(answer->arn));
        at->identity.user_id = arena_str(at->arena, str_of(answer->user_id));
        at->is_decided = true;
        decide(at);
}

static void request_sts(struct attempt *at, const struct sts_request *request)
{
        Cteleport__Internal__V1__StsQuery q = CTELEPORT__INTERNAL__V1__STS_QUERY__INIT;
        Cteleport__Internal__V1__StsHeader headers[LIMIT_STS_HEADERS];
        Cteleport__Internal__V1__StsHeader *list[LIMIT_STS_HEADERS];
        AUTO_PTR(arena) arena = arena_new(2 * LIMIT_STS_REQUEST);

        for (size_t i = 0; i < request->header_count; i++) {
                cteleport__internal__v1__sts_header__init(&headers[i]);
                headers[i].name = (char *)arena_str(arena, request->headers[i].name).ptr;
                headers[i].value = (char *)arena_str(arena, request->headers[i].value).ptr;
                list[i] = &headers[i];
        }
        q.host = pb_text(request->host.name);
        q.headers = list;
        q.n_headers = request->header_count;
        q.within_ms = TIMEOUT_STS_TOTAL;
        char source[SOURCE_TEXT_MAX];
        source_of(str_of(at->peer), source);
        q.source = (char *)arena_str(arena, str_of(source)).ptr;
        conversation_enter(&at->at, REQUEST_STS);
        at->is_waiting = true;
        auth_request(at->auth, at->auth->sts, CTELEPORT__INTERNAL__V1__STS_VERB__STS_IDENTIFY, &q.base,
                 &cteleport__internal__v1__sts_answer__descriptor, MILLISECONDS(TIMEOUT_STS_TOTAL + 5000), on_sts_answer, at);
}

void attempt_prove(struct attempt *at, struct str sts_request)
{
        struct sts_request request;
        struct sts_expectation expect = { .now = loop_wall(&at->auth->loop), .hosts = at->auth->sts_hosts };
        const char *check = "";

        if (at->at.state != WANT_PROOF || at->is_waiting || at->challenge[0] == '\0') {
                attempt_out_of_turn(at, "the answer to the challenge");
                return;
        }
        sha256(sts_request, at->join_proof);
        expect.challenge = str_of(at->challenge);
        expect.binding = str_of(at->proof_binding);
        expect.is_binding_required = at->auth->is_binding_required;
        struct error *err = sts_request_check(sts_request, &expect, &request, &check);
        if (request.signed_at.ns != 0) {
                at->has_skew = true;
                at->skew_seconds = walltime_unix(request.signed_at) - walltime_unix(expect.now);
        }
        snprintf(at->sts_host, sizeof at->sts_host, "%s", request.host.name);
        at->sts_partition = request.host.partition;
        if (err != NULL)
                fail(at, check, err);
        else
                request_sts(at, &request);
        /* Good for one attempt: whatever comes next, this challenge is used up. */
        wipe(at->challenge, sizeof at->challenge);
}

/* ---- the decision and what follows --------------------------------------------------------------------------- */

/*
 * Roles a host may have certificates for: those of the token of this join, and no other. What an earlier join under the
 * same ID gave ends here, for the token that gave it may be gone.
 */
static void collect_system_roles(struct attempt *at)
{
        const Cteleport__V1__TokenSpec *spec = at->token.token->spec;

        at->system_role_count = 0;
        if (!str_equal(at->role, STR("Instance")))
                attempt_add_system_role(at, at->role);
        for (size_t i = 0; i < spec->n_roles; i++) {
                const struct system_role *role = system_role_find(str_of(spec->roles[i]));

                if (role != NULL && role->is_local_service)
                        attempt_add_system_role(at, role->name);
        }
}

/* Whether a lock stands against the host that this would be; asked when it is known who, and again before it is written down. */
static struct error *check_locks(const struct attempt *at)
{
        const struct lock_subject subject = {
                .host_id = at->host_id,
                .hostname = at->host_name,
                .aws_account = at->identity.account,
                .aws_arn = at->identity.arn,
                .system_roles = at->system_roles,
                .system_role_count = at->system_role_count,
        };

        return directory_check_locks(at->auth->directory, &subject);
}

static void on_host_found(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err);
static void on_name_found(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err);

static void find_name(struct attempt *at)
{
        conversation_enter(&at->at, FIND_NAME);
        at->is_waiting = true;
        name_get(at->auth->store, at->host_name, at->auth->cluster, on_name_found, at);
}

/* The token is fresh from the store, the identity is proven: match, then look whose ID and name it would be. */
static void decide(struct attempt *at)
{
        AUTO(buf) binding = BUF_MAX(4 * KiB);
        bool is_iam = str_equal(str_of(at->token.token->spec->join_method), STR("iam"));

        if (is_iam) {
                /* A token that changed its method meanwhile finds no identity to match. */
                at->rule = str_is_empty(at->identity.account) ? -1 : iam_rules_find(at->token.token->spec, &at->identity);
                if (at->rule < 0) {
                        fail(at, "rules", error_of_rules(at));
                        return;
                }
                host_binding_iam(at->identity.account, at->identity.arn, &binding);
        } else {
                if (!str_is_empty(at->identity.account)) {
                        fail(at, "token", error_new(ERROR_ABORTED, "the token changed its join method meanwhile"));
                        return;
                }
                host_binding_token(at->token_name, &binding);
        }
        at->binding = arena_str(at->arena, buf_str(&binding));
        if (str_is_empty(at->host_id)) {
                AUTO(buf) of_key = BUF_MAX(64);

                attempt_put_id_of_key(at, &of_key);
                at->host_id = at->is_legacy ? at->claimed_host_id : arena_str(at->arena, buf_str(&of_key));
        }
        collect_system_roles(at);
        struct error *err = check_locks(at);
        if (err != NULL) {
                fail(at, "lock", err);
                return;
        }
        err = audit_check_room(at->auth, ROOM_FOR_NEW);
        if (err == NULL)
                err = audit_account_check(at->auth, ACCOUNT_JOIN, at->binding);
        if (err != NULL) {
                fail(at, "disk", err);
                return;
        }
        conversation_enter(&at->at, FIND_HOST);
        at->is_waiting = true;
        host_get(at->auth->store, at->host_id, on_host_found, at);
}

static void on_host_found(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct attempt *at = ctx;

        if (!resume(at)) {
                error_free(err);
                return;
        }
        if (err == NULL && !at->is_legacy)
                host = attempt_same_host(at, host, &revision);
        else if (err == NULL)
                err = host_check_claim(host, at->host_id, at->identity.account, at->identity.arn);
        if (err != NULL) {
                fail(at, "host-id", err);
                return;
        }
        at->host_revision = revision;
        at->member_since = host == NULL ? (struct cert_issue){ 0 } : (struct cert_issue){ host->member_since, host->member_serial_time };
        find_name(at);
}

static void on_signed(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err);
static void commit(struct attempt *at);

static void sign(struct attempt *at)
{
        struct str principals[ARRAY_LEN(at->principals)];
        size_t count = 0;

        /* Addresses of proxies, and names that applications may have, are left out. */
        for (size_t i = 0; i < at->principal_count; i++)
                if (servers_may_name_tls(at->auth, at->principals[i], claim_of(at)))
                        principals[count++] = at->principals[i];
        struct issue_request request = {
                .host_id = at->host_id,
                .host_name = at->host_name,
                .role = at->role,
                .principals = principals,
                .principal_count = count,
                .tls_public_key = at->tls_public_key,
                .ssh_public_key = at->ssh_public_key,
                .reason = "join",
        };

        if (str_equal(at->role, STR("Instance"))) {
                request.system_roles = at->system_roles;
                request.system_role_count = at->system_role_count;
        }
        conversation_enter(&at->at, SIGN);
        at->is_waiting = true;
        issue(at->auth, &request, on_signed, at);
}

static void on_name_found(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err)
{
        struct attempt *at = ctx;

        if (!resume(at)) {
                error_free(err);
                return;
        }
        if (err == NULL && name != NULL && !name_is_bound_to(name, at->binding))
                err = error_hint(error_new(ERROR_ALREADY_EXISTS, "the host name '%.*s' is in use by another host", STR_ARG(at->host_name)),
                                 "set another teleport.nodename, or an administrator removes the other host: tctl rm node/ID");
        if (err == NULL) {
                struct server_claim claim = claim_of(at);

                claim.is_proxy = false; /* it is the host's name, which an application below a proxy's name could have */
                err = servers_check_name(at->auth, at->host_name, claim);
        }
        if (err != NULL) {
                fail(at, "host-name", err);
                return;
        }
        /* A host that is locked by its ID does not come back with a new one: whoever has its name is taken for it. */
        if (name != NULL)
                err = directory_check_locks(at->auth->directory, &(struct lock_subject){ .host_id = str_of(name->host_id) });
        if (err != NULL) {
                fail(at, "lock", err);
                return;
        }
        at->name_revision = revision;
        if (at->certs == NULL)
                sign(at);
        else
                commit(at);
}

static void on_signed(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err)
{
        struct attempt *at = ctx;

        if (!resume(at)) {
                error_free(err);
                return;
        }
        if (err == NULL)
                err = attempt_keep_certs(at, certs);
        if (err != NULL) {
                fail(at, "sign", issue_failed(err));
                return;
        }
        commit(at);
}

/* The older service: an ID that was there has the roles of this join now. */
static void drop_lost_roles(struct attempt *at)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;

        host.host_id = pb_text(at->host_id.ptr);
        host.system_roles = at->system_roles;
        host.n_system_roles = at->system_role_count;
        callers_drop_lost_roles(at->auth, &host);
}

static void on_committed(void *ctx, uint64_t revision, struct error *err)
{
        struct attempt *at = ctx;

        (void)revision;
        if (err == NULL) {
                /* It is done and written down: too late for a deadline to undo it. */
                at->is_expired = false;
                at->out_of_turn = NULL;
                attempt_report_success(at);
                if (at->host_revision != 0)
                        drop_lost_roles(at);
                else if (at->is_legacy) /* it may have been another's */
                        tunnels_refuse_earlier(at->auth, at->host_id, cert_issue_of(at->certs->not_before, str_of(at->certs->serial)),
                                               "the ID of this host belongs to another one now");
        }
        if (!resume(at)) {
                error_free(err);
                return;
        }
        if (err != NULL && err->code == ERROR_ABORTED && ++at->commit_tries < COMMIT_TRIES) {
                error_free(err);
                find_token(at);
                return;
        }
        if (err != NULL) {
                fail(at, "store", error_wrap(err, "the join could not be recorded"));
                return;
        }
        attempt_leave(at);
        timer_stop(at->deadline);
        conversation_enter(&at->at, DONE);
        at->events->on_done(at->ctx, &(struct attempt_result){ at->host_id, at->certs }, NULL);
}

static void commit(struct attempt *at)
{
        /* The transaction notices a token that was written; one that has ended since it was read is as it was. */
        at->token.is_expired = token_is_expired(at->token.token, loop_wall(&at->auth->loop));
        if (at->token.is_expired) {
                fail(at, "token", token_ended(at));
                return;
        }
        struct error *err = check_locks(at);
        if (err != NULL) {
                fail(at, "lock", err);
                return;
        }
        struct store_txn *t = store_txn_new(at->auth->store);

        conversation_enter(&at->at, COMMIT);
        attempt_write_records(at, t);
        at->is_waiting = true;
        store_txn_commit(t, on_committed, at);
}
