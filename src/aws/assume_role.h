/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests temporary credentials of a role from STS, by AssumeRole or AssumeRoleWithWebIdentity.
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
        struct str external_id;            /* may be empty */
        int64_t duration_seconds;          /* 0: STS's default, an hour */
        struct str web_identity_token;     /* if not empty: AssumeRoleWithWebIdentity, not signed */
        const struct aws_credentials *keys; /* otherwise: the keys to sign with */
        struct str endpoint;               /* "https://sts.us-west-2.amazonaws.com", without a trailing slash */
        bool allow_http;                   /* for an endpoint that the operator set */
        struct str region;                 /* to sign for */
};

struct assume_role;

/*
 * Sends the request to STS and retries on temporary errors. The request is copied. done is called exactly once, from
 * the loop: with credentials (owned from now on) or an error (owned): PERMISSION_DENIED when STS refuses, with its code
 * and message; UNAVAILABLE …
 */
struct assume_role *assume_role_start(struct loop *l, struct http_client *http, const struct assume_role_request *r,
                                      void (*done)(void *ctx, struct aws_credentials *c, struct error *err),
                                      void *ctx) MUST_USE;
/* Calls done with CANCELLED unless it was called already. */
void assume_role_cancel(struct assume_role *a);

/* Writes the form body of the request; public for tests. */
void assume_role_put_form(struct buf *out, const struct assume_role_request *r);

/* Reads the credentials from STS's answer, JSON or XML. FAILED_PRECONDITION if it has none. */
struct error *assume_role_read(struct str body, const char *action, struct aws_credentials *ret) MUST_USE;

#endif
