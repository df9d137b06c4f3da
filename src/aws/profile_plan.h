/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans how to obtain the credentials of a profile: the source of the first credentials and the roles to assume with
 * them.
 */
#ifndef AWS_PROFILE_PLAN_H
#define AWS_PROFILE_PLAN_H

#include "aws/profile_file.h"

enum profile_base {
        PROFILE_BASE_NONE,         /* the profile has settings only: the next source of the chain is tried */
        PROFILE_BASE_KEYS,         /* aws_access_key_id … in `keys_from` */
        PROFILE_BASE_ENVIRONMENT,  /* credential_source */
        PROFILE_BASE_INSTANCE,     /* credential_source */
        PROFILE_BASE_CONTAINER,    /* credential_source */
        PROFILE_BASE_WEB_IDENTITY, /* web_identity_token_file and role_arn */
        PROFILE_BASE_PROCESS,      /* credential_process */
};

enum { PROFILE_ROLES_MAX = 8 };

struct profile_plan {
        enum profile_base base;
        const struct profile_section *section; /* the section with the settings of the base */
        enum profile_file keys_from;
        const struct profile_section *roles[PROFILE_ROLES_MAX]; /* to assume in this order */
        size_t role_count;
};

/*
 * Follows source_profile from the profile `name`. A profile that does not exist gives PROFILE_BASE_NONE; the caller
 * knows whether it was requested. FAILED_PRECONDITION for settings that are contradictory, incomplete or circular, or
 * that need a user (SSO, login, MFA).
 */
struct error *profile_plan_make(const struct profile_set *s, struct str name, struct profile_plan *ret) MUST_USE;

#endif
