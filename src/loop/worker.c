/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "loop/loop_internal.h"

struct job_queue {
        struct job *first, **end;
};

struct worker {
        struct worker *next, **at; /* in the list of the loop's workers */
        struct loop *loop;
        uv_async_t finished_some; /* wakes the loop; keeps loop_run() running only while there are jobs */
        uv_thread_t thread;
        char name[16];
        size_t pending; /* jobs whose `done` has not been called */
        bool is_freed;

        uv_mutex_t lock; /* protects the fields below */
        uv_cond_t given;
        struct job_queue waiting, finished;
        bool is_ending;
};

static void queue_init(struct job_queue *q)
{
        q->first = NULL;
        q->end = &q->first;
}

static void queue_put(struct job_queue *q, struct job *j)
{
        j->next = NULL;
        *q->end = j;
        q->end = &j->next;
}

static struct job *queue_take(struct job_queue *q)
{
        struct job *j = q->first;

        if (j == NULL)
                return NULL;
        q->first = j->next;
        if (q->first == NULL)
                q->end = &q->first;
        return j;
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

__attribute__((weak)) void worker_call(void (*work)(void *ctx), void *ctx)
{
        work(ctx);
}

static void work_on(void *job)
{
        job_work(job);
}

static void run(void *ctx)
{
        struct worker *w = ctx;

        pthread_setname_np(pthread_self(), w->name);
        uv_mutex_lock(&w->lock);
        for (;;) {
                struct job *j = queue_take(&w->waiting);

                if (j == NULL && w->is_ending)
                        break;
                if (j == NULL) {
                        uv_cond_wait(&w->given, &w->lock);
                        continue;
                }
                uv_mutex_unlock(&w->lock);
                worker_call(work_on, j);
                uv_mutex_lock(&w->lock);
                queue_put(&w->finished, j);
                uv_async_send(&w->finished_some);
        }
        uv_mutex_unlock(&w->lock);
}

/* ---- the loop -------------------------------------------------------------------------------------------- */

static void on_async_closed(uv_handle_t *handle)
{
        free(handle->data);
}

/* Ends the thread at once: no job is left. */
static void end(struct worker *w)
{
        uv_mutex_lock(&w->lock);
        w->is_ending = true;
        uv_cond_signal(&w->given);
        uv_mutex_unlock(&w->lock);
        uv_thread_join(&w->thread);
        uv_cond_destroy(&w->given);
        uv_mutex_destroy(&w->lock);
        *w->at = w->next;
        if (w->next != NULL)
                w->next->at = w->at;
        uv_close((uv_handle_t *)&w->finished_some, on_async_closed);
}

static struct job *take_finished(struct worker *w)
{
        uv_mutex_lock(&w->lock);
        struct job *first = w->finished.first;
        queue_init(&w->finished);
        uv_mutex_unlock(&w->lock);
        return first;
}

static void on_finished(uv_async_t *async)
{
        struct worker *w = async->data;

        for (struct job *j = take_finished(w), *next; j != NULL; j = next) {
                next = j->next;
                job_finish(j);
                w->pending--; /* after `done`, which may free the worker */
        }
        if (w->pending > 0)
                return;
        uv_unref((uv_handle_t *)&w->finished_some);
        if (w->is_freed)
                end(w);
}

struct worker *worker_new(struct loop *l, const char *name)
{
        struct worker *w = NEW(struct worker);

        w->loop = l;
        if (strlen(name) >= sizeof w->name)
                bug("the name of worker '%s' is too long", name);
        memcpy(w->name, name, strlen(name));
        queue_init(&w->waiting);
        queue_init(&w->finished);
        if (uv_mutex_init(&w->lock) != 0 || uv_cond_init(&w->given) != 0 || uv_async_init(&l->uv, &w->finished_some, on_finished) != 0)
                bug("a worker cannot be made");
        w->finished_some.data = w;
        uv_unref((uv_handle_t *)&w->finished_some);
        if (uv_thread_create(&w->thread, run, w) != 0)
                bug("no thread for worker '%s'", name);
        w->next = l->workers;
        w->at = &l->workers;
        if (w->next != NULL)
                w->next->at = &w->next;
        l->workers = w;
        return w;
}

struct job *worker_job(struct worker *w, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
        struct job *j = NEW(struct job);

        if (w->is_freed)
                bug("worker '%s' is given a job after it was freed", w->name);
        j->work = work;
        j->done = done;
        j->ctx = ctx;
        if (w->pending++ == 0)
                uv_ref((uv_handle_t *)&w->finished_some);
        uv_mutex_lock(&w->lock);
        queue_put(&w->waiting, j);
        uv_cond_signal(&w->given);
        uv_mutex_unlock(&w->lock);
        return j;
}

void worker_free(struct worker *w)
{
        if (w == NULL)
                return;
        w->is_freed = true;
        if (w->pending == 0)
                end(w);
}

/* ---- loop_release() ---------------------------------------------------------------------------------------- */

bool workers_own(const struct loop *l, const uv_handle_t *handle)
{
        for (const struct worker *w = l->workers; w != NULL; w = w->next)
                if (handle == (const uv_handle_t *)&w->finished_some)
                        return true;
        return false;
}

void workers_end(struct loop *l)
{
        while (l->workers != NULL)
                end(l->workers);
}
