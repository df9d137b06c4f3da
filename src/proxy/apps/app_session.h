/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of applications in a proxy: a browser that has opened an application. docs/decisions/0038-applications-in-the-browser.md
 *
 *     cookies ID, SECRET ─▶ in memory? ─ yes, SECRET is right ───────────────────────────────▶ session
 *                              └ no ─▶ auth: sealed key, certificate ─▶ opened with SECRET ──┘
 *
 * The Auth Service is asked again PACE_APP_SESSION_CHECK after its last answer, before a request is forwarded, and while connections
 * of the session are open: so a session that has ended there ends here too. A session without connections that was not used for
 * that time is dropped with its key, and read again when it is used.
 */
#ifndef PROXY_APPS_APP_SESSION_H
#define PROXY_APPS_APP_SESSION_H

#include "base/error.h"
#include "base/str.h"

struct proxy;
struct tls_context;

/* All sessions of this process. */
struct app_sessions;
struct app_sessions *app_sessions_new(struct proxy *p) MUST_USE;
/* Ends all sessions here, and answers pending requests. */
void app_sessions_shut(struct app_sessions *all);
/* Whether nothing of it is pending any more; otherwise proxy_is_empty() is called later. NULL: yes. */
bool app_sessions_is_empty(const struct app_sessions *all);
void app_sessions_free(struct app_sessions *all); /* after app_sessions_shut(), when it is empty; NULL is silent */

struct app_session;

/* A user of a session, which the owner embeds. Zeroed: of none. */
struct app_session_user {
        struct app_session *session;
        void (*on_ended)(void *ctx); /* the session has ended: it was removed from the user before */
        void *ctx;
        struct app_session_user *next, **at;
};

/*
 * Finds the session of the two cookies. done is called exactly once, from the loop: UNAUTHENTICATED when there is no such session (any
 * more) or the secret is another one, UNAVAILABLE when auth cannot be asked. The session is valid during the call.
 */
void app_session_open(struct app_sessions *all, struct str id, struct str secret, void (*done)(void *ctx, struct app_session *s, struct error *err), void *ctx);

/* Makes `u` a user of the session, which stays in memory while it has users; leaves an earlier one. */
void app_session_join(struct app_session *s, struct app_session_user *u);
void app_session_leave(struct app_session_user *u);

/* Ends the session here: auth has refused it. */
void app_session_forget(struct app_session *s);

/* Ends the session for all: at auth, and here now. is_refused: not by a logout, but as its browser cannot be trusted; for the audit log. */
void app_session_delete(struct app_session *s, bool is_refused);

/* Whether the client has named a session whose secret it does not have: err of app_session_open(). */
bool app_session_is_wrong_secret(const struct error *err);

/* Reports a failed authentication to the Auth Service, at the pace of app_failures.h. id: of the session, may be "". */
void app_session_report_failure(struct app_sessions *all, struct str id, const char *app, const char *peer, const char *reason);

/* Whether tsh has made it: its ID and secret are in a certificate, which may be read, and are good only with the key of that. */
bool app_session_is_of_certificate(const struct app_session *s);

/* Borrowed as long as the session. */
struct str app_session_app(const struct app_session *s);
struct str app_session_user_name(const struct app_session *s);
struct str app_session_certificate(const struct app_session *s);
/* For connections to hosts that offer the application, as the user. */
struct tls_context *app_session_tls(const struct app_session *s);

#endif
