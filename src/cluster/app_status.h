/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first bytes of the Application Service on a connection to a TCP application, inside the user's TLS: whether the
 * application's bytes follow, or why not. HTTP applications have responses for that, and no status.
 *
 *     0                      the bytes of the application follow
 *     n = 1…255, n bytes     the reason, UTF-8; the stream ends after it
 */
#ifndef CLUSTER_APP_STATUS_H
#define CLUSTER_APP_STATUS_H

#include "base/buf.h"

/* What a client offers by ALPN for applications; the host selects by the application's uri. */
#define APP_ALPN_TCP  "cteleport-tcp"
#define APP_ALPN_HTTP "http/1.1"
/* HTTP of a port on a user's machine, where any web page of the user's browser may be the client (local_host.h). Hosts of earlier releases select "http/1.1". */
#define APP_ALPN_LOCAL "cteleport-http-local"
/*
 * HTTP of a proxy that is itself the client, in a tunnel that ends in it: TLS proves the user and the host, then ends. The client sends nothing until the
 * host has sent either a byte 0, the last one in TLS, after which requests and responses follow in the tunnel alone; or a response that refuses all requests.
 * docs/decisions/0044-tls-of-gateways-ends-after-the-handshake.md
 */
#define APP_ALPN_BARE "cteleport-http-bare"

/*
 * A field of the response of a host whose backend has received nothing of the request, as it cannot be reached: the reason. A proxy that is the client requests
 * it from another host. Applications cannot send it, and browsers do not get it.
 */
#define APP_UNREACHED_FIELD "X-Teleport-Unreached"

enum { APP_REFUSAL_MAX = 255 };

/* Appends the status; refusal NULL: the application's bytes follow. A longer text is cut. */
void app_status_put(struct buf *out, const char *refusal);

/*
 * Reads the status at the begin of `bytes`: *ret_used is its length, 0 while more bytes are needed. *ret_refusal borrows, and is
 * untrusted; {NULL, 0}: the application's bytes follow.
 */
void app_status_parse(struct str bytes, size_t *ret_used, struct str *ret_refusal);

#endif
