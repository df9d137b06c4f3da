/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/users/login_service.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/caller.h"
#include "auth/users/directory.h"
#include "auth/certs/issue.h"
#include "auth/certs/issue_user.h"
#include "auth/core/refusal_log.h"
#include "auth/hosts/servers.h"
#include "auth/web/web_sessions.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "login/password.h"
#include "login/totp.h"
#include "net/socket.h"
#include "pki/cert.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "state/credential.h"
#include "state/user.h"
#include "web.pb-c.h"

enum { LOGIN_ARENA = 256 * KiB, OTP_MAX = 16, SEALED_KEY_MAX = 1 * KiB };

/* The state of one login. */
struct login {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the caller is gone */
        struct arena *arena;
        struct str user; /* as entered, for the audit log */
        char peer[ADDRESS_TEXT_MAX], source[SOURCE_TEXT_MAX];
        struct secret password, otp;
        struct buf tls_public_key, ssh_public_key;
        struct duration requested_ttl;
        Cteleport__State__V1__WebSession *web; /* of a login in a browser, in arena; NULL: by tsh */

        struct credential credential;
        struct guard_attempt attempt;
        bool is_entered; /* guard_enter() has counted the attempt */
        int64_t step;    /* time step of the code */

        const struct str *roles, *logins; /* in arena */
        size_t role_count, login_count;
        const Cteleport__Internal__V1__UserCerts *certs; /* in arena */
};

static void login_free(struct login *l)
{
        secret_release(&l->password);
        secret_release(&l->otp);
        credential_release(&l->credential);
        buf_release(&l->tls_public_key);
        buf_release(&l->ssh_public_key);
        arena_free(l->arena);
        free(l);
}

static void finish(struct login *l, struct error *err)
{
        if (l->call != NULL)
                rpc_call_finish(l->call, err);
        else
                error_free(err);
        login_free(l);
}

/* ---- refusals --------------------------------------------------------------------------------------------- */

static void put_common(const struct login *l, struct audit_record *record)
{
        audit_str(record, "user", l->user);
        audit_str(record, "method", STR("local"));
        audit_str(record, "addr.remote", str_of(l->peer));
        if (l->web != NULL)
                audit_str(record, "user_agent", str_of(l->web->user_agent));
}

static void report_refusal(struct login *l, const struct error *err)
{
        struct audit_record record = { 0 };

        metric_count(METRIC_FAILED_LOGINS, "", "");
        if (!audit_may_report(l->auth, l->auth->login_refusals, str_of(l->source)))
                return;
        auth_audit_begin(l->auth, &record, &audit_user_login_failed);
        put_common(l, &record);
        audit_error(&record, err);
        audit_write(l->auth->audit, &record, NULL, NULL);
        log_warn("Login refused", LOG_STR("user", l->user), LOG_C("remote_addr", l->peer), LOG_ERR(err));
}

/* Ends a login that failed by its user or by guessing, and audits it. err is owned. */
static void refuse(struct login *l, struct error *err)
{
        report_refusal(l, err);
        finish(l, err);
}

/* Ends a login that was not decided because of a fault of the cluster; it does not count as a guess. err is owned. */
static void fail(struct login *l, struct error *err)
{
        if (l->is_entered)
                guard_undecided(&l->auth->guard, &l->attempt, loop_now(&l->auth->loop));
        log_warn("A login could not be decided", LOG_STR("user", l->user), LOG_C("remote_addr", l->peer), LOG_ERR(err));
        finish(l, err);
}

/* The same answer for a wrong user, password or code; `why` is for the audit log only. */
static struct error *wrong(const char *why)
{
        return error_because(error_hint(error_new(ERROR_UNAUTHENTICATED, "the user name, the password or the one-time code is wrong"),
                                        "each code is good once: wait for the next one; an administrator can reset both: "
                                        "tctl users reset NAME"),
                             error_new(ERROR_UNAUTHENTICATED, "%s", why));
}

/* ---- certificates ----------------------------------------------------------------------------------------- */

static char **texts_of(struct arena *arena, const struct str *list, size_t count)
{
        char **texts = arena_alloc(arena, (count + 1) * sizeof *texts);

        for (size_t i = 0; i < count; i++)
                texts[i] = pb_text(list[i].ptr); /* arena texts end in NUL */
        return texts;
}

static void reply_web(struct login *l)
{
        Cteleport__V1__CreateWebSessionResponse response = CTELEPORT__V1__CREATE_WEB_SESSION_RESPONSE__INIT;

        response.tls_cert = l->certs->tls_cert;
        response.expires = l->certs->not_after;
        if (l->call != NULL)
                rpc_call_reply(l->call, &response.base);
        l->call = NULL;
}

static void reply(struct login *l)
{
        Cteleport__V1__LoginResponse response = CTELEPORT__V1__LOGIN_RESPONSE__INIT;
        const Cteleport__Internal__V1__Authority *host = l->auth->authorities.host;

        response.user = pb_text(l->user.ptr);
        response.cluster = pb_text(l->auth->cluster.ptr);
        response.roles = texts_of(l->arena, l->roles, l->role_count);
        response.n_roles = l->role_count;
        response.logins = texts_of(l->arena, l->logins, l->login_count);
        response.n_logins = l->login_count;
        response.tls_cert = l->certs->tls_cert;
        response.ssh_cert = l->certs->ssh_cert;
        response.tls_ca_certs = host->tls_certs;
        response.n_tls_ca_certs = host->n_tls_certs;
        response.ssh_ca_keys = host->ssh_keys;
        response.n_ssh_ca_keys = host->n_ssh_keys;
        response.not_after = l->certs->not_after;
        if (l->call != NULL)
                rpc_call_reply(l->call, &response.base);
        l->call = NULL;
}

static void on_recorded(void *ctx, uint64_t revision, struct error *err)
{
        struct login *l = ctx;

        (void)revision;
        if (err != NULL && err->code == ERROR_ABORTED) { /* another login used the same code, or the password was reset */
                error_free(err);
                refuse(l, wrong("the code was used, or the password changed, meanwhile"));
                return;
        }
        if (err != NULL) {
                fail(l, err);
                return;
        }
        guard_passed(&l->auth->guard, &l->attempt, loop_now(&l->auth->loop));
        metric_count(METRIC_LOGINS, "", "");
        log_info(l->web != NULL ? "User has logged in with a browser" : "User has logged in", LOG_STR("user", l->user), LOG_C("remote_addr", l->peer),
                 LOG_C("serial", l->certs->tls_serial));
        if (l->web != NULL)
                reply_web(l);
        else
                reply(l);
        login_free(l);
}

static void audit_login(struct login *l, struct store_txn *t)
{
        struct audit_record login = { 0 }, cert = { 0 };
        AUTO(buf) expires = BUF_MAX(64);

        auth_audit_begin(l->auth, &login, &audit_user_login);
        put_common(l, &login);
        audit_account_add(l->auth, ACCOUNT_LOGIN, l->user, t, &login);

        walltime_put_rfc3339(&expires, walltime_of_unix(l->certs->not_after));
        auth_audit_begin(l->auth, &cert, &audit_cert_create);
        audit_str(&cert, "cert_type", STR("user"));
        audit_str(&cert, "user", l->user); /* beside "identity" too: listings read this field */
        audit_open(&cert, "identity");
        audit_str(&cert, "user", l->user);
        audit_strs(&cert, "roles", l->roles, l->role_count);
        audit_strs(&cert, "logins", l->logins, l->login_count);
        audit_str(&cert, "expires", buf_str(&expires));
        audit_close(&cert);
        audit_str(&cert, "serial", str_of(l->certs->tls_serial));
        if (l->web == NULL)
                audit_str(&cert, "ssh_serial", str_of(l->certs->ssh_serial));
        audit_str(&cert, "addr.remote", str_of(l->peer));
        audit_account_add(l->auth, ACCOUNT_LOGIN, l->user, t, &cert);
}

/* Commits the used code and the audit events in one transaction. */
static void record(struct login *l)
{
        struct store_txn *t = store_txn_new(l->auth->store);

        state_require(t, &credential_kind, l->user, l->credential.revision);
        state_require(t, &user_kind, l->user, STORE_ANY);
        l->credential.last_step = l->step;
        credential_add_source(&l->credential, l->source);
        credential_put(t, l->user, &l->credential);
        if (l->web != NULL) {
                l->web->created = walltime_unix(loop_wall(&l->auth->loop));
                l->web->expires = l->certs->not_after;
                l->web->tls_cert = l->certs->tls_cert;
                web_sessions_add(l->auth->web_sessions, t, l->web);
        }
        audit_login(l, t);
        store_txn_commit(t, on_recorded, l);
}

static void on_certs(void *ctx, const Cteleport__Internal__V1__UserCerts *certs, struct error *err)
{
        struct login *l = ctx;
        ProtobufCMessage *copy = NULL;

        if (err == NULL)
                err = wire_copy(l->arena, &certs->base, &copy);
        if (err != NULL) {
                fail(l, issue_failed(err));
                return;
        }
        if (l->call == NULL) { /* no record without a caller: the service may be stopping */
                fail(l, error_new(ERROR_CANCELLED, "the user closed the connection"));
                return;
        }
        l->certs = (const Cteleport__Internal__V1__UserCerts *)copy;
        record(l);
}

/* ---- roles, locks and lifetime ------------------------------------------------------------------------------- */

static struct error *take_names(struct login *l, const struct access_user *user)
{
        struct str *roles = arena_alloc(l->arena, user->role_count * sizeof *roles), *logins = NULL;
        size_t count = 0;

        TRY(access_logins(user, l->arena, &logins, &count));
        for (size_t i = 0; i < user->role_count; i++)
                roles[i] = arena_str(l->arena, str_of(user->roles[i]->metadata->name));
        for (size_t i = 0; i < count; i++)
                logins[i] = arena_str(l->arena, logins[i]);
        l->roles = roles;
        l->role_count = user->role_count;
        l->logins = logins;
        l->login_count = count;
        return arena_check(l->arena, "the login");
}

static struct error *check_locks(const struct login *l)
{
        const struct lock_subject subject = { .user = l->user, .roles = l->roles, .role_count = l->role_count };

        return directory_check_locks(l->auth->directory, &subject);
}

static struct duration shorter(struct duration a, struct duration b)
{
        return a.ns < b.ns ? a : b;
}

static struct duration ttl_of(const struct login *l, const struct access_user *user)
{
        struct duration requested = l->requested_ttl.ns > 0 ? l->requested_ttl : SECONDS(LIMIT_USER_CERT_SECONDS_DEFAULT);
        struct duration most = access_max_ttl(user, SECONDS(LIMIT_USER_CERT_SECONDS));

        if (l->web != NULL)
                return shorter(most, SECONDS(LIMIT_WEB_SESSION_SECONDS));
        return shorter(requested, shorter(most, SECONDS(LIMIT_USER_CERT_SECONDS)));
}

/* Called after the password and the code were right: errors from here on may give their reason. */
static void certify(struct login *l)
{
        struct access_user user;
        struct error *err = directory_access_user(l->auth->directory, l->user, l->arena, &user);

        if (err == NULL)
                err = take_names(l, &user);
        if (err == NULL)
                err = check_locks(l);
        if (err == NULL && l->role_count == 0)
                err = error_hint(error_new(ERROR_PERMISSION_DENIED, "the user has no roles"),
                                 "an administrator can assign one: tctl users update %.*s --set-roles=access", STR_ARG(l->user));
        if (err == NULL)
                err = audit_account_check(l->auth, ACCOUNT_LOGIN, l->user);
        if (err != NULL) {
                guard_undecided(&l->auth->guard, &l->attempt, loop_now(&l->auth->loop));
                refuse(l, err);
                return;
        }
        const struct access_session most = access_most(&user);
        const struct issue_user_request request = {
                .user = l->user,
                .roles = l->roles,
                .role_count = l->role_count,
                .logins = l->logins,
                .login_count = l->login_count,
                .tls_public_key = buf_str(&l->tls_public_key),
                .ssh_public_key = buf_str(&l->ssh_public_key),
                .ttl = ttl_of(l, &user),
                .permit_port_forwarding = most.port_forwarding,
                .permit_agent_forwarding = most.agent_forwarding,
                .web_session = l->web != NULL ? str_of(l->web->id) : STR(""),
                .reason = l->web != NULL ? "web" : "login",
        };
        issue_user(l->auth, &request, on_certs, l);
}

/* ---- password and code -------------------------------------------------------------------------------------------- */

static void on_verified(void *ctx, bool is_right, struct error *err)
{
        struct login *l = ctx;
        static const char nobody[TOTP_KEY_SIZE];
        struct str key = l->credential.totp_key.len > 0 ? secret_str(&l->credential.totp_key) : str_of_bytes(nobody, sizeof nobody);

        if (err != NULL) {
                fail(l, err);
                return;
        }
        /* The code is checked even if the password is wrong, so that the time of the answer reveals nothing. */
        bool has_code = totp_check(key, secret_str(&l->otp), loop_wall(&l->auth->loop), l->credential.last_step, &l->step);
        bool has_user = directory_user(l->auth->directory, l->user, NULL) != NULL;

        if (!has_user)
                refuse(l, wrong("there is no such user"));
        else if (l->credential.revision == 0)
                refuse(l, wrong("the user has not set a password"));
        else if (!is_right)
                refuse(l, wrong("the password is wrong"));
        else if (!has_code)
                refuse(l, wrong("the one-time code is wrong, or was used"));
        else
                certify(l);
}

static void on_credential(void *ctx, const struct state_record *record, struct error *err)
{
        struct login *l = ctx;

        if (err == NULL)
                err = credential_read(record, &l->credential);
        if (err != NULL) {
                fail(l, err);
                return;
        }
        l->attempt = (struct guard_attempt){
                .user = name_is_user(l->user) ? l->user : STR("?"),
                .source = str_of(l->source),
                .is_known = credential_knows(&l->credential, l->source),
        };
        err = guard_enter(&l->auth->guard, &l->attempt, loop_now(&l->auth->loop));
        if (err != NULL) {
                refuse(l, err);
                return;
        }
        l->is_entered = true;
        password_verify(l->auth->passwords, str_of(l->source), secret_str(&l->password), l->credential.hash, on_verified, l);
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

static void on_gone(void *ctx)
{
        struct login *l = ctx;

        l->call = NULL; /* pending operations still call back, and free the login */
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

static struct secret take_secret(char *text, size_t most)
{
        struct str s = str_of(text);
        /* A longer secret cannot be right and is not processed: it is replaced by an empty one. */
        struct secret secret = secret_of(s.len > most ? STR("") : s);

        wipe(text, s.len);
        return secret;
}

/* What a login by tsh and one in a browser have in common. */
static struct error *take_user(struct login *l, const char *user, char *password, char *otp, const char *remote_addr)
{
        l->user = arena_str(l->arena, str_slice(str_of(user), 0, LIMIT_AUDIT_FIELD));
        l->password = take_secret(password, LIMIT_PASSWORD);
        l->otp = take_secret(otp, OTP_MAX);
        TRY(client_addr_check(remote_addr));
        snprintf(l->peer, sizeof l->peer, "%s", remote_addr);
        source_of(str_of(remote_addr), l->source);
        return NULL;
}

/* Printable ASCII of what the browser calls itself, cut. */
static char *shown_agent(struct arena *a, struct str agent)
{
        char *text = arena_alloc(a, LIMIT_WEB_USER_AGENT + 1);
        size_t len = 0;

        for (; len < agent.len && len < LIMIT_WEB_USER_AGENT; len++)
                text[len] = agent.ptr[len] >= ' ' && agent.ptr[len] <= '~' ? agent.ptr[len] : '?';
        text[len] = '\0';
        return text;
}

static struct error *take_web_request(struct login *l, const Cteleport__V1__CreateWebSessionRequest *q)
{
        Cteleport__State__V1__WebSession *web = arena_alloc(l->arena, sizeof *web);

        cteleport__state__v1__web_session__init(web);
        l->web = web;
        web->user_agent = shown_agent(l->arena, str_of(q->user_agent));
        TRY(take_user(l, q->user, q->password, q->otp, q->remote_addr));
        if (!web_session_is_id(str_of(q->id)) || q->sealed_key.len == 0 || q->sealed_key.len > SEALED_KEY_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a web session needs an ID and a sealed key");
        web->id = pb_text(arena_str(l->arena, str_of(q->id)).ptr);
        web->user = pb_text(l->user.ptr);
        web->remote_addr = pb_text(arena_str(l->arena, str_of(q->remote_addr)).ptr);
        web->sealed_key = pb_bytes(arena_str(l->arena, pb_str(q->sealed_key)));
        TRY(public_key_check_der(pb_str(q->public_key), &l->tls_public_key));
        return servers_check_key(l->auth, buf_str(&l->tls_public_key), (struct server_claim){ 0 });
}

static struct error *take_request(struct login *l, const Cteleport__V1__LoginRequest *q)
{
        struct str tls = pb_str(q->public_tls_key);
        struct str ssh = pb_str(q->public_ssh_key);

        TRY(take_user(l, q->user, q->password, q->otp, q->remote_addr));
        if (q->ttl_seconds < 0)
                return error_new(ERROR_INVALID_ARGUMENT, "a login for less than no time");
        if (q->ttl_seconds > 0)
                l->requested_ttl = SECONDS(q->ttl_seconds < LIMIT_USER_CERT_SECONDS ? q->ttl_seconds : LIMIT_USER_CERT_SECONDS);
        TRY(public_key_check_der(tls, &l->tls_public_key));
        TRY(public_key_check_ssh(ssh, &l->ssh_public_key));
        TRY(servers_check_key(l->auth, buf_str(&l->tls_public_key), (struct server_claim){ 0 }));
        return servers_check_ssh_key(l->auth, buf_str(&l->ssh_public_key));
}

static struct login *login_new(struct rpc_call *call)
{
        struct login *l = NEW(struct login);

        l->auth = ((const struct caller *)rpc_call_caller(call))->auth;
        l->call = call;
        l->arena = arena_new(LOGIN_ARENA);
        l->tls_public_key = BUF_MAX(2 * KiB);
        l->ssh_public_key = BUF_MAX(2 * KiB);
        return l;
}

/* Begins with the request that was read, unless that failed. err is owned. */
static void begin(struct login *l, struct error *err)
{
        if (err != NULL) {
                finish(l, err);
                return;
        }
        rpc_call_listen(l->call, &call_events, l);
        /* An invalid name causes a lookup too: the answer takes the same time as for an unknown user. */
        state_get(l->auth->store, &credential_kind, name_is_user(l->user) ? l->user : STR("?"), on_credential, l);
}

void login_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct login *l = login_new(call);

        begin(l, take_request(l, (const Cteleport__V1__LoginRequest *)first));
}

void login_web_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct login *l = login_new(call);

        begin(l, take_web_request(l, (const Cteleport__V1__CreateWebSessionRequest *)first));
}
