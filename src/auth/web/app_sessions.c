/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/web/app_sessions.h"

#include <stdlib.h>

#include "auth/certs/issue.h"
#include "auth/certs/issue_user.h"
#include "auth/core/caller.h"
#include "auth/hosts/nodes.h"
#include "auth/hosts/servers.h"
#include "auth/sessions/sessions.h"
#include "auth/users/directory.h"
#include "auth/web/web_sessions.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "pki/cert.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "state/web_session.h"
#include "web.pb-c.h"

enum { OPENING_ARENA = 128 * KiB, SEALED_KEY_MAX = 1 * KiB };

/* A request for an application, until it is answered. */
struct opening {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the caller is gone */
        struct arena *arena;
        struct str user, app;
        struct str candidates[LIMIT_DIAL_CANDIDATES];
        size_t count, next;
        void (*found)(struct opening *o, const struct node_app *app);
        /* of CreateAppSession */
        Cteleport__State__V1__WebSession session;
        struct buf public_key;
        struct buf client_key;    /* of tsh: for the certificate on the user's disk; otherwise empty */
        struct str client_secret; /* the same: in no record and no log */
        struct str client_cert;
        struct duration ttl;
};

static void opening_free(struct opening *o)
{
        buf_release(&o->public_key);
        buf_release(&o->client_key);
        arena_free(o->arena);
        free(o);
}

/* Ends the call: with the answer if err is NULL. err is owned. */
static void finish(struct opening *o, const ProtobufCMessage *answer, struct error *err)
{
        if (o->call == NULL)
                error_free(err);
        else if (err != NULL)
                rpc_call_finish(o->call, err);
        else
                rpc_call_reply(o->call, answer);
        opening_free(o);
}

static void on_gone(void *ctx)
{
        ((struct opening *)ctx)->call = NULL;
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

/* ---- finding the application ------------------------------------------------------------------------------- */

static struct error *no_such_app(const struct opening *o)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "there is no application '%.*s' that you may use, or no host that offers it is online", STR_ARG(o->app)),
                          "your home page lists the applications that you can open; an administrator gives access with app_labels of a role");
}

static struct error *check_seen(struct opening *o, const struct node_app *app, bool *ret)
{
        AUTO_PTR(arena) step = arena_new(USER_ARENA);
        struct access_user user;

        TRY(directory_access_user(o->auth->directory, o->user, step, &user));
        *ret = access_sees(&user, ROLE_APP_LABELS, app->labels, app->label_count);
        return NULL;
}

static void find_next(struct opening *o);

static void on_host(void *ctx, const struct node *host, struct error *err)
{
        struct opening *o = ctx;
        const struct node_app *app = err != NULL || host == NULL ? NULL : node_find_app(host, o->app);
        bool is_seen = false;

        if (err == NULL && o->auth->is_stopping)
                err = error_new(ERROR_UNAVAILABLE, "the Auth Service is stopping");
        if (err == NULL && app != NULL)
                err = check_seen(o, app, &is_seen);
        if (err != NULL || o->call == NULL)
                finish(o, NULL, err);
        else if (is_seen)
                o->found(o, app);
        else
                find_next(o);
}

static void find_next(struct opening *o)
{
        if (o->next == o->count)
                finish(o, NULL, no_such_app(o));
        else
                node_find(o->auth, o->candidates[o->next++], on_host, o);
}

static void find_app(struct opening *o)
{
        struct str ids[LIMIT_DIAL_CANDIDATES];

        o->count = o->auth->sessions == NULL ? 0 : nodes_offering_app(sessions_nodes(o->auth->sessions), o->app, ids);
        for (size_t i = 0; i < o->count; i++)
                o->candidates[i] = arena_str(o->arena, ids[i]);
        find_next(o);
}

static struct opening *opening_new(struct rpc_call *call, const char *app, void (*found)(struct opening *o, const struct node_app *app))
{
        const struct caller *caller = rpc_call_caller(call);
        struct opening *o = NEW(struct opening);

        *o = (struct opening){ .auth = caller->auth, .call = call, .arena = arena_new(OPENING_ARENA), .found = found, .public_key = BUF_MAX(2 * KiB), .client_key = BUF_MAX(2 * KiB) };
        o->user = arena_str(o->arena, str_of(caller->user));
        o->app = arena_str(o->arena, str_slice(str_of(app), 0, LIMIT_NAME));
        rpc_call_listen(call, &call_events, o);
        return o;
}

static struct error *check_name(const struct opening *o)
{
        return name_is_app(o->app) ? NULL : error_new(ERROR_INVALID_ARGUMENT, "this is not the name of an application");
}

/* ---- FindApp ------------------------------------------------------------------------------------------------ */

static void describe(struct opening *o, const struct node_app *app)
{
        Cteleport__V1__FindAppResponse answer = CTELEPORT__V1__FIND_APP_RESPONSE__INIT;

        answer.name = pb_text(o->app.ptr);
        answer.uri = pb_text(arena_str(o->arena, app->uri).ptr);
        if (app->spec != NULL) {
                answer.required_apps = app->spec->required_apps;
                answer.n_required_apps = app->spec->n_required_apps;
        }
        finish(o, &answer.base, NULL);
}

void app_find_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct opening *o = opening_new(call, ((const Cteleport__V1__FindAppRequest *)first)->name, describe);
        struct error *err = check_name(o);

        if (err != NULL)
                finish(o, NULL, err);
        else
                find_app(o);
}

/* ---- CreateAppSession --------------------------------------------------------------------------------------- */

static bool is_of_tsh(const struct opening *o)
{
        return o->client_key.len > 0;
}

static void on_stored(void *ctx, uint64_t revision, struct error *err)
{
        struct opening *o = ctx;
        Cteleport__V1__CreateWebSessionResponse answer = CTELEPORT__V1__CREATE_WEB_SESSION_RESPONSE__INIT;

        (void)revision;
        if (err != NULL && err->code == ERROR_ABORTED)
                err = error_because(error_hint(error_for(error_new(ERROR_UNAUTHENTICATED, "this login in the browser has ended"), REASON_IDENTITY), "log in again"), err);
        if (err == NULL)
                log_info(is_of_tsh(o) ? "A user gets a certificate for an application" : "A user opens an application in a browser", LOG_STR("user", o->user),
                         LOG_STR("app", o->app), LOG_C("remote_addr", o->session.remote_addr));
        answer.tls_cert = o->session.tls_cert;
        answer.client_cert = pb_bytes(o->client_cert);
        answer.expires = o->session.expires;
        finish(o, &answer.base, err);
}

static void store_session(struct opening *o)
{
        struct store_txn *t = store_txn_new(o->auth->store);

        web_sessions_add_app(o->auth->web_sessions, t, &o->session);
        store_txn_commit(t, on_stored, o);
}

static void on_client_certs(void *ctx, const Cteleport__Internal__V1__UserCerts *certs, struct error *err)
{
        struct opening *o = ctx;

        if (err != NULL || o->call == NULL) {
                finish(o, NULL, err == NULL ? NULL : issue_failed(err));
                return;
        }
        o->client_cert = arena_str(o->arena, pb_str(certs->tls_cert));
        store_session(o);
}

static void request_certs(struct opening *o, struct str public_key, struct str secret,
                          void (*done)(void *ctx, const Cteleport__Internal__V1__UserCerts *certs, struct error *err));

static void on_certs(void *ctx, const Cteleport__Internal__V1__UserCerts *certs, struct error *err)
{
        struct opening *o = ctx;

        if (err != NULL || o->call == NULL) {
                finish(o, NULL, err == NULL ? NULL : issue_failed(err));
                return;
        }
        o->session.created = walltime_unix(loop_wall(&o->auth->loop));
        o->session.expires = certs->not_after;
        o->session.tls_cert = pb_bytes(arena_str(o->arena, pb_str(certs->tls_cert)));
        if (is_of_tsh(o))
                request_certs(o, buf_str(&o->client_key), o->client_secret, on_client_certs);
        else
                store_session(o);
}

/* The roles are those of now; the certificate ends with the one of the login, and names no accounts. */
static void request_certs(struct opening *o, struct str public_key, struct str secret,
                          void (*done)(void *ctx, const Cteleport__Internal__V1__UserCerts *certs, struct error *err))
{
        AUTO_PTR(arena) step = arena_new(USER_ARENA);
        struct access_user user;
        struct str roles[LIMIT_USER_ROLES];
        struct error *err = directory_access_user(o->auth->directory, o->user, step, &user);

        if (err != NULL) {
                finish(o, NULL, err);
                return;
        }
        for (size_t i = 0; i < user.role_count; i++)
                roles[i] = str_of(user.roles[i]->metadata->name);
        const struct issue_user_request request = {
                .user = o->user,
                .roles = roles,
                .role_count = user.role_count,
                .tls_public_key = public_key,
                .ttl = o->ttl,
                .web_session = str_of(o->session.id),
                .app = o->app,
                .app_secret = secret,
                .reason = "app",
        };
        issue_user(o->auth, &request, done, o);
}

static void certify(struct opening *o, const struct node_app *app)
{
        (void)app;
        request_certs(o, buf_str(&o->public_key), STR(""), on_certs);
}

/* tsh has no web session: its certificate for the application, on the user's disk, opens the session. */
static struct error *take_client(struct opening *o, const struct caller *caller, const Cteleport__V1__CreateAppSessionRequest *q)
{
        bool is_in_browser = caller->web_session[0] != '\0';

        if (is_in_browser && (q->client_public_key.len > 0 || q->client_secret[0] != '\0'))
                return error_new(ERROR_FAILED_PRECONDITION, "a login in a browser gets no certificates for programs");
        if (is_in_browser)
                return NULL;
        if (q->client_public_key.len == 0 || !app_secret_is_one(str_of(q->client_secret)))
                return error_new(ERROR_FAILED_PRECONDITION, "only a login in a browser opens applications there");
        TRY(public_key_check_der(pb_str(q->client_public_key), &o->client_key));
        TRY(servers_check_key(o->auth, buf_str(&o->client_key), (struct server_claim){ 0 }));
        if (str_equal(buf_str(&o->client_key), buf_str(&o->public_key)))
                return error_new(ERROR_INVALID_ARGUMENT, "the session and the certificate of the user need keys of their own");
        o->client_secret = arena_str(o->arena, str_of(q->client_secret));
        return NULL;
}

static struct error *take_request(struct opening *o, const struct caller *caller, const Cteleport__V1__CreateAppSessionRequest *q)
{
        int64_t left = walltime_unix(caller->cert_not_after) - walltime_unix(loop_wall(&o->auth->loop));

        TRY(check_name(o));
        if (!web_session_is_id(str_of(q->id)) || q->sealed_key.len == 0 || q->sealed_key.len > SEALED_KEY_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the session of an application needs an ID and a sealed key");
        TRY(client_addr_check(q->remote_addr));
        TRY(public_key_check_der(pb_str(q->public_key), &o->public_key));
        TRY(servers_check_key(o->auth, buf_str(&o->public_key), (struct server_claim){ 0 }));
        TRY(take_client(o, caller, q));
        TRY(host_pace_take(&o->auth->app_session_begins, o->user, loop_now(&o->auth->loop)));
        o->ttl = SECONDS(left > 0 ? left : 0);
        cteleport__state__v1__web_session__init(&o->session);
        o->session.id = pb_text(arena_str(o->arena, str_of(q->id)).ptr);
        o->session.user = pb_text(o->user.ptr);
        o->session.app = pb_text(o->app.ptr);
        o->session.parent = pb_text(arena_str(o->arena, str_of(caller->web_session)).ptr);
        o->session.remote_addr = pb_text(arena_str(o->arena, str_of(is_of_tsh(o) ? caller->peer : q->remote_addr)).ptr);
        o->session.sealed_key = pb_bytes(arena_str(o->arena, pb_str(q->sealed_key)));
        return arena_check(o->arena, "the session of an application");
}

void app_session_create_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__CreateAppSessionRequest *q = (const Cteleport__V1__CreateAppSessionRequest *)first;
        struct opening *o = opening_new(call, q->app, certify);
        struct error *err = take_request(o, rpc_call_caller(call), q);

        if (err != NULL)
                finish(o, NULL, err);
        else
                find_app(o);
}
