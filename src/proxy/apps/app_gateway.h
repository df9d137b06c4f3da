/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A browser's connection to an application: HTTP/1.1 inside TLS with a name of the application, whose requests are forwarded to a host
 * that offers it. docs/decisions/0038-applications-in-the-browser.md
 *
 *     request ─┬─ /x-teleport-auth, /teleport-logout ──▶ the cookie exchange, logout
 *              ├─ cookies of a session of this application ─▶ kept connection, or Dial as the user, TLS in the tunnel until the host accepts ─▶ forwarded
 *              ├─ client certificate of `tsh apps login` for this application: the same session, without cookies
 *              ├─ a preflight request (CORS) without a session ─▶ answered by the application's setting, which auth has
 *              └─ no session ─▶ 302 to the launch page of the proxy; for programs: 401
 *
 * The connection to the host ends with the browser's connection, and with the session.
 *
 * A load balancer that ends TLS may send requests of many browsers on one connection, for many applications (on_foreign): then the host of each
 * decides. Nothing of a request counts for the next one: each is served by its own cookies, and a connection to a host that was made for another
 * user, address or application is closed.
 */
#ifndef PROXY_APPS_APP_GATEWAY_H
#define PROXY_APPS_APP_GATEWAY_H

#include "base/error.h"
#include "base/str.h"

struct app_certificate;
struct ingress;
struct proxy;
struct stream;

struct app_gateway_options {
        struct proxy *proxy;
        const char *app;  /* copied */
        const char *peer; /* address with port of the browser, copied */
        const struct ingress *ingress; /* whether the peer is a load balancer that may announce the browser's address; NULL: it is none */
        const struct app_certificate *certificate; /* of the client, which decides in place of cookies; NULL: none was sent. Borrowed until on_closed */
        bool has_old_tls; /* a certificate could not be sent: the proxy requested none */
        /* A request of this user, from this address with port, is about to be forwarded; an error (owned by the gateway) refuses it. It may drain the gateway. */
        struct error *(*on_user)(void *ctx, struct str user, const char *client);
        /*
         * A request for no application has come on the connection, which serves all of them then: the stream (owned by the receiver) begins with
         * it, and on_closed follows. NULL: the connection serves `app` only, other hosts get 421.
         */
        void (*on_foreign)(void *ctx, struct stream *s);
        void (*on_closed)(void *ctx); /* once, from the loop */
        void *ctx;
};

/* Serves on a stream (owned): TLS whose server name is one of the application, or the connection of a load balancer. */
struct app_gateway;
struct app_gateway *app_gateway_start(struct stream *s, const struct app_gateway_options *options) MUST_USE;
/* Closes the connection once the current request, if one has begun to arrive, was answered. WebSockets go on. */
void app_gateway_drain(struct app_gateway *g);
void app_gateway_close(struct app_gateway *g);

/* The cookies of the exchange; none of them reaches an application. */
#define APP_COOKIE_PREFIX  "__Host-grv_app_"
#define APP_SESSION_COOKIE "__Host-grv_app_session"
#define APP_SECRET_COOKIE  "__Host-grv_app_session_subject"
#define APP_STATE_COOKIE   "__Host-grv_app_auth_state_"

#endif
