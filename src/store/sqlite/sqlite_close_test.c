/* SPDX-License-Identifier: Apache-2.0 */
/* A store is closed, never cancelled: pending requests finish, at every stage of their job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop/job_testing.h"
#include "store/store_testing.h"

struct answers {
        int written, read, closed;
        bool was_closed_before;
};

static void on_written(void *ctx, uint64_t revision, struct error *err)
{
        struct answers *a = ctx;

        assert_null(err);
        assert_int_not_equal(revision, 0);
        a->written++;
        a->was_closed_before |= a->closed > 0;
}

static void on_read(void *ctx, const struct store_item *item, struct error *err)
{
        struct answers *a = ctx;

        assert_null(err);
        assert_non_null(item);
        a->read++;
        a->was_closed_before |= a->closed > 0;
}

static void on_closed(void *ctx)
{
        struct answers *a = ctx;

        a->closed++;
}

static void finishes_requests_at_every_stage_of_their_job(void **state)
{
        (void)state;
        for (int m = 0; m < JOB_MOMENTS; m++) {
                struct store_bench b;
                struct answers a = { 0 };
                AUTO_MEM char *dir = store_bench_dir();

                assert_null(store_bench_open(&b, (struct store_options){ .path = dir }));
                job_hold(&b.loop, (enum job_moment)m);
                store_put(b.store, STR("/a"), STR("1"), (struct walltime){ 0 }, on_written, &a);
                job_await_held(&b.loop);
                store_get(b.store, STR("/a"), on_read, &a); /* for the next batch */
                store_close(b.store, on_closed, &a);
                job_resume();
                while (a.closed == 0)
                        uv_run(&b.loop.uv, UV_RUN_ONCE);
                loop_release(&b.loop);
                assert_int_equal(a.written, 1);
                assert_int_equal(a.read, 1);
                assert_int_equal(a.closed, 1);
                assert_false(a.was_closed_before);
                store_bench_remove(dir);
        }
}

/* The same for the job that closes the database. */
static void a_loop_that_is_released_waits_for_the_close(void **state)
{
        (void)state;
        for (int m = 0; m < JOB_MOMENTS; m++) {
                struct store_bench b;
                struct answers a = { 0 };
                AUTO_MEM char *dir = store_bench_dir();

                assert_null(store_bench_open(&b, (struct store_options){ .path = dir }));
                job_hold(&b.loop, (enum job_moment)m);
                store_close(b.store, on_closed, &a);
                job_await_held(&b.loop);
                job_resume();
                loop_release(&b.loop);
                assert_int_equal(a.closed, 1);
                store_bench_remove(dir);
        }
}

/* While a password is being checked, or the disk of the recordings is blocked. */
static void commits_while_the_pool_is_busy(void **state)
{
        struct store_bench b;
        AUTO_MEM char *dir = store_bench_dir();

        (void)state;
        assert_null(store_bench_open(&b, (struct store_options){ .path = dir }));
        job_block_pool(&b.loop);
        assert_null(store_bench_put(&b, "/a", STR("1"), (struct walltime){ 0 }, NULL));
        job_free_pool();
        store_bench_close(&b);
        store_bench_remove(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finishes_requests_at_every_stage_of_their_job),
                cmocka_unit_test(a_loop_that_is_released_waits_for_the_close),
                cmocka_unit_test(commits_while_the_pool_is_busy),
        };
        job_use_one_thread();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
