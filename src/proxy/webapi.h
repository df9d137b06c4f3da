/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unauthenticated web API that agents and clients use to discover the cluster: find, ping and motd.
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
};

/* Responds to a request for one of the paths "/webapi/…" and "/v1/webapi/…": find, ping, motd. */
void webapi_respond(struct http_exchange *x, const struct webapi_facts *facts);

/* Responds to a request that cannot be served, or that no route is for. */
void webapi_refuse(struct http_exchange *x, int status, const struct error *err);

#endif
