/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a process: libuv with a clock, timers, deferred calls and blocking work on the thread pool.
 *
 * One loop, one thread, no locks. A callback is never called from within the function that registered it.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <uv.h>

#include "base/clock.h"
#include "base/error.h"

/* Bytes in one shared buffer: a read, or the plaintext of four TLS records. */
enum { LOOP_BUFFER = 64 * KiB };

struct loop_call {
        void (*fn)(void *ctx);
        void *ctx;
};

/*
 * Hook of an object that continues after its owner has closed it, such as a socket that still sends: loop_release()
 * calls the hook, which ends the object at once. Embedded in such objects.
 */
struct loop_hook {
        struct loop_hook *next, **at;
        void (*run)(struct loop_hook *g);
};

struct loop {
        uv_loop_t uv;
        const struct clock *clock; /* used by everything that needs the time */

        /* The following fields are private. */
        uv_idle_t deferring;     /* active while calls wait */
        uv_check_t after_poll;   /* runs them */
        struct loop_call *calls; /* deferred, in order */
        size_t call_count, call_room;
        struct loop_call *spare_calls; /* the other half of a double buffer */
        size_t spare_call_room;
        struct timer *timers; /* running timers */
        struct worker *workers; /* worker.h */
        struct loop_hook *hooks;
        void *free_buffers;
        size_t free_buffer_count;
        struct timer *trim; /* of loop_trim_later() */
        uv_prepare_t turn;       /* active with `check` */
        uint64_t turn_began, idle; /* ns: the end of the last turn, and the time waited for events until then */
        struct timer *check; /* measures the lag of the loop; NULL unless metrics are recorded */
        struct instant event_began;
        bool is_in_event;   /* the last event has a time, until all calls that the events have deferred were run */
        bool is_ending;     /* in loop_release() */
};

/* Initialises an empty loop; clock NULL means the system clock. The process ignores SIGPIPE from now on. */
struct error *loop_init(struct loop *l, const struct clock *clock) MUST_USE;

/* Measures the lag and the turns of the loop if metrics are recorded; loop_run() does this first. */
void loop_measure(struct loop *l);

/* Runs until loop_stop() is called or no handle is active. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/*
 * Calls the hooks, waits for jobs on the pool, and frees the loop; all objects on it must have been closed by their
 * owners.
 */
void loop_release(struct loop *l);

/* Within an event of loop_note_event(), and what it has deferred: the time at which the event began. */
static inline struct instant loop_now(const struct loop *l)
{
        return l->is_in_event ? l->event_began : clock_now(l->clock);
}
static inline struct walltime loop_wall(const struct loop *l)
{
        return clock_wall(l->clock);
}

/* An event begins, whose functions all get one time, which saves reading the clock for each. For frequent events, such as those of sockets. */
void loop_note_event(struct loop *l);

/* Calls fn(ctx) once, from the loop: after the events that wait now, at the latest in its next turn. Cannot be cancelled. */
void loop_defer(struct loop *l, void (*fn)(void *ctx), void *ctx);

/*
 * A buffer of LOOP_BUFFER bytes for the length of one callback, or as a piece of a queue while it moves, shared by all
 * connections of the loop so that an idle one holds none. Nested calls get different buffers; each buffer is returned
 * with loop_buffer_give().
 */
char *loop_buffer_take(struct loop *l) MUST_USE;
void loop_buffer_give(struct loop *l, char *buffer);

/*
 * Returns unused memory to the system (mem_trim, and the shared buffers), once, PACE_TRIM_AT_REST after the last call. Called when something that
 * needed memory is done, such as connecting to the cluster. Does not keep the loop running.
 */
void loop_trim_later(struct loop *l);

void loop_hook_add(struct loop *l, struct loop_hook *g, void (*run)(struct loop_hook *g));
void loop_hook_remove(struct loop_hook *g); /* does nothing for a hook that was not added */

/* A timer that fires once unless restarted. Opaque, so that it can be freed later than timer_free(). */
struct timer;
struct timer *timer_new(struct loop *l, void (*fired)(void *ctx), void *ctx) MUST_USE;
void timer_start(struct timer *t, struct duration after); /* restarts if running */
void timer_stop(struct timer *t);
bool timer_is_running(const struct timer *t);
void timer_unref(struct timer *t); /* the timer alone does not keep the loop running from now on */
void timer_free(struct timer *t); /* fired is not called any more; NULL is silent */

/* For tests: moves the loop's fake clock; timers that are due then fire when the loop runs next. */
void loop_advance(struct loop *l, struct fake_clock *f, struct duration by);

/*
 * Blocking work on libuv's pool. `work` runs on another thread and accesses only ctx, which holds its own copies;
 * `done` runs on the loop exactly once afterwards, and the job is freed before it.
 *
 * An owner that may end before its job keeps the job and cancels it when it ends: `done` is never called then, and
 * release(ctx), which frees ctx and accesses nothing else, runs on the loop once the work has returned, at the latest
 * in loop_release(). The work is completed nevertheless, unless it checks job_is_cancelled() and returns. An owner that
 * outlives the loop, or that ends in `done`, need not keep it.
 */
struct job;
struct job *loop_job(struct loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);
void job_cancel(struct job *j, void (*release)(void *ctx)); /* NULL is silent */
bool job_is_cancelled(void); /* for long work, on its own thread: whether its job was cancelled */

/* Calls fn(ctx, signum) from the loop for each signal; until signal_watch_free. */
struct signal_watch;
struct signal_watch *signal_watch_new(struct loop *l, int signum, void (*fn)(void *ctx, int signum),
                                      void *ctx) MUST_USE;
void signal_watch_free(struct signal_watch *w);

/*
 * A pause between tries: grows from `first` by doubling up to `most`, each with full jitter above half
 * of it. backoff_reset() after a success.
 */
struct backoff {
        struct duration first, most, next;
};
struct duration backoff_next(struct backoff *b);
void backoff_reset(struct backoff *b);

#endif
