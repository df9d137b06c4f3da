/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"

struct pattern_case {
        const char *pattern, *text;
        bool matches;
};

static const struct pattern_case cases[] = {
        { "", "", true },
        { "", "a", false },
        { "*", "", true },
        { "*", "anything at all", true },
        { "?", "", false },
        { "?", "a", true },
        { "?", "ab", false },
        { "a*c", "ac", true },
        { "a*c", "abbbc", true },
        { "a*c", "abbbcd", false },
        { "a?c", "abc", true },
        { "a?c", "ac", false },
        { "*a*b*", "xxaxxbxx", true },
        { "*a*b*", "xxbxxaxx", false },
        { "**", "", true },
        { "*?", "", false },
        { "*?", "a", true },
        { "?*", "abc", true },
        { "abc", "ABC", false },
        { "[ab]", "a", false },
        { "[ab]", "[ab]", true },
        { "\\*", "\\xyz", true },
        { "\\*", "*", false },
        { "a.c", "abc", false },
        { "arn:aws:sts::123456789012:assumed-role/web/*", "arn:aws:sts::123456789012:assumed-role/web/i-0abc", true },
        { "arn:aws:sts::123456789012:assumed-role/web/*", "arn:aws:sts::123456789012:assumed-role/web", false },
        { "arn:aws:sts::123456789012:assumed-role/web/*", "arn:aws:sts::123456789012:assumed-role/web-admin/x", false },
        { "arn:aws:sts::123456789012:assumed-role/web-*", "arn:aws:sts::123456789012:assumed-role/web-a/any/thing", true },
        { "arn:aws:sts::*:assumed-role/web/i-*", "arn:aws:sts::123456789012:assumed-role/web/i-0abc", true },
        { "arn:aws:sts::123456789012:assumed-role/web/*", "xarn:aws:sts::123456789012:assumed-role/web/i", false },
        { "arn:aws:sts::123456789012:assumed-role/web/i-????", "arn:aws:sts::123456789012:assumed-role/web/i-0abc", true },
};

static void matches_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                bool got = pattern_match(str_of(cases[i].pattern), str_of(cases[i].text));

                if (got != cases[i].matches)
                        fail_msg("'%s' against '%s'", cases[i].pattern, cases[i].text);
        }
}

static void takes_a_question_mark_for_itself_where_stars_are_all(void **state)
{
        (void)state;
        assert_true(pattern_match_stars(STR("web?"), STR("web?")));
        assert_false(pattern_match_stars(STR("web?"), STR("web1")));
        assert_true(pattern_match_stars(STR("*?*"), STR("is it so? yes")));
        assert_false(pattern_match_stars(STR("*?*"), STR("it is so")));
        assert_true(pattern_match_stars(STR("web-*"), STR("web-1")));
}

static void sees_an_inner_nul_as_an_ordinary_byte(void **state)
{
        (void)state;
        assert_false(pattern_match(STR("abc"), STR("abc\0def")));
        assert_true(pattern_match(STR("abc*"), STR("abc\0def")));
}

static void answers_soon_for_patterns_with_exponential_backtracking(void **state)
{
        enum { LENGTH = 2048 };
        char pattern[LENGTH], text[LENGTH];

        (void)state;
        for (size_t i = 0; i < LENGTH; i++) {
                pattern[i] = i % 2 == 0 ? '*' : 'a';
                text[i] = 'a';
        }
        pattern[LENGTH - 1] = 'b';
        assert_false(pattern_match(str_of_bytes(pattern, LENGTH), str_of_bytes(text, LENGTH)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(matches_as_the_table_says),
                cmocka_unit_test(takes_a_question_mark_for_itself_where_stars_are_all),
                cmocka_unit_test(sees_an_inner_nul_as_an_ordinary_byte),
                cmocka_unit_test(answers_soon_for_patterns_with_exponential_backtracking),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
