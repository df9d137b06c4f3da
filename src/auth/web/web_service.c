/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/web/web_service.h"

#include <stdlib.h>

#include "auth/core/audit_account.h"
#include "auth/core/auth.h"
#include "auth/core/caller.h"
#include "auth/web/web_sessions.h"
#include "base/log.h"
#include "base/mem.h"
#include "pki/cert.h"
#include "rpc/pb.h"
#include "state/web_session.h"
#include "web.pb-c.h"

enum { RECORD_ARENA = 4 * LIMIT_STORE_VALUE };

/* A call that waits for the store. */
struct pending {
        struct rpc_call *call; /* NULL: the caller is gone */
        char *user;
        /* of DeleteWebSession: */
        size_t waiting; /* transactions */
        uint32_t deleted;
        bool is_others;
        struct error *err; /* the first of the transactions */
};

static void on_gone(void *ctx)
{
        ((struct pending *)ctx)->call = NULL;
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

static struct pending *pending_new(struct rpc_call *call)
{
        struct pending *p = NEW(struct pending);

        p->call = call;
        p->user = str_dup(str_of(((const struct caller *)rpc_call_caller(call))->user));
        rpc_call_listen(call, &call_events, p);
        return p;
}

/* Ends the call: with the answer if err is NULL. err is owned. */
static void pending_end(struct pending *p, const ProtobufCMessage *answer, struct error *err)
{
        if (p->call == NULL)
                error_free(err);
        else if (err != NULL)
                rpc_call_finish(p->call, err);
        else
                rpc_call_reply(p->call, answer);
        free(p->user);
        free(p);
}

static struct error *no_session(void)
{
        return error_hint(error_for(error_new(ERROR_NOT_FOUND, "there is no such login in a browser"), REASON_IDENTITY), "it may have ended: log in again");
}

/* ---- Get --------------------------------------------------------------------------------------------------- */

static void on_record(void *ctx, const struct state_record *record, struct error *err)
{
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        Cteleport__State__V1__WebSession *s = NULL;
        Cteleport__V1__GetWebSessionResponse answer = CTELEPORT__V1__GET_WEB_SESSION_RESPONSE__INIT;

        if (err == NULL && record == NULL)
                err = no_session();
        if (err == NULL)
                err = web_session_read(arena, record, &s);
        if (err == NULL) {
                answer.user = s->user;
                answer.sealed_key = s->sealed_key;
                answer.tls_cert = s->tls_cert;
                answer.expires = s->expires;
                answer.app = s->app;
                answer.is_of_certificate = s->app[0] != '\0' && s->parent[0] == '\0';
        }
        pending_end(ctx, &answer.base, err);
}

static void get(struct rpc_call *call, const ProtobufCMessage *first, bool is_app)
{
        const struct caller *caller = rpc_call_caller(call);
        struct str id = str_of(((const Cteleport__V1__GetWebSessionRequest *)first)->id);
        struct web_session_info info;

        if (!web_session_is_id(id) || !web_sessions_find(caller->auth->web_sessions, id, &info) || str_is_empty(info.app) == is_app) {
                rpc_call_finish(call, no_session());
                return;
        }
        state_get(caller->auth->store, &web_session_kind, id, on_record, pending_new(call));
}

void web_session_get_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        get(call, first, false);
}

void app_session_get_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        get(call, first, true);
}

/* ---- List -------------------------------------------------------------------------------------------------- */

void web_session_list_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        struct arena *arena = rpc_call_arena(call);
        struct web_session_info list[2 * LIMIT_WEB_SESSIONS_USER];
        size_t count = web_sessions_of(caller->auth->web_sessions, str_of(caller->user), list, ARRAY_LEN(list));
        Cteleport__V1__ListWebSessionsResponse answer = CTELEPORT__V1__LIST_WEB_SESSIONS_RESPONSE__INIT;

        (void)first;
        answer.sessions = arena_alloc(arena, (count + 1) * sizeof *answer.sessions);
        for (size_t i = 0; i < count; i++) {
                Cteleport__V1__WebSessionInfo *s = arena_alloc(arena, sizeof *s);

                cteleport__v1__web_session_info__init(s);
                s->id = pb_text(list[i].id.ptr); /* texts of the list end in NUL */
                s->created = list[i].created;
                s->last_used = list[i].last_used;
                s->expires = list[i].expires;
                s->remote_addr = pb_text(list[i].remote_addr.ptr);
                s->user_agent = pb_text(list[i].user_agent.ptr);
                s->is_current = str_equal(list[i].id, str_of(caller->web_session));
                answer.sessions[answer.n_sessions++] = s;
        }
        rpc_call_reply(call, &answer.base);
}

/* ---- Delete ------------------------------------------------------------------------------------------------ */

/* Many requests for one session may arrive before the first of them is stored: the others must end nothing, and add no events to the audit log. */
static void require_session(struct store_txn *t, struct str id)
{
        state_require(t, &web_session_kind, id, STORE_ANY);
}

/* err is owned. */
static struct error *ended_before(struct error *err)
{
        if (err == NULL || err->code != ERROR_ABORTED)
                return err;
        error_free(err);
        return no_session();
}

/* Another request may have ended the session meanwhile. */
static void on_deleted(void *ctx, uint64_t revision, struct error *err)
{
        struct pending *p = ctx;
        Cteleport__V1__DeleteWebSessionResponse answer = CTELEPORT__V1__DELETE_WEB_SESSION_RESPONSE__INIT;

        (void)revision;
        p->deleted += err == NULL;
        if (err != NULL && err->code != ERROR_ABORTED && p->err == NULL)
                p->err = err;
        else
                error_free(err);
        if (--p->waiting > 0)
                return;
        answer.deleted = p->deleted;
        if (p->deleted > 0)
                log_info("A user has ended web sessions", LOG_C("user", p->user), LOG_INT("count", p->deleted));
        pending_end(p, &answer.base, p->err == NULL && p->deleted == 0 && !p->is_others ? no_session() : p->err);
}

/* A transaction for each session: the others end although one of them has ended meanwhile. */
static void end_sessions(struct pending *p, struct web_sessions *all, const struct web_session_info *list, size_t count, struct web_session_end why)
{
        struct auth *auth = ((const struct caller *)rpc_call_caller(p->call))->auth;

        p->waiting = count;
        for (size_t i = 0; i < count; i++) {
                struct store_txn *t = store_txn_new(auth->store);

                require_session(t, list[i].id);
                web_sessions_end(all, t, list[i].id, why);
                store_txn_commit(t, on_deleted, p);
        }
}

static void delete_others(struct rpc_call *call, struct web_sessions *all)
{
        const struct caller *caller = rpc_call_caller(call);
        struct web_session_info list[2 * LIMIT_WEB_SESSIONS_USER];
        size_t found = web_sessions_of(all, str_of(caller->user), list, ARRAY_LEN(list)), count = 0;
        Cteleport__V1__DeleteWebSessionResponse answer = CTELEPORT__V1__DELETE_WEB_SESSION_RESPONSE__INIT;

        for (size_t i = 0; i < found; i++)
                if (!str_equal(list[i].id, str_of(caller->web_session)))
                        list[count++] = list[i];
        if (count == 0) {
                rpc_call_reply(call, &answer.base);
                return;
        }
        struct pending *p = pending_new(call);
        p->is_others = true;
        end_sessions(p, all, list, count, (struct web_session_end){ "ended by the user", str_of(p->user) });
}

void web_session_delete_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        const Cteleport__V1__DeleteWebSessionRequest *q = (const Cteleport__V1__DeleteWebSessionRequest *)first;
        struct web_sessions *all = caller->auth->web_sessions;
        struct web_session_info info;
        bool is_own = web_sessions_find(all, str_of(q->id), &info) && str_is_empty(info.app) && str_equal(info.user, str_of(caller->user));

        if (q->is_others) {
                delete_others(call, all);
        } else if (is_own) {
                const char *reason = str_equal(info.id, str_of(caller->web_session)) ? "logout" : "ended by the user";

                end_sessions(pending_new(call), all, &info, 1, (struct web_session_end){ reason, str_of(caller->user) });
        } else {
                rpc_call_finish(call, no_session());
        }
}

/* ---- the end of an application's session --------------------------------------------------------------------- */

static void on_app_deleted(void *ctx, uint64_t revision, struct error *err)
{
        Cteleport__V1__Empty answer = CTELEPORT__V1__EMPTY__INIT;

        (void)revision;
        pending_end(ctx, &answer.base, ended_before(err));
}

/* A proxy acts for its users; a user ends the own sessions. */
static bool may_end(const struct caller *caller, const struct web_session_info *info)
{
        return (caller->groups & CALLER_PROXY) != 0 || str_equal(info->user, str_of(caller->user));
}

void app_session_delete_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        const Cteleport__V1__DeleteAppSessionRequest *q = (const Cteleport__V1__DeleteAppSessionRequest *)first;
        struct str id = str_of(q->id), proxy = (caller->groups & CALLER_PROXY) != 0 ? str_of(caller->host_id) : STR("");
        bool is_refused = q->is_refused && !str_is_empty(proxy);
        struct web_session_info info;

        if (!web_sessions_find(caller->auth->web_sessions, id, &info) || str_is_empty(info.app) || !may_end(caller, &info)) {
                rpc_call_finish(call, no_session());
                return;
        }
        struct store_txn *t = store_txn_new(caller->auth->store);
        require_session(t, id);
        web_sessions_end_app(caller->auth->web_sessions, t, id, (struct web_session_end){ is_refused ? "refused" : "logout", is_refused ? proxy : info.user }, proxy);
        log_info(is_refused ? "The session of an application was ended by a proxy" : "The session of an application was ended by its user", LOG_STR("user", info.user),
                 LOG_STR("app", info.app));
        store_txn_commit(t, on_app_deleted, pending_new(call));
}

/* ---- failed authentications ---------------------------------------------------------------------------------- */

/* A captured proxy can invent failures: their number is limited, and they name the proxy. */
void auth_failure_report_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        const Cteleport__V1__ReportAuthFailureRequest *q = (const Cteleport__V1__ReportAuthFailureRequest *)first;
        Cteleport__V1__Empty answer = CTELEPORT__V1__EMPTY__INIT;
        AUTO_PTR(error) why = error_new(ERROR_UNAUTHENTICATED, "%s", q->reason);
        struct audit_record record = { 0 };
        struct web_session_info info;

        if (audit_may_report(caller->auth, caller->auth->app_failures, str_of(caller->host_id))) {
                auth_audit_begin(caller->auth, &record, &audit_auth_failed);
                if (web_sessions_find(caller->auth->web_sessions, str_of(q->session), &info))
                        audit_str(&record, "user", info.user);
                audit_str(&record, "app_name", str_of(q->app));
                audit_str(&record, "addr.remote", str_of(q->remote_addr));
                audit_str(&record, "server_id", str_of(caller->host_id));
                if (q->left_out > 0)
                        audit_int(&record, "suppressed", (int64_t)(q->left_out & INT64_MAX));
                audit_error(&record, why);
                audit_write(caller->auth->audit, &record, NULL, NULL);
        }
        rpc_call_reply(call, &answer.base);
}
