/* SPDX-License-Identifier: Apache-2.0 */
#include "client/metrics_text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error_testing.h"

static void finds_values_and_labels(void **state)
{
        AUTO(metrics_text) m = { 0 };

        (void)state;
        assert_null(metrics_text_parse(STR("# HELP a {x\n# TYPE a gauge\na 1\nb{x=\"y z\",p=\"q}\"} -2.5\n\nc 1.5e+09"), &m));
        assert_int_equal(m.count, 3);
        assert_true(metrics_text_value(&m, "a") == 1 && metrics_text_value(&m, "b{x=\"y z\",p=\"q}\"}") == -2.5 && metrics_text_value(&m, "c") == 1.5e9);
        assert_true(isnan(metrics_text_value(&m, "b")));
        assert_true(str_equal(metrics_text_label(m.all[1].series, "p"), STR("q}")));
        assert_true(str_equal(metrics_text_label(m.all[1].series, "x"), STR("y z")));
        assert_true(str_is_empty(metrics_text_label(m.all[1].series, "y")) && str_is_empty(metrics_text_label(m.all[0].series, "x")));
}

static void tells_the_time_of_a_share_of_observations(void **state)
{
        AUTO(metrics_text) m = { 0 };

        (void)state;
        assert_null(metrics_text_parse(STR("h_bucket{le=\"0.001\"} 90\nh_bucket{le=\"0.5\"} 99\nh_bucket{le=\"+Inf\"} 100\nh_sum 3\nh_count 100\n"
                                           "i_bucket{o=\"x\",le=\"1\"} 1\ni_bucket{o=\"x\",le=\"+Inf\"} 1\ni_count{o=\"x\"} 1\nj_count 0\n"), &m));
        assert_true(metrics_text_within(&m, "h", "", 0.5) == 0.001 && metrics_text_within(&m, "h", "", 0.99) == 0.5);
        assert_true(isnan(metrics_text_within(&m, "h", "", 1)));
        assert_true(metrics_text_within(&m, "i", "o=\"x\"", 0.99) == 1);
        assert_true(isnan(metrics_text_within(&m, "i", "o=\"y\"", 0.99)) && isnan(metrics_text_within(&m, "j", "", 0.99)) && isnan(metrics_text_within(&m, "k", "", 0.5)));
}

static void refuses_malformed_lines(void **state)
{
        static const char *const lines[] = {
                "a", "a ", " a 1", "a  1", "a 1 2", "1a 1", "a{ 1", "a{} 1", "a{x} 1", "a{x=\"y} 1", "a{x=\"y\"", "a{x=\"y\"}1", "a{x=\"y\",} 1", "a{x=\"\\\"\"} 1",
                "a{x=\"\033[2J\"} 1", "a{x=\"\xff\"} 1", "a{=\"y\"} 1", "a{x=y} 1", "a x", "a 0x", "a 1\r", "<html>", "HTTP/1.1 200 OK",
                "a 1111111111111111111111111111111111111111111111111111111111111111111",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
                AUTO(metrics_text) m = { 0 };
                AUTO_PTR(error) err = metrics_text_parse(str_of(lines[i]), &m);

                if (err == NULL || err->code != ERROR_INVALID_ARGUMENT)
                        fail_msg("'%s' is accepted", lines[i]);
        }
}

static void refuses_more_than_its_limits(void **state)
{
        AUTO(buf) text = BUF_MAX(2 * MiB);
        AUTO(metrics_text) m = { 0 };

        (void)state;
        for (size_t i = 0; i <= METRICS_TEXT_SAMPLES_MAX; i++)
                buf_put_c(&text, "a 1\n");
        AUTO_PTR(error) many = metrics_text_parse(buf_str(&text), &m);
        assert_int_equal(many->code, ERROR_RESOURCE_EXHAUSTED);
        while (text.len <= METRICS_TEXT_MAX)
                buf_put_c(&text, "# a comment that is long\n");
        AUTO_PTR(error) large = metrics_text_parse(buf_str(&text), &m);
        assert_int_equal(large->code, ERROR_RESOURCE_EXHAUSTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_values_and_labels),
                cmocka_unit_test(tells_the_time_of_a_share_of_observations),
                cmocka_unit_test(refuses_malformed_lines),
                cmocka_unit_test(refuses_more_than_its_limits),
        };

        return cmocka_run_group_tests_name("metrics_text", tests, NULL, NULL);
}
