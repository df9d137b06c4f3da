/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/profile_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"

#define ROLE(x) "role_arn = arn:aws:iam::123456789012:role/" x "\n"
#define KEYS(x) "aws_access_key_id = " x "\naws_secret_access_key = secret\n"

struct plan_case {
        const char *name;
        const char *config, *credentials;
        enum profile_base base;
        const char *section; /* the section of the base profile */
        const char *roles;   /* names of profiles, in order of assuming, with blanks between */
        const char *error;
};

/* The role chains that AWS's SDKs share as test cases, restated, and botocore's order within a profile. */
static void follows_profiles_as_the_sdks_do(void **state)
{
        static const struct plan_case cases[] = {
                { "keys", "[profile A]\n" KEYS("a"), "", PROFILE_BASE_KEYS, "A", "", NULL },
                { "a role over keys", "[profile A]\n" ROLE("a") "source_profile = B\n[profile B]\n" KEYS("b"), "",
                  PROFILE_BASE_KEYS, "B", "A", NULL },
                { "own keys are ignored when there is a source",
                  "[profile A]\n" KEYS("a") ROLE("a") "source_profile = B\n[profile B]\n" KEYS("b"), "",
                  PROFILE_BASE_KEYS, "B", "A", NULL },
                { "its own source, with keys", "[profile A]\n" KEYS("a") ROLE("a") "source_profile = A\n", "",
                  PROFILE_BASE_KEYS, "A", "A", NULL },
                { "its own source, without keys", "[profile A]\n" ROLE("a") "source_profile = A\n", "", 0, NULL, NULL,
                  "leads back" },
                { "credential_source", "[profile A]\n" ROLE("a") "credential_source = Ec2InstanceMetadata\n", "",
                  PROFILE_BASE_INSTANCE, "A", "A", NULL },
                { "credential_source in other case", "[profile A]\n" ROLE("a") "credential_source = ecscontainer\n", "",
                  PROFILE_BASE_CONTAINER, "A", "A", NULL },
                { "credential_source of the environment", "[profile A]\n" ROLE("a") "credential_source = Environment\n",
                  "", PROFILE_BASE_ENVIRONMENT, "A", "A", NULL },
                { "an unknown credential_source", "[profile A]\n" ROLE("a") "credential_source = Moon\n", "", 0, NULL,
                  NULL, "does not exist" },
                { "a role without a source", "[profile A]\n" ROLE("a"), "", 0, NULL, NULL, "neither" },
                { "a role with two sources",
                  "[profile A]\n" ROLE("a") "credential_source = Environment\nsource_profile = B\n[profile B]\n"
                  KEYS("b"), "", 0, NULL, NULL, "both source_profile and credential_source" },
                { "a source without a secret",
                  "[profile A]\n" ROLE("a") "source_profile = B\n[profile B]\naws_access_key_id = b\n", "", 0, NULL,
                  NULL, "no aws_secret_access_key" },
                { "a source without a key ID",
                  "[profile A]\n" ROLE("a") "source_profile = B\n[profile B]\naws_secret_access_key = b\n", "", 0, NULL,
                  NULL, "no aws_access_key_id" },
                { "an empty source", "[profile A]\n" ROLE("a") "source_profile = B\n[profile B]\n", "", 0, NULL, NULL,
                  "holds no credentials" },
                { "a missing source", "[profile A]\n" ROLE("a") "source_profile = B\n", "", 0, NULL, NULL,
                  "'B', which does not exist" },
                { "no such profile", "", "", PROFILE_BASE_NONE, NULL, "", NULL },
                { "settings only", "[profile A]\nregion = us-west-2\n", "", PROFILE_BASE_NONE, "A", "", NULL },
                { "three in a row",
                  "[profile A]\n" ROLE("a") "source_profile = B\n[profile B]\n" ROLE("b") "source_profile = C\n"
                  "[profile C]\n" KEYS("c"), "", PROFILE_BASE_KEYS, "C", "B A", NULL },
                { "keys in the middle stop the chain",
                  "[profile A]\n" ROLE("a") KEYS("a") "source_profile = B\n[profile B]\n" ROLE("b") KEYS("b")
                  "source_profile = C\n[profile C]\n" KEYS("c"), "", PROFILE_BASE_KEYS, "B", "A", NULL },
                { "a loop of two",
                  "[profile A]\n" ROLE("a") "source_profile = B\n[profile B]\n" ROLE("b") "source_profile = A\n", "", 0,
                  NULL, NULL, "leads back" },
                { "a loop of two with keys",
                  "[profile A]\n" ROLE("a") KEYS("a") "source_profile = B\n[profile B]\n" ROLE("b")
                  "source_profile = A\n", "", 0, NULL, NULL, "leads back" },
                { "web identity", "[profile A]\n" ROLE("a") "web_identity_token_file = /token\n", "",
                  PROFILE_BASE_WEB_IDENTITY, "A", "", NULL },
                { "web identity without a role", "[profile A]\nweb_identity_token_file = /token\n", "", 0, NULL, NULL,
                  "no role_arn" },
                { "web identity as a source",
                  "[profile A]\n" ROLE("a") "source_profile = B\n[profile B]\n" ROLE("b")
                  "web_identity_token_file = /token\n", "", PROFILE_BASE_WEB_IDENTITY, "B", "A", NULL },
                { "a process as a source",
                  "[profile A]\n" ROLE("a") "source_profile = B\n[profile B]\ncredential_process = x\n", "",
                  PROFILE_BASE_PROCESS, "B", "A", NULL },
                { "keys of the credentials file before a process", "[profile A]\ncredential_process = x\n",
                  "[A]\n" KEYS("a"), PROFILE_BASE_KEYS, "A", "", NULL },
                { "a process before keys of the config file", "[profile A]\ncredential_process = x\n" KEYS("a"), "",
                  PROFILE_BASE_PROCESS, "A", "", NULL },
                { "half a pair in each file", "[profile A]\naws_secret_access_key = x\n",
                  "[A]\naws_access_key_id = x\n", 0, NULL, NULL, "in the credentials file" },
                { "SSO", "[profile A]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n", "", 0, NULL, NULL,
                  "uses SSO" },
                { "login", "[profile A]\nlogin_session = x\n", "", 0, NULL, NULL, "aws login" },
                { "MFA", "[profile A]\n" ROLE("a") "source_profile = B\nmfa_serial = x\n[profile B]\n" KEYS("b"), "", 0,
                  NULL, NULL, "mfa_serial" },
                { "empty values count as absent", "[profile A]\nrole_arn =\naws_access_key_id =\n", "",
                  PROFILE_BASE_NONE, "A", "", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const struct plan_case *c = &cases[i];
                AUTO(profile_set) s = { 0 };
                struct profile_plan plan = { 0 };

                print_message("%s\n", c->name);
                assert_null(profile_set_add(&s, PROFILE_FILE_CONFIG, "config", str_of(c->config)));
                assert_null(profile_set_add(&s, PROFILE_FILE_CREDENTIALS, "credentials", str_of(c->credentials)));
                AUTO_PTR(error) err = profile_plan_make(&s, STR("A"), &plan);
                assert_int_equal(err == NULL, c->error == NULL);
                if (err != NULL) {
                        assert_int_equal(err->code, ERROR_FAILED_PRECONDITION);
                        assert_non_null(strstr(err->what, c->error));
                        continue;
                }
                assert_int_equal(plan.base, c->base);
                assert_int_equal(plan.section == NULL, c->section == NULL);
                if (plan.section != NULL)
                        assert_string_equal(profile_name(plan.section), c->section);
                struct str roles = str_of(c->roles);
                for (size_t k = 0; k < plan.role_count; k++)
                        assert_true(str_equal(str_split(&roles, ' '), str_of(profile_name(plan.roles[k]))));
                assert_true(str_is_empty(roles));
        }
}

static void ends_a_chain_that_grows_too_long(void **state)
{
        AUTO(profile_set) s = { 0 };
        AUTO(buf) text = BUF_MAX(64 * KiB);
        struct profile_plan plan;

        (void)state;
        buf_put_c(&text, "[profile A]\n" ROLE("a") "source_profile = p0\n");
        for (int i = 0; i < 100; i++)
                buf_printf(&text, "[profile p%d]\n" ROLE("x") "source_profile = p%d\n", i, i + 1);
        assert_null(profile_set_add(&s, PROFILE_FILE_CONFIG, "config", buf_str(&text)));
        AUTO_PTR(error) err = profile_plan_make(&s, STR("A"), &plan);
        assert_non_null(strstr(err->what, "chain"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(follows_profiles_as_the_sdks_do),
                cmocka_unit_test(ends_a_chain_that_grows_too_long),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
