/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests that free the owner of a running job: holds the next job of a loop at one of three points, at which the
 * test frees the owner.
 *
 *      job_hold(&f->loop, moment);
 *      (the owner starts its job)
 *      job_await_held(&f->loop);
 *      (the owner ends)
 *      job_resume();
 *      (the loop runs on, or is released)
 *
 * A sanitizer then reports a job that accesses its owner afterwards. One source of each test program includes this.
 */
#ifndef LOOP_JOB_TESTING_H
#define LOOP_JOB_TESTING_H

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/compiler.h"
#include "loop/loop_internal.h"

enum job_moment {
        JOB_QUEUED,  /* no thread of the pool has it yet */
        JOB_RUNNING, /* a thread has taken it and has not begun its work */
        JOB_RAN,     /* its work is done, and its callback was not called yet */
        JOB_MOMENTS,
};

static struct {
        atomic_bool is_armed, is_given;
        enum job_moment moment;
        uv_work_t blocker;
        uv_work_cb work; /* work of the held job */
        uv_sem_t reached, go;
} job_held;

static void job_held_work(uv_work_t *req)
{
        if (job_held.moment == JOB_RUNNING) {
                uv_sem_post(&job_held.reached);
                uv_sem_wait(&job_held.go);
        }
        job_held.work(req);
        if (job_held.moment == JOB_RAN)
                uv_sem_post(&job_held.reached);
}

static void job_held_block(uv_work_t *req)
{
        (void)req;
        uv_sem_wait(&job_held.go);
}

static int job_held_give(uv_loop_t *l, uv_work_t *req, uv_work_cb work, uv_after_work_cb after)
{
        static int (*give)(uv_loop_t *, uv_work_t *, uv_work_cb, uv_after_work_cb);

        if (give == NULL)
                give = (__typeof__(give))dlsym(RTLD_NEXT, "uv_queue_work");
        return give(l, req, work, after);
}

/* Replaces libuv's function. */
int uv_queue_work(uv_loop_t *l, uv_work_t *req, uv_work_cb work, uv_after_work_cb after)
{
        if (!job_held.is_armed || job_held.is_given)
                return job_held_give(l, req, work, after);
        job_held.is_given = true;
        job_held.work = work;
        return job_held_give(l, req, job_held_work, after);
}

/* Replaces the function of worker.c: a job of a worker is held on the worker's own thread. */
void worker_call(void (*work)(void *ctx), void *ctx)
{
        if (!job_held.is_armed || atomic_exchange(&job_held.is_given, true)) {
                work(ctx);
                return;
        }
        if (job_held.moment == JOB_RUNNING)
                uv_sem_post(&job_held.reached);
        if (job_held.moment != JOB_RAN)
                uv_sem_wait(&job_held.go);
        work(ctx);
        if (job_held.moment == JOB_RAN)
                uv_sem_post(&job_held.reached);
}

/* To be called before the first job of the process: with one thread, a job that is held keeps all others in the queue. */
static inline UNUSED void job_use_one_thread(void)
{
        setenv("UV_THREADPOOL_SIZE", "1", 1);
}

static inline UNUSED void job_hold(struct loop *l, enum job_moment moment)
{
        job_held.is_armed = true;
        job_held.is_given = false;
        job_held.moment = moment;
        uv_sem_init(&job_held.reached, 0);
        uv_sem_init(&job_held.go, 0);
        if (moment == JOB_QUEUED && job_held_give(&l->uv, &job_held.blocker, job_held_block, NULL) != 0)
                bug("the pool takes no work");
}

/* Occupies the only thread of the pool, as a blocked disk does, until job_free_pool(). */
static inline UNUSED void job_block_pool(struct loop *l)
{
        uv_sem_init(&job_held.go, 0);
        if (job_held_give(&l->uv, &job_held.blocker, job_held_block, NULL) != 0)
                bug("the pool takes no work");
}

static inline UNUSED void job_free_pool(void)
{
        uv_sem_post(&job_held.go);
}

/* Runs the loop until the job has been given to the pool or taken by its worker, then waits for its moment. */
static inline UNUSED void job_await_held(struct loop *l)
{
        while (!job_held.is_given)
                uv_run(&l->uv, UV_RUN_NOWAIT);
        if (job_held.moment != JOB_QUEUED)
                uv_sem_wait(&job_held.reached);
}

static inline UNUSED void job_resume(void)
{
        job_held.is_armed = false;
        if (job_held.moment != JOB_RAN)
                uv_sem_post(&job_held.go);
        if (job_held.moment == JOB_QUEUED) /* one for the thread of the pool, one for that of a worker */
                uv_sem_post(&job_held.go);
}

#endif
