/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS settings from the environment and the selected profile, by the rules of AWS's SDKs: the environment takes
 * precedence, blank values count as absent.
 */
#ifndef AWS_SETTINGS_H
#define AWS_SETTINGS_H

#include "aws/credentials.h"
#include "aws/imds.h"
#include "aws/profile_file.h"

struct aws_settings {
        const char *(*getenv)(void *ctx, const char *name);
        void *getenv_ctx;
        char *home;
        char *config_path, *credentials_path;
        struct profile_set files;
        char *profile_name;
        bool is_profile_requested;             /* by AWS_PROFILE or a similar variable */
        const struct profile_section *profile; /* NULL when no profile has that name */
        bool fips;
};
void aws_settings_release(struct aws_settings *s);

/*
 * Reads the environment and both files; a missing file is an empty one. Warnings go to r. NOT_FOUND when the requested
 * profile does not exist; also the errors of file_read() and profile_set_add().
 */
struct error *aws_settings_load(struct aws_settings *s, const struct aws_resolve_options *options,
                                struct aws_resolution *r) MUST_USE;

/* A variable of the environment, trimmed; empty when unset or blank. */
struct str aws_env(const struct aws_settings *s, const char *name);

/* A variable, or else a key of the profile; env or key may be NULL. */
struct str aws_setting(const struct aws_settings *s, const char *env, const char *key);

/* The same as true or false (any case); INVALID_ARGUMENT for other values. Absent: fallback. */
struct error *aws_setting_bool(const struct aws_settings *s, const char *env, const char *key, bool fallback,
                               bool *ret) MUST_USE;

/* Reads the settings of the metadata service. The endpoint is owned by the caller. */
struct error *aws_imds_settings(const struct aws_settings *s, struct imds_options *ret, char **ret_endpoint) MUST_USE;

/*
 * Finds the URL of STS: the one set by AWS_ENDPOINT_URL_STS or similar (owned, without a trailing slash; *ret_is_custom
 * is true), or that of `host`. INVALID_ARGUMENT for a malformed URL.
 */
struct error *aws_sts_endpoint(const struct aws_settings *s, const struct sts_host *host, char **ret_url,
                               bool *ret_is_custom) MUST_USE;

/* Adds a sentence to r->warnings. */
void aws_warn(struct aws_resolution *r, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
