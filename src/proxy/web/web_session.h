/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Web sessions in a proxy: the logins of browsers. docs/decisions/0036-web-sessions.md
 *
 *     cookie "ID.SECRET" ─▶ in memory? ─ yes, its secret is right ───────────────────────────▶ session
 *                               └ no ─▶ auth: sealed key, certificate ─▶ opened with SECRET ──┘
 *
 * The proxy has a session's key in memory while it uses it: at most LIMIT_WEB_SESSIONS_PROXY of them, and none after its end. With
 * the key it calls the Auth Service as the user (proxy/user_client.h).
 */
#ifndef PROXY_WEB_WEB_SESSION_H
#define PROXY_WEB_WEB_SESSION_H

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"
#include "rpc/rpc.h"

struct proxy;

/* All sessions of this process. */
struct web_session_cache;
struct web_session_cache *web_session_cache_new(struct proxy *p) MUST_USE;
/* Drops all sessions. Pending requests of clients end with CANCELLED. NULL is silent. */
void web_session_cache_shut(struct web_session_cache *c);
/* Whether nothing of it is pending any more; otherwise proxy_is_empty() is called later. NULL: yes. */
bool web_session_cache_is_empty(const struct web_session_cache *c);
void web_session_cache_free(struct web_session_cache *c); /* after web_session_cache_shut(); NULL is silent */

struct proxy *web_session_cache_proxy(const struct web_session_cache *c);

/* A random ID and secret of a new session: "ID.SECRET". */
struct secret web_session_new_cookie(void);
/* Makes the key of a session, and seals it with its secret. */
struct error *web_session_new_key(struct str id, struct str secret, struct buf *public_key, struct buf *sealed) MUST_USE;

/* A session that the holder of the cookie has proven. The receiver owns a reference. */
struct web_session;

/*
 * Finds the session of the value of the browser's cookie. done is called exactly once, from the loop: UNAUTHENTICATED when there is
 * no such session (any more), UNAVAILABLE when auth cannot be asked.
 */
void web_session_open(struct web_session_cache *c, struct str cookie, void (*done)(void *ctx, struct web_session *s, struct error *err), void *ctx);
void web_session_release(struct web_session *s); /* NULL is silent */

/* A login in a browser; everything is borrowed until web_session_create() returns. */
struct web_login {
        struct str user, password, otp; /* end in NUL */
        const char *client_addr;        /* with port */
        struct str user_agent;
        struct str form_token; /* of one browser */
};
/*
 * Logs a user in. done is called exactly once, perhaps before this returns: with the value for the browser's cookie, borrowed until it returns, or
 * with the error (owned) of the Auth Service. A form that its browser sends again meanwhile, as by a double click, is the same login, with the same answer:
 * the code is good once.
 */
void web_session_create(struct web_session_cache *c, const struct web_login *login, void (*done)(void *ctx, struct str cookie, struct error *err), void *ctx);

/* Borrowed as long as the session. */
struct str web_session_id(const struct web_session *s);
struct str web_session_user(const struct web_session *s);
const struct str *web_session_logins(const struct web_session *s, size_t *ret_count);
const struct str *web_session_roles(const struct web_session *s, size_t *ret_count);
int64_t web_session_expires(const struct web_session *s); /* Unix seconds */

/* The token that each form of the session's pages carries; it shows nothing of the cookie. 64 hexadecimal digits. */
void web_session_put_csrf(const struct web_session *s, struct buf *out);
bool web_session_has_csrf(const struct web_session *s, struct str token);

/*
 * Requests a connection to the Auth Service as the user of the session: auth decides each call by the user's roles, and refuses
 * calls of a session that has ended (UNAUTHENTICATED). done as of user_client_request().
 */
void web_session_request_client(struct web_session *s, const char *client_addr, void (*done)(void *ctx, struct rpc_client *client, struct error *err),
                                void *ctx);

/* Forgets the session and its key: auth said that it has ended. References stay valid. */
void web_session_forget(struct web_session *s);

#endif
