/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose AWS identity this process has: the chain of credential sources that AWS's SDKs walk.
 *
 *   environment                AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   web identity               AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN
 *   profile                    AWS_PROFILE or default, in ~/.aws/credentials and ~/.aws/config: role_arn with
 *                              source_profile or credential_source, web identity, keys, credential_process
 *   container                  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
 *   instance metadata          IMDSv2; v1 where the SDKs fall back to it
 *
 * The first source that is configured decides: if it is broken, that is the error, and no later source
 * is asked. Nothing is cached: each resolution starts afresh.
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

/* A source that was looked at, in order. */
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
        /* Reads a variable of the environment, NULL when unset; NULL: getenv(3). */
        const char *(*getenv)(void *ctx, const char *name);
        void *getenv_ctx;
        const char *home; /* instead of $HOME, or NULL */
        bool fips;        /* as if AWS_USE_FIPS_ENDPOINT=true */
};

/*
 * Resolves credentials and region. done comes exactly once, from the loop, and gets
 *  - r       in either case, what was found and tried; borrowed until done returns: to keep it, copy the
 *            struct and zero the original (`mine = *r; *r = (struct aws_resolution){0};`)
 *  - err     NULL, or why there are no credentials (owned): UNAUTHENTICATED when no source has any,
 *            FAILED_PRECONDITION, UNAVAILABLE … when a configured one is broken. Never holds a secret.
 * Takes at most a few seconds unless a credential_process or STS is slow (a minute at most).
 */
struct aws_resolve;
struct aws_resolve *aws_resolve_start(struct loop *l, const struct aws_resolve_options *options,
                                      void (*done)(void *ctx, struct aws_resolution *r, struct error *err),
                                      void *ctx) MUST_USE;

/* done comes with CANCELLED unless it already has. */
void aws_resolve_cancel(struct aws_resolve *r);

#endif
