/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void plain_text_and_escapes_alternate(void **state)
{
        static const struct {
                struct str in;
                const char *escaped, *json;
        } cases[] = {
                { STR_INIT(""), "", "\"\"" },
                { STR_INIT("plain text, 0-9 ~"), "plain text, 0-9 ~", "\"plain text, 0-9 ~\"" },
                { STR_INIT("a \"quote\" in it"), "a \"quote\" in it", "\"a \\\"quote\\\" in it\"" },
                { STR_INIT("\\one\\"), "\\\\one\\\\", "\"\\\\one\\\\\"" },
                { STR_INIT("two\nlines"), "two\\nlines", "\"two\\nlines\"" },
                { STR_INIT("del\x7f"), "del\\x7f", "\"del\\u007f\"" },
                { STR_INIT("\x1b[2J"), "\\x1b[2J", "\"\\u001b[2J\"" },
                { STR_INIT("caf\xc3\xa9!"), "caf\xc3\xa9!", "\"caf\xc3\xa9!\"" },
                { STR_INIT("bad \xff byte"), "bad \\xff byte", "\"bad \xef\xbf\xbd byte\"" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(buf) escaped = BUF_MAX(KiB), json = BUF_MAX(KiB), both = BUF_MAX(KiB), at_once = BUF_MAX(KiB);

                escape_text(&escaped, cases[i].in, 100);
                json_put_string(&json, cases[i].in);
                assert_string_equal(buf_c(&escaped), cases[i].escaped);
                assert_string_equal(buf_c(&json), cases[i].json);
                for (size_t limit = 0; limit <= cases[i].in.len; limit++) {
                        buf_clear(&escaped);
                        escape_text(&escaped, cases[i].in, limit);
                        json_put_string(&both, buf_str(&escaped));
                        json_put_escaped(&at_once, cases[i].in, limit);
                }
                assert_string_equal(buf_c(&at_once), buf_c(&both));
        }
}

static void numbers_are_written_in_decimal(void **state)
{
        AUTO(buf) out = BUF_MAX(KiB);

        (void)state;
        for (uint64_t number = 0; number < 1000000; number = 10 * number + 9) {
                buf_put_decimal(&out, number);
                buf_put_char(&out, ' ');
                buf_put_decimal(&out, number + 1);
                buf_put_char(&out, ' ');
        }
        buf_put_decimal(&out, UINT64_MAX);
        assert_string_equal(buf_c(&out), "0 1 9 10 99 100 999 1000 9999 10000 99999 100000 999999 1000000 18446744073709551615");
}

static void reserved_room_is_within_the_maximum(void **state)
{
        AUTO(buf) out = BUF_MAX(4);

        (void)state;
        buf_put_c(&out, "ab");
        buf_reserve(&out, SIZE_MAX);
        const char *at = out.ptr;
        buf_put_c(&out, "cd");
        assert_ptr_equal(out.ptr, at);
        assert_string_equal(buf_c(&out), "abcd");
        buf_put_char(&out, 'e');
        assert_true(out.overflowed);
}

static void escaped_text_ends_at_its_limit(void **state)
{
        AUTO(buf) out = BUF_MAX(KiB);

        (void)state;
        escape_text(&out, STR("abcd"), 4);
        assert_string_equal(buf_c(&out), "abcd");
        buf_clear(&out);
        escape_text(&out, STR("abcde"), 4);
        assert_string_equal(buf_c(&out), "abcd...");
        buf_clear(&out);
        escape_text(&out, STR("ab\ncde"), 4);
        assert_string_equal(buf_c(&out), "ab\\n...");
}

static void hex_goes_both_ways(void **state)
{
        AUTO(buf) hex = BUF_MAX(KiB), bytes = BUF_MAX(KiB), small = BUF_MAX(3);

        (void)state;
        hex_encode(&hex, str_of_bytes("\x00\x9f\xa0\xff", 4));
        assert_string_equal(buf_c(&hex), "009fa0ff");
        assert_null(hex_decode(&bytes, STR("009fA0fF")));
        assert_true(str_equal(buf_str(&bytes), str_of_bytes("\x00\x9f\xa0\xff", 4)));
        hex_encode(&small, str_of_bytes("\x01\x02", 2));
        assert_true(small.overflowed);
        assert_int_equal(hex_digit('F'), 15);
        assert_int_equal(hex_digit('g'), -1);
        assert_int_equal(hex_digit('/'), -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(plain_text_and_escapes_alternate),
                cmocka_unit_test(escaped_text_ends_at_its_limit),
                cmocka_unit_test(numbers_are_written_in_decimal),
                cmocka_unit_test(reserved_room_is_within_the_maximum),
                cmocka_unit_test(hex_goes_both_ways),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
