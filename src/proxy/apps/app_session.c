/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_session.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "cluster/app_status.h"
#include "loop/loop.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "pki/key.h"
#include "pki/seal.h"
#include "proxy/apps/app_failures.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"
#include "web.pb-c.h"

enum { PROOF_SIZE = 32, ANSWER_MAX = 64 * KiB };

struct app_session {
        struct app_sessions *all;
        struct app_session_user *users;
        struct arena *arena;
        struct cert_info cert; /* texts in the arena */
        struct buf cert_der;
        struct tls_context *tls;
        unsigned trusted; /* tls trusts the host CAs of this identity of the proxy */
        char id[WEB_SESSION_ID_LEN + 1];
        uint8_t proof[PROOF_SIZE]; /* derived from the secret */
        struct instant confirmed;  /* by auth */
        struct instant used;
        bool is_of_certificate;
};

struct app_sessions {
        struct proxy *proxy;
        struct map by_id; /* struct app_session, owned */
        struct timer *check;
        size_t pending; /* requests to auth */
        struct app_failures failures;
        bool is_shut;
};

static struct error *no_session(void)
{
        return error_hint(error_for(error_new(ERROR_UNAUTHENTICATED, "you are not logged in to this application, or the login has ended"), REASON_IDENTITY), "log in again");
}

/* The cause is for app_session_is_wrong_secret(). cause may be NULL. */
static struct error *wrong_secret(struct error *cause)
{
        struct error *err = error_new(ERROR_PERMISSION_DENIED, "the secret is not that of the session");

        return error_because(no_session(), cause == NULL ? err : error_because(err, cause));
}

bool app_session_is_wrong_secret(const struct error *err)
{
        return err->code == ERROR_UNAUTHENTICATED && err->cause != NULL && err->cause->code == ERROR_PERMISSION_DENIED;
}

/* ---- the end of a session ------------------------------------------------------------------------------------ */

void app_session_leave(struct app_session_user *u)
{
        if (u->session == NULL)
                return;
        *u->at = u->next;
        if (u->next != NULL)
                u->next->at = u->at;
        u->session = NULL;
}

/* Frees the session; its users are notified. */
static void end_here(struct app_session *s)
{
        map_remove(&s->all->by_id, str_of(s->id));
        while (s->users != NULL) {
                struct app_session_user *u = s->users;

                app_session_leave(u);
                u->on_ended(u->ctx);
        }
        tls_context_free(s->tls);
        buf_release(&s->cert_der);
        arena_free(s->arena);
        wipe(s->proof, sizeof s->proof);
        free(s);
}

struct collection {
        struct app_session *list[64];
        size_t count;
        bool (*wanted)(const struct app_session *s);
};

static void collect(void *ctx, struct str key, void *value)
{
        struct collection *c = ctx;

        (void)key;
        if (c->count < ARRAY_LEN(c->list) && c->wanted(value))
                c->list[c->count++] = value;
}

static void end_all(struct app_sessions *all, bool (*wanted)(const struct app_session *s))
{
        struct collection c;

        do {
                c = (struct collection){ .wanted = wanted };
                map_each(&all->by_id, collect, &c);
                for (size_t i = 0; i < c.count; i++)
                        end_here(c.list[i]);
        } while (c.count > 0);
}

/* ---- requests to auth ---------------------------------------------------------------------------------------- */

/* A request for a session, until it is answered. */
struct opening {
        struct app_sessions *all;
        char id[WEB_SESSION_ID_LEN + 1];
        struct secret secret; /* empty: a session in memory is confirmed */
        struct error *err;
        void (*done)(void *ctx, struct app_session *s, struct error *err); /* NULL: nobody waits */
        void *ctx;
};

static void release_pending(struct app_sessions *all)
{
        all->pending--;
        if (all->is_shut && all->pending == 0)
                proxy_is_empty(all->proxy);
}

static void opening_end(struct opening *o, struct app_session *s, struct error *err)
{
        struct app_sessions *all = o->all;

        if (o->done != NULL)
                o->done(o->ctx, s, err);
        else
                error_free(err);
        secret_release(&o->secret);
        free(o);
        release_pending(all);
}

static void call_auth(struct app_sessions *all, const char *path, const ProtobufCMessageDescriptor *response, const ProtobufCMessage *request,
                      void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        upstream_unary(all->proxy->upstream,
                       (struct rpc_client_call_options){ .path = path, .response = response, .response_max = ANSWER_MAX, .within = MILLISECONDS(TIMEOUT_RPC) },
                       request, done, ctx);
}

/* ---- making a session ---------------------------------------------------------------------------------------- */

/* Made for each request. The secret is random: a hash of it tells nothing about it, and is no input or output of what the key is sealed with. */
static void prove(struct str secret, uint8_t out[PROOF_SIZE])
{
        static const struct str purpose = STR_INIT("cteleport app session check ");
        char bytes[64 + 2 * PROOF_SIZE];

        if (secret.len > 2 * PROOF_SIZE)
                bug("the secret of a session is too long");
        memcpy(bytes, purpose.ptr, purpose.len);
        memcpy(bytes + purpose.len, secret.ptr, secret.len);
        sha256((struct str){ bytes, purpose.len + secret.len }, out);
        wipe(bytes, sizeof bytes);
}

static bool has_secret(const struct app_session *s, struct str secret)
{
        uint8_t proof[PROOF_SIZE];

        prove(secret, proof);
        return secret_equal(str_of_bytes(proof, sizeof proof), str_of_bytes(s->proof, sizeof s->proof));
}

/* The key must belong to the certificate, and the certificate to this session: auth may be wrong, too. */
static struct error *check_session(const struct app_session *s, struct str key_pem, const Cteleport__V1__GetWebSessionResponse *answer)
{
        struct key key = { 0 };

        TRY(key_from_pem(&key, key_pem));
        struct error *err = cert_check_key(buf_str(&s->cert_der), &key);
        key_release(&key);
        if (err == NULL && (!s->cert.is_user || !str_equal(s->cert.web_session, str_of(s->id)) || !str_equal(s->cert.common_name, str_of(answer->user)) ||
                            str_is_empty(s->cert.app) || !str_equal(s->cert.app, str_of(answer->app))))
                err = error_new(ERROR_UNAUTHENTICATED, "the certificate is not that of the session");
        return err;
}

static struct error *make_tls(struct app_session *s, struct str key_pem)
{
        static const char *const alpn[] = { APP_ALPN_HTTP, NULL };
        AUTO(buf) pem = BUF_MAX(2 * CERT_MAX);

        cert_der_to_pem(buf_str(&s->cert_der), &pem);
        TRY(tls_context_new((struct tls_options){ .peer = TLS_PEER_REQUIRED, .trust_pem = buf_str(&s->all->proxy->host_cas), .alpn = alpn, .is_internal = true }, &s->tls));
        TRY(tls_context_add(s->tls, NULL, (struct tls_identity){ .cert_chain_pem = buf_str(&pem), .key_pem = key_pem }));
        s->trusted = s->all->proxy->identities;
        return NULL;
}

/* The host CAs may have been rotated. */
static bool is_outdated(const struct app_session *s)
{
        return s->trusted != s->all->proxy->identities;
}

/* For connections from now on. */
static struct error *renew_tls(struct app_session *s, const struct opening *o, const Cteleport__V1__GetWebSessionResponse *answer)
{
        struct tls_context *former = s->tls;
        AUTO(secret) key = { 0 };

        TRY(unseal(secret_str(&o->secret), str_of(o->id), pb_str(answer->sealed_key), &key));
        s->tls = NULL;
        struct error *err = make_tls(s, secret_str(&key));
        tls_context_free(err == NULL ? former : s->tls);
        if (err != NULL)
                s->tls = former;
        return err;
}

static struct error *fill(struct app_session *s, const struct opening *o, const Cteleport__V1__GetWebSessionResponse *answer)
{
        AUTO(secret) key = { 0 };
        struct error *err = unseal(secret_str(&o->secret), str_of(o->id), pb_str(answer->sealed_key), &key);

        if (err != NULL)
                return wrong_secret(err);
        buf_put(&s->cert_der, pb_str(answer->tls_cert));
        TRY(buf_finish(&s->cert_der, "the certificate of a session"));
        TRY(cert_read(s->arena, buf_str(&s->cert_der), &s->cert));
        TRY(check_session(s, secret_str(&key), answer));
        TRY(make_tls(s, secret_str(&key)));
        prove(secret_str(&o->secret), s->proof);
        return NULL;
}

static bool has_no_users(const struct app_session *s)
{
        return s->users == NULL;
}

static struct error *make_session(struct opening *o, const Cteleport__V1__GetWebSessionResponse *answer, struct app_session **ret)
{
        struct app_sessions *all = o->all;
        struct app_session *s = NEW(struct app_session);

        *s = (struct app_session){ .all = all, .arena = arena_new(CERT_READ_ARENA), .cert_der = BUF_MAX(CERT_MAX), .is_of_certificate = answer->is_of_certificate };
        memcpy(s->id, o->id, sizeof s->id);
        if (all->by_id.count >= LIMIT_APP_SESSIONS_PROXY)
                end_all(all, has_no_users);
        struct error *err = all->by_id.count >= LIMIT_APP_SESSIONS_PROXY
                                    ? error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "too many applications are in use through this proxy"), "try again later")
                                    : fill(s, o, answer);
        if (err != NULL) {
                tls_context_free(s->tls);
                buf_release(&s->cert_der);
                arena_free(s->arena);
                free(s);
                return err;
        }
        s->confirmed = s->used = loop_now(&all->proxy->loop);
        if (all->by_id.count == 0)
                timer_start(all->check, MILLISECONDS(PACE_APP_SESSION_CHECK));
        map_put(&all->by_id, str_of(s->id), s);
        *ret = s;
        return NULL;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

static bool is_recent(const struct app_session *s, struct instant since)
{
        return instant_since(loop_now(&s->all->proxy->loop), since).ns < MILLISECONDS(PACE_APP_SESSION_CHECK).ns;
}

/* The session in memory: *ret NULL: there is none. UNAUTHENTICATED: another secret, or it has expired. */
static struct error *find(struct app_sessions *all, struct str id, struct str secret, struct app_session **ret)
{
        struct app_session *s = map_get(&all->by_id, id);

        *ret = NULL;
        if (s == NULL)
                return NULL;
        if (loop_wall(&all->proxy->loop).ns >= s->cert.times.not_after.ns) {
                end_here(s);
                return no_session();
        }
        if (!has_secret(s, secret))
                return wrong_secret(NULL);
        s->used = loop_now(&all->proxy->loop);
        *ret = s;
        return NULL;
}

/* Whether auth's answer says that the session is over. */
static bool is_over(const struct error *err)
{
        return err->code == ERROR_NOT_FOUND || err->code == ERROR_UNAUTHENTICATED || err->code == ERROR_INVALID_ARGUMENT;
}

static void on_read(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct opening *o = ctx;
        struct app_session *s = map_get(&o->all->by_id, str_of(o->id));

        if (o->all->is_shut && err == NULL)
                err = error_new(ERROR_CANCELLED, "the proxy is stopping");
        if (err != NULL && s != NULL && is_over(err)) {
                log_info("The session of an application has ended", LOG_STR("app", s->cert.app), LOG_STR("user", s->cert.common_name));
                end_here(s);
        } else if (err == NULL && s != NULL) {
                s->confirmed = loop_now(&o->all->proxy->loop);
        }
        if (err == NULL)
                err = o->done == NULL ? NULL : find(o->all, str_of(o->id), secret_str(&o->secret), &s);
        if (err == NULL && o->done != NULL && s != NULL && is_outdated(s))
                err = renew_tls(s, o, (const Cteleport__V1__GetWebSessionResponse *)msg);
        else if (err == NULL && o->done != NULL && s == NULL)
                err = make_session(o, (const Cteleport__V1__GetWebSessionResponse *)msg, &s);
        if (err != NULL && is_over(err) && !app_session_is_wrong_secret(err))
                err = error_because(no_session(), err);
        opening_end(o, err == NULL ? s : NULL, err);
}

static void request_session(struct opening *o)
{
        Cteleport__V1__GetWebSessionRequest request = CTELEPORT__V1__GET_WEB_SESSION_REQUEST__INIT;

        request.id = o->id;
        call_auth(o->all, "/cteleport.v1.Web/GetAppSession", &cteleport__v1__get_web_session_response__descriptor, &request.base, on_read, o);
}

static void on_opening(void *ctx)
{
        struct opening *o = ctx;
        struct app_session *s = NULL;
        struct error *err = o->err;

        if (err == NULL && o->all->is_shut)
                err = error_new(ERROR_CANCELLED, "the proxy is stopping");
        if (err == NULL)
                err = find(o->all, str_of(o->id), secret_str(&o->secret), &s);
        if (err == NULL && (s == NULL || is_outdated(s) || !is_recent(s, s->confirmed)))
                request_session(o);
        else
                opening_end(o, err == NULL ? s : NULL, err);
}

void app_session_open(struct app_sessions *all, struct str id, struct str secret, void (*done)(void *ctx, struct app_session *s, struct error *err), void *ctx)
{
        struct opening *o = NEW(struct opening);

        *o = (struct opening){ .all = all, .done = done, .ctx = ctx };
        all->pending++;
        if (web_session_is_id(id) && secret.len == 2 * PROOF_SIZE) {
                memcpy(o->id, id.ptr, id.len);
                o->secret = secret_of(secret);
        } else {
                o->err = no_session();
        }
        loop_defer(&all->proxy->loop, on_opening, o);
}

void app_session_join(struct app_session *s, struct app_session_user *u)
{
        if (u->session == s)
                return;
        app_session_leave(u);
        u->session = s;
        u->next = s->users;
        u->at = &s->users;
        if (u->next != NULL)
                u->next->at = &u->next;
        s->users = u;
}

void app_session_forget(struct app_session *s)
{
        end_here(s);
}

static void on_deleted(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        (void)msg;
        if (err != NULL && !is_over(err))
                log_warn("The session of an application was not ended at the Auth Service: it ends with its login", LOG_ERR(err));
        error_free(err);
        release_pending(ctx);
}

void app_session_delete(struct app_session *s, bool is_refused)
{
        Cteleport__V1__DeleteAppSessionRequest request = CTELEPORT__V1__DELETE_APP_SESSION_REQUEST__INIT;
        struct app_sessions *all = s->all;
        char id[WEB_SESSION_ID_LEN + 1];

        memcpy(id, s->id, sizeof id);
        end_here(s);
        all->pending++;
        request.id = id;
        request.is_refused = is_refused;
        call_auth(all, "/cteleport.v1.Web/DeleteAppSession", &cteleport__v1__empty__descriptor, &request.base, on_deleted, all);
}

/* ---- failed authentications ------------------------------------------------------------------------------------ */

struct failure_report {
        struct app_sessions *all;
        uint64_t left_out;
};

static void on_reported(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct failure_report *report = ctx;
        struct app_sessions *all = report->all;

        (void)msg;
        if (err != NULL) {
                log_warn("A failed authentication at an application is not in the audit log yet", LOG_ERR(err));
                app_failures_return(&all->failures, report->left_out);
        }
        error_free(err);
        free(report);
        release_pending(all);
}

void app_session_report_failure(struct app_sessions *all, struct str id, const char *app, const char *peer, const char *reason)
{
        Cteleport__V1__ReportAuthFailureRequest request = CTELEPORT__V1__REPORT_AUTH_FAILURE_REQUEST__INIT;
        uint64_t left_out = 0;

        if (all->is_shut || !app_failures_may_report(&all->failures, str_of(peer), loop_now(&all->proxy->loop), &left_out))
                return;
        AUTO_MEM char *session = str_dup(web_session_is_id(id) ? id : STR(""));
        struct failure_report *report = NEW(struct failure_report);
        *report = (struct failure_report){ all, left_out };
        request.session = session;
        request.app = pb_text(app);
        request.remote_addr = pb_text(peer);
        request.reason = pb_text(reason);
        request.left_out = left_out;
        all->pending++;
        upstream_unary(all->proxy->upstream,
                       (struct rpc_client_call_options){ .path = "/cteleport.v1.Web/ReportAuthFailure", .response = &cteleport__v1__empty__descriptor,
                                                         .response_max = ANSWER_MAX, .within = MILLISECONDS(TIMEOUT_RPC) },
                       &request.base, on_reported, report);
}

/* ---- confirming open sessions ---------------------------------------------------------------------------------- */

static bool is_unused(const struct app_session *s)
{
        return s->users == NULL && !is_recent(s, s->used);
}

/* From the loop: an answer may end sessions, which the walk over all of them must not see. */
static void on_confirm(void *ctx)
{
        request_session(ctx);
}

static void confirm(void *ctx, struct str key, void *value)
{
        struct app_sessions *all = ctx;
        const struct app_session *s = value;

        (void)key;
        if (is_recent(s, s->confirmed))
                return;
        struct opening *o = NEW(struct opening);
        *o = (struct opening){ .all = all };
        memcpy(o->id, s->id, sizeof o->id);
        all->pending++;
        loop_defer(&all->proxy->loop, on_confirm, o);
}

static void on_check(void *ctx)
{
        struct app_sessions *all = ctx;

        end_all(all, is_unused);
        map_each(&all->by_id, confirm, all);
        if (all->by_id.count > 0)
                timer_start(all->check, MILLISECONDS(PACE_APP_SESSION_CHECK));
}

/* ---- all sessions ------------------------------------------------------------------------------------------------ */

struct app_sessions *app_sessions_new(struct proxy *p)
{
        struct app_sessions *all = NEW(struct app_sessions);

        all->proxy = p;
        app_failures_init(&all->failures);
        all->check = timer_new(&p->loop, on_check, all);
        return all;
}

static bool is_any(const struct app_session *s)
{
        (void)s;
        return true;
}

void app_sessions_shut(struct app_sessions *all)
{
        if (all == NULL || all->is_shut)
                return;
        all->is_shut = true;
        timer_free(all->check);
        all->check = NULL;
        end_all(all, is_any);
}

bool app_sessions_is_empty(const struct app_sessions *all)
{
        return all == NULL || all->pending == 0;
}

void app_sessions_free(struct app_sessions *all)
{
        if (all == NULL)
                return;
        map_release(&all->by_id);
        free(all);
}

struct str app_session_app(const struct app_session *s)
{
        return s->cert.app;
}

bool app_session_is_of_certificate(const struct app_session *s)
{
        return s->is_of_certificate;
}

struct str app_session_user_name(const struct app_session *s)
{
        return s->cert.common_name;
}

struct str app_session_certificate(const struct app_session *s)
{
        return buf_str(&s->cert_der);
}

struct tls_context *app_session_tls(const struct app_session *s)
{
        return s->tls;
}
