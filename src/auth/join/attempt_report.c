/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/join/attempt_internal.h"

#include <stdlib.h>

#include "auth/hosts/hosts.h"
#include "auth/core/refusal_log.h"
#include "auth/hosts/servers.h"
#include "aws/sts_answer.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "join/methods/iam_rules.h"
#include "net/sources.h"
#include "resource/token.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "schema/schema.h"

char *attempt_safe_token_name(const struct attempt *at)
{
        AUTO(buf) safe = BUF_MAX(4 * KiB);

        if (at->token.token != NULL)
                token_safe_name(at->token.token, &safe);
        else if (str_equal(at->claimed_method, STR("iam")) || at->is_legacy)
                escape_text(&safe, at->token_name, ESCAPE_LIMIT);
        else
                token_mask(at->token_name, &safe); /* perhaps a mistyped secret */
        return buf_take(&safe);
}

static const char *side_of(int64_t seconds)
{
        return seconds < 0 ? "behind" : "ahead of";
}

/*
 * AWS finds a clock wrong that passed our own check: then ours may be the one. The Date of AWS's answer tells.
 */
static struct error *explain_clocks(const struct attempt *at, const char *message)
{
        int64_t ours = at->aws_skew_seconds, theirs = ours + at->skew_seconds;

        return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                    "the clock of this host is %lld seconds %s AWS's, that of the Auth Service %lld seconds %s it: "
                                    "AWS STS (%s) refused the signature: %s",
                                    (long long)llabs(theirs), side_of(theirs), (long long)llabs(ours), side_of(ours), at->sts_host,
                                    message),
                          "let both follow a time server (chrony, systemd-timesyncd): timedatectl status");
}

struct error *attempt_check_identity(const struct attempt *at, const Cteleport__Internal__V1__StsAnswer *answer)
{
        struct error *err = sts_identity_check(str_of(answer->account), str_of(answer->arn), str_of(answer->user_id),
                                               str_of(at->sts_partition));

        if (err == NULL)
                return NULL;
        return error_because(error_new(ERROR_PERMISSION_DENIED, "AWS STS (%s) gave an answer that proves nothing", at->sts_host), err);
}

struct error *attempt_explain_sts_refusal(struct attempt *at, const Cteleport__Internal__V1__StsAnswer *answer,
                                          const char *code, const char *message)
{
        if (at->has_skew && at->has_aws_skew && sts_refusal_is_about_clock(str_of(answer->code), str_of(answer->message)))
                return explain_clocks(at, message);
        const char *hint = sts_refusal_hint(str_of(answer->code), str_of(answer->message));

        return error_hint(error_new(ERROR_PERMISSION_DENIED, "AWS STS (%s) refused the signature of this host: %s: %s (status %d)",
                                    at->sts_host, code, message, answer->http_status),
                          "%s", hint != NULL ? hint : "`teleport aws identity` on the host shows which credentials are used");
}

/* What successes and failures say alike. Claimed things first, attested ones under "attributes". */
static void put_common(struct attempt *at, struct audit_record *r)
{
        AUTO_MEM char *token = attempt_safe_token_name(at);
        const Cteleport__V1__Token *found = at->token.token;

        audit_str(r, "request_id", str_of(at->request_id));
        audit_str(r, "host_id", str_is_empty(at->host_id) ? at->claimed_host_id : at->host_id);
        audit_str(r, "node_name", at->host_name);
        audit_str(r, "role", at->role);
        audit_str(r, "method", found == NULL ? at->claimed_method : str_of(found->spec->join_method));
        audit_str(r, "token_name", str_of(token));
        if (found != NULL && found->metadata->expires != NULL) {
                AUTO(buf) expires = BUF_MAX(64);

                timestamp_put(&expires, found->metadata->expires->seconds, 0);
                audit_str(r, "token_expires", buf_str(&expires));
        }
        audit_str(r, "addr.remote", str_of(at->peer));
        audit_bool(r, "forwarded_by_proxy", at->is_forwarded);
        if (!str_is_empty(at->client_version))
                audit_str(r, "client_version", at->client_version);
        if (at->sts_host[0] != '\0')
                audit_str(r, "sts_host", str_of(at->sts_host));
        if (!str_is_empty(at->identity.account)) {
                audit_open(r, "attributes");
                audit_str(r, "account", at->identity.account);
                audit_str(r, "arn", at->identity.arn);
                audit_str(r, "user_id", at->identity.user_id);
                audit_close(r);
        }
        if (at->has_skew)
                audit_int(r, "clock_skew_seconds", at->skew_seconds);
        if (at->has_aws_skew)
                audit_int(r, "auth_clock_skew_seconds", at->aws_skew_seconds);
}

void attempt_report_refusal(struct attempt *at, const char *check, const struct error *err)
{
        struct audit_record record = { 0 };
        AUTO_MEM char *token = attempt_safe_token_name(at);
        char source[SOURCE_TEXT_MAX];

        source_of(str_of(at->peer), source);
        if (!audit_may_report(at->auth, at->auth->refusal_log, str_of(source)))
                return;
        auth_audit_begin(at->auth, &record, &audit_instance_join_failed);
        put_common(at, &record);
        audit_str(&record, "check", str_of(check));
        audit_error(&record, err);
        audit_write(at->auth->audit, &record, NULL, NULL);
        log_warn("Failure to join cluster occurred", LOG_STR("remote_addr", str_of(at->peer)), LOG_C("token_name", token),
                 LOG_STR("role", at->role), LOG_STR("node_name", at->host_name), LOG_C("check", check),
                 LOG_STR("aws_account", at->identity.account), LOG_STR("aws_arn", at->identity.arn),
                 LOG_C("request_id", at->request_id), LOG_ERR(err));
}

void attempt_report_success(struct attempt *at)
{
        int64_t ms = duration_ms(instant_since(loop_now(&at->auth->loop), at->started));
        AUTO_MEM char *token = attempt_safe_token_name(at);

        log_info("Host has joined the cluster", LOG_STR("node_name", at->host_name), LOG_STR("host_id", at->host_id),
                 LOG_STR("role", at->role), LOG_C("token_name", token), LOG_STR("aws_arn", at->identity.arn),
                 LOG_STR("remote_addr", str_of(at->peer)), LOG_C("request_id", at->request_id), LOG_INT("sts_ms", at->sts_ms),
                 LOG_INT("ms", ms));
}

static void put_host(struct attempt *at, struct store_txn *t, struct walltime expires)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        AUTO_MEM char *token = attempt_safe_token_name(at);
        AUTO(buf) token_key = BUF_MAX(LIMIT_STORE_KEY);

        host.host_id = pb_text(at->host_id.ptr); /* arena texts end in NUL */
        host.hostname = pb_text(at->host_name.ptr);
        host.join_method = at->token.token->spec->join_method;
        host.token_name = token;
        if (!str_is_empty(at->identity.account)) {
                host.aws_account = pb_text(at->identity.account.ptr);
                host.aws_arn = pb_text(at->identity.arn.ptr);
                host.join_proof = (ProtobufCBinaryData){ sizeof at->join_proof, at->join_proof };
        }
        host.joined = walltime_unix(loop_wall(&at->auth->loop));
        struct cert_issue since = at->host_revision == 0 ? cert_issue_of(at->certs->not_before, str_of(at->certs->serial)) : at->member_since;
        host.member_since = since.not_before;
        host.member_serial_time = since.serial_time;
        host.system_roles = at->system_roles;
        host.n_system_roles = at->system_role_count;
        host.remote_addr = at->peer;
        host.clock_skew_ms = at->skew_seconds * 1000;
        host.binding = pb_text(at->binding.ptr);
        token_set_of_host(&host, at->token_name, &token_key);
        host_require(t, at->host_id, at->host_revision);
        host_put(t, &host, expires);
}

static void put_name(struct attempt *at, struct store_txn *t, struct walltime expires)
{
        name_require(t, at->host_name, at->auth->cluster, at->name_revision);
        name_put(t, at->host_name, at->auth->cluster, at->host_id, at->binding, expires);
}

void attempt_write_records(struct attempt *at, struct store_txn *t)
{
        struct audit_record record = { 0 };
        struct walltime expires = walltime_of_unix(at->certs->not_after);

        if (at->token.revision != 0)
                token_require(t, at->token_name, at->token.revision);
        put_host(at, t, expires);
        put_name(at, t, expires);
        if (str_equal(at->role, STR("Proxy"))) /* of the older service; its names are its host's */
                servers_put(at->auth, t, at->host_id, at->binding, NULL, 0, at->tls_public_key, expires);

        auth_audit_begin(at->auth, &record, &audit_instance_join);
        put_common(at, &record);
        audit_int(&record, "rule", at->rule + 1);
        audit_str(&record, "serial", str_of(at->certs->serial));
        audit_account_add(at->auth, ACCOUNT_JOIN, at->binding, t, &record);
}

struct error *attempt_keep_certs(struct attempt *at, const Cteleport__Internal__V1__HostCerts *certs)
{
        ProtobufCMessage *copy = NULL;

        TRY(wire_copy(at->arena, &certs->base, &copy));
        at->certs = (const Cteleport__Internal__V1__HostCerts *)copy;
        return NULL;
}

void attempt_put_id_of_key(const struct attempt *at, struct buf *out)
{
        const struct str parts[] = { at->auth->cluster, at->binding, at->identity.arn, at->token_name, at->host_name, at->tls_public_key,
                                     at->ssh_public_key };
        AUTO(buf) all = BUF_MAX(16 * KiB);

        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
                buf_printf(&all, "%zu:", parts[i].len);
                buf_put(&all, parts[i]);
        }
        uuid_of(buf_str(&all), out);
}

/* A secret token attests nothing: who has it and the key is who came. */
static bool is_same(const struct attempt *at, const Cteleport__State__V1__Host *host)
{
        if (!str_is_empty(at->identity.account))
                return host_is_attested_as(host, at->identity.account, at->identity.arn);
        return str_equal(str_of(host->join_method), STR("token")) && str_equal(str_of(host->binding), at->binding);
}

const Cteleport__State__V1__Host *attempt_same_host(struct attempt *at, const Cteleport__State__V1__Host *host, uint64_t *revision)
{
        AUTO(buf) fresh = BUF_MAX(64);

        if (host == NULL || is_same(at, host))
                return host;
        random_uuid(&fresh);
        at->host_id = arena_str(at->arena, buf_str(&fresh));
        *revision = 0;
        return NULL;
}

void attempt_add_system_role(struct attempt *at, struct str role)
{
        for (size_t i = 0; i < at->system_role_count; i++)
                if (str_equal(str_of(at->system_roles[i]), role))
                        return;
        if (at->system_role_count < ATTEMPT_SYSTEM_ROLES)
                at->system_roles[at->system_role_count++] = pb_text(arena_str(at->arena, role).ptr);
}
