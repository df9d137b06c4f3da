/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/error_testing.h"
#include "client/predicate.h"

static const struct predicate_label labels[] = {
        { STR_INIT("env"), STR_INIT("prod") },
        { STR_INIT("team"), STR_INIT("Data \"base\"") },
        { STR_INIT("empty"), STR_INIT("") },
};

static const struct predicate_subject web = {
        .name = STR_INIT("web-1"), .id = STR_INIT("12345678-1234-4234-8234-123456789abc"), .addr = STR_INIT("10.0.0.1:3022"),
        .labels = labels, .label_count = ARRAY_LEN(labels),
};

static const struct {
        const char *query;
        bool matches;
} answers[] = {
        { "name == \"web-1\"", true },
        { "name=='web-1'", true },
        { "`web-1` == name", true },
        { "name != \"web-1\"", false },
        { "resource.metadata.name == '12345678-1234-4234-8234-123456789abc'", true },
        { "resource.spec.hostname == 'web-1' && resource.spec.addr == '10.0.0.1:3022'", true },
        { "labels[\"env\"] == \"prod\"", true },
        { "labels.env == \"prod\"", true },
        { "resource.metadata.labels['env'] == 'prod'", true },
        { "labels[\"team\"] == \"Data \\\"base\\\"\"", true },
        { "labels['nothing'] == ''", true },
        { "labels['nothing'] != 'prod'", true },
        { "exists(labels['empty'])", true },
        { "exists(labels['nothing'])", false },
        { "equals(name, 'web-1')", true },
        { "hasPrefix(name, 'web-')", true },
        { "hasPrefix(name, 'web-11')", false },
        { "search('WEB', 'prod')", true },
        { "search('web', 'staging')", false },
        { "!search('web')", false },
        { "!!search('web')", true },
        /* && binds closer than || */
        { "name == 'web-1' || name == 'x' && name == 'y'", true },
        { "(name == 'web-1' || name == 'x') && name == 'y'", false },
        { "name == 'y' && name == 'x' || name == 'web-1'", true },
        { "!(name == 'x') && !(name == 'y' || name == 'z')", true },
        { "!name == 'x'", true },
        { "((((name == 'web-1'))))", true },
};

static void answers_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
                AUTO_PTR(arena) a = arena_new(64 * KiB);
                const struct predicate *p = NULL;
                struct error *err = predicate_compile(a, str_of(answers[i].query), "nodes", &p);

                if (err != NULL)
                        fail_msg("%s: %s", answers[i].query, err->what);
                if (predicate_matches(p, &web) != answers[i].matches)
                        fail_msg("%s is answered wrongly", answers[i].query);
        }
}

static const char *const senseless[] = {
        "", " ", "name", "name ==", "== 'x'", "name = 'x'", "name == x", "name == 'x", "name == 'x' &&", "&& name == 'x'",
        "name == 'x' name == 'y'", "name == 'x' & name == 'y'", "(name == 'x'", "name == 'x')", "()", "!", "!(", "labels == 'x'",
        "labels[env] == 'x'", "labels['env' == 'x'", "labels. == 'x'", "labelsx['env'] == 'x'", "search()", "search('a' 'b')",
        "equals(name)", "equals(name, 'a', 'b')", "exists(name)", "exists('env')", "system('x')", "name == 'x' || ()",
        "search('a','b','c','d','e','f','g','h','i')", "name == 'x' \\", "1 == 1",
};

static void refuses_invalid_expressions_and_names_the_column(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(senseless); i++) {
                AUTO_PTR(arena) a = arena_new(64 * KiB);
                const struct predicate *p = NULL;
                AUTO_PTR(error) err = predicate_compile(a, str_of(senseless[i]), "nodes", &p);

                if (err == NULL)
                        fail_msg("'%s' is accepted", senseless[i]);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_non_null(strstr(err->what, "at character"));
        }
}

static void a_mistake_names_the_listed_objects(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        const struct predicate *p = NULL;
        AUTO_PTR(error) err = predicate_compile(a, STR("hostname == 'wiki'"), "applications", &p);

        (void)state;
        assert_non_null(err);
        assert_non_null(strstr(err->what, "nor an attribute of applications"));
}

static void names_the_missing_bracket(void **state)
{
        static const struct {
                const char *query, *why;
        } rows[] = {
                { "hasPrefix(name, 'a'", "at character 20: a ')' is missing" },
                { "hasPrefix(name, 'a' && name == 'b'", "at character 21: a ')' is missing" },
                { "hasPrefix(name, 'a', 'b')", "at character 20: there are too many arguments" },
                { "hasPrefix(name 'a')", "a ',' or ')' is missing" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) a = arena_new(64 * KiB);
                const struct predicate *p = NULL;
                AUTO_PTR(error) err = predicate_compile(a, str_of(rows[i].query), "nodes", &p);

                assert_non_null(err);
                if (strstr(err->what, rows[i].why) == NULL)
                        fail_msg("%s: %s", rows[i].query, err->what);
        }
}

static struct error *compile_nested(const char *open, const char *close, size_t times)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        AUTO(buf) query = BUF_MAX(64 * KiB);
        const struct predicate *p = NULL;

        for (size_t i = 0; i < times; i++)
                buf_put_c(&query, open);
        buf_put_c(&query, "name == 'web-1'");
        for (size_t i = 0; i < times; i++)
                buf_put_c(&query, close);
        return predicate_compile(a, buf_str(&query), "nodes", &p);
}

static void bounds_nesting_tests_and_length(void **state)
{
        (void)state;
        assert_null(compile_nested("(", ")", PREDICATE_NESTING_MAX - 1));
        assert_null(compile_nested("!", "", PREDICATE_NESTING_MAX - 1));
        assert_null(compile_nested("", " && name != ''", PREDICATE_TESTS_MAX - 1));
        const struct {
                const char *open, *close;
                size_t times;
        } too_much[] = {
                { "(", ")", PREDICATE_NESTING_MAX + 1 },
                { "!", "", PREDICATE_NESTING_MAX + 1 },
                { "", " && name != ''", PREDICATE_TESTS_MAX },
                { " ", " ", PREDICATE_TEXT_MAX },
                { "!!!!!!!!name == 'x' && ", "", PREDICATE_TESTS_MAX - 1 },
        };
        for (size_t i = 0; i < ARRAY_LEN(too_much); i++)
                assert_code(compile_nested(too_much[i].open, too_much[i].close, too_much[i].times), ERROR_INVALID_ARGUMENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_as_the_table_says),
                cmocka_unit_test(refuses_invalid_expressions_and_names_the_column),
                cmocka_unit_test(names_the_missing_bracket),
                cmocka_unit_test(a_mistake_names_the_listed_objects),
                cmocka_unit_test(bounds_nesting_tests_and_length),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
