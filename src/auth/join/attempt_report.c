/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/join/attempt_internal.h"

#include <stdlib.h>

#include "auth/hosts/hosts.h"
#include "auth/core/refusal_log.h"
#include "auth/hosts/servers.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "net/sources.h"
#include "join/token_check.h"
#include "resource/token.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "schema/schema.h"

char *attempt_safe_token_name(const struct attempt *at)
{
        AUTO(buf) safe = BUF_MAX(4 * KiB);
        const struct join_method *claimed = join_method_find(at->claimed_method);

        if (at->token.token != NULL)
                token_safe_name(at->token.token, &safe);
        else if (claimed != NULL && !claimed->has_secret_name)
                escape_text(&safe, at->token_name, ESCAPE_LIMIT);
        else
                token_mask(at->token_name, &safe); /* it may be a mistyped secret */
        return buf_take(&safe);
}

static void put_attributes(const struct join_attributes *a, struct audit_record *r)
{
        if (a->count == 0)
                return;
        audit_open(r, "attributes");
        for (size_t i = 0; i < a->count; i++)
                audit_str(r, a->list[i].name, a->list[i].value);
        audit_close(r);
}

static void put_claims(const struct join_findings *f, struct audit_record *r)
{
        for (size_t i = 0; i < f->note_count; i++)
                if (f->notes[i].text != NULL)
                        audit_str(r, f->notes[i].name, str_of(f->notes[i].text));
}

static void put_measurements(const struct join_findings *f, struct audit_record *r)
{
        for (size_t i = 0; i < f->note_count; i++)
                if (f->notes[i].text == NULL)
                        audit_int(r, f->notes[i].name, f->notes[i].number);
}

/* Common fields of both events: claims of the host first, then attested values under "attributes". */
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
        put_claims(&at->verifier.found, r);
        put_attributes(&at->verifier.found.attributes, r);
        put_measurements(&at->verifier.found, r);
}

static const char *method_of(const struct attempt *at)
{
        return at->token.token == NULL ? "" : at->token.token->spec->join_method;
}

/* Whether the cluster decided against the host, or could not decide. */
static bool is_refusal(const struct error *err)
{
        return err->code != ERROR_UNAVAILABLE && err->code != ERROR_RESOURCE_EXHAUSTED && err->code != ERROR_DEADLINE_EXCEEDED &&
               err->code != ERROR_CANCELLED && err->code != ERROR_ABORTED && err->code != ERROR_INTERNAL && err->code != ERROR_DATA_LOSS;
}

void attempt_report_refusal(struct attempt *at, const char *check, const struct error *err)
{
        struct audit_record record = { 0 };
        AUTO_MEM char *token = attempt_safe_token_name(at);
        const struct join_attributes *attributes = &at->verifier.found.attributes;
        char source[SOURCE_TEXT_MAX];

        metric_count(METRIC_JOINS, method_of(at), is_refusal(err) ? "refused" : "failed");
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
                 LOG_STR("aws_account", join_attribute(attributes, "account")), LOG_STR("aws_arn", join_attribute(attributes, "arn")),
                 LOG_C("request_id", at->request_id), LOG_ERR(err));
}

void attempt_report_success(struct attempt *at)
{
        int64_t ms = duration_ms(instant_since(loop_now(&at->auth->loop), at->started));
        AUTO_MEM char *token = attempt_safe_token_name(at);
        const struct join_findings *found = &at->verifier.found;

        metric_count(METRIC_JOINS, method_of(at), "joined");
        metric_observe_at(METRIC_JOIN_SECONDS, 0, instant_since(loop_now(&at->auth->loop), at->started));
        log_info("Host has joined the cluster", LOG_STR("node_name", at->host_name), LOG_STR("host_id", at->host_id),
                 LOG_STR("role", at->role), LOG_C("token_name", token), LOG_STR("aws_arn", join_attribute(&found->attributes, "arn")),
                 LOG_STR("remote_addr", str_of(at->peer)), LOG_C("request_id", at->request_id), LOG_INT("sts_ms", found->process_ms),
                 LOG_INT("ms", ms));
}

static void put_host(struct attempt *at, struct store_txn *t, struct walltime expires)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        AUTO_MEM char *token = attempt_safe_token_name(at);
        AUTO(buf) token_key = BUF_MAX(LIMIT_STORE_KEY);
        struct join_findings *found = &at->verifier.found;

        host.host_id = pb_text(at->host_id.ptr); /* arena texts end in NUL */
        host.hostname = pb_text(at->host_name.ptr);
        host.join_method = at->token.token->spec->join_method;
        host.token_name = token;
        host_set_attributes(&host, &found->attributes, at->arena);
        if (found->has_proof)
                host.join_proof = (ProtobufCBinaryData){ sizeof found->proof, found->proof };
        host.joined = walltime_unix(loop_wall(&at->auth->loop));
        struct cert_issue since = at->host_revision == 0 ? cert_issue_of(at->certs->not_before, str_of(at->certs->serial)) : at->member_since;
        host.member_since = since.not_before;
        host.member_serial_time = since.serial_time;
        host.system_roles = at->system_roles;
        host.n_system_roles = at->system_role_count;
        host.remote_addr = at->peer;
        host.clock_skew_ms = found->clock_skew_seconds * 1000;
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
        if (str_equal(at->role, STR("Proxy"))) /* only by the older service; it has no names but those of the host */
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

static void put_part(struct buf *out, struct str part)
{
        buf_printf(out, "%zu:", part.len);
        buf_put(out, part);
}

void attempt_put_id_of_key(const struct attempt *at, struct buf *out)
{
        const struct str parts[] = { at->auth->cluster, at->binding, at->token_name, at->host_name, at->tls_public_key, at->ssh_public_key };
        const struct join_attributes *attributes = &at->verifier.found.attributes;
        AUTO(buf) all = BUF_MAX(32 * KiB);

        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                put_part(&all, parts[i]);
        for (size_t i = 0; i < attributes->count; i++)
                if (attributes->list[i].is_recorded)
                        put_part(&all, attributes->list[i].value);
        uuid_of(buf_str(&all), out);
}

const Cteleport__State__V1__Host *attempt_same_host(struct attempt *at, const Cteleport__State__V1__Host *host, uint64_t *revision)
{
        AUTO(buf) fresh = BUF_MAX(64);

        if (host == NULL || host_is_same(host, at->method, at->binding, &at->verifier.found.attributes))
                return host;
        random_uuid(&fresh);
        at->host_id = arena_str(at->arena, buf_str(&fresh));
        at->certs = NULL; /* of an earlier try: they name the ID that another host has taken since */
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
