/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "store/backend.h"
#include "store/history.h"

const struct store_backend *const store_backends[] = { &store_sqlite, &store_memory, NULL };

struct store_watch {
        struct store_watch *next;
        struct store *store;
        char *prefix; /* owned */
        size_t prefix_len;
        uint64_t from; /* first revision of interest */
        const struct store_watch_events *events;
        void *ctx;
        bool is_pending; /* begin_pending() will report the history first */
        bool is_lost;    /* lost() was called: no more events */
        bool is_freed;   /* freed while the list is walked: unlinked afterwards */
};

struct store {
        struct loop *loop;
        const struct store_backend *backend;
        void *impl;
        uint64_t revision; /* of the latest reported change */

        struct store_watch *watches;
        unsigned reporting; /* > 0: the list of watches is being walked */
        bool has_freed;     /* a watch was freed during the walk */
        bool is_beginning;  /* begin_pending() is deferred */

        struct history history;
        bool keeps_history; /* true since the first watch */

        bool is_closing;
        void (*closed)(void *ctx);
        void *closed_ctx;
};

/* ---- operations ---------------------------------------------------------------------------------- */

struct store_op *store_op_new(enum store_op_kind kind, size_t arena_cap)
{
        struct store_op *op = NEW(struct store_op);

        op->kind = kind;
        op->arena = arena_new(arena_cap);
        op->steps_end = &op->steps;
        return op;
}

void store_op_free(struct store_op *op)
{
        error_free(op->err);
        free(op->items);
        free(op->changes);
        arena_free(op->arena);
        free(op);
}

/* Room for one more element; doubles, since pages and prefixes can be long. */
static void *grow(void *array, size_t count, size_t *room, size_t size)
{
        if (count < *room)
                return array;
        *room = *room == 0 ? 4 : *room * 2;
        return mem_resize(array, *room, size);
}

struct store_item *store_op_add_item(struct store_op *op)
{
        op->items = grow(op->items, op->item_count, &op->item_room, sizeof *op->items);
        return &op->items[op->item_count++];
}

struct store_change *store_op_add_change(struct store_op *op)
{
        op->changes = grow(op->changes, op->change_count, &op->change_room, sizeof *op->changes);
        return &op->changes[op->change_count++];
}

void store_op_clear(struct store_op *op)
{
        op->item_count = 0;
        op->change_count = 0;
        op->is_last = false;
        op->revision = 0;
}

struct error *store_step_check(const struct store_step *step, uint64_t revision)
{
        if (step->kind != STEP_REQUIRE && step->kind != STEP_RENEW)
                return NULL;
        if (step->revision == STORE_ANY ? revision != 0 : revision == step->revision)
                return NULL;
        AUTO_MEM char *shown = escaped(step->key);
        return error_new(ERROR_ABORTED, "'%s' %s", shown,
                         revision == 0         ? "does not exist"
                         : step->revision == 0 ? "exists already"
                                               : "was changed meanwhile");
}

static struct error *check_key(struct str key)
{
        if (key.len > 0 && key.ptr[0] == '/' && key.len <= LIMIT_STORE_KEY)
                return NULL;
        AUTO_MEM char *shown = escaped(key);
        if (key.len == 0 || key.ptr[0] != '/')
                return error_new(ERROR_INVALID_ARGUMENT, "store key '%s' does not begin with '/'", shown);
        return error_new(ERROR_INVALID_ARGUMENT, "store key '%s' is longer than %d bytes", shown, LIMIT_STORE_KEY);
}

/* ---- reports of the backend -------------------------------------------------------------------------- */

static void unlink_freed_watches(struct store *s)
{
        s->has_freed = false;
        for (struct store_watch **at = &s->watches; *at != NULL;) {
                struct store_watch *w = *at;

                if (!w->is_freed) {
                        at = &w->next;
                        continue;
                }
                *at = w->next;
                free(w->prefix);
                free(w);
        }
}

static bool concerns(const struct store_watch *w, const struct store_change *c)
{
        struct str prefix = { w->prefix, w->prefix_len };

        return !w->is_freed && !w->is_lost && c->item.revision >= w->from && str_starts_with(c->item.key, prefix);
}

static void report_change(struct store *s, const struct store_change *c)
{
        for (struct store_watch *w = s->watches; w != NULL; w = w->next)
                if (!w->is_pending && concerns(w, c))
                        w->events->changed(w->ctx, &c->item, c->deleted);
}

static void begin_reporting(struct store *s)
{
        s->reporting++;
}

static void end_reporting(struct store *s)
{
        s->reporting--;
        if (s->reporting == 0 && s->has_freed)
                unlink_freed_watches(s);
}

/* Moves the changes of an operation, with the arena that holds them, into the history. */
static void keep_changes(struct store *s, struct store_op *op)
{
        if (!s->keeps_history) {
                history_forget(&s->history, op->revision);
                return;
        }
        history_add(&s->history, op->revision, op->changes, op->change_count, op->arena);
        op->changes = NULL;
        op->change_count = op->change_room = 0;
        op->arena = NULL;
}

void store_report(struct store *s, struct store_op *op)
{
        if (op->change_count == 0)
                return;
        s->revision = op->revision;
        begin_reporting(s);
        for (size_t i = 0; i < op->change_count; i++)
                report_change(s, &op->changes[i]);
        end_reporting(s);
        keep_changes(s, op);
}

static void lose(struct store_watch *w)
{
        w->is_lost = true;
        w->events->lost(w->ctx);
}

void store_report_lost(struct store *s, uint64_t revision)
{
        s->revision = revision;
        history_forget(&s->history, revision);
        begin_reporting(s);
        for (struct store_watch *w = s->watches; w != NULL; w = w->next)
                if (!w->is_freed && !w->is_lost && !w->is_pending && w->from <= revision)
                        lose(w);
        end_reporting(s);
}

void store_answer(struct store_op *op)
{
        struct error *err = op->err; /* from here on owned by the callback */
        struct store_page page = { op->items, op->item_count, op->is_last, op->revision };

        op->err = NULL;
        switch (op->kind) {
        case OP_GET:
                op->done.get(op->ctx, err == NULL && op->item_count == 1 ? op->items : NULL, err);
                break;
        case OP_RANGE:
                op->done.range(op->ctx, err == NULL ? &page : NULL, err);
                break;
        case OP_TXN:
                op->done.txn(op->ctx, op->revision, err);
                break;
        case OP_SNAPSHOT_BEGIN:
                op->done.begin(op->ctx, err == NULL ? &op->snapshot : NULL, err);
                break;
        case OP_SNAPSHOT_READ:
                op->done.part(op->ctx, op->part, err);
                break;
        case OP_SNAPSHOT_END:
                error_free(err);
                break;
        }
        store_op_free(op);
}

/* ---- open and close ------------------------------------------------------------------------------ */

static bool is_named(const struct store_backend *b, const char *type)
{
        return strcmp(type, b->type) == 0 || (b->alias != NULL && strcmp(type, b->alias) == 0);
}

static const struct store_backend *find_backend(const char *type)
{
        if (type == NULL)
                return store_backends[0];
        for (size_t i = 0; store_backends[i] != NULL; i++) {
                if (is_named(store_backends[i], type))
                        return store_backends[i];
        }
        return NULL;
}

static struct error *load_backend(const char *type, const struct store_backend **ret)
{
        const struct store_backend *backend = find_backend(type);

        if (backend == NULL) {
                AUTO_MEM char *shown = escaped(str_of(type));

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "there is no store of type '%s'", shown),
                                  "teleport.storage.type can be 'sqlite' or 'dir'");
        }
        if (backend->load != NULL)
                TRY(backend->load());
        *ret = backend;
        return NULL;
}

struct error *store_load(const char *type)
{
        const struct store_backend *backend;

        return load_backend(type, &backend);
}

struct error *store_open(struct loop *l, struct store_options options, struct store **ret)
{
        const struct store_backend *backend;

        TRY(load_backend(options.type, &backend));
        struct store *s = NEW(struct store);
        s->loop = l;
        s->backend = backend;
        struct error *err = backend->open(s, l, &options, &s->impl, &s->revision);
        if (err != NULL) {
                free(s);
                return err;
        }
        history_init(&s->history, s->revision);
        *ret = s;
        return NULL;
}

struct error *store_check(struct store_options options, struct error *(*each)(void *ctx, const struct store_item *item), void *ctx,
                          struct store_checked *ret)
{
        const struct store_backend *backend;

        TRY(load_backend(options.type, &backend));
        if (backend->check == NULL)
                return error_new(ERROR_UNIMPLEMENTED, "a store of type '%s' has no check", backend->type);
        return backend->check(&options, each, ctx, ret);
}

static void on_closed(void *ctx)
{
        struct store *s = ctx;
        void (*closed)(void *ctx) = s->closed;
        void *closed_ctx = s->closed_ctx;

        if (s->watches != NULL)
                bug("a watch outlives its store");
        history_release(&s->history);
        free(s);
        if (closed != NULL)
                closed(closed_ctx);
}

struct loop *store_loop(const struct store *s)
{
        return s->loop;
}

void store_close(struct store *s, void (*closed)(void *ctx), void *ctx)
{
        if (s->is_closing)
                bug("a store is closed twice");
        s->is_closing = true;
        s->closed = closed;
        s->closed_ctx = ctx;
        s->backend->close(s->impl, on_closed, s);
}

/* ---- reads --------------------------------------------------------------------------------------- */

void store_get(struct store *s, struct str key, void (*done)(void *ctx, const struct store_item *item, struct error *err),
               void *ctx)
{
        struct store_op *op = store_op_new(OP_GET, LIMIT_STORE_TXN);

        op->ctx = ctx;
        op->done.get = done;
        op->err = check_key(key);
        if (op->err == NULL)
                op->key = arena_str(op->arena, key);
        s->backend->submit(s->impl, op);
}

void store_range(struct store *s, struct str prefix, struct str after, size_t limit,
                 void (*done)(void *ctx, const struct store_page *page, struct error *err), void *ctx)
{
        struct store_op *op = store_op_new(OP_RANGE, LIMIT_STORE_TXN);

        op->ctx = ctx;
        op->done.range = done;
        op->limit = limit < LIMIT_STORE_RANGE ? limit : LIMIT_STORE_RANGE;
        op->err = check_key(prefix);
        if (op->err == NULL && !str_is_empty(after))
                op->err = check_key(after);
        if (op->err == NULL && limit == 0)
                op->err = error_new(ERROR_INVALID_ARGUMENT, "a request for a page of no items");
        if (op->err == NULL) {
                op->key = arena_str(op->arena, prefix);
                op->after = arena_str(op->arena, after);
        }
        s->backend->submit(s->impl, op);
}

/* ---- copies -------------------------------------------------------------------------------------- */

static struct store_op *snapshot_op(struct store *s, enum store_op_kind kind, size_t bytes)
{
        struct store_op *op = store_op_new(kind, bytes + 4 * KiB);

        if (!s->backend->has_snapshots)
                op->err = error_new(ERROR_UNIMPLEMENTED, "a store of type '%s' has no backup", s->backend->type);
        return op;
}

void store_snapshot_begin(struct store *s, void (*done)(void *ctx, const struct store_snapshot *info, struct error *err), void *ctx)
{
        struct store_op *op = snapshot_op(s, OP_SNAPSHOT_BEGIN, 0);

        op->ctx = ctx;
        op->done.begin = done;
        s->backend->submit(s->impl, op);
}

void store_snapshot_read(struct store *s, uint64_t offset, size_t most, void (*done)(void *ctx, struct str bytes, struct error *err),
                         void *ctx)
{
        struct store_op *op = snapshot_op(s, OP_SNAPSHOT_READ, most);

        op->ctx = ctx;
        op->done.part = done;
        op->offset = offset;
        op->limit = most;
        s->backend->submit(s->impl, op);
}

void store_snapshot_end(struct store *s)
{
        s->backend->submit(s->impl, snapshot_op(s, OP_SNAPSHOT_END, 0));
}

/* ---- transactions -------------------------------------------------------------------------------- */

struct store_txn {
        struct store *store;
        struct store_op *op;
        size_t bytes;
};

struct store_txn *store_txn_new(struct store *s)
{
        struct store_txn *t = NEW(struct store_txn);

        t->store = s;
        t->op = store_op_new(OP_TXN, SIZE_MAX);
        return t;
}

/* Appends a copy of the step to the transaction; its first error is reported by the commit. */
static void add_step(struct store_txn *t, struct store_step step)
{
        struct store_op *op = t->op;

        if (op->err != NULL)
                return;
        op->err = check_key(step.key);
        if (op->err == NULL && step.value.len > LIMIT_STORE_VALUE)
                op->err = error_new(ERROR_INVALID_ARGUMENT, "a value of %zu bytes is larger than %d", step.value.len,
                                    LIMIT_STORE_VALUE);
        t->bytes += sizeof step + step.key.len + step.value.len;
        if (op->err == NULL && t->bytes > LIMIT_STORE_TXN)
                op->err = error_new(ERROR_INVALID_ARGUMENT, "a transaction is larger than %d bytes", LIMIT_STORE_TXN);
        if (op->err != NULL)
                return;
        struct store_step *copy = arena_alloc(op->arena, sizeof *copy);
        *copy = step;
        copy->key = arena_str(op->arena, step.key);
        copy->value = arena_str(op->arena, step.value);
        *op->steps_end = copy;
        op->steps_end = &copy->next;
}

void store_txn_require(struct store_txn *t, struct str key, uint64_t revision)
{
        add_step(t, (struct store_step){ .kind = STEP_REQUIRE, .key = key, .revision = revision });
}

void store_txn_put(struct store_txn *t, struct str key, struct str value, struct walltime expires)
{
        add_step(t, (struct store_step){ .kind = STEP_PUT, .key = key, .value = value, .expires = expires });
}

void store_txn_put_brief(struct store_txn *t, struct str key, struct str value)
{
        add_step(t, (struct store_step){ .kind = STEP_PUT, .key = key, .value = value, .is_brief = true });
}

void store_txn_renew(struct store_txn *t, struct str key, struct walltime expires)
{
        add_step(t, (struct store_step){ .kind = STEP_RENEW, .key = key, .expires = expires, .revision = STORE_ANY });
}

void store_txn_delete(struct store_txn *t, struct str key)
{
        add_step(t, (struct store_step){ .kind = STEP_DELETE, .key = key });
}

void store_txn_delete_prefix(struct store_txn *t, struct str prefix)
{
        add_step(t, (struct store_step){ .kind = STEP_DELETE_PREFIX, .key = prefix });
}

void store_txn_fail(struct store_txn *t, struct error *err)
{
        if (t->op->err == NULL)
                t->op->err = err;
        else
                error_free(err);
}

static void nobody_waits(void *ctx, uint64_t revision, struct error *err)
{
        (void)ctx;
        (void)revision;
        error_free(err);
}

void store_txn_commit(struct store_txn *t, void (*done)(void *ctx, uint64_t revision, struct error *err), void *ctx)
{
        t->op->done.txn = done != NULL ? done : nobody_waits;
        t->op->ctx = ctx;
        t->store->backend->submit(t->store->impl, t->op);
        free(t);
}

void store_txn_cancel(struct store_txn *t)
{
        if (t == NULL)
                return;
        store_op_free(t->op);
        free(t);
}

void store_put(struct store *s, struct str key, struct str value, struct walltime expires,
               void (*done)(void *ctx, uint64_t revision, struct error *err), void *ctx)
{
        struct store_txn *t = store_txn_new(s);

        store_txn_put(t, key, value, expires);
        store_txn_commit(t, done, ctx);
}

/* ---- watches ------------------------------------------------------------------------------------- */

static bool replay_change(void *ctx, const struct store_change *c)
{
        struct store_watch *w = ctx;

        if (concerns(w, c))
                w->events->changed(w->ctx, &c->item, c->deleted);
        return !w->is_freed;
}

/* Reports the history to a new watch, including the changes made since the watch was created. */
static void begin_watch(struct store *s, struct store_watch *w)
{
        w->is_pending = false;
        if (history_has(&s->history, w->from))
                history_each(&s->history, w->from, replay_change, w);
        else
                lose(w);
}

static void begin_pending(void *ctx)
{
        struct store *s = ctx;

        s->is_beginning = false;
        begin_reporting(s);
        for (struct store_watch *w = s->watches; w != NULL; w = w->next)
                if (w->is_pending && !w->is_freed)
                        begin_watch(s, w);
        end_reporting(s);
}

struct store_watch *store_watch_new(struct store *s, struct str prefix, uint64_t from, const struct store_watch_events *events, void *ctx)
{
        struct store_watch *w = NEW(struct store_watch);

        *w = (struct store_watch){ .next = s->watches, .store = s, .prefix = str_dup(prefix), .prefix_len = prefix.len, .from = from,
                                   .events = events, .ctx = ctx };
        s->watches = w;
        s->keeps_history = true;
        w->is_pending = from != 0 && from <= s->revision;
        if (w->is_pending && !s->is_beginning) {
                s->is_beginning = true;
                loop_defer(s->loop, begin_pending, s);
        }
        return w;
}

void store_watch_free(struct store_watch *w)
{
        if (w == NULL)
                return;
        w->is_freed = true;
        w->store->has_freed = true;
        if (w->store->reporting == 0)
                unlink_freed_watches(w->store);
}
