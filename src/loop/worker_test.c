/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"

struct fixture {
        struct loop loop;
        struct worker *worker;
        uv_sem_t begun, go;
        char order[8];
        size_t done, worked;
        uv_thread_t thread;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->loop, NULL));
        f->worker = worker_new(&f->loop, "test");
        uv_sem_init(&f->begun, 0);
        uv_sem_init(&f->go, 0);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        loop_release(&f->loop);
        uv_sem_destroy(&f->begun);
        uv_sem_destroy(&f->go);
        free(f);
        return 0;
}

/* A job that writes its letter when it works, and counts when it is done. */
struct step {
        struct fixture *f;
        char letter;
        struct step *next; /* given when this one is done */
};

static void work(void *ctx)
{
        struct step *s = ctx;

        s->f->order[s->f->worked++] = s->letter;
        s->f->thread = uv_thread_self();
}

static void on_done(void *ctx)
{
        struct step *s = ctx;

        s->f->done++;
        if (s->next != NULL)
                worker_job(s->f->worker, work, on_done, s->next);
}

static void runs_jobs_in_order_on_its_own_thread(void **state)
{
        struct fixture *f = *state;
        struct step last = { f, 'd', NULL }, steps[] = { { f, 'a', NULL }, { f, 'b', &last }, { f, 'c', NULL } };
        uv_thread_t here = uv_thread_self();

        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
                worker_job(f->worker, work, on_done, &steps[i]);
        assert_int_equal(f->done, 0);
        loop_run(&f->loop); /* returns: an idle worker is no reason to run on */
        assert_int_equal(f->done, 4);
        assert_string_equal(f->order, "abcd");
        assert_false(uv_thread_equal(&f->thread, &here));
        worker_free(f->worker);
}

static void hold(void *ctx)
{
        struct fixture *f = ctx;

        uv_sem_post(&f->begun);
        uv_sem_wait(&f->go);
}

static void on_held(void *ctx)
{
        (void)ctx;
}

/* A full pool of any size does not delay the worker. */
static void does_not_wait_for_the_pool(void **state)
{
        enum { MORE_THAN_THE_POOL_HAS = 32 };
        struct fixture *f = *state;
        struct step step = { f, 'a', NULL };

        for (int i = 0; i < MORE_THAN_THE_POOL_HAS; i++)
                loop_job(&f->loop, hold, on_held, f);
        worker_job(f->worker, work, on_done, &step);
        while (f->done == 0)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        for (int i = 0; i < MORE_THAN_THE_POOL_HAS; i++)
                uv_sem_post(&f->go);
        worker_free(f->worker);
}

static void fail_when_done(void *ctx)
{
        (void)ctx;
        fail_msg("a cancelled job was done");
}

static void count_release(void *ctx)
{
        struct fixture *f = ctx;

        f->done++;
}

static void releases_a_cancelled_job(void **state)
{
        struct fixture *f = *state;

        struct job *j = worker_job(f->worker, hold, fail_when_done, f);
        uv_sem_wait(&f->begun);
        job_cancel(j, count_release);
        assert_int_equal(f->done, 0);
        uv_sem_post(&f->go);
        loop_run(&f->loop);
        assert_int_equal(f->done, 1);
        worker_free(f->worker);
}

static void release_waits_for_the_jobs_of_a_freed_worker(void **state)
{
        struct fixture *f = *state;
        struct step step = { f, 'a', NULL };

        worker_job(f->worker, work, on_done, &step);
        worker_free(f->worker);
        loop_release(&f->loop);
        assert_int_equal(f->done, 1);
        assert_null(loop_init(&f->loop, NULL));
}

/* A job may give another one until the last callback has returned. */
static void release_ends_the_workers_that_are_left(void **state)
{
        struct fixture *f = *state;
        struct step last = { f, 'b', NULL }, step = { f, 'a', &last };

        assert_non_null(worker_new(&f->loop, "idle"));
        worker_job(f->worker, work, on_done, &step);
        loop_release(&f->loop);
        assert_string_equal(f->order, "ab");
        assert_int_equal(f->done, 2);
        assert_null(loop_init(&f->loop, NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(runs_jobs_in_order_on_its_own_thread),
                TEST(does_not_wait_for_the_pool),
                TEST(releases_a_cancelled_job),
                TEST(release_waits_for_the_jobs_of_a_freed_worker),
                TEST(release_ends_the_workers_that_are_left),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
