/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unauthenticated web API that agents and clients use to discover the cluster: find, ping, motd, and the certificates of its
 * CAs.
 */
#ifndef PROXY_WEBAPI_H
#define PROXY_WEBAPI_H

#include "base/buf.h"
#include "net/http_server.h"

/* The values in the answers; everything is borrowed. */
struct webapi_facts {
        struct str cluster;     /* "" while unknown: pages that need it answer 503 */
        struct str listen_addr; /* "0.0.0.0:3080" */
        struct str public_addr; /* "proxy.example.com:443", "" when none is configured */
        struct str host_cas;    /* PEM of the host CAs that the proxy trusts; "" while there is no identity */
};

/* Responds to a request for one of the paths "/webapi/…" and "/v1/webapi/…": find, ping, motd. */
void webapi_respond(struct http_exchange *x, const struct webapi_facts *facts);

/*
 * Responds to "/webapi/auth/export?type=tls-host" with the host CAs as PEM. They are public, and no better than the HTTPS over
 * which they are received: a client must have verified that, or compare them with its ca_pin.
 */
void webapi_respond_export(struct http_exchange *x, const struct webapi_facts *facts);

/* Responds with a status and {"error":{"message":…}}. is_last: the connection is closed after it. */
void webapi_respond_error(struct http_exchange *x, int status, const char *message, bool is_last);

/* Responds to a request that cannot be served, or that no route is for. */
void webapi_refuse(struct http_exchange *x, int status, const struct error *err);

#endif
