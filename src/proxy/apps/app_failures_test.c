/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_failures.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error_testing.h"
#include "base/limits.h"

static const struct instant start = { 1000000000000 };

static uint64_t reported(struct app_failures *f, const char *address, struct instant now, int count)
{
        uint64_t done = 0, left_out;

        for (int i = 0; i < count; i++)
                done += app_failures_may_report(f, str_of(address), now, &left_out);
        return done;
}

static void a_source_has_its_pace_and_others_theirs(void **state)
{
        struct app_failures f;

        (void)state;
        app_failures_init(&f);
        assert_int_equal(reported(&f, "192.0.2.1:1000", start, 100), LIMIT_APP_FAILURES_PER_MINUTE);
        assert_int_equal(reported(&f, "192.0.2.1:1001", start, 100), 0);
        assert_int_equal(reported(&f, "192.0.2.1:1000", instant_add(start, SECONDS(3600)), 100), LIMIT_APP_FAILURES_PER_MINUTE);
}

static void all_sources_together_have_a_pace(void **state)
{
        struct app_failures f;
        uint64_t done = 0;

        (void)state;
        app_failures_init(&f);
        for (int i = 0; i < 10000; i++) {
                char address[64];

                snprintf(address, sizeof address, "10.0.%d.%d:1", i / 250, i % 250);
                done += reported(&f, address, start, 1);
        }
        assert_int_equal(done, LIMIT_APP_FAILURES_PER_MINUTE_ALL);
}

static void the_next_report_has_the_number_of_the_others(void **state)
{
        struct app_failures f;
        uint64_t left_out = 99;

        (void)state;
        app_failures_init(&f);
        assert_true(app_failures_may_report(&f, STR("192.0.2.1"), start, &left_out));
        assert_int_equal(left_out, 0);
        (void)reported(&f, "192.0.2.1", start, LIMIT_APP_FAILURES_PER_MINUTE - 1 + 7);
        assert_true(app_failures_may_report(&f, STR("192.0.2.1"), instant_add(start, SECONDS(60)), &left_out));
        assert_int_equal(left_out, 7);
        app_failures_return(&f, left_out);
        assert_true(app_failures_may_report(&f, STR("192.0.2.1"), instant_add(start, SECONDS(120)), &left_out));
        assert_int_equal(left_out, 8);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_source_has_its_pace_and_others_theirs),
                cmocka_unit_test(all_sources_together_have_a_pace),
                cmocka_unit_test(the_next_report_has_the_number_of_the_others),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
