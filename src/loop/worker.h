/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread that runs the blocking jobs of one subsystem, in the order in which they were given.
 *
 * The pool (loop_job) has a few threads for everything that blocks in a process: when as many jobs wait for a slow disk, every
 * other job waits too. A subsystem that must not wait for the others has a worker of its own.
 *
 *      worker_job ─▶ queue ─▶ [thread] work(ctx) ─▶ finished ─▶ [loop] done(ctx)
 *
 * Jobs behave as those of the pool: `work` accesses only ctx; `done` is called from the loop, exactly once;
 * job_cancel() applies. The thread exists from worker_new() on, so a process that enters a sandbox creates its workers
 * afterwards.
 */
#ifndef LOOP_WORKER_H
#define LOOP_WORKER_H

#include "loop/loop.h"

struct worker;

/* Starts the thread. `name` is shown by ps and debuggers, at most 15 bytes. */
struct worker *worker_new(struct loop *l, const char *name) MUST_USE;

struct job *worker_job(struct worker *w, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

/*
 * Returns at once; the worker ends when the callbacks of its jobs have returned. No job may be added afterwards.
 * loop_release() waits for the end. NULL is ignored.
 */
void worker_free(struct worker *w);

#endif
