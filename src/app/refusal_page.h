/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client of an HTTP application gets instead of a response of the application: the reason, the remedy and the ID under which the host
 * has logged it; as HTML for browsers, as JSON for clients that accept it, otherwise as text.
 */
#ifndef APP_REFUSAL_PAGE_H
#define APP_REFUSAL_PAGE_H

#include "http/head.h"

struct refusal {
        int status;
        const char *what; /* safe for terminals, not for HTML */
        const char *hint; /* NULL: none */
        const char *id;
};

/* Writes the body, and adds its fields. accept: the value of Accept, "" for none. */
void refusal_page_put(struct buf *body, struct http_fields *fields, struct str accept, const struct refusal *r);

/* The same as a whole response that ends the connection, to a client whose request was not read. */
void refusal_response_put(struct buf *out, const struct refusal *r);

#endif
