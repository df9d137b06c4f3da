/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/common/table.h"

static const char *const titles[] = { "Host", "Labels", NULL };

static void assert_printed(const struct table *t, const char *expected)
{
        AUTO(buf) out = BUF_MAX(4 * KiB);

        table_put(&out, t);
        assert_string_equal(buf_c(&out), expected);
}

static void pads_every_cell_and_draws_dashes_below_the_titles(void **state)
{
        (void)state;
        AUTO_PTR(table) t = table_new(titles);

        TABLE_ROW(t, STR("web-frontend"), STR("a=b"));
        assert_printed(t, "Host         Labels \n"
                          "------------ ------ \n"
                          "web-frontend a=b    \n");
}

static void makes_a_headless_column_five_wide_at_least(void **state)
{
        (void)state;
        AUTO_PTR(table) t = table_new_headless(2);

        TABLE_ROW(t, STR("a"), STR("Version"));
        assert_printed(t, "a    Version \n");
}

static void prints_titles_alone_without_rows(void **state)
{
        (void)state;
        AUTO_PTR(table) t = table_new(titles);

        assert_printed(t, "Host Labels \n---- ------ \n");
}

static void counts_characters_not_bytes(void **state)
{
        (void)state;
        AUTO_PTR(table) t = table_new_headless(2);

        TABLE_ROW(t, STR("M\xc3\xbcnchen"), STR("x"));
        TABLE_ROW(t, STR("Munchen"), STR("x"));
        assert_printed(t, "M\xc3\xbcnchen x    \nMunchen x    \n");
}

static void shows_terminal_control_bytes_as_text(void **state)
{
        (void)state;
        AUTO_PTR(table) t = table_new_headless(1);

        TABLE_ROW(t, STR("\x1b[2J"));
        assert_printed(t, "\\x1b[2J \n");
}

static void cuts_the_labels_to_the_width_that_is_left(void **state)
{
        (void)state;
        AUTO_PTR(table) t = table_new(titles);
        AUTO(buf) out = BUF_MAX(4 * KiB);

        TABLE_ROW(t, STR("web"), STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        table_put_truncated(&out, t, 1, 30);
        assert_string_equal(buf_c(&out), "Host Labels                \n"
                                         "---- --------------------- \n"
                                         "web  aaaaaaaaaaaaaaaaaa... \n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pads_every_cell_and_draws_dashes_below_the_titles),
                cmocka_unit_test(makes_a_headless_column_five_wide_at_least),
                cmocka_unit_test(prints_titles_alone_without_rows),
                cmocka_unit_test(counts_characters_not_bytes),
                cmocka_unit_test(shows_terminal_control_bytes_as_text),
                cmocka_unit_test(cuts_the_labels_to_the_width_that_is_left),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
