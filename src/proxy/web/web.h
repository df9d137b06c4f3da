/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's web server: serves its pages on a connection, by a routing table.
 *
 *     GET  /                              how to log in to the cluster
 *     GET  /web                           the user's nodes and applications (web_home.h)
 *     /web/login, logout, sessions        logins with a browser (web_login.h)
 *     GET  /web/cluster, audit, explain   for administrators (web_admin.h)
 *     GET  /web/assets/…                  style sheet and scripts (assets.h)
 *     GET  /web/invite/<32 hex>           the form (also /web/reset/…)      OpenInvite
 *     POST /web/invite/<32 hex>           password, again, otp              OpenInvite, AcceptInvite
 *     GET  /webapi/find, ping, motd       for agents and clients (webapi.h)
 *     GET  /webapi/auth/export            the host CAs (webapi.h)
 *     GET  /.well-known/jwks.json, openid-configuration     the keys of tokens for applications (token_keys.h)
 *     GET  /webapi/connectionupgrade      a stream for a connection with TLS of its own (upgrade.h)
 *
 * The Auth Service decides; nothing is stored here. Pages of users who are logged in are struct page_request. An invitation is
 * valid for everyone who has its address, so there is no cookie that another site could misuse; requests that the browser marks
 * as coming from another site are refused nevertheless.
 */
#ifndef PROXY_WEB_H
#define PROXY_WEB_H

#include "net/ingress.h"
#include "proxy/upstream.h"
#include "proxy/web/token_keys.h"
#include "proxy/web/webapi.h"

struct web_session_cache;

struct web_options {
        struct loop *loop;
        struct upstream *upstream; /* must live as long as the loop runs */
        struct token_keys *token_keys; /* the same; NULL: the keys are not served */
        struct web_session_cache *sessions; /* likewise; NULL: there are no logins in browsers */
        struct webapi_facts (*facts)(void *ctx); /* current values for the pages; borrowed during the call */
        /*
         * Whether a host, with or without a port, is one of an application: it gets no page, since the cookie of a login there would go to the
         * application. NULL: none is.
         */
        bool (*is_of_app)(void *ctx, struct str host);
        /*
         * A client has upgraded its connection to `s`, which is owned by the receiver; on_closed follows. `client` is its address
         * with port, borrowed during the call. NULL: upgrades are refused, because this connection is inside an upgraded one.
         */
        void (*on_upgraded)(void *ctx, struct stream *s, const char *client);
        /* After each request the connection goes back to its owner, as in net/http_server.h, with the number of requests before; NULL: it is kept. */
        void (*on_next)(void *ctx, struct stream *s);
        size_t requests;
        void (*on_closed)(void *ctx); /* called once, from the loop: the connection has ended or was given back, and the struct web is freed */
        void *ctx;
        const char *peer; /* address with port of the other end; borrowed until on_closed */
        /*
         * Decides whether X-Forwarded-For names the client in place of the peer, for auth's guard and its audit. NULL: it does not,
         * because the connection is inside an upgraded one. Borrowed until on_closed.
         */
        const struct ingress *ingress;
};

/* Serves on `s`, owned from now on. */
struct web;
struct web *web_serve(struct stream *s, const struct web_options *options) MUST_USE;
/* Closes the connection once the current request, if one has begun to arrive, was answered. */
void web_drain(struct web *w);
void web_close(struct web *w);

#endif
