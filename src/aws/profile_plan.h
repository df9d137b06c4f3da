/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a profile to credentials: which source to ask first, and which roles to assume with what it gives.
 */
#ifndef AWS_PROFILE_PLAN_H
#define AWS_PROFILE_PLAN_H

#include "aws/profile_file.h"

enum profile_base {
        PROFILE_BASE_NONE,         /* the profile holds settings only: the chain goes on */
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
        const struct profile_section *section; /* where the base is described */
        enum profile_file keys_from;
        const struct profile_section *roles[PROFILE_ROLES_MAX]; /* to assume in this order */
        size_t role_count;
};

/*
 * Follows source_profile from the profile `name`. A profile that is not there gives PROFILE_BASE_NONE: the
 * caller knows whether it was asked for. FAILED_PRECONDITION for settings that contradict each other, lack
 * a half, form a loop, or need what an unattended host does not have (SSO, login, MFA).
 */
struct error *profile_plan_make(const struct profile_set *s, struct str name, struct profile_plan *ret) MUST_USE;

#endif
