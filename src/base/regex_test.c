/* SPDX-License-Identifier: Apache-2.0 */
#include "base/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/compiler.h"

static const struct {
        const char *pattern, *matching, *other; /* texts with a blank between */
} rows[] = {
        { "abc", "abc", "ab abcd xabc ABC" },
        { "a.c", "abc a.c axc", "ac abbc" },
        { "a*", "a aaaa", "b ab" },
        { "a+b?", "a aab", "b abb" },
        { "web-[0-9]+", "web-1 web-42", "web- web-x web-1x" },
        { "[^a-c]x", "dx -x", "ax x" },
        { "[]a]b", "]b ab", "b" },
        { "[a-]", "a -", "b" },
        { "[\\]\\-\\d]+", "]-9", "a" },
        { "(prod|staging)-(eu|us)", "prod-eu staging-us", "prod prod-ap -eu" },
        { "a|b|cd", "a b cd", "c ab acd" },
        { "(?:ab){2}", "abab", "ab ababab" },
        { "a{2,3}", "aa aaa", "a aaaa" },
        { "a{2,}", "aa aaaaaa", "a" },
        { "x(a{0})y", "xy", "xay" },
        { "(a*)*b", "b aab", "a" },
        { "(a|b*)*?c", "c abc", "d" },
        { "\\d\\w\\D", "1a- 1_x", "a1- 1-- 1a1" },
        { "a\\.b\\\\", "a.b\\", "axb\\" },
        { "((a{2}){2}){2}", "aaaaaaaa", "aaaaaaa" },
        { "[ab]{3}[cd]{2}", "abacd", "abac" },
};

static void check(const struct regex *re, const char *texts, bool expected, const char *pattern)
{
        struct str rest = str_of(texts);

        while (!str_is_empty(rest)) {
                struct str text = str_split(&rest, ' ');

                if (regex_match(re, text) != expected)
                        fail_msg("'%s' and '%.*s'", pattern, STR_ARG(text));
        }
}

static void matches_exactly_the_texts_of_the_pattern(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct regex re;

                assert_null(regex_compile(str_of(rows[i].pattern), &re));
                check(&re, rows[i].matching, true, rows[i].pattern);
                check(&re, rows[i].other, false, rows[i].pattern);
        }
}

static void matches_the_empty_text(void **state)
{
        (void)state;
        static const char *const patterns[] = { "", "a*", "(|a)", "()", "(){5}", "a{0,3}" };

        for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
                struct regex re;

                assert_null(regex_compile(str_of(patterns[i]), &re));
                assert_true(regex_match(&re, STR("")));
        }
}

static void refuses_unsupported_syntax(void **state)
{
        (void)state;
        static const char *const patterns[] = {
                "*a",       "a**",     "(",        ")",          "(a",        "[a",         "[",       "[^",
                "[z-a]",    "a{",      "a{x}",     "a{3,2}",     "a{256}",    "a{1,999999999999}", "(?i)a", "(?P<n>a)",
                "a\\",      "\\b",     "\\1",      "[[:alpha:]]", "a^b",      "a$",         "[a-\\d]", "{2}",
                "(((((((((((((((((a)))))))))))))))))", "(((a{100}){100}){100})", "((((){255}){255}){255}){255}",
        };

        for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
                struct regex re;
                AUTO_PTR(error) err = regex_compile(str_of(patterns[i]), &re);

                if (err == NULL)
                        fail_msg("'%s' was taken", patterns[i]);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
        }
}

static void is_fast_for_patterns_with_exponential_backtracking(void **state)
{
        (void)state;
        AUTO(buf) text = BUF_MAX(64 * KiB);
        struct regex re;

        for (int i = 0; i < 20000; i++)
                buf_put_char(&text, 'a');
        assert_null(regex_compile(STR("(a*)*(a|aa)+(a?){100}b"), &re));
        assert_false(regex_match(&re, buf_str(&text)));
        buf_put_char(&text, 'b');
        assert_true(regex_match(&re, buf_str(&text)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(matches_exactly_the_texts_of_the_pattern),
                cmocka_unit_test(matches_the_empty_text),
                cmocka_unit_test(refuses_unsupported_syntax),
                cmocka_unit_test(is_fast_for_patterns_with_exponential_backtracking),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
