/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/batch_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct batch_pace pace;
        unsigned due;
};

static void on_due(void *ctx)
{
        struct fixture *f = ctx;

        f->due++;
        loop_stop(&f->loop);
}

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){ .due = 0 };
        fake_clock_init(&f.clock, 1700000000);
        if (loop_init(&f.loop, &f.clock.clock) != NULL)
                return -1;
        batch_pace_init(&f.pace, &f.loop, (struct batch_pace_options){ .pace = MILLISECONDS(4), .busy = 4, .full = 48 }, on_due, &f);
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        batch_pace_release(&f->pace);
        loop_release(&f->loop);
        return 0;
}

static void the_first_batch_begins_at_once(void **state)
{
        struct fixture *f = *state;

        assert_true(batch_pace_may_begin(&f->pace, 1));
}

static void a_batch_after_a_small_one_begins_at_once(void **state)
{
        struct fixture *f = *state;

        batch_pace_began(&f->pace, 3);
        assert_true(batch_pace_may_begin(&f->pace, 1));
}

static void a_batch_after_a_large_one_waits_for_the_interval(void **state)
{
        struct fixture *f = *state;

        batch_pace_began(&f->pace, 4);
        assert_false(batch_pace_may_begin(&f->pace, 1));
        assert_false(batch_pace_may_begin(&f->pace, 2));
        assert_int_equal(f->due, 0);
        loop_advance(&f->loop, &f->clock, MILLISECONDS(4));
        loop_run(&f->loop);
        assert_int_equal(f->due, 1);
        assert_true(batch_pace_may_begin(&f->pace, 2));
}

static void a_full_queue_does_not_wait(void **state)
{
        struct fixture *f = *state;

        batch_pace_began(&f->pace, 40);
        assert_false(batch_pace_may_begin(&f->pace, 47));
        assert_true(batch_pace_may_begin(&f->pace, 48));
        batch_pace_began(&f->pace, 48);
        assert_false(timer_is_running(f->pace.timer));
}

static void the_interval_counts_from_the_begin_of_the_last_batch(void **state)
{
        struct fixture *f = *state;

        batch_pace_began(&f->pace, 8);
        fake_clock_advance(&f->clock, MILLISECONDS(4));
        assert_true(batch_pace_may_begin(&f->pace, 1));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(the_first_batch_begins_at_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_batch_after_a_small_one_begins_at_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_batch_after_a_large_one_waits_for_the_interval, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_full_queue_does_not_wait, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_interval_counts_from_the_begin_of_the_last_batch, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
