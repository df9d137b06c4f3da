/* SPDX-License-Identifier: Apache-2.0 */
/* What a browser or a program gets from the proxy in place of an application's response. */
#ifndef PROXY_APPS_APP_PAGE_H
#define PROXY_APPS_APP_PAGE_H

#include "base/buf.h"
#include "base/error.h"
#include "http/error_page.h"
#include "http/head.h"

enum { APP_PAGE_ID_LEN = 16 };

/* A new ID of a request, under which the log has what its page has. */
void app_page_new_id(char out[static APP_PAGE_ID_LEN + 1]);

/* Whether the request is made by a browser that opens a page; otherwise a program reads the answer. */
bool app_page_is_wanted(const struct http_request *r);

/* Writes the body, HTML or JSON, and adds its fields to *fields. */
void app_page_put(struct buf *body, struct http_fields *fields, bool is_html, const struct error_page *page);

/* A page that leads on to `url`, of this host, with a GET that this host itself has caused: without a script. */
void app_page_put_redirect(struct buf *body, struct http_fields *fields, struct str url);

/* The fields of every answer. */
void app_page_add_fields(struct http_fields *fields);

#endif
