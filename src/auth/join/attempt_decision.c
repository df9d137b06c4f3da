/* SPDX-License-Identifier: Apache-2.0 */
/* The steps FIND_RECORDS, SIGN and COMMIT of an attempt. */
#include "auth/certs/issue.h"
#include "auth/core/caller.h"
#include "auth/hosts/hosts.h"
#include "auth/hosts/servers.h"
#include "auth/hosts/tunnels_service.h"
#include "auth/join/attempt_internal.h"
#include "auth/users/directory.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/cert.h"
#include "resource/role.h"
#include "resource/token.h"
#include "rpc/pb.h"

/* Another attempt of the same host may write its record between the read and the write of this one. */
enum { COMMIT_TRIES = 4 };

/* ---- names, rules, locks -------------------------------------------------------------------------------------- */

static bool may_be_proxy(const struct attempt *at)
{
        for (size_t i = 0; i < at->system_role_count; i++)
                if (str_equal(str_of(at->system_roles[i]), STR("Proxy")))
                        return true;
        return false;
}

struct server_claim attempt_claim(const struct attempt *at)
{
        return (struct server_claim){
                .host_id = str_is_empty(at->host_id) ? at->claimed_host_id : at->host_id,
                .proxy_binding = may_be_proxy(at) ? at->binding : STR(""),
                .is_proxy = str_equal(at->role, STR("Proxy")),
        };
}

/*
 * The roles for which the host may have certificates: only those of the token of this join. Roles of an earlier join with the
 * same ID end here, as the token that gave them may be deleted.
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

/* Checks the locks: when the identity of the host is known, and again before its records are written. */
static struct error *check_locks(const struct attempt *at)
{
        const struct lock_subject subject = {
                .host_id = at->host_id,
                .hostname = at->host_name,
                .aws_account = join_attribute(&at->verifier.found.attributes, "account"),
                .aws_arn = join_attribute(&at->verifier.found.attributes, "arn"),
                .system_roles = at->system_roles,
                .system_role_count = at->system_role_count,
        };

        return directory_check_locks(at->auth->directory, &subject);
}

static void on_find_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err);
static void on_find_name(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err);

/* Reads the records of the ID and of the name in parallel, as each answer of the store wakes two threads. */
static void find_records(struct attempt *at)
{
        conversation_enter(&at->at, FIND_RECORDS);
        at->is_waiting = true;
        at->records_to_come = 2;
        host_get(at->auth->store, at->host_id, on_find_host, at);
        name_get(at->auth->store, at->host_name, at->auth->cluster, on_find_name, at);
}

/* Called with a token just read and a proven identity: matches the rules, then reads the records of the ID and of the name. */
void attempt_decide(struct attempt *at)
{
        const struct join_attributes *attributes = &at->verifier.found.attributes;
        AUTO(buf) binding = BUF_MAX(4 * KiB);

        if (at->method->find_rule != NULL) {
                AUTO_MEM char *name = attempt_safe_token_name(at);

                at->rule = at->method->find_rule(at->token.token->spec, attributes);
                if (at->rule < 0) {
                        attempt_fail(at, "rules", at->method->not_admitted(name, attributes));
                        return;
                }
        }
        at->method->put_binding(at->token_name, attributes, &binding);
        at->binding = arena_str(at->arena, buf_str(&binding));
        if (str_is_empty(at->host_id)) {
                AUTO(buf) of_key = BUF_MAX(64);

                attempt_put_id_of_key(at, &of_key);
                at->host_id = at->is_legacy ? at->claimed_host_id : arena_str(at->arena, buf_str(&of_key));
        }
        collect_system_roles(at);
        struct error *err = check_locks(at);
        if (err != NULL) {
                attempt_fail(at, "lock", err);
                return;
        }
        err = audit_check_room(at->auth, ROOM_FOR_NEW);
        if (err == NULL)
                err = audit_account_check(at->auth, ACCOUNT_JOIN, at->binding);
        if (err != NULL) {
                attempt_fail(at, "disk", err);
                return;
        }
        find_records(at);
}

static void on_sign(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err);
static void commit(struct attempt *at);

static void sign(struct attempt *at)
{
        struct str principals[ARRAY_LEN(at->principals)];
        size_t count = 0;

        /* Public names of proxies, and names for applications below them, are omitted. */
        for (size_t i = 0; i < at->principal_count; i++)
                if (servers_may_name_tls(at->auth, at->principals[i], attempt_claim(at)))
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
        issue(at->auth, &request, on_sign, at);
}

/* Whether the host may have its name: the name is free or belongs to hosts with the same binding, and is no public name. */
static struct error *check_host_name(const struct attempt *at)
{
        struct server_claim claim = attempt_claim(at);

        if (at->is_name_of_others)
                return error_hint(error_new(ERROR_ALREADY_EXISTS, "the host name '%.*s' is in use by another host", STR_ARG(at->host_name)),
                                  "set another teleport.nodename, or an administrator removes the other host: tctl rm node/ID");
        claim.is_proxy = false; /* the name is that of the host: it may be below a public name of a proxy */
        return servers_check_name(at->auth, at->host_name, claim);
}

/* A host that is locked by its ID must not rejoin with a new ID: the locks of the current owner of its name apply. */
static struct error *check_locks_of_name(const struct attempt *at)
{
        if (str_is_empty(at->host_id_of_name))
                return NULL;
        return directory_check_locks(at->auth->directory, &(struct lock_subject){ .host_id = at->host_id_of_name });
}

/* Called when one of the two records was read; continues after the second one. */
static void on_find_record(struct attempt *at)
{
        const char *check = "host-id";

        if (--at->records_to_come > 0)
                return;
        struct error *host_failure = at->host_failure, *name_failure = at->name_failure;
        at->host_failure = at->name_failure = NULL;
        if (!attempt_resume(at)) {
                error_free(host_failure);
                error_free(name_failure);
                return;
        }
        struct error *err = host_failure;
        if (err == NULL) {
                check = "host-name";
                err = name_failure != NULL ? name_failure : check_host_name(at);
        } else {
                error_free(name_failure);
        }
        if (err == NULL) {
                check = "lock";
                err = check_locks_of_name(at);
        }
        if (err != NULL)
                attempt_fail(at, check, err);
        else if (at->certs == NULL)
                sign(at);
        else
                commit(at);
}

static void on_find_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct attempt *at = ctx;

        if (err == NULL && !at->is_legacy)
                host = attempt_same_host(at, host, &revision);
        else if (err == NULL)
                err = host_check_claim(host, at->host_id, at->method, &at->verifier.found.attributes);
        at->host_failure = err;
        at->host_revision = revision;
        at->member_since = err != NULL || host == NULL ? (struct cert_issue){ 0 } : (struct cert_issue){ host->member_since, host->member_serial_time };
        on_find_record(at);
}

static void on_find_name(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err)
{
        struct attempt *at = ctx;

        at->name_failure = err;
        at->name_revision = revision;
        at->is_name_of_others = err == NULL && name != NULL && !name_is_bound_to(name, at->binding);
        at->host_id_of_name = err == NULL && name != NULL ? arena_str(at->arena, str_of(name->host_id)) : STR("");
        on_find_record(at);
}

static void on_sign(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err)
{
        struct attempt *at = ctx;

        if (!attempt_resume(at)) {
                error_free(err);
                return;
        }
        if (err == NULL)
                err = attempt_keep_certs(at, certs);
        if (err != NULL) {
                attempt_fail(at, "sign", issue_failed(err));
                return;
        }
        commit(at);
}

/* Closes connections in roles that the host does not have after this join. */
static void drop_lost_roles(struct attempt *at)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;

        host.host_id = pb_text(at->host_id.ptr);
        host.system_roles = at->system_roles;
        host.n_system_roles = at->system_role_count;
        callers_drop_lost_roles(at->auth, &host);
}

static void on_commit(void *ctx, uint64_t revision, struct error *err)
{
        struct attempt *at = ctx;

        (void)revision;
        if (err == NULL) {
                /* The join is stored: a deadline cannot undo it. */
                at->is_expired = false;
                at->out_of_turn = NULL;
                attempt_report_success(at);
                if (at->host_revision != 0)
                        drop_lost_roles(at);
                else if (at->is_legacy) /* the ID may have belonged to another host */
                        tunnels_refuse_earlier(at->auth, at->host_id, cert_issue_of(at->certs->not_before, str_of(at->certs->serial)),
                                               "the ID of this host belongs to another one now");
        }
        if (!attempt_resume(at)) {
                error_free(err);
                return;
        }
        if (err != NULL && err->code == ERROR_ABORTED && ++at->commit_tries < COMMIT_TRIES) {
                error_free(err);
                attempt_find_token(at);
                return;
        }
        if (err != NULL) {
                attempt_fail(at, "store", error_wrap(err, "the join could not be recorded"));
                return;
        }
        admission_leave(&at->admitted);
        timer_stop(at->deadline);
        conversation_enter(&at->at, DONE);
        at->events->on_done(at->ctx, &(struct attempt_result){ at->host_id, at->certs }, NULL);
}

static void commit(struct attempt *at)
{
        /* The transaction detects a changed token, but not its expiry since the read: that is checked here. */
        at->token.is_expired = token_is_expired(at->token.token, loop_wall(&at->auth->loop));
        if (at->token.is_expired) {
                attempt_fail(at, "token", attempt_token_ended(at));
                return;
        }
        struct error *err = check_locks(at);
        if (err != NULL) {
                attempt_fail(at, "lock", err);
                return;
        }
        struct store_txn *t = store_txn_new(at->auth->store);

        conversation_enter(&at->at, COMMIT);
        attempt_write_records(at, t);
        at->is_waiting = true;
        store_txn_commit(t, on_commit, at);
}
