/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The web sessions of the cluster, in memory: read from the store at the start and updated by a watch, as the directory. The
 * certificate of a web session is valid only while the session is here.
 *
 * A session is a login in a browser, or the use of one application. That belongs to a login in a browser and ends with it, or was
 * made by tsh and ends with the certificate of the login there, or by `tsh apps logout`.
 */
#ifndef AUTH_WEB_WEB_SESSIONS_H
#define AUTH_WEB_WEB_SESSIONS_H

#include "auth/core/auth.h"
#include "state.pb-c.h"

/* Reads all sessions; ready(ctx, err) is called once, from the loop. The directory must be open. */
struct web_sessions;
struct web_sessions *web_sessions_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
void web_sessions_stop(struct web_sessions *w); /* stops watching the store; NULL is silent */
void web_sessions_close(struct web_sessions *w); /* NULL is silent */

/*
 * Whether a certificate of this session (id "": of none) may be used by the user: UNAUTHENTICATED when the session has ended.
 * w may be NULL without an ID.
 */
struct error *web_sessions_check(const struct web_sessions *w, struct str id, struct str user) MUST_USE;

/* ended(ctx) is called from the loop whenever a session has ended, until the next call, with NULL. w NULL is silent. */
void web_sessions_watch(struct web_sessions *w, void (*ended)(void *ctx), void *ctx);

/* Notes that the session is used now; stored at PACE_WEB_SESSION_USE. Nothing happens for id "". */
void web_sessions_use(struct web_sessions *w, struct str id);

/* Adds the login to the transaction, and removes the user's oldest ones beyond LIMIT_WEB_SESSIONS_USER. */
void web_sessions_add(struct web_sessions *w, struct store_txn *t, const Cteleport__State__V1__WebSession *s);

/* The same for the session of an application and LIMIT_APP_SESSIONS_USER. */
void web_sessions_add_app(struct web_sessions *w, struct store_txn *t, const Cteleport__State__V1__WebSession *s);

/* Why a login ends and by whom, for the audit event. */
struct web_session_end {
        const char *reason; /* "logout" */
        struct str by;      /* a user or administrator */
};

/* Removes a login, and the sessions of applications that belong to it, in the transaction, with an audit event. */
void web_sessions_end(struct web_sessions *w, struct store_txn *t, struct str id, struct web_session_end why);

/*
 * Removes the session of an application in the transaction, with an audit event. proxy: the host ID of the proxy that has requested it; "": none. Sessions
 * that end with their login have no event of their own.
 */
void web_sessions_end_app(struct web_sessions *w, struct store_txn *t, struct str id, struct web_session_end why, struct str proxy);

/* As web_sessions_end() for all logins of the user. w NULL: there are none. */
void web_sessions_delete(struct web_sessions *w, struct store_txn *t, struct str user, struct web_session_end why);

/* A session; texts are borrowed until the next turn of the loop. */
struct web_session_info {
        struct str id, user, remote_addr, user_agent;
        struct str app; /* "": a login */
        int64_t created, expires, last_used; /* Unix seconds */
};

/* Finds a session; false: there is none, or it has expired. */
bool web_sessions_find(const struct web_sessions *w, struct str id, struct web_session_info *ret);

/* The logins of the user, the newest first; at most `room`. Those of a removed user of the same name are left out. */
size_t web_sessions_of(struct web_sessions *w, struct str user, struct web_session_info *list, size_t room);

#endif
