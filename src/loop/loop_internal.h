/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by loop.c and worker.c: jobs, and how loop_release() ends the workers.
 */
#ifndef LOOP_LOOP_INTERNAL_H
#define LOOP_LOOP_INTERNAL_H

#include <stdatomic.h>

#include "loop/loop.h"

struct job {
        uv_work_t uv;     /* of a job of the pool */
        struct job *next; /* next in a queue of a worker */
        void (*work)(void *ctx);
        void (*done)(void *ctx); /* or the release function of a cancelled job */
        void *ctx;
        atomic_bool is_cancelled;
};

/* On the job's thread: does the work. */
void job_work(struct job *j);
/* On the loop, afterwards: frees the job, then calls done. */
void job_finish(struct job *j);

/*
 * Calls work(ctx) on the thread of a worker. A weak symbol, as job_testing.h replaces it by a function that stops
 * before or after the work.
 */
void worker_call(void (*work)(void *ctx), void *ctx);

/* Whether this handle wakes the loop for a worker: loop_release() leaves such handles open while jobs are running. */
bool workers_own(const struct loop *l, const uv_handle_t *handle);
/* Ends all workers of the loop; none has a job. */
void workers_end(struct loop *l);

#endif
