/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the pages of the proxy: the connection that a request came on, and what every answer has. */
#ifndef PROXY_WEB_WEB_INTERNAL_H
#define PROXY_WEB_WEB_INTERNAL_H

#include "net/http_server.h"
#include "net/socket.h"
#include "proxy/web/form.h"
#include "proxy/web/web.h"
#include "proxy/web/web_page.h"

enum { WEB_ADDRESS_MAX = LIMIT_NAME + 8, WEB_OTP_MAX = 16 };

/* An HTTP connection. */
struct web {
        struct web_options options;
        struct http_server *http;
        char client[ADDRESS_TEXT_MAX]; /* of the current request */
};

/* The HTTP status of an error. */
int web_status_of(const struct error *err);

/* A page for the current values of the cluster and the request's host; borrowed from the request. */
struct web_page web_page_of(const struct web *w, struct http_exchange *x);

/* Responds with a page that has the error only. */
void web_refuse_page(struct web *w, struct http_exchange *x, const struct error *err);
struct error *web_no_such_page(void) MUST_USE;

/* Reads the form of a POST, and refuses forms that another site sends (PERMISSION_DENIED). */
struct error *web_take_form(struct http_exchange *x, struct form *ret) MUST_USE;

/* The code without blanks: apps show "123 456". A longer code is truncated, and is wrong in any case. */
void web_take_otp(struct str text, char out[static WEB_OTP_MAX]);

#endif
