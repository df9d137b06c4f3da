/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/reload_result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void carries_the_applied_changes(void **state)
{
        AUTO(buf) bytes = BUF_MAX(RELOAD_RESULT_MAX);
        struct str text;

        (void)state;
        reload_result_put(&bytes, NULL, STR("ssh_service.labels"));
        assert_null(reload_result_parse(buf_str(&bytes), &text));
        assert_true(str_equal(text, STR("ssh_service.labels")));
}

static void carries_a_refusal_with_its_causes_and_hint(void **state)
{
        AUTO(buf) bytes = BUF_MAX(RELOAD_RESULT_MAX);
        AUTO_PTR(error) err = error_hint(error_because(error_new(ERROR_INVALID_ARGUMENT, "f:1:2: a"), error_new(ERROR_INTERNAL, "b")), "do c");
        struct str text;

        (void)state;
        reload_result_put(&bytes, err, STR(""));
        AUTO_PTR(error) again = reload_result_parse(buf_str(&bytes), &text);
        assert_non_null(again);
        assert_string_equal(again->what, "f:1:2: a; because b");
        assert_string_equal(again->hint, "do c");
}

static void takes_no_part_of_a_result_for_a_whole_one(void **state)
{
        static const struct str rows[] = {
                STR_INIT(""), STR_INIT("applied"), STR_INIT("refused"), STR_INIT("refused\0"), STR_INIT("refused\0what"), STR_INIT("refused\0\0hint"),
                STR_INIT("applied\0\x1b[2J"), STR_INIT("refused\0a\x7f\0"), STR_INIT("refused\0a\0\x1b"), STR_INIT("\0"), STR_INIT("Applied\0x"),
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct str text;
                AUTO_PTR(error) err = reload_result_parse(rows[i], &text);

                assert_non_null(err);
                assert_int_equal(err->code, ERROR_UNAVAILABLE);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(carries_the_applied_changes),
                cmocka_unit_test(carries_a_refusal_with_its_causes_and_hint),
                cmocka_unit_test(takes_no_part_of_a_result_for_a_whole_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
