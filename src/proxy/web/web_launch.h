/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launch page, /web/launch/<host name of an application>?path=…&query=…[&state=…]: the proxy's side of the cookie exchange
 * (docs/decisions/0038-applications-in-the-browser.md). Without a state it leads to the application's host, which makes one; with it,
 * it makes a session of the application and sends its two secrets to that host, by a form.
 */
#ifndef PROXY_WEB_WEB_LAUNCH_H
#define PROXY_WEB_WEB_LAUNCH_H

#include "net/http_server.h"

void web_launch_open(void *ctx, struct http_exchange *x); /* GET /web/launch/… */

#endif
