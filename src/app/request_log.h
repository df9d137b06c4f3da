/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of one HTTP request to an application, as a line of the recording of its connection: a JSON object with the names of Teleport's
 * event app.session.request. Values of query parameters are left out, as links have secrets there.
 */
#ifndef APP_REQUEST_LOG_H
#define APP_REQUEST_LOG_H

#include "base/buf.h"
#include "base/clock.h"

struct request_entry {
        struct walltime began;
        struct str method, target; /* "/path?query" as the client sent it; both "": a request that could not be parsed */
        int status;                /* of the response; 0: none was begun */
        uint64_t received, sent;   /* bytes of the bodies */
        struct duration took;
        bool is_cut; /* the connection ended before the whole response was sent */
};

/* Appends the line with CR LF, at most REQUEST_LINE_MAX bytes. Method, path and query come from the client: they are escaped and cut. */
enum { REQUEST_LINE_MAX = 16 * KiB };
void request_entry_put(struct buf *out, const struct request_entry *e);

/*
 * Appends the query without its values: "a=1&b=2" becomes "a=&b=". A parameter without "=" becomes "*", as it may be a value.
 */
void request_query_put(struct buf *out, struct str query);

#endif
