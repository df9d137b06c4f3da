/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/profile_plan.h"

#include "base/mem.h"
#include "base/text.h"

static bool has(const struct profile_section *p, const char *key)
{
        return !str_is_empty(profile_text(p, key));
}

#define plan_error(...) error_new(ERROR_FAILED_PRECONDITION, __VA_ARGS__)

/* Whether the file has a pair of keys for the profile; half a pair is an error. */
static struct error *find_keys(const struct profile_section *p, enum profile_file file, bool *ret)
{
        bool has_id = !str_is_empty(profile_text_in(p, file, "aws_access_key_id"));
        bool has_secret = !str_is_empty(profile_text_in(p, file, "aws_secret_access_key"));

        if (has_id != has_secret)
                return error_hint(plan_error("profile '%s' has %s but no %s in the %s file", profile_name(p),
                                             has_id ? "aws_access_key_id" : "aws_secret_access_key",
                                             has_id ? "aws_secret_access_key" : "aws_access_key_id",
                                             file == PROFILE_FILE_CREDENTIALS ? "credentials" : "config"),
                                  "put both into the same file");
        *ret = has_id;
        return NULL;
}

static bool has_any_key(const struct profile_section *p)
{
        return has(p, "aws_access_key_id") || has(p, "aws_secret_access_key");
}

/* The source of a profile's own credentials, before any role is assumed; the order is botocore's. */
static struct error *find_base(const struct profile_section *p, struct profile_plan *plan)
{
        bool found;

        plan->section = p;
        if (has(p, "web_identity_token_file")) {
                if (!has(p, "role_arn"))
                        return plan_error("profile '%s' has web_identity_token_file but no role_arn", profile_name(p));
                plan->base = PROFILE_BASE_WEB_IDENTITY;
                return NULL;
        }
        if (has(p, "sso_session") || has(p, "sso_account_id") || has(p, "sso_role_name") || has(p, "sso_start_url"))
                return error_hint(plan_error("profile '%s' uses SSO, which needs a user to log in", profile_name(p)),
                                  "give the host a role (an EC2 instance profile, an ECS or EKS role) or another profile");
        TRY(find_keys(p, PROFILE_FILE_CREDENTIALS, &found));
        if (found) {
                plan->base = PROFILE_BASE_KEYS;
                plan->keys_from = PROFILE_FILE_CREDENTIALS;
                return NULL;
        }
        if (has(p, "login_session"))
                return error_hint(plan_error("profile '%s' uses `aws login`, which needs a user to log in",
                                             profile_name(p)),
                                  "give the host a role (an EC2 instance profile, an ECS or EKS role) or another profile");
        if (has(p, "credential_process")) {
                plan->base = PROFILE_BASE_PROCESS;
                return NULL;
        }
        TRY(find_keys(p, PROFILE_FILE_CONFIG, &found));
        if (found) {
                plan->base = PROFILE_BASE_KEYS;
                plan->keys_from = PROFILE_FILE_CONFIG;
        }
        return NULL;
}

static struct error *find_credential_source(const struct profile_section *p, struct profile_plan *plan)
{
        static const struct {
                const char *name;
                enum profile_base base;
        } sources[] = {
                { "Environment", PROFILE_BASE_ENVIRONMENT },
                { "Ec2InstanceMetadata", PROFILE_BASE_INSTANCE },
                { "EcsContainer", PROFILE_BASE_CONTAINER },
        };
        struct str wanted = profile_text(p, "credential_source");

        for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
                if (str_equal_nocase(wanted, str_of(sources[i].name))) {
                        plan->base = sources[i].base;
                        plan->section = p;
                        return NULL;
                }
        }
        AUTO_MEM char *shown = escaped(wanted);
        return error_hint(plan_error("profile '%s' has the credential_source '%s', which does not exist",
                                     profile_name(p), shown),
                          "it is one of Environment, Ec2InstanceMetadata, EcsContainer");
}

/* Adds the role of a profile with role_arn. *ret_source: the profile of its source credentials; NULL: another source was set. */
static struct error *take_role(const struct profile_set *s, const struct profile_section *p, struct profile_plan *plan,
                               const struct profile_section **ret_source)
{
        bool has_source = has(p, "source_profile"), has_named = has(p, "credential_source");

        if (has(p, "mfa_serial"))
                return error_hint(plan_error("profile '%s' has mfa_serial, which needs a user with a code",
                                             profile_name(p)),
                                  "give the host a role that needs no MFA");
        if (has_source && has_named)
                return plan_error("profile '%s' has both source_profile and credential_source", profile_name(p));
        if (!has_source && !has_named)
                return plan_error("profile '%s' has role_arn but neither source_profile nor credential_source",
                                  profile_name(p));
        if (plan->role_count == PROFILE_ROLES_MAX)
                return plan_error("profile '%s' is the end of a chain of more than %d roles", profile_name(p),
                                  PROFILE_ROLES_MAX);
        plan->roles[plan->role_count++] = p;
        if (has_named)
                return find_credential_source(p, plan);

        struct str source_name = profile_text(p, "source_profile");
        const struct profile_section *source = profile_set_find(s, PROFILE_KIND_PROFILE, source_name);
        if (source == NULL) {
                AUTO_MEM char *shown = escaped(source_name);
                return plan_error("profile '%s' has the source_profile '%s', which does not exist", profile_name(p), shown);
        }
        *ret_source = source;
        return NULL;
}

/* A profile may be its own source if it has keys; any other repetition is a loop. */
static struct error *check_loop(const struct profile_plan *plan, const struct profile_section *from,
                                const struct profile_section *source)
{
        for (size_t i = 0; i < plan->role_count; i++)
                if (plan->roles[i] == source && (source != from || !has_any_key(source)))
                        return plan_error("profile '%s' has the source_profile '%s', which leads back to it",
                                          profile_name(from), profile_name(source));
        return NULL;
}

static void reverse_roles(struct profile_plan *plan)
{
        for (size_t i = 0; i < plan->role_count / 2; i++) {
                const struct profile_section *kept = plan->roles[i];

                plan->roles[i] = plan->roles[plan->role_count - 1 - i];
                plan->roles[plan->role_count - 1 - i] = kept;
        }
}

struct error *profile_plan_make(const struct profile_set *s, struct str name, struct profile_plan *ret)
{
        const struct profile_section *p = profile_set_find(s, PROFILE_KIND_PROFILE, name);
        struct profile_plan plan = { .base = PROFILE_BASE_NONE, .section = p };

        if (p == NULL) {
                *ret = plan;
                return NULL;
        }
        while (has(p, "role_arn") && !has(p, "web_identity_token_file") &&
               !(plan.role_count > 0 && has_any_key(p))) { /* a source profile with keys of its own ends the chain */
                const struct profile_section *source = NULL;

                TRY(take_role(s, p, &plan, &source));
                if (source == NULL)
                        break;
                TRY(check_loop(&plan, p, source));
                p = source;
        }
        if (plan.base == PROFILE_BASE_NONE) {
                TRY(find_base(p, &plan));
                if (plan.base == PROFILE_BASE_NONE && plan.role_count > 0)
                        return plan_error("profile '%s' has the source_profile '%s', which holds no credentials",
                                          profile_name(plan.roles[plan.role_count - 1]), profile_name(p));
        }
        reverse_roles(&plan);
        *ret = plan;
        return NULL;
}
