/* SPDX-License-Identifier: Apache-2.0 */
#include "join/methods/iam_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define WEB_ARN "arn:aws:sts::123456789012:assumed-role/web/i-0123456789abcdef0"

static const struct aws_identity web = {
        .account = STR_INIT("123456789012"),
        .arn = STR_INIT(WEB_ARN),
        .user_id = STR_INIT("AROAEXAMPLE:i-0123456789abcdef0"),
};

struct rule_case {
        const char *name, *account, *arn;
        bool matches;
        const char *because; /* must occur in the explanation */
};

static const struct rule_case cases[] = {
        { "the account alone", "123456789012", "", true, "the rule has no ARN" },
        { "another account", "210987654321", "", false, "aws_account is '210987654321'" },
        { "account and exact ARN", "123456789012", WEB_ARN, true, "account and ARN match" },
        { "account and wildcard", "123456789012", "arn:aws:sts::123456789012:assumed-role/web/*", true, "match" },
        { "another role", "123456789012", "arn:aws:sts::123456789012:assumed-role/db/*", false, "aws_arn is" },
        { "ARN of the role instead of the session", "123456789012", "arn:aws:iam::123456789012:role/web", false, "aws_arn is" },
        { "right ARN under a wrong account", "210987654321", WEB_ARN, false, "aws_account" },
        { "ARN alone with a literal account", "", "arn:aws:sts::123456789012:assumed-role/web/*", true, "match" },
        { "ARN alone with any account", "", "arn:aws:sts::*:assumed-role/web/*", false, "names no account" },
        { "nothing at all", "", "", false, "names no account" },
        { "a star for an account", "*", "", false, "names no account" },
        { "an account that lost its zero", "12345678901", "", false, "names no account" },
        { "wrong case in the ARN", "123456789012", "ARN:aws:sts::123456789012:assumed-role/web/*", false, "aws_arn is" },
};

static void decides_and_explains_each_rule(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                Cteleport__V1__TokenRule rule = CTELEPORT__V1__TOKEN_RULE__INIT;
                AUTO(buf) why = BUF_MAX(4 * KiB);

                rule.aws_account = (char *)cases[i].account;
                rule.aws_arn = (char *)cases[i].arn;
                if (iam_rule_matches(&rule, &web, &why) != cases[i].matches)
                        fail_msg("%s: decided wrongly", cases[i].name);
                if (!str_contains(buf_str(&why), str_of(cases[i].because)))
                        fail_msg("%s: explained as '%s'", cases[i].name, buf_c(&why));
        }
}

static void never_combines_two_rules(void **state)
{
        Cteleport__V1__TokenRule account_only_other = CTELEPORT__V1__TOKEN_RULE__INIT;
        Cteleport__V1__TokenRule wrong_arn = CTELEPORT__V1__TOKEN_RULE__INIT;
        Cteleport__V1__TokenRule *rules[] = { &account_only_other, &wrong_arn };
        Cteleport__V1__TokenSpec spec = CTELEPORT__V1__TOKEN_SPEC__INIT;

        (void)state;
        account_only_other.aws_account = (char *)"210987654321";
        account_only_other.aws_arn = (char *)WEB_ARN;
        wrong_arn.aws_account = (char *)"123456789012";
        wrong_arn.aws_arn = (char *)"arn:aws:sts::123456789012:assumed-role/db/*";
        spec.allow = rules;
        spec.n_allow = 2;
        assert_int_equal(iam_rules_find(&spec, &web), -1);
        wrong_arn.aws_arn = (char *)"*";
        assert_int_equal(iam_rules_find(&spec, &web), 1);
}

static void admits_no_host_without_rules(void **state)
{
        Cteleport__V1__TokenSpec spec = CTELEPORT__V1__TOKEN_SPEC__INIT;

        (void)state;
        assert_int_equal(iam_rules_find(&spec, &web), -1);
}

static void admits_no_host_by_fields_of_another_method(void **state)
{
        Cteleport__V1__TokenRule rule = CTELEPORT__V1__TOKEN_RULE__INIT;
        char *regions[] = { (char *)"us-east-1" };

        (void)state;
        rule.aws_account = (char *)"123456789012";
        rule.aws_regions = regions;
        rule.n_aws_regions = 1;
        assert_false(iam_rule_matches(&rule, &web, NULL));
}

/* A stored rule with an empty ARN is not a rule without an ARN. */
static void admits_no_host_by_a_field_without_value(void **state)
{
        Cteleport__V1__TokenRule rule = CTELEPORT__V1__TOKEN_RULE__INIT;

        (void)state;
        rule.aws_account = (char *)"123456789012";
        rule.has_aws_account_case = CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ACCOUNT_AWS_ACCOUNT;
        assert_true(iam_rule_matches(&rule, &web, NULL));
        rule.aws_arn = (char *)"";
        rule.has_aws_arn_case = CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ARN_AWS_ARN;
        assert_false(iam_rule_matches(&rule, &web, NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(decides_and_explains_each_rule),
                cmocka_unit_test(never_combines_two_rules),
                cmocka_unit_test(admits_no_host_without_rules),
                cmocka_unit_test(admits_no_host_by_fields_of_another_method),
                cmocka_unit_test(admits_no_host_by_a_field_without_value),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
