/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/outbox.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "state/outbox_event.h"
#include "state/state_watch.h"

/* An event between its commit and its removal from the store. */
struct event {
        struct event *next; /* in written or sweeping */
        struct outbox *outbox;
        char uid[AUDIT_UID_LEN + 1];
};

struct outbox {
        struct loop *loop;
        struct store *store;
        struct audit_log *log;
        struct state_watch *watch;
        struct map known;       /* uid -> struct event, owned: the events of the three fields below */
        size_t appending;       /* number of events that are being written to events.log */
        struct event *written;  /* durable in events.log, waiting for a sweep */
        size_t written_count;
        struct event *sweeping; /* being removed from the store */

        struct timer *sweep_timer;
        struct timer *retry_timer;
        bool is_stuck;     /* a write to events.log failed: its events are still in the store */
        bool is_retrying;  /* a replay of these events is under way, without a failure so far */
        bool is_replaying; /* the records of the store are being read */
        char *paused;      /* the replay waits for the log, and continues after this key; owned */
        bool has_read_log;
        struct map in_log; /* uids at the end of the log, during the first replay */

        void (*ready)(void *ctx, struct error *err);
        void *ready_ctx;
        struct error *ready_err;

        void (*closed)(void *ctx);
        void *closed_ctx;
        bool is_closing;
        bool may_finish; /* outbox_close() has returned */
};

static void sweep(struct outbox *o);
static void check_progress(struct outbox *o);
static void request_leftovers(struct outbox *o, struct str after);

/* Unwritten lines are in memory. A replay uses at most half of LIMIT_AUDIT_WAITING, so that new events find room. */
static bool is_log_busy(const struct outbox *o)
{
        return audit_log_waiting(o->log) > LIMIT_AUDIT_WAITING / 2;
}

static void go_on_replaying(struct outbox *o)
{
        if (o->paused == NULL || (o->appending > 0 && is_log_busy(o)))
                return;
        AUTO_MEM char *after = o->paused;
        o->paused = NULL;
        if (o->is_closing)
                o->is_replaying = false; /* the next start replays the rest */
        else
                request_leftovers(o, str_of(after));
}

/* ---- from the store to events.log ------------------------------------------------------------------- */

static void mark_written(struct outbox *o, struct event *e)
{
        e->next = o->written;
        o->written = e;
        o->written_count++;
        if (o->written_count >= LIMIT_OUTBOX_SWEEP && o->sweeping == NULL)
                sweep(o);
        else if (!timer_is_running(o->sweep_timer) && !o->is_closing)
                timer_start(o->sweep_timer, MILLISECONDS(TIMEOUT_OUTBOX_SWEEP));
}

static void forget(struct outbox *o, struct event *e)
{
        map_remove(&o->known, str_of(e->uid));
        free(e);
}

static void keep_trying(struct outbox *o, const struct error *err)
{
        o->is_stuck = true;
        o->is_retrying = false;
        if (o->ready != NULL && o->ready_err == NULL)
                o->ready_err = error_copy(err);
        if (!o->is_closing && !timer_is_running(o->retry_timer))
                timer_start(o->retry_timer, MILLISECONDS(TIMEOUT_OUTBOX_RETRY));
}

static void on_appended(void *ctx, struct error *err)
{
        struct event *e = ctx;
        struct outbox *o = e->outbox;

        o->appending--;
        if (err == NULL) {
                mark_written(o, e);
        } else {
                forget(o, e); /* it stays in the store for a replay */
                keep_trying(o, err);
        }
        error_free(err);
        go_on_replaying(o);
        check_progress(o);
}

/* Writes an event of the store to the log, once, even if the watch and a replay both deliver it. */
static void take_event(struct outbox *o, const struct state_record *record)
{
        if (record->id.len != AUDIT_UID_LEN || map_get(&o->known, record->id) != NULL)
                return;
        if (!audit_is_line(record->value)) {
                state_log_unreadable(record, error_new(ERROR_DATA_LOSS, "it is not a line of the audit log"));
                return;
        }
        struct event *e = NEW(struct event);
        e->outbox = o;
        memcpy(e->uid, record->id.ptr, AUDIT_UID_LEN);
        map_put(&o->known, record->id, e);
        if (map_get(&o->in_log, record->id) != NULL) {
                mark_written(o, e);
                return;
        }
        o->appending++;
        audit_append_text(o->log, record->value, on_appended, e);
}

static void on_change(void *ctx, const struct state_record *record, bool is_deleted)
{
        if (!is_deleted)
                take_event(ctx, record);
}

/* ---- replay: at the start, and when events.log had been unwritable ------------------------------------ */

/* The log is read only if the first replay finds events: after a crash some of them may be in the log already. */
static struct error *read_log_once(struct outbox *o, const struct state_page *page)
{
        if (o->has_read_log || o->ready == NULL || page->count == 0)
                return NULL;
        o->has_read_log = true;
        return audit_log_uids(o->log, &o->in_log);
}

static void on_leftovers(void *ctx, const struct state_page *page, struct error *err)
{
        struct outbox *o = ctx;

        o->is_replaying = false;
        if (err == NULL)
                err = read_log_once(o, page);
        if (err == NULL) {
                for (size_t i = 0; i < page->count; i++)
                        take_event(o, &page->records[i]);
                if (!page->is_last && !o->is_closing) {
                        o->paused = str_dup(page->records[page->count - 1].id);
                        o->is_replaying = true;
                        go_on_replaying(o);
                }
        } else {
                keep_trying(o, err);
        }
        error_free(err);
        check_progress(o);
}

static void request_leftovers(struct outbox *o, struct str after)
{
        o->is_replaying = true;
        state_list(o->store, &outbox_event_kind, after, LIMIT_STORE_RANGE, on_leftovers, o);
}

static void on_retry(void *ctx)
{
        struct outbox *o = ctx;

        if (o->is_replaying) { /* one replay at a time */
                timer_start(o->retry_timer, MILLISECONDS(TIMEOUT_OUTBOX_RETRY));
                return;
        }
        o->is_retrying = true;
        request_leftovers(o, STR(""));
}

/* Events that the watch missed are in the store: the replay after a failed write (on_retry) finds them too. */
static const struct state_watch_events watch_events = { .changed = on_change, .lost = on_retry };

/* ---- removal from the store ------------------------------------------------------------------------- */

static void on_swept(void *ctx, uint64_t revision, struct error *err)
{
        struct outbox *o = ctx;

        (void)revision;
        for (struct event *e = o->sweeping; e != NULL;) {
                struct event *next = e->next;

                if (err == NULL || o->is_closing)
                        forget(o, e); /* the next start finds a remaining event in the log */
                else
                        mark_written(o, e);
                e = next;
        }
        o->sweeping = NULL;
        error_free(err);
        check_progress(o);
}

static void sweep(struct outbox *o)
{
        if (o->sweeping != NULL || o->written == NULL)
                return;
        struct store_txn *t = store_txn_new(o->store);
        for (struct event *e = o->written; e != NULL; e = e->next)
                state_delete(t, &outbox_event_kind, str_of(e->uid));
        o->sweeping = o->written;
        o->written = NULL;
        o->written_count = 0;
        timer_stop(o->sweep_timer);
        store_txn_commit(t, on_swept, o);
}

static void on_sweep_timer(void *ctx)
{
        sweep(ctx);
}

/* ---- open, add, close ------------------------------------------------------------------------------- */

static void finish_closing(struct outbox *o)
{
        void (*closed)(void *ctx) = o->closed;
        void *closed_ctx = o->closed_ctx;

        free(o->paused);
        timer_free(o->sweep_timer);
        timer_free(o->retry_timer);
        map_release(&o->known);
        map_release(&o->in_log);
        error_free(o->ready_err);
        free(o);
        if (closed != NULL)
                closed(closed_ctx);
}

/* Calls ready, or closes the outbox, when no write, replay or sweep is under way. */
static void check_progress(struct outbox *o)
{
        if (o->appending > 0 || o->is_replaying)
                return;
        if (o->is_retrying) {
                o->is_retrying = false;
                o->is_stuck = false;
        }
        if (o->ready != NULL && !o->is_closing) {
                void (*ready)(void *ctx, struct error *err) = o->ready;
                struct error *err = o->ready_err;

                o->ready = NULL;
                o->ready_err = NULL;
                map_release(&o->in_log);
                ready(o->ready_ctx, err); /* may close the outbox */
                return;
        }
        if (!o->may_finish || o->sweeping != NULL)
                return;
        if (o->written != NULL)
                sweep(o);
        else
                finish_closing(o);
}

static void on_closing(void *ctx)
{
        struct outbox *o = ctx;

        o->may_finish = true;
        check_progress(o);
}

struct outbox *outbox_open(struct loop *l, struct store *s, struct audit_log *log,
                           void (*ready)(void *ctx, struct error *err), void *ctx)
{
        struct outbox *o = NEW(struct outbox);

        o->loop = l;
        o->store = s;
        o->log = log;
        o->ready = ready;
        o->ready_ctx = ctx;
        o->sweep_timer = timer_new(l, on_sweep_timer, o);
        o->retry_timer = timer_new(l, on_retry, o);
        o->watch = state_watch_new(s, &outbox_event_kind, &watch_events, o);
        request_leftovers(o, STR(""));
        return o;
}

void outbox_add(struct outbox *o, struct store_txn *t, struct audit_record *r)
{
        if (!o->is_stuck && is_log_busy(o))
                store_txn_fail(t, error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the audit log is not written as fast as it should be, and "
                                                                                 "nothing is done that is not audited"),
                                             "try again; is the disk of the Auth Service slow?"));
        else if (o->is_stuck || o->appending >= LIMIT_OUTBOX_WAITING)
                store_txn_fail(t, error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the audit log cannot be written now, and "
                                                                                 "nothing is done that is not audited"),
                                             "free some space on the disk of the auth service's data directory"));
        else
                state_put_brief(t, &outbox_event_kind, str_of(r->uid), audit_record_text(r));
        audit_record_release(r);
}

void outbox_close(struct outbox *o, void (*closed)(void *ctx), void *ctx)
{
        if (o->is_closing)
                bug("an outbox is closed twice");
        o->is_closing = true;
        o->closed = closed;
        o->closed_ctx = ctx;
        o->ready = NULL;
        timer_stop(o->sweep_timer);
        timer_stop(o->retry_timer);
        state_watch_free(o->watch);
        loop_defer(o->loop, on_closing, o);
}
