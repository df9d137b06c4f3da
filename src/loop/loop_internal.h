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
        struct job *next; /* in a queue of a worker */
        void (*work)(void *ctx);
        void (*done)(void *ctx); /* or the release of a cancelled one */
        void *ctx;
        atomic_bool is_cancelled;
};

/* On the job's thread: does the work. */
void job_work(struct job *j);
/* On the loop, afterwards: frees the job, then calls done. */
void job_finish(struct job *j);

/*
 * Calls work(ctx), on the thread of a worker. job_testing.h has its own, which stops before or after the work; so this is a
 * weak symbol.
 */
void worker_call(void (*work)(void *ctx), void *ctx);

/* Whether this handle wakes the loop for a worker: loop_release() leaves those open until no job is under way. */
bool workers_own(const struct loop *l, const uv_handle_t *handle);
/* Ends all workers of the loop; none has a job. */
void workers_end(struct loop *l);

#endif
