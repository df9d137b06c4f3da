/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that stand in for a response of an application: the reason, the remedy, and the ID under which the log has it; as HTML for
 * browsers, otherwise as JSON or text. They have no script and nothing from another host: one style, which the policy names by its hash.
 */
#ifndef HTTP_ERROR_PAGE_H
#define HTTP_ERROR_PAGE_H

#include "http/fields.h"

/* A refusal; all texts are escaped where it is written. */
struct error_page {
        const char *title; /* of the page */
        const char *what;  /* the reason: a sentence without its full stop */
        const char *hint;  /* the remedy, or NULL */
        const char *id;    /* under which the log has it */
        const char *link, *link_text; /* what to do next, or NULL */
};

/* Each writes the body, and adds Content-Type, X-Request-Id and, to a page, its policy. */
void error_page_put_html(struct buf *body, struct http_fields *fields, const struct error_page *page);
void error_page_put_json(struct buf *body, struct http_fields *fields, const struct error_page *page);
void error_page_put_text(struct buf *body, struct http_fields *fields, const struct error_page *page);

/* A page of this look that leads on to `url` at once, without a script. */
void error_page_put_redirect(struct buf *body, struct http_fields *fields, const char *title, struct str url);

#endif
