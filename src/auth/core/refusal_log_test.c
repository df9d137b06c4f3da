/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/refusal_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "loop/loop.h"

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct refusal_log *log;
        uint64_t reported;
        int times;
};

static void on_reported(void *ctx, uint64_t count)
{
        struct fixture *f = ctx;

        f->reported += count;
        f->times++;
}

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){ 0 };
        fake_clock_init(&f.clock, 1700000000);
        assert_null(loop_init(&f.loop, &f.clock.clock));
        f.log = refusal_log_new(&f.loop, on_reported, &f);
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        refusal_log_free(f->log);
        loop_release(&f->loop);
        return 0;
}

/* How many of `count` refusals of one address are reported one by one. */
static int reported_of(struct fixture *f, int count, const char *address)
{
        int reported = 0;

        for (int i = 0; i < count; i++)
                reported += refusal_log_may_report(f->log, str_of(address));
        return reported;
}

static void logs_the_usual_refusals_one_by_one(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(reported_of(f, LIMIT_REFUSALS_BURST, "192.0.2.1"), LIMIT_REFUSALS_BURST);
        assert_int_equal(reported_of(f, LIMIT_REFUSALS_BURST, "192.0.2.2"), LIMIT_REFUSALS_BURST);
}

static void counts_the_flood_of_one_source_and_logs_the_others(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(reported_of(f, LIMIT_REFUSALS_BURST + 1000, "192.0.2.1"), LIMIT_REFUSALS_BURST);
        assert_int_equal(reported_of(f, 1, "192.0.2.2"), 1);
        assert_int_equal(f->times, 0);
        loop_advance(&f->loop, &f->clock, MILLISECONDS(PACE_REFUSALS_COUNT));
        uv_run(&f->loop.uv, UV_RUN_ONCE);
        assert_int_equal(f->times, 1);
        assert_int_equal(f->reported, 1000);
}

static void logs_again_after_the_flood(void **state)
{
        struct fixture *f = *state;

        (void)reported_of(f, LIMIT_REFUSALS_BURST + 1, "192.0.2.1");
        loop_advance(&f->loop, &f->clock, MINUTES(1));
        assert_int_equal(reported_of(f, LIMIT_REFUSALS_BURST, "192.0.2.1"), LIMIT_REFUSALS_PER_MINUTE);
}

static void bounds_the_lines_of_all_sources_together(void **state)
{
        struct fixture *f = *state;
        int reported = 0;

        for (int i = 0; i < 2 * LIMIT_REFUSALS_BURST_ALL; i++) {
                char address[32];

                snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
                reported += reported_of(f, 1, address);
        }
        assert_int_equal(reported, LIMIT_REFUSALS_BURST_ALL);
}

static void logs_the_remaining_counts_at_the_end(void **state)
{
        struct fixture *f = *state;

        (void)reported_of(f, LIMIT_REFUSALS_BURST + 3, "192.0.2.1");
        refusal_log_free(f->log);
        f->log = NULL;
        assert_int_equal(f->reported, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(logs_the_usual_refusals_one_by_one),
                TEST(counts_the_flood_of_one_source_and_logs_the_others),
                TEST(logs_again_after_the_flood),
                TEST(bounds_the_lines_of_all_sources_together),
                TEST(logs_the_remaining_counts_at_the_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
