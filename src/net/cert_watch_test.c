/* SPDX-License-Identifier: Apache-2.0 */
#include "net/cert_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"

enum { DAY = 86400, NOW = 1700000000 };

struct fixture {
        struct fake_clock clock;
        struct loop loop;
        struct timer *running; /* the loop runs for it */
        struct cert_watch *watch;
        struct cert_times certs[2];
        int marks[2][8]; /* that were reported */
        size_t counts[2];
};

static bool times(void *ctx, size_t n, struct cert_times *ret)
{
        struct fixture *f = ctx;

        *ret = f->certs[n];
        return ret->not_after.ns != 0;
}

static void passed(void *ctx, size_t n, int mark, struct cert_times t)
{
        struct fixture *f = ctx;

        assert_true(f->counts[n] < ARRAY_LEN(f->marks[n]));
        assert_true(mark == CERT_END_FAR || t.not_after.ns == f->certs[n].not_after.ns);
        f->marks[n][f->counts[n]++] = mark;
}

static void pass_time(struct fixture *f, struct duration by)
{
        loop_advance(&f->loop, &f->clock, by);
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}

static void given_certificate(struct fixture *f, size_t n, int64_t life, int64_t left)
{
        int64_t now = walltime_unix(loop_wall(&f->loop));

        f->certs[n] = (struct cert_times){ walltime_of_unix(now + left - life), walltime_of_unix(now + left) };
        cert_watch_changed(f->watch);
        pass_time(f, MILLISECONDS(1));
}

static void assert_marks(const struct fixture *f, size_t n, const int *marks, size_t count)
{
        assert_int_equal(f->counts[n], count);
        for (size_t i = 0; i < count; i++)
                assert_int_equal(f->marks[n][i], marks[i]);
}
#define ASSERT_MARKS(f, n, ...) assert_marks(f, n, (const int[]){ __VA_ARGS__ }, ARRAY_LEN(((const int[]){ __VA_ARGS__ })))

static void on_end(void *ctx)
{
        (void)ctx;
}

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){ 0 };
        fake_clock_init(&f.clock, NOW);
        assert_null(loop_init(&f.loop, &f.clock.clock));
        f.running = timer_new(&f.loop, on_end, NULL);
        timer_start(f.running, HOURS(24 * 1000));
        f.watch = cert_watch_new(&f.loop, (struct cert_watch_options){ .count = 2, .times = times, .passed = passed, .ctx = &f });
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        cert_watch_free(f->watch);
        timer_free(f->running);
        loop_release(&f->loop);
        return 0;
}

static void each_mark_is_reported_once_while_days_pass(void **state)
{
        struct fixture *f = *state;

        given_certificate(f, 0, 365 * DAY, 40 * DAY);
        for (int hour = 0; hour < 41 * 24; hour++)
                pass_time(f, HOURS(1));
        ASSERT_MARKS(f, 0, 30, 7, 1, 0);
        assert_int_equal(f->counts[1], 0);
}

/* A host certificate of some minutes: the checks are not hours apart. */
static void a_mark_is_reported_when_it_is_passed(void **state)
{
        struct fixture *f = *state;

        given_certificate(f, 1, 400, 300);
        pass_time(f, SECONDS(199));
        assert_int_equal(f->counts[1], 0);
        pass_time(f, SECONDS(2));
        ASSERT_MARKS(f, 1, 1);
        pass_time(f, SECONDS(100));
        ASSERT_MARKS(f, 1, 1, 0);
}

static void a_new_certificate_ends_the_warning(void **state)
{
        struct fixture *f = *state;

        given_certificate(f, 0, 300 * DAY, 6 * DAY);
        given_certificate(f, 0, 300 * DAY, 300 * DAY);
        ASSERT_MARKS(f, 0, 7, CERT_END_FAR);
        given_certificate(f, 0, 300 * DAY, 5 * DAY);
        given_certificate(f, 0, 300 * DAY, 6 * DAY); /* another one, which has passed the same mark */
        ASSERT_MARKS(f, 0, 7, CERT_END_FAR, 7, 7);
        f->certs[0] = (struct cert_times){ 0 };
        cert_watch_changed(f->watch);
        pass_time(f, MILLISECONDS(1));
        ASSERT_MARKS(f, 0, 7, CERT_END_FAR, 7, 7, CERT_END_FAR);
}

/* The monotonic clock goes on while the time of day is set. */
static void a_clock_that_was_set_is_noticed(void **state)
{
        struct fixture *f = *state;

        given_certificate(f, 0, 365 * DAY, 40 * DAY);
        f->clock.walltime = walltime_add(f->clock.walltime, HOURS(24 * 34));
        pass_time(f, MILLISECONDS(PACE_CERT_END_CHECK + 1));
        ASSERT_MARKS(f, 0, 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(each_mark_is_reported_once_while_days_pass, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_mark_is_reported_when_it_is_passed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_new_certificate_ends_the_warning, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_clock_that_was_set_is_noticed, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("cert_watch", tests, NULL, NULL);
}
