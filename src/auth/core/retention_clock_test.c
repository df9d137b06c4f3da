/* SPDX-License-Identifier: Apache-2.0 */
/* The time of the retention follows the time of day, but not a jump of it. */
#include "auth/core/retention_clock.h"

#include <unistd.h>

#include "base/error_testing.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/file_testing.h"

enum { DAY = 24 * 3600, YEAR = 365 * DAY };

static const int64_t begin = 1800000000;

struct world {
        struct loop loop;
        struct fake_clock clock;
        char *dir, *path;
        struct retention_clock *under_test;
};

static int set_up(void **state)
{
        struct world *w = NEW(struct world);

        fake_clock_init(&w->clock, begin);
        assert_done(loop_init(&w->loop, &w->clock.clock));
        w->dir = test_dir_new();
        w->path = path_in(w->dir, "retention-time");
        w->under_test = retention_clock_new(&w->loop, w->dir);
        *state = w;
        return 0;
}

static int tear_down(void **state)
{
        struct world *w = *state;

        retention_clock_free(w->under_test);
        loop_release(&w->loop);
        test_dir_free(w->dir);
        free(w->path);
        free(w);
        return 0;
}

static int64_t now_of(struct world *w)
{
        int64_t seconds = walltime_unix(retention_clock_now(w->under_test));

        while (w->loop.uv.active_reqs.count > 0) /* it is noted */
                uv_run(&w->loop.uv, UV_RUN_ONCE);
        return seconds;
}

static void pass(struct world *w, int64_t seconds)
{
        loop_advance(&w->loop, &w->clock, SECONDS(seconds));
}

static void jump(struct world *w, int64_t seconds)
{
        w->clock.walltime = walltime_add(w->clock.walltime, SECONDS(seconds));
}

static void restart(struct world *w)
{
        retention_clock_free(w->under_test);
        w->under_test = retention_clock_new(&w->loop, w->dir);
}

static void follows_the_time_of_day(void **state)
{
        struct world *w = *state;

        assert_int_equal(now_of(w), begin);
        for (int minute = 1; minute < 100; minute++) {
                pass(w, 60);
                assert_int_equal(now_of(w), begin + minute * 60);
        }
}

static void a_jump_ahead_is_followed_by_a_day_an_hour(void **state)
{
        struct world *w = *state;

        assert_int_equal(now_of(w), begin);
        jump(w, YEAR);
        assert_int_equal(now_of(w), begin);
        pass(w, 60);
        assert_int_equal(now_of(w), begin + 60 * LIMIT_EXPIRY_SPEED);
        pass(w, 3540);
        assert_int_equal(now_of(w), begin + DAY);
        jump(w, -YEAR); /* it is right again */
        assert_int_equal(now_of(w), begin + 3600);
        pass(w, DAY);
        assert_int_equal(now_of(w), begin + 3600 + DAY);
}

static void a_jump_back_is_followed_and_forgotten(void **state)
{
        struct world *w = *state;

        assert_int_equal(now_of(w), begin);
        jump(w, -50 * YEAR);
        pass(w, 60);
        assert_int_equal(now_of(w), begin - 50 * YEAR + 60);
        jump(w, 50 * YEAR);
        pass(w, 60);
        assert_int_equal(now_of(w), begin + 120);
}

static void a_restart_with_a_wrong_clock_is_a_jump(void **state)
{
        struct world *w = *state;

        assert_int_equal(now_of(w), begin);
        pass(w, DAY);
        assert_int_equal(now_of(w), begin + DAY);
        jump(w, YEAR);
        for (int i = 0; i < 10; i++) {
                restart(w);
                pass(w, 1);
                assert_in_range(now_of(w), begin + DAY, begin + DAY + 10 * LIMIT_EXPIRY_SPEED);
        }
        assert_int_equal(unlink(w->path), 0); /* an operator says that the clock is right */
        restart(w);
        assert_int_equal(now_of(w), begin + DAY + YEAR + 10);
}

static void a_file_that_is_no_time_is_replaced(void **state)
{
        struct world *w = *state;

        assert_int_equal(now_of(w), begin);
        assert_done(file_write_atomic(w->path, STR("yesterday\n"), 0640));
        restart(w);
        pass(w, 1);
        assert_int_equal(now_of(w), begin + 1);
        restart(w);
        assert_int_equal(now_of(w), begin + 1);
}

static void a_disk_without_room_only_delays_the_note(void **state)
{
        struct world *w = *state;

        limit_file_size(0);
        assert_int_equal(now_of(w), begin);
        assert_int_equal(access(w->path, F_OK), -1);
        limit_file_size(RLIM_INFINITY);
        pass(w, 60);
        assert_int_equal(now_of(w), begin + 60);
        assert_int_equal(access(w->path, F_OK), 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                ROW(follows_the_time_of_day),
                ROW(a_jump_ahead_is_followed_by_a_day_an_hour),
                ROW(a_jump_back_is_followed_and_forgotten),
                ROW(a_restart_with_a_wrong_clock_is_a_jump),
                ROW(a_file_that_is_no_time_is_replaced),
                ROW(a_disk_without_room_only_delays_the_note),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
