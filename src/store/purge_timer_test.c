/* SPDX-License-Identifier: Apache-2.0 */
#include "store/purge_timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct timer *timer;
        int fired;
};

static void on_timer(void *ctx)
{
        ((struct fixture *)ctx)->fired++;
}

static void set_up(struct fixture *f)
{
        *f = (struct fixture){ 0 };
        fake_clock_init(&f->clock, 1700000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        f->timer = timer_new(&f->loop, on_timer, f);
}

static void tear_down(struct fixture *f)
{
        timer_free(f->timer);
        loop_release(&f->loop);
}

/* Fires at this time from now and not a millisecond earlier. */
static void assert_fires_after(struct fixture *f, int64_t ms)
{
        f->fired = 0;
        loop_advance(&f->loop, &f->clock, MILLISECONDS(ms - 1));
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(f->fired, 0);
        loop_advance(&f->loop, &f->clock, MILLISECONDS(1));
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(f->fired, 1);
}

static void fires_at_the_next_expiry_within_its_bounds(void **state)
{
        static const struct {
                const char *name;
                int64_t expiry, fires; /* ms from now */
        } cases[] = {
                { "expired long ago", -5000, 500 },
                { "expires now", 0, 500 },
                { "expires soon", 499, 500 },
                { "expires later", 20000, 20000 },
                { "expires after the check", PACE_STORE_PURGE_CHECK + 1, PACE_STORE_PURGE_CHECK },
                { "expires in a year", INT64_C(365) * 86400 * 1000, PACE_STORE_PURGE_CHECK },
        };
        struct fixture f;

        (void)state;
        set_up(&f);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct walltime expiry = { loop_wall(&f.loop).ns + MILLISECONDS(cases[i].expiry).ns };

                print_message("  %s\n", cases[i].name);
                purge_timer_arm(f.timer, &f.loop, expiry, MILLISECONDS(500));
                assert_fires_after(&f, cases[i].fires);
        }
        tear_down(&f);
}

static void stops_when_no_item_expires(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        purge_timer_arm(f.timer, &f.loop, loop_wall(&f.loop), MILLISECONDS(500));
        assert_true(timer_is_running(f.timer));
        purge_timer_arm(f.timer, &f.loop, (struct walltime){ 0 }, MILLISECONDS(500));
        assert_false(timer_is_running(f.timer));
        tear_down(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(fires_at_the_next_expiry_within_its_bounds),
                cmocka_unit_test(stops_when_no_item_expires),
        };

        return cmocka_run_group_tests_name("purge_timer", tests, NULL, NULL);
}
