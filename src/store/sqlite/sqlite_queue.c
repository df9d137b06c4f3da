/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/batch_pace.h"
#include "loop/worker.h"
#include "store/purge_timer.h"
#include "store/sqlite/sqlite.h"

struct sqlite_queue {
        struct store *store; /* receives changes and answers */
        struct loop *loop;
        struct worker *worker;
        struct sqlite_store db;

        struct store_op *waiting, **waiting_end;
        size_t waiting_count;
        struct batch_pace pace;
        struct sqlite_batch batch; /* while is_busy: owned by the worker, or being answered */
        bool is_busy;
        bool is_advancing; /* advance() is deferred */

        struct timer *purge_timer;
        struct walltime next_expiry;
        bool purge_is_due; /* the timer has fired */
        bool purge_failed; /* the next purge waits for the timer instead of joining the next write */

        bool is_closing;
        void (*closed)(void *ctx);
        void *closed_ctx;
};

/* ---- batches: from the queue to the worker and back ---------------------------------------------- */

static void advance(void *ctx);

static void advance_soon(struct sqlite_queue *q)
{
        if (q->is_advancing || q->is_busy)
                return;
        q->is_advancing = true;
        loop_defer(q->loop, advance, q); /* deferred, so that all operations of this turn of the loop go into one batch */
}

static void on_pace(void *ctx)
{
        advance_soon(ctx);
}

static void submit(void *impl, struct store_op *op)
{
        struct sqlite_queue *q = impl;

        *q->waiting_end = op;
        q->waiting_end = &op->next;
        q->waiting_count++;
        advance_soon(q);
}

static void on_purge_timer(void *ctx)
{
        struct sqlite_queue *q = ctx;

        q->purge_is_due = true;
        q->purge_failed = false;
        advance_soon(q);
}

/* The timer stops while no item expires; a busy store purges with its writes. */
static void arm_purge_timer(struct sqlite_queue *q)
{
        const struct walltime next = q->is_closing ? (struct walltime){ 0 } : q->next_expiry;

        purge_timer_arm(q->purge_timer, q->loop, next, MILLISECONDS(q->purge_failed ? TIMEOUT_STORE_PURGE_RETRY : TIMEOUT_STORE_PURGE));
}

static void work_batch(void *ctx)
{
        struct sqlite_queue *q = ctx;

        sqlite_store_run(&q->db, &q->batch);
}

/* The content of the disk is unknown: no answer may be sent, and only a new start can check the database. */
static NO_RETURN void die(const struct error *err)
{
        log_error("the store failed; the process ends so that the next start can check it", LOG_ERR(err));
        _exit(EXIT_FAILURE);
}

static void finish_purge(struct sqlite_queue *q)
{
        struct store_op *purge = q->batch.purge;

        if (purge == NULL)
                return;
        q->purge_failed = purge->err != NULL; /* the disk is full; the next write reports it */
        store_report(q->store, purge);
        store_op_free(purge);
}

static void on_batch_done(void *ctx)
{
        struct sqlite_queue *q = ctx;

        if (q->batch.broken != NULL)
                die(q->batch.broken);
        q->next_expiry = q->batch.next_expiry;
        finish_purge(q);
        for (struct store_op *op = q->batch.first, *next; op != NULL; op = next) {
                next = op->next;
                store_report(q->store, op);
                store_answer(op);
        }
        q->is_busy = false;
        arm_purge_timer(q);
        if (q->waiting != NULL || q->is_closing)
                advance_soon(q);
}

/* Moves waiting operations into the batch, in order, up to its limit; returns whether one of them writes. */
static bool fill_batch(struct sqlite_queue *q)
{
        struct store_op **end = &q->batch.first;
        bool writes = false;
        size_t reads = 0;

        size_t count = 0;
        for (; q->waiting != NULL && count < LIMIT_STORE_BATCH && reads < LIMIT_STORE_BATCH_READS; count++) {
                struct store_op *op = q->waiting;

                reads += op->kind == OP_RANGE;
                q->waiting = op->next;
                op->next = NULL;
                *end = op;
                end = &op->next;
                writes |= op->kind == OP_TXN;
        }
        if (q->waiting == NULL)
                q->waiting_end = &q->waiting;
        q->waiting_count -= count;
        if (count > 0)
                batch_pace_began(&q->pace, count);
        return writes;
}

static void work_close(void *ctx)
{
        struct sqlite_queue *q = ctx;

        error_free(sqlite_store_mark(&q->db)); /* without a new marker, an old database is only detected less reliably */
        sqlite_store_close(&q->db);
}

static void on_closed(void *ctx)
{
        struct sqlite_queue *q = ctx;
        void (*closed)(void *ctx) = q->closed;
        void *closed_ctx = q->closed_ctx;

        if (q->waiting != NULL)
                bug("a request to a closed store");
        worker_free(q->worker);
        free(q);
        closed(closed_ctx);
}

static void advance(void *ctx)
{
        struct sqlite_queue *q = ctx;

        q->is_advancing = false;
        if (q->waiting != NULL && !q->is_closing && !batch_pace_may_begin(&q->pace, q->waiting_count))
                return;
        q->batch = (struct sqlite_batch){ .now = loop_wall(q->loop), .at = loop_now(q->loop) };
        bool writes = fill_batch(q);
        bool expired = q->next_expiry.ns != 0 && q->next_expiry.ns <= q->batch.now.ns;
        if (!q->is_closing && expired && !q->purge_failed && (writes || q->purge_is_due))
                q->batch.purge = store_op_new(OP_TXN, SIZE_MAX); /* stored keys were checked: no cap */
        q->purge_is_due = false;
        if (q->batch.first != NULL || q->batch.purge != NULL) {
                q->is_busy = true;
                worker_job(q->worker, work_batch, on_batch_done, q);
        } else if (q->is_closing) {
                q->is_busy = true;
                timer_free(q->purge_timer);
                batch_pace_release(&q->pace);
                worker_job(q->worker, work_close, on_closed, q);
        } else {
                arm_purge_timer(q);
        }
}

/* ---- open and close ------------------------------------------------------------------------------ */

static struct error *open_queue(struct store *s, struct loop *l, const struct store_options *options, void **ret, uint64_t *ret_revision)
{
        if (options->path == NULL || *options->path == '\0')
                return error_new(ERROR_INVALID_ARGUMENT, "the store has no directory");
        struct sqlite_queue *q = NEW(struct sqlite_queue);
        struct error *err = sqlite_store_open(options->path, options->shown, &q->db);

        if (err == NULL)
                err = sqlite_store_prepare(&q->db);
        if (err != NULL) {
                sqlite_store_close(&q->db);
                free(q);
                return err;
        }
        q->store = s;
        q->loop = l;
        q->worker = worker_new(l, "store");
        q->waiting_end = &q->waiting;
        batch_pace_init(&q->pace, l,
                        (struct batch_pace_options){
                                .pace = MILLISECONDS(PACE_STORE_BATCH),
                                .busy = LIMIT_STORE_BATCH_BUSY,
                                .full = LIMIT_STORE_BATCH_FULL,
                        },
                        on_pace, q);
        q->purge_timer = timer_new(l, on_purge_timer, q);
        q->next_expiry = (struct walltime){ 1 }; /* not known yet: the first batch finds it */
        arm_purge_timer(q);
        *ret = q;
        *ret_revision = q->db.revision;
        return NULL;
}

static void close_queue(void *impl, void (*closed)(void *ctx), void *ctx)
{
        struct sqlite_queue *q = impl;

        q->is_closing = true;
        q->closed = closed;
        q->closed_ctx = ctx;
        timer_stop(q->purge_timer);
        advance_soon(q);
}

const struct store_backend store_sqlite = {
        .type = "sqlite",
        .alias = "dir", /* Teleport's name for its embedded store */
        .load = sqlite_api_load,
        .open = open_queue,
        .check = sqlite_store_check,
        .has_snapshots = true,
        .submit = submit,
        .close = close_queue,
};
