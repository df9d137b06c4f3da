/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/conversation.h"

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        int calls;
        bool inside; /* a registering call is on the stack */
        struct timer *timer;
};

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){ 0 };
        fake_clock_init(&f.clock, 1700000000);
        assert_null(loop_init(&f.loop, &f.clock.clock));
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        loop_release(&f->loop);
        return 0;
}

static void count(void *ctx)
{
        struct fixture *f = ctx;

        assert_false(f->inside);
        f->calls++;
}

static void defer_again(void *ctx)
{
        struct fixture *f = ctx;

        if (++f->calls < 100)
                loop_defer(&f->loop, defer_again, f);
}

static void a_deferred_call_runs_from_the_loop_only(void **state)
{
        struct fixture *f = *state;

        f->inside = true;
        loop_defer(&f->loop, count, f);
        f->inside = false;
        assert_int_equal(f->calls, 0);
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
}

static void a_deferred_call_may_defer_more(void **state)
{
        struct fixture *f = *state;

        loop_defer(&f->loop, defer_again, f);
        loop_run(&f->loop);
        assert_int_equal(f->calls, 100);
}

/* Calls each of which defers the next one, beginning with an event of a poll. */
struct generations {
        struct loop *loop;
        int left;
        int polls; /* since the first of them */
        int polls_at_end;
};

static void count_poll(uv_prepare_t *prepare)
{
        struct generations *g = prepare->data;

        g->polls++;
}

static void next_generation(void *ctx)
{
        struct generations *g = ctx;

        if (g->left-- > 0)
                loop_defer(g->loop, next_generation, g);
        else
                g->polls_at_end = g->polls;
}

static void first_generation(void *ctx)
{
        struct generations *g = ctx;

        g->polls = 0;
        next_generation(g);
}

static void do_nothing(void *ctx)
{
        (void)ctx;
}

static int polls_within(struct loop *l, int count)
{
        struct generations g = { .loop = l, .left = count, .polls_at_end = -1 };
        uv_prepare_t prepare;

        uv_prepare_init(&l->uv, &prepare);
        prepare.data = &g;
        uv_prepare_start(&prepare, count_poll);
        uv_unref((uv_handle_t *)&prepare);
        loop_job(l, do_nothing, first_generation, &g);
        loop_run(l);
        uv_close((uv_handle_t *)&prepare, NULL);
        uv_run(&l->uv, UV_RUN_NOWAIT);
        return g.polls_at_end;
}

static void calls_of_an_event_run_before_the_next_poll(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(polls_within(&f->loop, 1), 0);
        assert_int_equal(polls_within(&f->loop, 4), 0);
}

static void calls_without_end_do_not_keep_events_waiting(void **state)
{
        struct fixture *f = *state;

        assert_in_range(polls_within(&f->loop, 100), 2, 100);
}

static void stop_loop(void *ctx)
{
        struct fixture *f = ctx;

        loop_defer(&f->loop, count, f);
        loop_stop(&f->loop);
}

static void a_stopped_loop_runs_no_deferred_call(void **state)
{
        struct fixture *f = *state;

        loop_job(&f->loop, do_nothing, stop_loop, f);
        loop_run(&f->loop);
        assert_int_equal(f->calls, 0);
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
}

static void deferred_calls_are_kept_even_when_the_loop_is_released(void **state)
{
        struct fixture *f = *state;

        loop_defer(&f->loop, defer_again, f);
        loop_release(&f->loop);
        assert_int_equal(f->calls, 100);
        assert_null(loop_init(&f->loop, &f->clock.clock));
}

static void a_timer_follows_the_clock_it_was_given(void **state)
{
        struct fixture *f = *state;
        struct timer *t = timer_new(&f->loop, count, f);

        timer_start(t, HOURS(1));
        assert_true(timer_is_running(t));
        loop_advance(&f->loop, &f->clock, MINUTES(59));
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(f->calls, 0);
        loop_advance(&f->loop, &f->clock, MINUTES(1));
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
        assert_false(timer_is_running(t));
        timer_free(t);
}

/* It was armed for the first of three times. */
static void a_restarted_timer_fires_at_its_last_time(void **state)
{
        struct fixture *f = *state;
        struct timer *t = timer_new(&f->loop, count, f);

        timer_start(t, MINUTES(1));
        timer_start(t, MINUTES(3));
        timer_stop(t);
        timer_start(t, MINUTES(2));
        loop_advance(&f->loop, &f->clock, MINUTES(1));
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(f->calls, 0);
        loop_advance(&f->loop, &f->clock, MINUTES(1));
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
        timer_start(t, MINUTES(2));
        timer_start(t, MINUTES(1));
        loop_advance(&f->loop, &f->clock, MINUTES(1));
        loop_run(&f->loop);
        assert_int_equal(f->calls, 2);
        timer_free(t);
}

/* In the time of the system: libuv calls at the first time, the timer fires at its own. */
static void a_postponed_timer_waits_for_its_time(void **state)
{
        struct fixture *f = *state;
        struct timer *t = timer_new(&f->loop, count, f);
        uv_update_time(&f->loop.uv);
        uint64_t begun = uv_now(&f->loop.uv); /* in whole milliseconds, as it fires: it may be less than 30 ms later by a finer clock */

        timer_start(t, MILLISECONDS(5));
        timer_start(t, MILLISECONDS(30));
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
        assert_true(uv_now(&f->loop.uv) - begun >= 30);
        timer_free(t);
}

static void a_stopped_timer_keeps_no_loop_running(void **state)
{
        struct fixture *f = *state;
        struct timer *t = timer_new(&f->loop, count, f), *u = timer_new(&f->loop, count, f);

        timer_start(t, HOURS(1));
        timer_stop(t);
        timer_unref(u);
        timer_start(u, HOURS(1));
        loop_run(&f->loop);
        assert_int_equal(f->calls, 0);
        assert_false(timer_is_running(t));
        timer_free(t);
        timer_free(u);
}

static void a_freed_timer_does_not_fire(void **state)
{
        struct fixture *f = *state;
        struct timer *t = timer_new(&f->loop, count, f);

        timer_start(t, MILLISECONDS(0));
        timer_free(t);
        timer_free(NULL);
        loop_run(&f->loop);
        assert_int_equal(f->calls, 0);
}

static void free_own_timer(void *ctx)
{
        struct fixture *f = ctx;

        f->calls++;
        timer_free(f->timer);
}

static void a_timer_may_be_freed_by_its_own_callback(void **state)
{
        struct fixture *f = *state;

        f->timer = timer_new(&f->loop, free_own_timer, f);
        timer_start(f->timer, MILLISECONDS(0));
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
}

static void a_job_works_elsewhere_and_is_done_here(void **state)
{
        struct fixture *f = *state;

        loop_job(&f->loop, count, count, f);
        loop_run(&f->loop);
        assert_int_equal(f->calls, 2);
}

/* Shared with a thread of the pool. */
struct long_work {
        uv_sem_t has_begun;
        bool saw_cancel;
        int *released;
};

static void work_until_cancelled(void *ctx)
{
        struct long_work *w = ctx;

        uv_sem_post(&w->has_begun);
        while (!job_is_cancelled())
                ;
        w->saw_cancel = true;
}

static void must_not_be_done(void *ctx)
{
        (void)ctx;
        fail_msg("a cancelled job was done");
}

static void release_work(void *ctx)
{
        struct long_work *w = ctx;

        assert_true(w->saw_cancel);
        (*w->released)++;
        uv_sem_destroy(&w->has_begun);
        free(w);
}

static void a_cancelled_job_is_released_and_never_done(void **state)
{
        struct fixture *f = *state;
        int released = 0;

        for (int i = 0; i < 10; i++) { /* more than the pool has threads: some have not begun */
                struct long_work *w = NEW(struct long_work);

                w->released = &released;
                uv_sem_init(&w->has_begun, 0);
                struct job *j = loop_job(&f->loop, work_until_cancelled, must_not_be_done, w);
                if (i == 0)
                        uv_sem_wait(&w->has_begun);
                job_cancel(j, release_work);
        }
        job_cancel(NULL, release_work);
        assert_int_equal(released, 0);
        loop_run(&f->loop);
        assert_int_equal(released, 10);
}

static void note_signal(void *ctx, int signum)
{
        struct fixture *f = ctx;

        assert_int_equal(signum, SIGUSR1);
        f->calls++;
        loop_stop(&f->loop);
}

static void a_signal_reaches_its_watch(void **state)
{
        struct fixture *f = *state;
        struct signal_watch *w = signal_watch_new(&f->loop, SIGUSR1, note_signal, f);
        struct timer *keep = timer_new(&f->loop, count, f);

        timer_start(keep, MINUTES(1));
        raise(SIGUSR1);
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
        signal_watch_free(w);
        timer_free(keep);
}

static void a_nested_take_gets_another_buffer(void **state)
{
        struct fixture *f = *state;
        char *a = loop_buffer_take(&f->loop), *b = loop_buffer_take(&f->loop);

        assert_ptr_not_equal(a, b);
        loop_buffer_give(&f->loop, a);
        char *again = loop_buffer_take(&f->loop);
        assert_ptr_equal(a, again);
        loop_buffer_give(&f->loop, again);
        loop_buffer_give(&f->loop, b);
}

static void a_backoff_doubles_up_to_its_most_and_never_halves_below(void **state)
{
        struct backoff b = { .first = MILLISECONDS(100), .most = SECONDS(1) };
        static const int64_t ceilings[] = { 100, 200, 400, 800, 1000, 1000 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(ceilings); i++) {
                struct duration d = backoff_next(&b);

                assert_in_range(d.ns, ceilings[i] * 500000, ceilings[i] * 1000000);
        }
        backoff_reset(&b);
        assert_in_range(backoff_next(&b).ns, 50 * 1000000, 100 * 1000000);
}

enum { AWAIT_HELLO, AWAIT_END, DONE };
static const struct conversation_state states[] = {
        [AWAIT_HELLO] = { "await hello", { 5000000000 }, TO(AWAIT_END) | TO(DONE) },
        [AWAIT_END] = { "await end", { 60000000000 }, TO(DONE) },
        [DONE] = { "done", { 0 }, 0 },
};

static void a_conversation_has_a_deadline_in_each_state(void **state)
{
        struct fixture *f = *state;
        struct conversation c;

        conversation_init(&c, &f->loop, states, AWAIT_HELLO, count, f);
        loop_advance(&f->loop, &f->clock, SECONDS(4));
        conversation_enter(&c, AWAIT_END);
        loop_advance(&f->loop, &f->clock, SECONDS(59));
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(f->calls, 0);
        assert_string_equal(conversation_state_name(&c), "await end");
        loop_advance(&f->loop, &f->clock, SECONDS(1));
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
        conversation_enter(&c, DONE);
        conversation_release(&c);
        conversation_release(&c);
}

static void stop_now(struct loop_hook *g)
{
        g->next = NULL;
        g->run = NULL;
}

static void releasing_the_loop_runs_the_hooks(void **state)
{
        struct fixture *f = *state;
        struct loop_hook a = { 0 }, b = { 0 }, unauthenticated = { 0 };

        loop_hook_add(&f->loop, &a, stop_now);
        loop_hook_add(&f->loop, &b, stop_now);
        loop_hook_remove(&a);
        loop_hook_remove(&a);
        loop_hook_remove(&unauthenticated);
        loop_release(&f->loop);
        assert_non_null(a.run);
        assert_null(b.run);
        assert_null(loop_init(&f->loop, &f->clock.clock));
}

static void a_loop_at_rest_keeps_no_buffers(void **state)
{
        struct fixture *f = *state;
        char *one = loop_buffer_take(&f->loop), *two = loop_buffer_take(&f->loop);

        loop_buffer_give(&f->loop, one);
        loop_buffer_give(&f->loop, two);
        loop_trim_later(&f->loop);
        loop_run(&f->loop); /* returns: a trim does not keep the loop running */
        assert_int_equal(f->loop.free_buffer_count, 2);
        struct timer *until = timer_new(&f->loop, count, f);
        timer_start(until, MILLISECONDS(PACE_TRIM_AT_REST));
        loop_advance(&f->loop, &f->clock, MILLISECONDS(PACE_TRIM_AT_REST));
        loop_run(&f->loop);
        assert_int_equal(f->calls, 1);
        assert_int_equal(f->loop.free_buffer_count, 0);
        timer_free(until);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_cancelled_job_is_released_and_never_done),
                TEST(a_deferred_call_runs_from_the_loop_only),
                TEST(a_loop_at_rest_keeps_no_buffers),
                TEST(a_deferred_call_may_defer_more),
                TEST(calls_of_an_event_run_before_the_next_poll),
                TEST(calls_without_end_do_not_keep_events_waiting),
                TEST(a_stopped_loop_runs_no_deferred_call),
                TEST(deferred_calls_are_kept_even_when_the_loop_is_released),
                TEST(a_timer_follows_the_clock_it_was_given),
                TEST(a_restarted_timer_fires_at_its_last_time),
                TEST(a_postponed_timer_waits_for_its_time),
                TEST(a_stopped_timer_keeps_no_loop_running),
                TEST(a_freed_timer_does_not_fire),
                TEST(a_timer_may_be_freed_by_its_own_callback),
                TEST(a_job_works_elsewhere_and_is_done_here),
                TEST(a_signal_reaches_its_watch),
                TEST(a_nested_take_gets_another_buffer),
                TEST(a_backoff_doubles_up_to_its_most_and_never_halves_below),
                TEST(a_conversation_has_a_deadline_in_each_state),
                TEST(releasing_the_loop_runs_the_hooks),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
