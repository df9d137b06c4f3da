/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Web pages for users: HTML that needs no scripts.
 *
 * Their content security policy permits only the style sheet and icon of this host (assets.h) and forms to this host; no site may
 * frame them, and browsers do not send their address, which is a secret, to other sites.
 */
#ifndef PROXY_WEB_PAGE_H
#define PROXY_WEB_PAGE_H

#include "base/buf.h"
#include "base/error.h"
#include "net/http_server.h"

/* A whole page: the style sheet, the text, and the longest QR code. */
enum { WEB_PAGE_MAX = 256 * KiB };

/* The values in the pages, which are escaped here; everything is borrowed. */
struct web_page {
        int status;
        struct str cluster;        /* "" while unknown */
        struct str proxy;          /* host[:port] for tsh login, "" when unknown */
        struct str user;
        struct str secret;         /* of the one-time codes, base32 */
        struct str url;            /* the same as otpauth://… */
        bool is_reset;             /* a reset for a user who had a password before */
        const struct error *error; /* error to show, or NULL */
        const char *cookie;        /* value of Set-Cookie, or NULL */
        struct str form_token;     /* of the user's login: a failure has a button to log out; "": none */
        const char *next, *next_text; /* a failure leads on to this address, or NULL */
};

/* The start page, with instructions to log in. */
void web_respond_landing(struct http_exchange *x, const struct web_page *page);
/* The form that sets password and one-time code, with the error above it, if any. */
void web_respond_invite(struct http_exchange *x, const struct web_page *page);
/* The page after they were set. */
void web_respond_welcome(struct http_exchange *x, const struct web_page *page);
/* A page with the error only. */
void web_respond_error(struct http_exchange *x, const struct web_page *page);

/* A page with the error and a request ID, which the log has as well; sets page->status. */
void web_respond_failure(struct http_exchange *x, struct web_page *page, const struct error *err);

/* The hidden fields of the login form; borrowed. */
struct web_login_form {
        struct str token;  /* as in the cookie */
        struct str target; /* page to open after the login */
};
/* The login form, with page->error above it, if any. */
void web_respond_login(struct http_exchange *x, const struct web_page *page, const struct web_login_form *form);

/* The header fields of pages with scripts: only those of this host. */
extern const char web_page_fields[];

/* Everything up to </head>. */
void web_put_head(struct buf *out, const char *title);

#endif
