/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 of browsers at applications: it ends here, and each stream becomes an exchange of HTTP/1.1 with a gateway (app_gateway.h).
 *
 *     browser ══ HTTP/2 ══ app_h2 ─┬─ http_outgoing ── pair of streams in memory ── app_gateway ── TLS, tunnel ── host of the application
 *                  streams         └─ http_outgoing ── …                               a channel each
 *
 * So the parser and the rules of HTTP/1.1 decide on every request, and HTTP/2 adds none. A channel belongs to one application and is kept
 * for the next stream to it. At most LIMIT_HTTP2_APP_STREAMS streams are open, and of each LIMIT_HTTP_WINDOW bytes and one read wait in each
 * direction and place: the browser's window is returned when the gateway has read, and the gateway is not read while the browser is behind.
 */
#ifndef PROXY_APPS_APP_H2_H
#define PROXY_APPS_APP_H2_H

#include "base/budget.h"
#include "proxy/apps/app_gateway.h"

/*
 * Serves on tls (owned), as app_gateway_start(); options->app is the application of streams whose host is none.
 *
 * memory  of the peer's source; borrowed until on_closed. Requests are charged to it until on_user has accepted a user on the connection, beyond what
 *         one without a body needs: a request for which nothing is left is reset with REFUSED_STREAM, so that the browser may send it again (RFC
 *         9113 section 8.7).
 */
struct app_h2;
struct app_h2 *app_h2_start(struct stream *tls, const struct app_gateway_options *options, struct budget_holder *memory) MUST_USE;
/* GOAWAY: the connection is closed once the open streams have ended. */
void app_h2_drain(struct app_h2 *c);
void app_h2_close(struct app_h2 *c);

#endif
