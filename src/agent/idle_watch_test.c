/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/idle_watch.h"

#include "base/error_testing.h"

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct idle_watch watch;
        uint64_t bytes;
        bool has_expired;
};

static uint64_t traffic(void *ctx)
{
        return ((struct fixture *)ctx)->bytes;
}

static void on_expired(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        f->has_expired = true;
        assert_string_equal(err->what, "the connection was closed: it had no traffic for 8s");
        error_free(err);
}

static const struct idle_watch_events events = { .traffic = traffic, .expired = on_expired };

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){ 0 };
        fake_clock_init(&f.clock, 1700000000);
        if (loop_init(&f.loop, &f.clock.clock) != NULL)
                return -1;
        idle_watch_init(&f.watch, &f.loop, SECONDS(1), &events, &f);
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        idle_watch_release(&f->watch);
        loop_release(&f->loop);
        return 0;
}

static void stop(void *ctx)
{
        loop_stop(ctx);
}

/* Passes the time second by second, and lets the timers that are due run. */
static void pass(struct fixture *f, unsigned seconds)
{
        for (unsigned i = 0; i < seconds; i++) {
                loop_advance(&f->loop, &f->clock, SECONDS(1));
                loop_defer(&f->loop, stop, &f->loop);
                loop_run(&f->loop);
        }
}

static void an_idle_connection_expires_after_its_timeout_and_the_grace(void **state)
{
        struct fixture *f = *state;

        idle_watch_start(&f->watch, 8000);
        pass(f, 8);
        assert_false(f->has_expired);
        pass(f, 2);
        assert_true(f->has_expired);
}

static void traffic_begins_the_time_anew(void **state)
{
        struct fixture *f = *state;

        idle_watch_start(&f->watch, 8000);
        for (int i = 0; i < 5; i++) {
                pass(f, 6);
                f->bytes++;
        }
        assert_false(f->has_expired);
        pass(f, 12);
        assert_true(f->has_expired);
}

static void without_a_timeout_it_never_expires(void **state)
{
        struct fixture *f = *state;

        idle_watch_start(&f->watch, 0);
        pass(f, 1000);
        assert_false(f->has_expired);
}

static void the_time_without_traffic_counts_when_roles_change(void **state)
{
        struct fixture *f = *state;

        idle_watch_start(&f->watch, 0);
        pass(f, 100);
        idle_watch_change(&f->watch, 8000);
        pass(f, 2);
        assert_true(f->has_expired);
}

static void changed_roles_can_end_the_limit(void **state)
{
        struct fixture *f = *state;

        idle_watch_start(&f->watch, 8000);
        pass(f, 7);
        idle_watch_change(&f->watch, 0);
        pass(f, 100);
        assert_false(f->has_expired);
}

static void it_does_not_expire_after_a_stop(void **state)
{
        struct fixture *f = *state;

        idle_watch_start(&f->watch, 8000);
        idle_watch_stop(&f->watch);
        pass(f, 100);
        assert_false(f->has_expired);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                ROW(an_idle_connection_expires_after_its_timeout_and_the_grace),
                ROW(traffic_begins_the_time_anew),
                ROW(without_a_timeout_it_never_expires),
                ROW(the_time_without_traffic_counts_when_roles_change),
                ROW(changed_roles_can_end_the_limit),
                ROW(it_does_not_expire_after_a_stop),
        };
#undef ROW

        return cmocka_run_group_tests(tests, NULL, NULL);
}
