/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Login, logout and the list of a user's own logins.
 *
 * A login form is valid with the cookie that was set with it: another site can neither read nor set that cookie, so it cannot log a
 * browser in under a name of its own choice. The cookie of a session is sent with top-level navigation from other sites
 * (SameSite=Lax), so that links from elsewhere work; every change needs a form with the token of the session as well.
 */
#ifndef PROXY_WEB_WEB_LOGIN_H
#define PROXY_WEB_WEB_LOGIN_H

#include "net/http_server.h"

void web_login_open(void *ctx, struct http_exchange *x);       /* GET, POST /web/login */
void web_logout_open(void *ctx, struct http_exchange *x);      /* POST /web/logout */
void web_my_sessions_open(void *ctx, struct http_exchange *x); /* GET, POST /web/sessions */

#endif
