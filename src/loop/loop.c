/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/buffer_spare.h"
#include "loop/loop_internal.h"

enum {
        /* Maximum of unused buffers: one megabyte in total, so that a stream at full speed gets its own buffers again. */
        BUFFERS_KEPT = 16,
        /* Most generations of deferred calls between two polls: a request needs three at most, and calls without end must not keep events waiting. */
        DEFERRED_ROUNDS = 4,
};

struct timer {
        uv_timer_t uv;
        struct loop *loop;
        void (*fired)(void *ctx);
        void *ctx;
        struct instant due;
        struct instant armed;     /* while uv is active: libuv calls at this time; before `due` if the timer was restarted meanwhile, and is armed again then */
        struct timer *next, **at; /* in the list of the loop's running timers */
        bool is_unref;            /* it does not keep the loop running */
};

/* The current job of this thread. */
static _Thread_local const struct job *working;

struct signal_watch {
        uv_signal_t uv;
        void (*fn)(void *ctx, int signum);
        void *ctx;
};

/* For calls that fail only when they are misused or memory is exhausted. */
static void must(int status, const char *what)
{
        if (status < 0)
                bug("%s: %s", what, uv_strerror(status));
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

/* Runs the calls that were deferred before; calls deferred meanwhile run in the next round. */
static void run_deferred(uv_idle_t *idle)
{
        struct loop *l = idle->data;
        struct loop_call *calls = l->calls;
        size_t count = l->call_count, room = l->call_room;

        l->calls = l->spare_calls;
        l->call_room = l->spare_call_room;
        l->call_count = 0;
        l->spare_calls = NULL;
        l->spare_call_room = 0;
        uv_idle_stop(idle);
        for (size_t i = 0; i < count; i++)
                calls[i].fn(calls[i].ctx);
        l->spare_calls = calls;
        l->spare_call_room = room;
}

/*
 * Runs after each poll: the calls that its events have deferred, and those that these defer, without a system call for each generation.
 * The rest, and all after loop_stop(), runs in the next turn.
 */
static void run_after_poll(uv_check_t *check)
{
        struct loop *l = check->data;

        for (int i = 0; i < DEFERRED_ROUNDS && l->call_count > 0 && l->uv.stop_flag == 0; i++)
                run_deferred(&l->deferring);
        l->is_in_event = false;
}

void loop_note_event(struct loop *l)
{
        l->event_began = clock_now(l->clock);
        l->is_in_event = l->clock == clock_system(); /* a test may move its own within the event */
}

struct error *loop_init(struct loop *l, const struct clock *clock)
{
        *l = (struct loop){ .clock = clock == NULL ? clock_system() : clock };
        int status = uv_loop_init(&l->uv);
        if (status < 0)
                return error_errno(-status, "cannot create an event loop");
        must(uv_idle_init(&l->uv, &l->deferring), "uv_idle_init");
        l->deferring.data = l;
        must(uv_check_init(&l->uv, &l->after_poll), "uv_check_init");
        l->after_poll.data = l;
        must(uv_check_start(&l->after_poll, run_after_poll), "uv_check_start");
        uv_unref((uv_handle_t *)&l->after_poll);
        /* Writing to a disconnected peer must be an error of the write, not the end of the process. */
        signal(SIGPIPE, SIG_IGN);
        return NULL;
}

static void plan_check(struct loop *l)
{
        metric_set_at(METRIC_LOOP_DUE, 0, loop_now(l).ns + MILLISECONDS(PACE_HEALTH_CHECK).ns);
        timer_start(l->check, MILLISECONDS(PACE_HEALTH_CHECK));
}

static void on_check(void *ctx)
{
        struct loop *l = ctx;
        int64_t lag = loop_now(l).ns - l->check->due.ns;

        metric_set_at(METRIC_LOOP_LAG, 0, lag < 0 ? 0 : lag);
        plan_check(l);
}

/* Runs before each wait for events. */
static void on_turn(uv_prepare_t *turn)
{
        struct loop *l = turn->data;
        uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(&l->uv);

        metric_observe_at(METRIC_LOOP_TURNS, 0, (struct duration){ (int64_t)(now - l->turn_began - (idle - l->idle)) });
        l->turn_began = now;
        l->idle = idle;
}

/* The process `diag` notices by METRIC_LOOP_DUE that the loop does not run. */
void loop_measure(struct loop *l)
{
        if (!metrics_are_on() || l->check != NULL)
                return;
        l->check = timer_new(l, on_check, l);
        timer_unref(l->check);
        plan_check(l);
        must(uv_loop_configure(&l->uv, UV_METRICS_IDLE_TIME), "uv_loop_configure");
        must(uv_prepare_init(&l->uv, &l->turn), "uv_prepare_init");
        l->turn.data = l;
        l->turn_began = uv_hrtime();
        must(uv_prepare_start(&l->turn, on_turn), "uv_prepare_start");
        uv_unref((uv_handle_t *)&l->turn);
}

void loop_run(struct loop *l)
{
        loop_measure(l);
        uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
        uv_stop(&l->uv);
}

static void close_leftover(uv_handle_t *handle, void *ctx)
{
        if (!uv_is_closing(handle) && !workers_own(ctx, handle))
                uv_close(handle, NULL);
}

static void free_buffers(struct loop *l)
{
        while (l->free_buffers != NULL) {
                void *buffer = l->free_buffers;

                l->free_buffers = *(void **)buffer;
                free(buffer);
        }
        l->free_buffer_count = 0;
}

void loop_release(struct loop *l)
{
        if (l->clock == NULL)
                return;
        l->is_ending = true;
        l->is_in_event = false;
        timer_free(l->trim);
        timer_free(l->check);
        /* Every deferred call is guaranteed to run: all run before anything is closed. */
        while (l->hooks != NULL || l->call_count > 0) {
                if (l->hooks != NULL) {
                        struct loop_hook *g = l->hooks;

                        loop_hook_remove(g);
                        g->run(g);
                }
                if (l->call_count > 0)
                        run_deferred(&l->deferring);
        }
        while (uv_loop_close(&l->uv) == UV_EBUSY) {
                uv_walk(&l->uv, close_leftover, l);
                uv_run(&l->uv, UV_RUN_ONCE);
                if (l->call_count > 0)
                        run_deferred(&l->deferring);
                else if (!uv_loop_alive(&l->uv))
                        workers_end(l); /* no job is left, nor a callback that could add one */
        }
        free(l->calls);
        free(l->spare_calls);
        free_buffers(l);
        *l = (struct loop){ 0 };
}

void loop_defer(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
        if (l->call_count == l->call_room) {
                l->call_room = l->call_room == 0 ? 16 : 2 * l->call_room;
                l->calls = mem_resize(l->calls, l->call_room, sizeof *l->calls);
        }
        l->calls[l->call_count++] = (struct loop_call){ fn, ctx };
        if (!uv_is_closing((uv_handle_t *)&l->deferring))
                must(uv_idle_start(&l->deferring, run_deferred), "uv_idle_start");
}

char *loop_buffer_take(struct loop *l)
{
        void *buffer = l->free_buffers;

        if (buffer == NULL)
                return mem_alloc(LOOP_BUFFER_WITH_SPARE);
        l->free_buffers = *(void **)buffer;
        l->free_buffer_count--;
        return buffer;
}

void loop_buffer_give(struct loop *l, char *buffer)
{
        if (l->free_buffer_count >= BUFFERS_KEPT) {
                free(buffer);
                return;
        }
        l->free_buffer_count++;
        *(void **)(void *)buffer = l->free_buffers;
        l->free_buffers = buffer;
}

void loop_hook_add(struct loop *l, struct loop_hook *g, void (*run)(struct loop_hook *g))
{
        g->run = run;
        g->next = l->hooks;
        g->at = &l->hooks;
        if (g->next != NULL)
                g->next->at = &g->next;
        l->hooks = g;
}

void loop_hook_remove(struct loop_hook *g)
{
        if (g->at == NULL)
                return;
        *g->at = g->next;
        if (g->next != NULL)
                g->next->at = g->at;
        g->next = NULL;
        g->at = NULL;
}

/* ---- timers -------------------------------------------------------------------------------------------- */

struct timer *timer_new(struct loop *l, void (*fired)(void *ctx), void *ctx)
{
        struct timer *t = NEW(struct timer);

        t->loop = l;
        t->fired = fired;
        t->ctx = ctx;
        must(uv_timer_init(&l->uv, &t->uv), "uv_timer_init");
        t->uv.data = t;
        return t;
}

static void timer_unlink(struct timer *t)
{
        if (t->at == NULL)
                return;
        *t->at = t->next;
        if (t->next != NULL)
                t->next->at = t->at;
        t->next = NULL;
        t->at = NULL;
}

static void timer_link(struct timer *t)
{
        t->next = t->loop->timers;
        t->at = &t->loop->timers;
        if (t->next != NULL)
                t->next->at = &t->next;
        t->loop->timers = t;
}

static void on_timer(uv_timer_t *uv);

static void arm(struct timer *t, struct duration after)
{
        int64_t ns = after.ns < 0 ? 0 : after.ns;

        t->armed = t->due;
        /* libuv counts from the start of its turn; the time used since would make the timer fire early. */
        uv_update_time(&t->loop->uv);
        must(uv_timer_start(&t->uv, on_timer, (uint64_t)(ns / 1000000 + (ns % 1000000 != 0)), 0), "uv_timer_start");
}

static void on_timer(uv_timer_t *uv)
{
        struct timer *t = uv->data;
        struct instant now = loop_now(t->loop);

        if (!timer_is_running(t))
                return;
        if (t->armed.ns < t->due.ns) {
                arm(t, instant_since(t->due, now.ns < t->armed.ns ? t->armed : now));
                return;
        }
        timer_unlink(t);
        t->fired(t->ctx);
}

/* Most timers limit how long an event may take that comes soon: they are restarted and stopped often, which leaves libuv's queue as it is. */
void timer_start(struct timer *t, struct duration after)
{
        t->due = instant_add(loop_now(t->loop), after);
        if (!timer_is_running(t)) {
                timer_link(t);
                if (!t->is_unref)
                        uv_ref((uv_handle_t *)&t->uv);
        }
        if (!uv_is_active((uv_handle_t *)&t->uv) || t->armed.ns > t->due.ns)
                arm(t, after);
}

void timer_stop(struct timer *t)
{
        timer_unlink(t);
        uv_unref((uv_handle_t *)&t->uv);
}

bool timer_is_running(const struct timer *t)
{
        return t->at != NULL;
}

void timer_unref(struct timer *t)
{
        t->is_unref = true;
        uv_unref((uv_handle_t *)&t->uv);
}

static void on_timer_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void timer_free(struct timer *t)
{
        if (t == NULL)
                return;
        timer_unlink(t);
        uv_close((uv_handle_t *)&t->uv, on_timer_closed);
}

static void on_at_rest(void *ctx)
{
        free_buffers(ctx);
        mem_trim();
}

void loop_trim_later(struct loop *l)
{
        if (l->is_ending)
                return;
        if (l->trim == NULL) {
                l->trim = timer_new(l, on_at_rest, l);
                timer_unref(l->trim);
        }
        timer_start(l->trim, MILLISECONDS(PACE_TRIM_AT_REST));
}

void loop_advance(struct loop *l, struct fake_clock *f, struct duration by)
{
        fake_clock_advance(f, by);
        for (struct timer *t = l->timers; t != NULL; t = t->next)
                if (t->due.ns <= loop_now(l).ns)
                        arm(t, MILLISECONDS(0));
}

/* ---- jobs and signals ---------------------------------------------------------------------------------- */

void job_work(struct job *j)
{
        working = j;
        j->work(j->ctx);
        working = NULL;
}

void job_finish(struct job *j)
{
        void (*done)(void *ctx) = j->done;
        void *ctx = j->ctx;

        free(j);
        done(ctx);
}

static void on_work(uv_work_t *uv)
{
        job_work(uv->data);
}

static void on_work_done(uv_work_t *uv, int status)
{
        (void)status; /* nonzero only for work cancelled in libuv, which is never requested */
        job_finish(uv->data);
}

void job_cancel(struct job *j, void (*release)(void *ctx))
{
        if (j == NULL)
                return;
        j->done = release;
        atomic_store(&j->is_cancelled, true);
}

bool job_is_cancelled(void)
{
        return working != NULL && atomic_load(&working->is_cancelled);
}

struct job *loop_job(struct loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
        struct job *j = NEW(struct job);

        j->work = work;
        j->done = done;
        j->ctx = ctx;
        j->uv.data = j;
        must(uv_queue_work(&l->uv, &j->uv, on_work, on_work_done), "uv_queue_work");
        return j;
}

static void on_signal(uv_signal_t *uv, int signum)
{
        struct signal_watch *w = uv->data;

        w->fn(w->ctx, signum);
}

struct signal_watch *signal_watch_new(struct loop *l, int signum, void (*fn)(void *ctx, int signum), void *ctx)
{
        struct signal_watch *w = NEW(struct signal_watch);

        w->fn = fn;
        w->ctx = ctx;
        must(uv_signal_init(&l->uv, &w->uv), "uv_signal_init");
        w->uv.data = w;
        must(uv_signal_start(&w->uv, on_signal, signum), "uv_signal_start");
        /* A signal handler alone does not keep the loop running. */
        uv_unref((uv_handle_t *)&w->uv);
        return w;
}

static void on_signal_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void signal_watch_free(struct signal_watch *w)
{
        if (w != NULL)
                uv_close((uv_handle_t *)&w->uv, on_signal_closed);
}

/* ---- backoff ------------------------------------------------------------------------------------------- */

struct duration backoff_next(struct backoff *b)
{
        int64_t ceiling = b->next.ns > 0 ? b->next.ns : b->first.ns;
        uint64_t dice;

        if (ceiling > b->most.ns)
                ceiling = b->most.ns;
        b->next.ns = ceiling > b->most.ns / 2 ? b->most.ns : 2 * ceiling;
        if (getrandom(&dice, sizeof dice, 0) != sizeof dice)
                bug("the kernel returned no random bytes");
        int64_t half = ceiling / 2;
        return (struct duration){ half + (int64_t)(dice % (uint64_t)(ceiling - half + 1)) };
}

void backoff_reset(struct backoff *b)
{
        b->next.ns = 0;
}
