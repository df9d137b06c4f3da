/* SPDX-License-Identifier: Apache-2.0 */
#include "state/state_watch.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "state/state_internal.h"

struct state_watch {
        struct store *store;
        const struct state_kind *kind;
        const struct state_watch_events *events;
        void *ctx;
        struct store_watch *watch; /* NULL until the first page is read */

        const bool *is_stopped;
        void (*ready)(void *ctx, struct error *err); /* NULL after its call */

        bool is_reading;  /* a page was requested or is being processed, or will be requested when `retry` fires */
        bool is_again;    /* a repeated read: records of the owner that are not read again were deleted */
        bool must_repeat; /* changes were missed while the records were read */
        struct map seen;  /* IDs of the existing records, during a repeated read */
        bool is_freed;    /* the end of the read frees the watch */
        struct timer *retry; /* runs between a failed read and the next; NULL if the owner reads the records itself */
};

static void destroy(struct state_watch *w)
{
        timer_free(w->retry);
        map_release(&w->seen);
        free(w);
}

/* ---- reading all records --------------------------------------------------------------------------------- */

static void on_page(void *ctx, const struct state_page *page, struct error *err);

static void read_page(struct state_watch *w, struct str after)
{
        state_list(w->store, w->kind, after, LIMIT_STORE_RANGE, on_page, w);
}

static void read_all(struct state_watch *w)
{
        w->is_reading = true;
        w->must_repeat = false;
        map_release(&w->seen);
        read_page(w, STR(""));
}

static void read_again(struct state_watch *w)
{
        w->is_again = true;
        read_all(w);
}

struct missing {
        struct missing *next;
        struct str id;
};

struct search {
        struct state_watch *watch;
        struct arena *arena;
        struct missing *first;
};

static void check_id(void *ctx, struct str id)
{
        struct search *s = ctx;

        if (map_get(&s->watch->seen, id) != NULL)
                return;
        struct missing *m = arena_alloc(s->arena, sizeof *m);
        *m = (struct missing){ s->first, arena_str(s->arena, id) };
        s->first = m;
}

/* Reports as deleted all records of the owner that were not read. */
static void report_missing(struct state_watch *w)
{
        AUTO_PTR(arena) arena = arena_new(SIZE_MAX); /* no limit: the owner has the same IDs in memory */
        struct search s = { w, arena, NULL };

        w->events->each_id(w->ctx, check_id, &s);
        for (struct missing *m = s.first; m != NULL && !w->is_freed; m = m->next)
                w->events->changed(w->ctx, &(struct state_record){ .kind = w->kind, .id = m->id }, true);
}

static void end_reading(struct state_watch *w, struct error *err)
{
        void (*ready)(void *ctx, struct error *err) = w->ready;
        void *ctx = w->ctx;

        w->ready = NULL;
        w->is_reading = false;
        w->is_again = false;
        map_release(&w->seen);
        if (w->is_freed)
                destroy(w);
        if (ready != NULL)
                ready(ctx, err);
        else
                error_free(err);
}

static bool is_ended(const struct state_watch *w)
{
        return w->is_freed || (w->is_stopped != NULL && *w->is_stopped);
}

static void take_record(struct state_watch *w, const struct state_record *record)
{
        if (w->is_again)
                map_put(&w->seen, record->id, w);
        if (w->events->found != NULL)
                state_log_unreadable(record, w->events->found(w->ctx, record));
}

/*
 * Whether to read again: at once after missed changes, after PACE_STATE_READ if the read failed. Before `ready` was called
 * an error is passed to it instead.
 */
static bool must_read_again(const struct state_watch *w, const struct error *err)
{
        return !is_ended(w) && (err != NULL ? w->ready == NULL : w->must_repeat);
}

static void on_retry(void *ctx)
{
        struct state_watch *w = ctx;

        if (is_ended(w))
                end_reading(w, NULL);
        else
                read_again(w);
}

static void on_change(void *ctx, const struct store_item *item, bool deleted);
static void on_lost(void *ctx);

static const struct store_watch_events watch_events = { on_change, on_lost };

static void on_page(void *ctx, const struct state_page *page, struct error *err)
{
        struct state_watch *w = ctx;

        if (must_read_again(w, err)) {
                if (err == NULL) {
                        read_again(w);
                        return;
                }
                log_warn("Stored records cannot be read; they are read again", LOG_C("kind", w->kind->name), LOG_ERR(err));
                error_free(err);
                timer_start(w->retry, MILLISECONDS(PACE_STATE_READ));
                return;
        }
        if (err == NULL && w->watch == NULL && !is_ended(w))
                w->watch = store_watch_new(w->store, w->kind->prefix, page->revision + 1, &watch_events, w);
        for (size_t i = 0; err == NULL && i < page->count && !is_ended(w); i++)
                take_record(w, &page->records[i]);
        if (err == NULL && is_ended(w))
                err = error_new(ERROR_CANCELLED, "the service is stopping");
        if (err == NULL && !page->is_last && page->count > 0) {
                read_page(w, page->records[page->count - 1].id);
                return;
        }
        if (err == NULL && w->is_again)
                report_missing(w);
        end_reading(w, err);
}

/* ---- changes --------------------------------------------------------------------------------------------- */

static void on_change(void *ctx, const struct store_item *item, bool deleted)
{
        struct state_watch *w = ctx;
        const struct state_record record = state_record_of(w->kind, item);

        if (w->is_again && deleted)
                map_remove(&w->seen, record.id);
        else if (w->is_again)
                map_put(&w->seen, record.id, w);
        w->events->changed(w->ctx, &record, deleted);
}

static void on_lost(void *ctx)
{
        struct state_watch *w = ctx;

        store_watch_free(w->watch);
        w->watch = NULL;
        if (w->events->lost != NULL) {
                w->watch = store_watch_new(w->store, w->kind->prefix, 0, &watch_events, w);
                w->events->lost(w->ctx);
        } else if (w->is_reading) {
                w->must_repeat = true;
        } else {
                read_again(w);
        }
}

/* ---- new and free ---------------------------------------------------------------------------------------- */

static struct state_watch *new_watch(struct store *s, const struct state_kind *kind, const struct state_watch_events *events, void *ctx)
{
        struct state_watch *w = NEW(struct state_watch);

        *w = (struct state_watch){ .store = s, .kind = kind, .events = events, .ctx = ctx };
        return w;
}

struct state_watch *state_watch_new(struct store *s, const struct state_kind *kind, const struct state_watch_events *events, void *ctx)
{
        struct state_watch *w = new_watch(s, kind, events, ctx);

        w->watch = store_watch_new(s, kind->prefix, 0, &watch_events, w);
        return w;
}

struct state_watch *state_copy_new(struct store *s, const struct state_kind *kind, const bool *is_stopped, const struct state_watch_events *events,
                                   void (*ready)(void *ctx, struct error *err), void *ctx)
{
        struct state_watch *w = new_watch(s, kind, events, ctx);

        w->is_stopped = is_stopped;
        w->ready = ready;
        w->retry = timer_new(store_loop(s), on_retry, w);
        read_all(w);
        return w;
}

void state_watch_free(struct state_watch *w)
{
        if (w == NULL)
                return;
        store_watch_free(w->watch);
        w->watch = NULL;
        w->is_freed = true;
        if (!w->is_reading || (w->retry != NULL && timer_is_running(w->retry)))
                destroy(w);
}

struct each_key {
        void (*fn)(void *fn_ctx, struct str id);
        void *ctx;
};

static void call_for_key(void *ctx, struct str key, void *value)
{
        const struct each_key *v = ctx;

        (void)value;
        v->fn(v->ctx, key);
}

void state_each_key(struct map *m, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        struct each_key v = { fn, fn_ctx };

        map_each(m, call_for_key, &v);
}
