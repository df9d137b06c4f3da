/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads AWS credentials from JSON. Metadata and container endpoints, credential processes and STS use nearly the same
 * members.
 */
#ifndef AWS_KEY_JSON_H
#define AWS_KEY_JSON_H

#include "aws/credentials.h"
#include "net/strict_json.h"

struct key_json_form {
        const char *token;    /* "Token" or "SessionToken" */
        bool needs_token;
        bool needs_expiry;    /* "Expiration": RFC 3339 text; STS writes seconds since 1970 as a number, too */
};

/* FAILED_PRECONDITION naming the member that is missing or malformed; never its value. */
struct error *key_json_read(const json_t *object, const struct key_json_form *form, struct aws_credentials *ret) MUST_USE;

/* FAILED_PRECONDITION "WHAT returned credentials that expired" unless they expire after `now`. */
struct error *credentials_check_fresh(const struct aws_credentials *c, struct walltime now, const char *what) MUST_USE;

#endif
