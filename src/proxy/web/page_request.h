/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page for a user who is logged in: the request, from the cookie to the response.
 *
 *     cookie ─▶ session (web_session.h) ─▶ POST: form, its token ─▶ row->serve() ─▶ calls to auth as the user ─▶ response
 *         └ none, or ended: GET leads to the login page and back here afterwards; POST is refused
 *
 * Decisions are the Auth Service's: a page shows what its calls return, and each call is made with the user's certificate.
 */
#ifndef PROXY_WEB_PAGE_REQUEST_H
#define PROXY_WEB_PAGE_REQUEST_H

#include "base/arena.h"
#include "proxy/web/form.h"
#include "http/html.h"
#include "proxy/web/web_internal.h"
#include "proxy/web/web_session.h"

enum { PAGE_ARENA = 4 * MiB, PAGE_MAX = 1 * MiB };

struct page_request;

struct page_row {
        const char *path;  /* of the navigation's entry for this page; NULL: it has none */
        const char *title;
        /* Begins the answer; ends with page_respond(), page_redirect() or page_fail(), perhaps later. */
        void (*serve)(struct page_request *p);
};

struct page_request {
        const struct page_row *row;
        struct http_exchange *exchange; /* NULL: the connection is gone; what is sent is dropped */
        struct arena *arena;            /* texts of the answers; freed with the request */
        struct web_session *session;
        struct form form;               /* of a POST; the parameters of the query of a GET */
        struct web_page page;           /* cluster, proxy; in the arena */
        const char *client;             /* address with port; in the arena */
        struct str host;                /* the Host field; in the arena */
        struct loop *loop;
        bool is_post;
        void *state;                    /* of the row, in the arena */
        /* the following fields are private */
        struct web_session_cache *cache;
        struct str path, query;
        struct page_call *call;
};

/* Serves the row for this request. */
void page_open(struct web *w, struct http_exchange *x, const struct page_row *row);

/*
 * Calls a method of the Auth Service as the user. then() gets the answer, borrowed until it returns. If the call fails the request
 * ends with an error page, or with the login page if the session has ended, and then() is not called; one call at a time.
 */
void page_call(struct page_request *p, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
               void (*then)(struct page_request *p, const ProtobufCMessage *answer));
/* The same with a function for the error (owned), which the row wants to handle. */
void page_call_or(struct page_request *p, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                  void (*then)(struct page_request *p, const ProtobufCMessage *answer), void (*failed)(struct page_request *p, struct error *err));

/* Responds with the page: `content` (HTML) inside the layout with navigation and user menu. Ends the request. */
void page_respond(struct page_request *p, int status, struct str content);
/* Responds with 303 to a path of this host. Ends the request. */
void page_redirect(struct page_request *p, const char *path);
/* Ends the request of a row that has responded by itself, or whose browser has gone. */
void page_end(struct page_request *p);
/* Responds with a page about the error, with a request ID that the log has too. err is owned. Ends the request. */
void page_fail(struct page_request *p, struct error *err);

/* <input type="hidden"> with the token that forms of this session need. */
void page_put_token(struct page_request *p, struct buf *out);

/* Whether `path` is a page of this host that a redirect may lead to: "/web", or below it. */
bool page_is_own(struct str path);

/* A 303 outside of page requests; cookie: a Set-Cookie value or NULL. */
void web_redirect(struct http_exchange *x, const char *path, const char *cookie);

#define FORGET_SESSION_COOKIE SESSION_COOKIE "=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"

#endif
