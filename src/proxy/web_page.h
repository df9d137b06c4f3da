/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages that users see in a browser: plain HTML, without script, image or font from anywhere.
 *
 * The policy they are sent with permits nothing but their own style sheet (by its hash) and forms to this
 * host; no site may frame them, and browsers do not pass on their address, which is a secret.
 */
#ifndef PROXY_WEB_PAGE_H
#define PROXY_WEB_PAGE_H

#include "base/buf.h"
#include "base/error.h"
#include "net/http_server.h"

/* A whole page: the style sheet, the text, and the longest QR code. */
enum { WEB_PAGE_MAX = 256 * KiB };

/* What the pages say. All of it is escaped here; everything borrowed. */
struct web_page {
        int status;
        struct str cluster;        /* "" while unknown */
        struct str proxy;          /* host[:port] for tsh login, "" when unknown */
        struct str user;
        struct str secret;         /* of the one-time codes, base32 */
        struct str url;            /* the same as otpauth://… */
        bool is_reset;             /* of somebody who had a password before */
        const struct error *error; /* what went wrong, NULL: nothing */
};

/* What this host is, and how to log in. */
void web_respond_landing(struct http_exchange *x, const struct web_page *page);
/* The form that sets password and one-time code, with the error above it if there is one. */
void web_respond_invite(struct http_exchange *x, const struct web_page *page);
/* That they are set. */
void web_respond_welcome(struct http_exchange *x, const struct web_page *page);
/* Nothing but the error. */
void web_respond_error(struct http_exchange *x, const struct web_page *page);

/* Text between tags and in quoted attributes: & < > " ' become references. */
void html_put(struct buf *out, struct str text);

#endif
