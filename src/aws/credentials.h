/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the AWS credentials of this process in the same chain of sources as AWS's SDKs.
 *
 *   environment                AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   web identity               AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN
 *   profile                    AWS_PROFILE or default, in ~/.aws/credentials and ~/.aws/config: role_arn with
 *                              source_profile or credential_source, web identity, keys, credential_process
 *   container                  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
 *   instance metadata          IMDSv2; v1 where the SDKs fall back to it
 *
 * The first configured source is used: if it fails, resolution fails without trying later sources. Nothing is cached
 * between resolutions.
 */
#ifndef AWS_CREDENTIALS_H
#define AWS_CREDENTIALS_H

#include "aws/sts_hosts.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"

struct loop;

struct aws_credentials {
        struct secret access_key_id;
        struct secret secret_access_key;
        struct secret session_token; /* empty for long-term keys */
        bool has_expiry;
        struct walltime expiry;
};
void aws_credentials_release(struct aws_credentials *c);

/* One source that was tried; sources are listed in order. */
struct aws_attempt {
        const char *source; /* "environment", "web identity", "profile", "container", "instance metadata" */
        char *outcome;      /* a sentence: "AWS_ACCESS_KEY_ID is not set", "gave keys that expire at …" */
};

struct aws_resolution {
        struct aws_credentials credentials; /* empty when there was an error */
        char *source;                       /* "profile 'prod' (/root/.aws/credentials)"; NULL without credentials */
        struct aws_attempt *tried;
        size_t tried_count;
        char *region;        /* "us-west-2" */
        char *region_source; /* "AWS_REGION", "profile 'default'", "instance metadata", "default" */
        char *warnings[16];  /* sentences for the log */
        size_t warning_count;
        struct sts_host sts; /* host to sign for; name[0] is 0 when the region has none (an error says so) */
        bool fips;
};
void aws_resolution_release(struct aws_resolution *r);

struct aws_resolve_options {
        /* Returns a variable of the environment, NULL when unset. If this pointer is NULL, getenv(3) is used. */
        const char *(*getenv)(void *ctx, const char *name);
        void *getenv_ctx;
        const char *home; /* instead of $HOME, or NULL */
        bool fips;        /* as if AWS_USE_FIPS_ENDPOINT=true */
};

/*
 * Resolves credentials and region. done is called exactly once, from the loop, with - r in either case, what was found
 * and tried; borrowed until done returns: to keep it, copy the
 *            struct and zero the original (`mine = *r; *r = (struct aws_resolution){0};`)
 *  - err     NULL, or why there are no credentials (owned): UNAUTHENTICATED when no source has any,
 *            FAILED_PRECONDITION, UNAVAILABLE … when a configured one is broken. Never holds a secret.
 * Takes a few seconds at most, or a minute with a slow credential_process or STS.
 */
struct aws_resolve;
struct aws_resolve *aws_resolve_start(struct loop *l, const struct aws_resolve_options *options,
                                      void (*done)(void *ctx, struct aws_resolution *r, struct error *err),
                                      void *ctx) MUST_USE;

/* Calls done with CANCELLED unless it was called already. */
void aws_resolve_cancel(struct aws_resolve *r);

#endif
