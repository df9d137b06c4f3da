/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few pages of the web port: what an agent or a client asks before it knows anything.
 */
#ifndef PROXY_WEBAPI_H
#define PROXY_WEBAPI_H

#include "base/buf.h"
#include "net/http1.h"

/* What the pages say. Everything borrowed. */
struct webapi_facts {
        struct str cluster;     /* "" while unknown: pages that need it answer 503 */
        struct str listen_addr; /* "0.0.0.0:3080" */
        struct str public_addr; /* "proxy.example.com:443", "" when none is configured */
};

/* The size of a whole answer. */
enum { WEBAPI_ANSWER_MAX = 8 * KiB };

/* Writes the whole answer (head and body) to a request. HEAD gets the head alone. Returns the status. */
int webapi_answer(struct buf *out, const struct webapi_facts *facts, const struct http1_request *request);

/* The answer to an input that is no request, by the codes of http1_parse. Returns the status. */
int webapi_refuse(struct buf *out, const struct error *err);

#endif
