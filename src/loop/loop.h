/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a process: libuv with a clock, timers that own themselves, deferred calls and
 * blocking work on the pool.
 *
 * One loop, one thread, no locks. A callback never runs inside the call that registered it.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <uv.h>

#include "base/clock.h"
#include "base/error.h"

struct loop {
        uv_loop_t uv;
        const struct clock *clock; /* handed to whoever needs the time */
};

/* Prepares an empty loop; clock NULL means the machine's. SIGPIPE is ignored from here on. */
struct error *loop_init(struct loop *l, const struct clock *clock) MUST_USE;

/* Runs until loop_stop() or until nothing is left to wait for. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Closes what is left and frees the loop; everything on it must have been closed by its owner. */
void loop_release(struct loop *l);

static inline struct instant loop_now(const struct loop *l)
{
        return clock_now(l->clock);
}
static inline struct walltime loop_wall(const struct loop *l)
{
        return clock_wall(l->clock);
}

/* Calls fn(ctx) once, soon, from the loop, never from inside this call. Cannot be taken back. */
void loop_defer(struct loop *l, void (*fn)(void *ctx), void *ctx);

/* A timer: one shot unless restarted. Opaque, so that freeing may finish later. */
struct timer;
struct timer *timer_new(struct loop *l, void (*fired)(void *ctx), void *ctx) MUST_USE;
void timer_start(struct timer *t, struct duration after); /* restarts if running */
void timer_stop(struct timer *t);
bool timer_is_running(const struct timer *t);
void timer_free(struct timer *t); /* fired is not called any more; NULL is silent */

/*
 * Blocking work on libuv's pool. `work` runs on another thread and touches only ctx, which holds its
 * own copies; `done` runs on the loop exactly once afterwards. (Not cancellable: ctx outlives both.)
 */
void loop_job(struct loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

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
