/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token by which an application learns the user of a connection: the value of the field Teleport-Jwt-Assertion.
 *
 * The Auth Service signs it for this connection, on request. A token is used until its end; from the half of its life on each request has a new one
 * signed behind it. So a connection without requests costs nothing, and the Auth Service may be away for half of the life of a token.
 */
#ifndef APP_ASSERTION_H
#define APP_ASSERTION_H

#include "base/error.h"
#include "base/str.h"

struct agent;

struct assertion;
/* The agent is borrowed until assertion_free(), the texts are copied. claims: rewrite.jwt_claims of the application; NULL: the default. */
struct assertion *assertion_new(struct agent *agent, const char *connection_id, const char *claims) MUST_USE;
/* Forgets a wait. NULL is silent. */
void assertion_free(struct assertion *a);

/* The token that is valid now; "": there is none. Borrowed until the next turn of the loop. */
struct str assertion_token(const struct assertion *a);

/*
 * Has a token ready for a request. If there is one, returns true, and requests the next one when it is time; else returns false and calls done
 * once, from the loop, with NULL when there is a token, or with an error (owned). One wait at a time.
 */
bool assertion_await(struct assertion *a, void (*done)(void *ctx, struct error *err), void *ctx) MUST_USE;

/* Forgets the wait, if there is one: done is not called. */
void assertion_cancel(struct assertion *a);

#endif
