/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "recording/plain_text.h"

#define ESC "\x1b"

static const struct {
        const char *shown, *text;
} rows[] = {
        { "hello\r\nworld\r\n", "hello\nworld\n" },
        { ESC "[1;31mred" ESC "[0m", "red" },
        { ESC "[2J" ESC "[10;20Hhere", "here" },
        { ESC "]0;title\aprompt$ ", "prompt$ " },
        { ESC "]0;title" ESC "\\prompt$ ", "prompt$ " },
        { ESC "P1$r0m" ESC "\\after", "after" },
        { ESC "(B" ESC "=" ESC ">" ESC "Mx", "x" },
        { "a\bb\x07" "c\x7f", "abc" },
        { "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8c\x8d", "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8c\x8d" },
        { "back\\slash", "back\\slash" },
        { "x\xc2\x9b" "31my", "x31my" }, /* a control sequence introducer of one character */
        { "x\xff\xfe\xc3(y", "x(y" },
        { "x\xe2\x80\xae" "y", "xy" },   /* right to left override */
        { ESC "[31", "" },
        { ESC "[31\nnext line", "\nnext line" },
        { ESC ESC "[31mx", "x" },
};

static void keeps_text_and_drops_control_sequences(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(buf) whole = BUF_MAX(1 * KiB), by_byte = BUF_MAX(1 * KiB);
                struct plain_text p = { 0 }, q = { 0 };
                struct str shown = str_of(rows[i].shown);

                plain_text_put(&p, &whole, shown);
                if (!str_equal(buf_str(&whole), str_of(rows[i].text)))
                        fail_msg("row %zu: '%s'", i, buf_c(&whole));
                for (size_t n = 0; n < shown.len; n++)
                        plain_text_put(&q, &by_byte, str_slice(shown, n, 1));
                assert_true(str_equal(buf_str(&whole), buf_str(&by_byte)));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keeps_text_and_drops_control_sequences),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
