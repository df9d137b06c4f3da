/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "join/token_check.h"
#include "schema/schema.h"

enum { ARENA_CAP = 4 * MiB };

static Cteleport__V1__Token *token_of(struct arena *a, const char *yaml)
{
        ProtobufCMessage *msg = NULL;
        struct error *err = schema_load_yaml(a, "token.yaml", str_of(yaml), &cteleport__v1__token__descriptor, &msg);

        if (err != NULL)
                error_print(err);
        assert_null(err);
        return (Cteleport__V1__Token *)msg;
}

#define IAM "kind: token\nversion: v2\nmetadata: {name: t}\nspec: {roles: [Node], join_method: iam, allow: "

static void accepts_the_token_of_the_guide_and_makes_it_canonical(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        struct token_warnings warnings = { 0 };
        Cteleport__V1__Token *t = token_of(a, "kind: token\nversion: v2\nmetadata: {name: iam-token}\n"
                                              "spec:\n  roles: [Node, App, Kube, DB, windows_desktop]\n"
                                              "  join_method: iam\n  allow:\n"
                                              "  - aws_account: \"111111111111\"\n"
                                              "    aws_arn: \"arn:aws:sts::111111111111:assumed-role/teleport-node-role/i-*\"\n");

        assert_null(token_check(t, a, &warnings));
        assert_int_equal(warnings.count, 0);
        assert_string_equal(t->spec->roles[3], "Db");
        assert_string_equal(t->spec->roles[4], "WindowsDesktop");
        assert_null(token_check(t, a, &warnings)); /* canonical form is accepted again */
}

static void takes_the_account_of_a_rule_from_its_arn(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        Cteleport__V1__Token *t = token_of(a, IAM "[{aws_arn: \"arn:aws:sts::012345678901:assumed-role/x/*\"}]}");

        assert_null(token_check(t, a, NULL));
        assert_string_equal(t->spec->allow[0]->aws_account, "012345678901");
}

static void fills_in_kind_version_and_method(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        Cteleport__V1__Token *t = token_of(a, "metadata: {name: abcdefghijklmnopqrst}\nspec: {roles: Proxy}");

        assert_null(token_check(t, a, NULL));
        assert_string_equal(t->kind, "token");
        assert_string_equal(t->version, "v2");
        assert_string_equal(t->spec->join_method, "token");
}

static const struct {
        const char *yaml, *what, *hint;
} refusals[] = {
        { "spec: {roles: [Node]}", "a name is required for a token", "set metadata.name" },
        { "metadata: {name: x}", "the token has no spec", NULL },
        { "kind: role\nmetadata: {name: x}\nspec: {roles: [Node]}", "this is a resource of kind 'role', not a token", NULL },
        { "version: v3\nmetadata: {name: x}\nspec: {roles: [Node]}", "version 'v3' of tokens is not supported",
          "write version: v2" },
        { "sub_kind: x\nmetadata: {name: x}\nspec: {roles: [Node]}", "a token has no sub_kind", NULL },
        { "metadata: {name: x}\nspec: {}", "the token is missing roles", NULL },
        { "metadata: {name: x}\nspec: {roles: [Nod]}", "invalid role \"Nod\"", "did you mean Node" },
        { "metadata: {name: x}\nspec: {roles: \"Node,App\"}", "invalid role \"Node,App\"",
          "write the roles as a list: roles: [Node, App]" },
        { "metadata: {name: x}\nspec: {roles: [Node, Db, node]}", "duplicate role Node", NULL },
        { "metadata: {name: x}\nspec: {roles: [Instance]}", "role Instance is not written in a token", NULL },
        { "metadata: {name: x}\nspec: {roles: [Auth]}", "a token cannot give role Auth in this release", NULL },
        { "metadata: {name: x}\nspec: {roles: [Admin]}", "a token cannot give role Admin in this release", NULL },
        { "metadata: {name: x}\nspec: {roles: [\"\"]}", "invalid role \"\"", NULL },
        { "metadata: {name: x}\nspec: {roles: [Node], join_method: ec2}",
          "spec.join_method: join method 'ec2' is not supported by this release", NULL },
        { "metadata: {name: x}\nspec: {roles: [Node], join_method: IAM}", "spec.join_method: there is no join method 'IAM'",
          "the supported join methods are iam and token" },
        { "metadata: {name: x}\nspec: {roles: [Node], allow: [{}]}", "the token has allow rules but no spec.join_method",
          "write join_method: iam" },
        { "metadata: {name: x}\nspec: {roles: [Node], join_method: token, allow: [{}]}",
          "join method token has no allow rules", NULL },
        { "metadata: {name: \"se cret\"}\nspec: {roles: [Node]}", "metadata.name is not a valid secret", NULL },
        { "metadata: {name: \"a b\"}\nspec: {roles: [Node], join_method: iam, allow: [{}]}",
          "metadata.name 'a b' is not a valid name", NULL },
        { IAM "[]}", "the \"iam\" join method requires defined token allow rules", NULL },
        { IAM "}", "the \"iam\" join method requires defined token allow rules", NULL },
        { IAM "[{}]}", "spec.allow[1] has no aws_account", NULL },
        { IAM "[{aws_account: \"111111111111\"}, {}]}", "spec.allow[2] has no aws_account", NULL },
        { IAM "[{aws_account: \"12345678901\"}]}", "spec.allow[1].aws_account '12345678901' is not an AWS account number",
          NULL },
        { IAM "[{aws_account: \"*\"}]}", "spec.allow[1].aws_account '*' is not an AWS account number", NULL },
        { IAM "[{aws_account: \"11111111111\\u0661\"}]}",
          "spec.allow[1].aws_account '11111111111\xd9\xa1' is not an AWS account number", NULL },
        { IAM "[{aws_arn: \"arn:aws:sts::*:assumed-role/x/*\"}]}", "spec.allow[1] has no aws_account",
          "add aws_account: \"<twelve digits>\" to the rule" },
        { IAM "[{aws_arn: \"*\"}]}", "spec.allow[1] has no aws_account", NULL },
        { IAM "[{aws_arn: \"arn:aws:sts::11111111111?:assumed-role/x/*\"}]}",
          "spec.allow[1] has no aws_account", NULL },
        { IAM "[{aws_account: \"111111111111\", aws_arn: \"arn:aws:sts::222222222222:assumed-role/x/*\"}]}",
          "spec.allow[1] can never match: aws_account is 111111111111, aws_arn names account 222222222222", NULL },
        { IAM "[{aws_account: \"111111111111\", aws_role: \"arn:aws:iam::111111111111:role/x\"}]}",
          "spec.allow[1].aws_role is not for join method iam", NULL },
        { IAM "[{aws_account: \"111111111111\", aws_regions: [us-west-2]}]}",
          "spec.allow[1].aws_regions is not for join method iam", NULL },
        { IAM "[{aws_account: \"111111111111\", aws_arn: \"arn:aws:sts::111111111111:assumed-role/x y/*\"}]}",
          "spec.allow[1].aws_arn 'arn:aws:sts::111111111111:assumed-role/x y/*' has a character that no ARN has", NULL },
};

static void refuses_with_a_reason(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);

                print_message("  %s\n", refusals[i].what);
                AUTO_PTR(error) err = token_check(token_of(a, refusals[i].yaml), a, NULL);
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_string_equal(err->what, refusals[i].what);
                if (refusals[i].hint != NULL)
                        assert_string_equal(err->hint, refusals[i].hint);
        }
}

/* A field that a template left empty must not admit all hosts; {field} with each spelling of an empty value, YAML and JSON. */
static void refuses_a_rule_with_a_field_left_empty(void **state)
{
        (void)state;
        static const char *const fields[] = { "aws_account", "aws_arn", "aws_role", "aws_regions" };
        static const char *const nothing[] = { "", "~", "null", "Null", "\"\"", "''", "' '", "\"\\t\"", "[]" };

        for (size_t f = 0; f < ARRAY_LEN(fields); f++)
                for (size_t n = 0; n < ARRAY_LEN(nothing); n++) {
                        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                        ProtobufCMessage *msg = NULL;
                        const char *yaml = arena_printf(a, IAM "[{aws_account: \"111111111111\", aws_arn: \"*\"}, {\"%s\": %s}]}", fields[f],
                                                        nothing[n]);
                        AUTO_PTR(error) err = schema_load_yaml(a, "x.yaml", str_of(yaml), &cteleport__v1__token__descriptor, &msg);

                        print_message("  %s\n", yaml);
                        assert_non_null(err);
                        assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                        assert_true(str_contains(str_of(err->what), STR("has no value")));
                }
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        ProtobufCMessage *msg = NULL;
        AUTO_PTR(error) end = schema_load_yaml(a, "x.yaml", STR("metadata: {name: x, expires: }"), &cteleport__v1__token__descriptor, &msg);
        assert_string_equal(end->what, "x.yaml:1:30: metadata.expires has no value");
}

/* The same in a message from the wire. */
static void refuses_a_message_with_an_empty_field(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        Cteleport__V1__Token *t = token_of(a, IAM "[{aws_arn: \"arn:aws:sts::012345678901:assumed-role/x/*\"}]}");
        Cteleport__V1__TokenRule *rule = t->spec->allow[0];

        rule->aws_account = (char *)"";
        rule->has_aws_account_case = CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ACCOUNT_AWS_ACCOUNT;
        AUTO_PTR(error) account = token_check(t, a, NULL);
        assert_string_equal(account->what, "spec.allow[1].aws_account has no value");
        rule->aws_account = (char *)"012345678901";
        rule->aws_role = (char *)"";
        rule->has_aws_role_case = CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ROLE_AWS_ROLE;
        AUTO_PTR(error) role = token_check(t, a, NULL);
        assert_string_equal(role->what, "spec.allow[1].aws_role is not for join method iam");
        rule->has_aws_role_case = CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ROLE__NOT_SET;
        rule->aws_arn = (char *)"";
        AUTO_PTR(error) arn = token_check(t, a, NULL);
        assert_string_equal(arn->what, "spec.allow[1].aws_arn has no value");
        rule->has_aws_arn_case = CTELEPORT__V1__TOKEN_RULE__HAS_AWS_ARN__NOT_SET;
        assert_null(token_check(t, a, NULL));
}

static void holds_its_limits(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        AUTO(buf) yaml = BUF_MAX(256 * KiB);

        buf_put_c(&yaml, IAM "[{aws_account: \"111111111111\", aws_arn: \"");
        for (int i = 0; i < LIMIT_PATTERN + 1; i++)
                buf_put_char(&yaml, '*');
        buf_put_c(&yaml, "\"}]}");
        AUTO_PTR(error) long_pattern = token_check(token_of(a, buf_c(&yaml)), a, NULL);
        assert_string_equal(long_pattern->what, "spec.allow[1].aws_arn is longer than 2048 characters");
        buf_clear(&yaml);
        buf_put_c(&yaml, IAM "[");
        for (int i = 0; i < LIMIT_TOKEN_RULES + 1; i++)
                buf_put_c(&yaml, "{aws_account: \"111111111111\"},");
        buf_put_c(&yaml, "]}");
        AUTO_PTR(error) many_rules = token_check(token_of(a, buf_c(&yaml)), a, NULL);
        assert_string_equal(many_rules->what, "the token has more than 1000 allow rules");
}

static const struct {
        const char *arn, *warning; /* a part of it; NULL: none */
} warnings_of_patterns[] = {
        { "arn:aws:sts::111111111111:assumed-role/node/i-*", NULL },
        { "arn:aws:sts::111111111111:assumed-role/node/*", NULL },
        { "arn:aws:sts::111111111111:assumed-role/node-*", NULL },
        { "arn:aws-us-gov:sts::111111111111:federated-user/x", NULL },
        { "arn:aws:iam::111111111111:user/path/x", NULL },
        { "arn:aws:iam::111111111111:root", NULL },
        { "arn:*:sts::111111111111:assumed-role/x/*", NULL },
        { "*:assumed-role/x/*", NULL },
        { "arn:aws:iam::111111111111:role/path/node",
          "never matches: STS reports who assumed a role, not the role: arn:aws:sts::111111111111:assumed-role/node/*" },
        { "arn:aws:sts::111111111111:assumed-role/node", "never matches: STS reports assumed-role/<role>/<session>: add /*" },
        { "arn:aws:sts:us-east-1:111111111111:assumed-role/node/x", "never matches: the ARNs that STS reports name no region" },
        { "arn:aws:ec2::111111111111:instance/i-1", "never matches: STS reports sts::<account>" },
        { "arn:aws:iam::111111111111:instance-profile/x", "never matches: STS reports sts::<account>" },
        { "arn:amazon:sts::111111111111:assumed-role/node/x", "never matches: ARNs begin with arn:aws:" },
        { "assumed-role/node/x", "never matches: ARNs begin with arn:aws:" },
        { "*", "admits every user and role of AWS account 111111111111" },
        { "arn:aws:sts::111111111111:*", "admits every user and role of AWS account 111111111111" },
        { "arn:aws:sts::111111111111:assumed-role/*", "admits every user and role of AWS account 111111111111" },
};

static void warns_of_rules_that_match_no_host_or_every_host(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(warnings_of_patterns); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                struct token_warnings warnings = { 0 };
                Cteleport__V1__Token *t = token_of(
                        a, arena_printf(a, IAM "[{aws_account: \"111111111111\", aws_arn: \"%s\"}]}", warnings_of_patterns[i].arn));

                print_message("  %s\n", warnings_of_patterns[i].arn);
                assert_null(token_check(t, a, &warnings));
                assert_int_equal(warnings.count, warnings_of_patterns[i].warning != NULL);
                if (warnings.count > 0)
                        assert_true(str_contains(str_of(warnings.texts[0]), str_of(warnings_of_patterns[i].warning)));
        }
}

static void warns_of_short_secrets_without_showing_them(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        struct token_warnings warnings = { 0 };

        assert_null(token_check(token_of(a, "metadata: {name: hunter2}\nspec: {roles: [Node]}"), a, &warnings));
        assert_int_equal(warnings.count, 1);
        assert_false(str_contains(str_of(warnings.texts[0]), STR("hunter2")));
}

static void ends_at_its_moment_even_in_the_year_3000(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        Cteleport__V1__Token *soon = token_of(a, "metadata: {expires: \"2030-01-01T00:00:00.5Z\"}");
        Cteleport__V1__Token *late = token_of(a, "metadata: {expires: \"3000-01-01T00:00:00Z\"}");
        Cteleport__V1__Token *never = token_of(a, "metadata: {name: x}");
        struct walltime end = { 0 };

        assert_null(walltime_parse_rfc3339(STR("2030-01-01T00:00:00.5Z"), &end));
        assert_false(token_is_expired(soon, walltime_sub(end, (struct duration){ 1 })));
        assert_true(token_is_expired(soon, end));
        assert_true(token_expires(soon).ns == end.ns);
        assert_false(token_is_expired(late, (struct walltime){ INT64_MAX }));
        assert_true(token_expires(late).ns == INT64_MAX);
        assert_false(token_is_expired(never, end));
        assert_true(token_expires(never).ns == 0);
}

static void gives_its_roles_and_instance_through_a_local_service(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        Cteleport__V1__Token *t = token_of(a, "spec: {roles: [Node, Db]}");
        Cteleport__V1__Token *stored_badly = token_of(a, "spec: {roles: [Admin, Auth, node]}");
        Cteleport__V1__Token *empty = token_of(a, "{}");

        assert_true(token_gives_role(t, STR("Node")));
        assert_true(token_gives_role(t, STR("Db")));
        assert_true(token_gives_role(t, STR("Instance")));
        assert_false(token_gives_role(t, STR("Proxy")));
        assert_false(token_gives_role(t, STR("node")));
        assert_false(token_gives_role(t, STR("")));
        assert_false(token_gives_role(stored_badly, STR("Admin")));
        assert_false(token_gives_role(stored_badly, STR("Auth")));
        assert_false(token_gives_role(stored_badly, STR("Instance")));
        assert_false(token_gives_role(empty, STR("Node")));
}

static void masks_the_names_of_method_token_only(void **state)
{
        (void)state;
        static const struct {
                const char *yaml, *shown;
        } cases[] = {
                { "metadata: {name: short}\nspec: {join_method: token}", "*****" },
                { "metadata: {name: \"0123456789abcdef\"}\nspec: {}", "************cdef" },
                { "metadata: {name: \"0123456789abcdef\"}", "************cdef" },
                { "metadata: {name: prod-iam}\nspec: {join_method: iam}", "prod-iam" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                AUTO(buf) out = BUF_MAX(1 * KiB);

                token_safe_name(token_of(a, cases[i].yaml), &out);
                assert_string_equal(buf_c(&out), cases[i].shown);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_the_token_of_the_guide_and_makes_it_canonical),
                cmocka_unit_test(takes_the_account_of_a_rule_from_its_arn),
                cmocka_unit_test(fills_in_kind_version_and_method),
                cmocka_unit_test(refuses_with_a_reason),
                cmocka_unit_test(refuses_a_rule_with_a_field_left_empty),
                cmocka_unit_test(refuses_a_message_with_an_empty_field),
                cmocka_unit_test(holds_its_limits),
                cmocka_unit_test(warns_of_rules_that_match_no_host_or_every_host),
                cmocka_unit_test(warns_of_short_secrets_without_showing_them),
                cmocka_unit_test(ends_at_its_moment_even_in_the_year_3000),
                cmocka_unit_test(gives_its_roles_and_instance_through_a_local_service),
                cmocka_unit_test(masks_the_names_of_method_token_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
