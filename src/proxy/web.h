/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a browser may do here: read who we are, and take up an invitation.
 *
 *     GET  /, /web                        who we are
 *     GET  /web/invite/<32 hex>           the form (also /web/reset/…)      OpenInvite
 *     POST /web/invite/<32 hex>           password, again, otp              OpenInvite, AcceptInvite
 *
 * The Auth Service decides; nothing is kept here. Whoever holds the address holds the invitation, so there is no cookie
 * that another site could make use of; what a browser says to come from another site is refused all the same.
 */
#ifndef PROXY_WEB_H
#define PROXY_WEB_H

#include "proxy/upstream.h"
#include "proxy/webapi.h"

/* Whether the path is for these pages: "/", "/web" and what is below it. */
bool web_is_page(struct str path);

/* What an answer is made of. Everything borrowed during the call only. */
struct web_request {
        const struct webapi_facts *facts;
        const struct http1_request *http;
        struct str body;  /* http->body bytes */
        const char *peer; /* address text of the browser, for auth's guard and its audit */
};

/*
 * Begins to answer. done(ctx, answer) comes exactly once from the loop with the whole answer, borrowed until it returns; the
 * visit is gone then. upstream must live until done, or as long as the loop runs after web_cancel.
 */
struct web_client;
struct web_client *web_start(struct loop *l, struct upstream *upstream, struct web_request request,
                            void (*done)(void *ctx, struct str answer), void *ctx) MUST_USE;

/* done will not be called; the pointer is dead. */
void web_cancel(struct web_client *v);

#endif
