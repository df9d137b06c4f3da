/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/host_service.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/caller.h"
#include "auth/users/directory.h"
#include "auth/hosts/hosts.h"
#include "auth/certs/issue.h"
#include "auth/hosts/presence.h"
#include "auth/hosts/servers.h"
#include "auth/join/tokens.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "join/method.h"
#include "join/binding.h"
#include "resource/token.h"
#include "rpc/pb.h"

void ping_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        const struct auth *a = caller->auth;
        Cteleport__V1__PingResponse response = CTELEPORT__V1__PING_RESPONSE__INIT;
        Cteleport__V1__Timestamp now = CTELEPORT__V1__TIMESTAMP__INIT;
        struct walltime wall = loop_wall(&a->loop);

        (void)first;
        response.cluster = pb_text(a->cluster.ptr);
        response.version = pb_text(CTELEPORT_VERSION);
        response.tls_ca_certs = a->authorities.host->tls_certs;
        response.n_tls_ca_certs = a->authorities.host->n_tls_certs;
        response.ssh_ca_keys = a->authorities.host->ssh_keys;
        response.n_ssh_ca_keys = a->authorities.host->n_ssh_keys;
        now.seconds = walltime_unix(wall);
        now.nanos = (int32_t)(wall.ns % 1000000000);
        response.now = &now;
        rpc_call_reply(call, &response.base);
}

/* ---- GenerateHostCerts ------------------------------------------------------------------------------ */

/*
 * A request for a certificate. Its steps: read the record of the host, request the certificate from the signer, store
 * the audit event, answer.
 */
struct renewal {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the caller is gone */
        const Cteleport__V1__HostCertsRequest *request; /* in arena */
        struct arena *arena;
        struct str host_id, host_name, role;
        struct buf tls_public_key, ssh_public_key;
        char *system_roles[CALLER_SYSTEM_ROLES_MAX];
        size_t system_role_count;
        struct str names[LIMIT_CERT_NAMES];
        size_t name_count;
        struct str public_names[2 * LIMIT_CERT_NAMES]; /* of a proxy: names and, if requested, the name of the cluster */
        size_t public_name_count;
        uint64_t host_revision, name_revision;
        Cteleport__State__V1__Host *host; /* in arena; roles that the token does not give any more are removed */
        bool is_narrowed;
        bool has_token;          /* stored, or absent: the transaction requires that this has not changed */
        uint64_t token_revision;
        const Cteleport__Internal__V1__HostCerts *certs;
        char *ca_revision; /* when they were requested, in arena */
        bool is_local;
        bool is_nameless; /* its name is a public name of a proxy now: it is certified for its ID only */
        char peer[ADDRESS_TEXT_MAX];
};

static void renewal_free(struct renewal *r)
{
        buf_release(&r->tls_public_key);
        buf_release(&r->ssh_public_key);
        arena_free(r->arena);
        free(r);
}

/* Whether the error refuses this role for good, in contrast to a temporary fault. */
static bool is_refusal_of_role(const struct error *err)
{
        return err->code == ERROR_PERMISSION_DENIED || err->code == ERROR_INVALID_ARGUMENT || err->code == ERROR_FAILED_PRECONDITION;
}

static void renewal_finish(struct renewal *r, struct error *err)
{
        if (err != NULL && is_refusal_of_role(err))
                err = error_for_default(err, REASON_ROLE);
        if (err != NULL)
                log_warn("Host certificate refused", LOG_STR("host_id", r->host_id), LOG_STR("role", r->role),
                         LOG_C("remote_addr", r->peer), LOG_ERR(err));
        if (r->call != NULL)
                rpc_call_finish(r->call, err);
        else
                error_free(err);
        renewal_free(r);
}

/* Closes connections that were opened in a role that the host does not have any more. */
static void drop_lost_roles(const struct renewal *r)
{
        if (!r->is_narrowed || !str_equal(r->role, STR("Instance")))
                return;
        callers_drop_lost_roles(r->auth, r->host);
        presence_end_host(r->auth, r->host_id, "the roles of this host have changed");
}

/*
 * The proof of the join, which the host compares with the proof that it sent. For a join by a secret it is zeros, which equal
 * no proof: a proxy that gets a host's proof may answer it with the result of its own join by a secret.
 */
static ProtobufCBinaryData proof_of_join(const Cteleport__State__V1__Host *host)
{
        static uint8_t none[JOIN_PROOF_SIZE];

        return str_equal(str_of(host->join_method), STR("token")) ? (ProtobufCBinaryData){ sizeof none, none } : host->join_proof;
}

static void on_recorded(void *ctx, uint64_t revision, struct error *err)
{
        struct renewal *r = ctx;

        (void)revision;
        if (err != NULL) {
                renewal_finish(r, error_wrap(err, "the certificate could not be recorded"));
                return;
        }
        log_info("Host certificate issued", LOG_STR("host_id", r->host_id), LOG_STR("role", r->role),
                 LOG_C("serial", r->certs->serial), LOG_C("remote_addr", r->peer));
        if (r->call != NULL) {
                Cteleport__V1__HostCertsResponse response = CTELEPORT__V1__HOST_CERTS_RESPONSE__INIT;
                Teleport__Join__V1__Certificates certificates;

                issue_fill_certificates(r->auth, r->certs, r->arena, &certificates);
                response.certificates = &certificates;
                response.join_proof = proof_of_join(r->host);
                response.ca_revision = r->ca_revision;
                if (!str_equal(r->role, STR("Instance"))) { /* services that accept users need the user CA */
                        const Cteleport__Internal__V1__Authority *user = r->auth->authorities.user;

                        response.tls_user_ca_certs = user->tls_certs;
                        response.n_tls_user_ca_certs = user->n_tls_certs;
                        response.ssh_user_ca_keys = user->ssh_keys;
                        response.n_ssh_user_ca_keys = user->n_ssh_keys;
                }
                rpc_call_send(r->call, &response.base);
        }
        if (str_equal(r->role, STR("Proxy")))
                servers_warn_of_duplicates(r->auth, r->host_id, r->public_names, r->public_name_count);
        drop_lost_roles(r);
        renewal_finish(r, NULL);
}

static void audit_issue(struct renewal *r, struct store_txn *t)
{
        struct audit_record record = { 0 };

        auth_audit_begin(r->auth, &record, &audit_cert_create);
        audit_str(&record, "cert_type", STR("host"));
        audit_str(&record, "host_id", r->host_id);
        audit_str(&record, "node_name", r->host_name);
        audit_str(&record, "role", r->role);
        audit_str(&record, "serial", str_of(r->certs->serial));
        audit_str(&record, "addr.remote", str_of(r->peer));
        audit_account_add(r->auth, ACCOUNT_RENEWAL, r->host_id, t, &record);
}

/* Stores the records until the certificate expires, unless the host was deleted or another host has the name meanwhile. */
static void record(struct renewal *r)
{
        struct store_txn *t = store_txn_new(r->auth->store);
        struct walltime expires = walltime_of_unix(r->certs->not_after);

        if (str_equal(r->role, STR("Proxy")))
                servers_put(r->auth, t, r->host_id, str_of(r->host->binding), r->public_names, r->public_name_count,
                            buf_str(&r->tls_public_key), expires);
        if (str_equal(r->role, STR("Instance")) && !r->is_local) {
                host_require(t, r->host_id, r->host_revision);
                host_put(t, r->host, expires);
        } else {
                host_require(t, r->host_id, STORE_ANY);
        }
        if (str_equal(r->role, STR("Instance")) && !r->is_local && !r->is_nameless) {
                name_require(t, r->host_name, r->auth->cluster, r->name_revision);
                name_put(t, r->host_name, r->auth->cluster, r->host_id, str_of(r->host->binding), expires);
        }
        if (r->has_token)
                token_require_of_host(t, r->host, r->token_revision);
        audit_issue(r, t);
        store_txn_commit(t, on_recorded, r);
}

static struct server_claim claim_of(const struct renewal *r)
{
        return (struct server_claim){
                .host_id = r->host_id,
                .proxy_binding = host_has_role(r->host, STR("Proxy")) ? str_of(r->host->binding) : STR(""),
                .is_proxy = str_equal(r->role, STR("Proxy")),
        };
}

/* Repeats the checks whose result may have changed while the signer worked: locks, and names of other proxies. */
static struct error *check_again(const struct renewal *r)
{
        TRY(directory_check_host(r->auth->directory, r->host));
        for (size_t i = 0; str_equal(r->role, STR("Proxy")) && !r->is_local && i < r->name_count; i++)
                TRY(servers_check_name(r->auth, r->names[i], claim_of(r)));
        return NULL;
}

static void on_signed(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err)
{
        struct renewal *r = ctx;
        ProtobufCMessage *copy = NULL;

        if (err == NULL)
                err = wire_copy(r->arena, &certs->base, &copy);
        if (err != NULL) {
                renewal_finish(r, issue_failed(err));
                return;
        }
        if (r->call == NULL) { /* no record without a caller: the service may be stopping */
                renewal_finish(r, error_new(ERROR_CANCELLED, "the host disconnected"));
                return;
        }
        err = check_again(r);
        if (err != NULL) {
                renewal_finish(r, err);
                return;
        }
        r->certs = (const Cteleport__Internal__V1__HostCerts *)copy;
        record(r);
}

/* Checks the requested names: a Proxy Service may have its public names, another service only names of its host. */
static struct error *take_names(struct renewal *r, char *const *names, size_t count, const char *field)
{
        bool is_proxy = str_equal(r->role, STR("Proxy"));

        for (size_t i = 0; i < count; i++) {
                struct str name = str_of(names[i]);
                AUTO_MEM char *shown = escaped(name);

                if (r->name_count == LIMIT_CERT_NAMES)
                        return error_new(ERROR_INVALID_ARGUMENT, "more than %d names", LIMIT_CERT_NAMES);
                if (!name_is_host(name) && !name_is_ip(name))
                        return error_new(ERROR_INVALID_ARGUMENT, "%s '%s' is not a host name or address", field, shown);
                if (is_proxy && !(name_is_ip(name) && name_is_reserved(name, r->auth->cluster)) &&
                    r->public_name_count < ARRAY_LEN(r->public_names))
                        r->public_names[r->public_name_count++] = name;
                if (is_proxy && !r->is_local && name_is_same(name, r->auth->cluster, r->auth->cluster)) {
                        /* Often the cluster has the name of its proxies. It may be a public name, but is in no certificate. */
                        TRY(servers_check_name(r->auth, name, claim_of(r)));
                        continue;
                }
                if (name_is_reserved(name, r->auth->cluster)) {
                        if (r->is_local || name_is_ip(name))
                                continue;
                        return error_new(ERROR_PERMISSION_DENIED, "%s '%s' is reserved", field, shown);
                }
                if (!is_proxy && !issue_name_is_own(name, r->host_id, r->host_name, r->auth->cluster, (struct str){ 0 }))
                        return error_new(ERROR_PERMISSION_DENIED, "%s '%s' is not this host's own name", field, shown);
                if (is_proxy && !r->is_local)
                        TRY(servers_check_name(r->auth, name, claim_of(r)));
                else if (!is_proxy && !servers_may_name_tls(r->auth, name, claim_of(r)))
                        continue; /* a public name of a proxy, or a name for applications below it */
                r->names[r->name_count++] = name;
        }
        return NULL;
}

static struct error *check(struct renewal *r, const Cteleport__State__V1__Host *host)
{
        const Cteleport__V1__HostCertsRequest *q = r->request;
        struct str tls = pb_str(q->public_tls_key);
        struct str ssh = pb_str(q->public_ssh_key);

        if (host == NULL)
                return error_hint(error_for(error_new(ERROR_UNAUTHENTICATED, "the cluster no longer knows this host"), REASON_IDENTITY),
                                  "it joins again by itself if its token still allows it");
        if (!host_has_role(host, r->role)) {
                AUTO_MEM char *shown = escaped(r->role);

                return error_hint(error_new(ERROR_PERMISSION_DENIED, "this host did not join with role '%s'", shown),
                                  "add the role to spec.roles of the join token and let the host join again");
        }
        TRY(host_pace_take(&r->auth->renewals, r->host_id, loop_now(&r->auth->loop)));
        TRY(audit_account_check(r->auth, ACCOUNT_RENEWAL, r->host_id));
        TRY(take_names(r, q->additional_principals, q->n_additional_principals, "additional principal"));
        TRY(take_names(r, q->dns_names, q->n_dns_names, "DNS name"));
        TRY(public_key_check_der(tls, &r->tls_public_key));
        TRY(servers_check_key(r->auth, buf_str(&r->tls_public_key), claim_of(r)));
        if (str_is_empty(ssh))
                return NULL;
        TRY(public_key_check_ssh(ssh, &r->ssh_public_key));
        return servers_check_ssh_key(r->auth, buf_str(&r->ssh_public_key));
}

static void sign(struct renewal *r)
{
        struct issue_request request = {
                .host_id = r->host_id,
                .host_name = r->is_nameless ? STR("") : r->host_name,
                .role = r->role,
                .principals = r->names,
                .principal_count = r->name_count,
                .tls_public_key = buf_str(&r->tls_public_key),
                .ssh_public_key = buf_str(&r->ssh_public_key),
                .reason = r->is_local ? "local" : "renew",
        };

        if (str_equal(r->role, STR("Proxy"))) {
                request.dns_names = r->names;
                request.dns_name_count = r->name_count;
        }
        if (str_equal(r->role, STR("Instance"))) {
                request.system_roles = r->host->system_roles;
                request.system_role_count = r->host->n_system_roles;
        }
        r->ca_revision = pb_text(arena_str(r->arena, str_of(r->auth->authorities.revision)).ptr);
        issue(r->auth, &request, on_signed, r);
}

/* A name passes to the next machine of a group. After its removal another group may own it: then the renewal is refused. */
static void on_name(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err)
{
        struct renewal *r = ctx;

        if (err == NULL && !r->is_local && name != NULL && !name_is_bound_to(name, str_of(r->host->binding)))
                err = error_hint(error_new(ERROR_ALREADY_EXISTS, "the host name '%.*s' is in use by another host", STR_ARG(r->host_name)),
                                 "set another teleport.nodename and let this host join again, or an administrator removes the other: "
                                 "tctl rm node/ID");
        if (err != NULL) {
                renewal_finish(r, err);
                return;
        }
        r->name_revision = revision;
        sign(r);
}

/* A public name belongs to its proxy alone. A host that had the name before is certified for its ID only. */
static void check_name(struct renewal *r)
{
        struct server_claim claim = claim_of(r);

        claim.is_proxy = false; /* the name is that of the host, not of the proxy */
        AUTO_PTR(error) err = r->is_local ? NULL : servers_check_name(r->auth, r->host_name, claim);
        r->is_nameless = err != NULL;
        if (err != NULL)
                log_warn("A host is certified by its ID alone", LOG_STR("host_id", r->host_id), LOG_STR("role", r->role), LOG_ERR(err));
}

static void go_on(struct renewal *r)
{
        struct error *err = check(r, r->host);

        if (err == NULL)
                check_name(r);
        if (err != NULL)
                renewal_finish(r, err);
        else if (r->is_nameless)
                sign(r);
        else
                name_get(r->auth->store, r->host_name, r->auth->cluster, on_name, r);
}

/*
 * A stored token limits the hosts that joined with it: a rule must still admit the host, and roles that were removed from the
 * token are removed from the host, for good. The expiry or removal of a token prevents further joins only. An expired token is
 * stored for another day, and its earlier limits apply until then (docs/decisions/0010-rights-of-joined-hosts.md).
 */
static struct error *apply_token(struct renewal *r, const Cteleport__V1__Token *token)
{
        Cteleport__State__V1__Host *host = r->host;
        const struct join_method *method = join_method_find(str_of(host->join_method));
        struct join_attributes attributes;
        size_t kept = 0;

        host_attributes(host, &attributes);
        if (method == NULL || !str_equal(str_of(token->spec->join_method), str_of(method->name)) ||
            (method->find_rule != NULL && method->find_rule(token->spec, &attributes) < 0))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "token '%s' does not allow this host any more", host->token_name),
                                  "an administrator adds a rule for it to the token, or removes the host: tctl rm node/ID");
        for (size_t i = 0; i < host->n_system_roles; i++)
                if (token_gives_role(token, str_of(host->system_roles[i])))
                        host->system_roles[kept++] = host->system_roles[i];
        r->is_narrowed = kept < host->n_system_roles;
        host->n_system_roles = kept;
        if (kept == 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "token '%s' no longer permits any role of this host", host->token_name),
                                  "an administrator adds them under spec.roles of the token, or removes the host: tctl rm node/ID");
        return NULL;
}

static void on_token(void *ctx, struct token_found *found, struct error *err)
{
        struct renewal *r = ctx;

        r->has_token = found == NULL || found->revision != 0; /* a static token changes only by a restart */
        r->token_revision = found == NULL ? 0 : found->revision;
        if (err == NULL && found != NULL)
                err = apply_token(r, found->token);
        if (err != NULL)
                renewal_finish(r, err);
        else
                go_on(r);
}

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct renewal *r = ctx;
        ProtobufCMessage *copy = NULL;

        if (err == NULL && host != NULL)
                err = wire_copy(r->arena, &host->base, &copy);
        if (copy != NULL) {
                r->host = (Cteleport__State__V1__Host *)copy;
                r->host_name = str_of(r->host->hostname);
                r->host_revision = revision;
        }
        if (err != NULL)
                renewal_finish(r, err);
        else if (r->host == NULL || r->is_local)
                go_on(r);
        else
                token_find_of_host(r->auth, r->host, on_token, r);
}

static void on_gone(void *ctx)
{
        struct renewal *r = ctx;

        r->call = NULL; /* pending operations still call back, and free the renewal */
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

void host_certs_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        const Cteleport__V1__HostCertsRequest *request = (const Cteleport__V1__HostCertsRequest *)first;
        struct renewal *r = NEW(struct renewal);

        r->auth = caller->auth;
        r->call = call;
        r->arena = arena_new(4 * LIMIT_RPC_JOIN);
        r->tls_public_key = BUF_MAX(2 * KiB);
        r->ssh_public_key = BUF_MAX(2 * KiB);
        r->host_id = arena_str(r->arena, str_of(caller->host_id));
        r->role = arena_str(r->arena, str_slice(str_of(request->role), 0, 64));
        r->is_local = str_equal(str_of(caller->peer), STR("local"));
        memcpy(r->peer, caller->peer, sizeof r->peer);
        /* The copy of the request stays valid after the caller is gone. */
        ProtobufCMessage *copy = NULL;
        struct error *err = wire_copy(r->arena, first, &copy);
        if (err == NULL && !str_equal(str_of(caller->role), STR("Instance")))
                err = error_new(ERROR_PERMISSION_DENIED, "certificates are issued to the Instance identity of a host, not to its %s", caller->role);
        if (err != NULL) {
                renewal_finish(r, err);
                return;
        }
        r->request = (const Cteleport__V1__HostCertsRequest *)copy;
        rpc_call_listen(call, &call_events, r);
        host_get(r->auth->store, r->host_id, on_host, r);
}
