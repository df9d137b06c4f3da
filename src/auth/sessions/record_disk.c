/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While is_busy is set, the worker thread owns the current round. Rounds are never cancelled: record_disk_free() only marks the
 * disk as freed, and its memory is released after the callback of the last round, when all appends are done.
 */
#include "auth/sessions/record_disk.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/worker.h"

struct record_disk {
        struct loop *loop;
        struct worker *writer, *opener;
        struct timer *pause; /* NULL after record_disk_free() */
        struct record_append *waiting, **waiting_end;
        struct record_append *round;
        uint64_t took_ns; /* duration of the last round */
        bool is_busy, is_advancing, is_freed;
};

/* ---- the thread ------------------------------------------------------------------------------------------ */

static void run_round(void *ctx)
{
        struct record_disk *d = ctx;
        uint64_t begun = uv_hrtime();

        for (struct record_append *a = d->round; a != NULL; a = a->next) {
                a->err = record_file_write(a->file, a->bytes);
                a->is_written = a->err == NULL;
        }
        for (struct record_append *a = d->round; a != NULL; a = a->next)
                if (a->is_written)
                        a->err = record_file_sync(a->file, a->bytes);
        d->took_ns = uv_hrtime() - begun;
}

/* ---- the loop -------------------------------------------------------------------------------------------- */

static void advance(void *ctx);

static void advance_soon(struct record_disk *d)
{
        if (d->is_busy || d->is_advancing || (!d->is_freed && timer_is_running(d->pause)))
                return;
        d->is_advancing = true;
        loop_defer(d->loop, advance, d); /* all appends of this turn of the loop go into one round */
}

static void on_round_done(void *ctx)
{
        struct record_disk *d = ctx;
        struct duration pause = { (int64_t)d->took_ns };

        for (struct record_append *a = d->round, *next; a != NULL; a = next) {
                next = a->next;
                a->done(a->ctx);
        }
        d->round = NULL;
        d->is_busy = false;
        if (!d->is_freed && pause.ns > MILLISECONDS(1).ns)
                timer_start(d->pause, pause.ns < MILLISECONDS(TIMEOUT_RECORDS_PAUSE).ns ? pause : MILLISECONDS(TIMEOUT_RECORDS_PAUSE));
        else
                advance_soon(d);
}

static void on_pause_over(void *ctx)
{
        advance_soon(ctx);
}

/* Moves waiting appends into a round, in order, until it has LIMIT_RECORDS_ROUND bytes. */
static void begin_round(struct record_disk *d)
{
        struct record_append **end = &d->round;
        size_t bytes = 0;

        while (d->waiting != NULL && bytes < LIMIT_RECORDS_ROUND) {
                struct record_append *a = d->waiting;

                d->waiting = a->next;
                a->next = NULL;
                bytes += a->bytes.len;
                *end = a;
                end = &a->next;
        }
        if (d->waiting == NULL)
                d->waiting_end = &d->waiting;
        d->is_busy = true;
        worker_job(d->writer, run_round, on_round_done, d);
}

static void advance(void *ctx)
{
        struct record_disk *d = ctx;

        d->is_advancing = false;
        if (d->waiting != NULL) {
                begin_round(d);
        } else if (d->is_freed) {
                worker_free(d->writer);
                worker_free(d->opener);
                free(d);
        }
}

void record_disk_append(struct record_disk *d, struct record_append *a, struct record_file *f, struct str bytes, void (*done)(void *ctx), void *ctx)
{
        *a = (struct record_append){ .file = f, .bytes = bytes, .done = done, .ctx = ctx };
        *d->waiting_end = a;
        d->waiting_end = &a->next;
        advance_soon(d);
}

void record_append_cancel(struct record_append *a, void (*release)(void *ctx))
{
        a->done = release;
}

struct job *record_disk_job(struct record_disk *d, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
        return worker_job(d->opener, work, done, ctx);
}

/* ---- begin and end --------------------------------------------------------------------------------------- */

struct record_disk *record_disk_new(struct loop *l)
{
        struct record_disk *d = NEW(struct record_disk);

        d->loop = l;
        d->waiting_end = &d->waiting;
        d->writer = worker_new(l, "recordings");
        d->opener = worker_new(l, "recording files");
        d->pause = timer_new(l, on_pause_over, d);
        return d;
}

void record_disk_free(struct record_disk *d)
{
        if (d == NULL)
                return;
        d->is_freed = true;
        timer_free(d->pause);
        d->pause = NULL;
        advance_soon(d);
}
