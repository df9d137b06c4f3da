/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/upgrade_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/service.h"
#include "base/mem.h"
#include "base/metrics.h"

/* The answer to a program with `rows` rows, of a program that uses `more` bytes more than this one; the caller frees. */
static char *answer_of(size_t rows, long more)
{
        AUTO(buf) out = BUF_MAX(1 * KiB);

        upgrade_answer_put(&out, rows);
        struct str text = buf_str(&out);
        while (text.len > 0 && text.ptr[text.len - 1] != ' ')
                text.len--;
        return mem_printf("%.*s%ld\n", STR_ARG(text), (long)metrics_size() + more);
}

static bool can_take_over(const char *output, bool has_metrics)
{
        AUTO_PTR(error) err = upgrade_answer_check(str_of(output), has_metrics);

        return err == NULL;
}

static void accepts_the_same_program(void **state)
{
        AUTO(buf) out = BUF_MAX(1 * KiB);
        AUTO_MEM char *with_warning = NULL;

        (void)state;
        upgrade_answer_put(&out, METRIC_COUNT);
        with_warning = mem_printf("teleport: libx.so: no version information available\n%s", buf_c(&out));
        assert_true(can_take_over(buf_c(&out), true));
        assert_true(can_take_over(buf_c(&out), false));
        assert_true(can_take_over(with_warning, true));
}

/* A program with more rows answers for those that the running one knows; one with fewer rows for all that it has. */
static void accepts_more_rows_that_fit_and_fewer_rows(void **state)
{
        AUTO_MEM char *most = answer_of(METRIC_COUNT, METRICS_ROOM), *too_many = answer_of(METRIC_COUNT, METRICS_ROOM + 8),
                      *fewer = answer_of(METRIC_COUNT - 1, -8), *larger = answer_of(METRIC_COUNT + 5, 0);

        (void)state;
        assert_true(can_take_over(most, true));
        assert_false(can_take_over(too_many, true));
        assert_true(can_take_over(too_many, false));
        assert_true(can_take_over(fewer, true));
        assert_true(can_take_over(larger, true)); /* that one would answer for METRIC_COUNT rows */
}

static void refuses_other_metrics_only_if_there_are_metrics(void **state)
{
        AUTO_MEM char *good = answer_of(METRIC_COUNT, 0);
        char *digest = strstr(good, "metrics ") + strlen("metrics ");

        (void)state;
        digest = strchr(digest, ' ') + 1;
        digest[0] = digest[0] == '0' ? '1' : '0';
        assert_false(can_take_over(good, true));
        assert_true(can_take_over(good, false));
}

static void refuses_all_else(void **state)
{
        static const char *const rows[] = {
                "", "\n", "service protocol", "service protocol 0, metrics 1 0 0", "service protocol " SERVICE_PROTOCOL "x", "SERVICE PROTOCOL " SERVICE_PROTOCOL,
                "service protocol " SERVICE_PROTOCOL "\nand more", "error: service protocol " SERVICE_PROTOCOL,
        };
        static const char *const metrics[] = {
                "", ",", ", metrics", ", metrics  ", ", metrics -1 0123456789abcdef 8", ", metrics 99999999999999999999 0123456789abcdef 8",
                ", metrics 0 0123456789abcdef 0", ", metrics 1000 0123456789abcdef 8", ", metrics 1 x", ", others 1 0123456789abcdef 8",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                assert_false(can_take_over(rows[i], true));
                assert_false(can_take_over(rows[i], false));
        }
        for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
                AUTO_MEM char *output = mem_printf("service protocol " SERVICE_PROTOCOL "%s", metrics[i]);

                assert_false(can_take_over(output, true));
                assert_true(can_take_over(output, false));
        }
        AUTO_MEM char *good = answer_of(METRIC_COUNT, 0), *longer = mem_printf("%.*s 1\n", (int)strlen(good) - 1, good);
        assert_false(can_take_over(longer, true));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_the_same_program),
                cmocka_unit_test(accepts_more_rows_that_fit_and_fewer_rows),
                cmocka_unit_test(refuses_other_metrics_only_if_there_are_metrics),
                cmocka_unit_test(refuses_all_else),
        };

        return cmocka_run_group_tests_name("upgrade_answer", tests, NULL, NULL);
}
