/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges credentials, or a web identity token, for those of a role: STS's AssumeRole and
 * AssumeRoleWithWebIdentity.
 */
#ifndef AWS_ASSUME_ROLE_H
#define AWS_ASSUME_ROLE_H

#include "aws/credentials.h"
#include "base/buf.h"

struct loop;
struct http_client;

struct assume_role_request {
        struct str role_arn;
        struct str session_name;
        struct str external_id;            /* or empty */
        int64_t duration_seconds;          /* 0: STS's default, an hour */
        struct str web_identity_token;     /* if not empty: AssumeRoleWithWebIdentity, not signed */
        const struct aws_credentials *keys; /* to sign with, else */
        struct str endpoint;               /* "https://sts.us-west-2.amazonaws.com", without the slash behind */
        bool allow_http;                   /* for an endpoint that the operator set */
        struct str region;                 /* to sign for */
};

struct assume_role;

/*
 * Asks STS, again if it is out of order. Everything in the request is copied. done comes exactly once,
 * from the loop: with credentials (owned from now on) or an error (owned): PERMISSION_DENIED when STS refuses,
 * with its code and message; UNAVAILABLE …
 */
struct assume_role *assume_role_start(struct loop *l, struct http_client *http, const struct assume_role_request *r,
                                      void (*done)(void *ctx, struct aws_credentials *c, struct error *err),
                                      void *ctx) MUST_USE;
/* done comes with CANCELLED unless it already has. */
void assume_role_cancel(struct assume_role *a);

/* The form that is sent; for the tests. */
void assume_role_put_form(struct buf *out, const struct assume_role_request *r);

/* The credentials in STS's answer, JSON or XML. FAILED_PRECONDITION if there are none. */
struct error *assume_role_read(struct str body, const char *action, struct aws_credentials *ret) MUST_USE;

#endif
