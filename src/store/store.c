/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/batch_pace.h"
#include "loop/worker.h"
#include "store/store_internal.h"

static const struct {
        const char *type;
        const struct store_backend *backend;
} backends[] = {
        { "sqlite", &store_sqlite },
        { "dir", &store_sqlite }, /* Teleport's word for its embedded store */
        { "memory", &store_sqlite_memory },
};

struct store_watch {
        struct store_watch *next;
        struct store *store;
        char *prefix; /* owned */
        size_t prefix_len;
        void (*changed)(void *ctx, const struct store_item *item, bool deleted);
        void *ctx;
        bool is_freed; /* while the list is being walked: unlinked afterwards */
};

struct store {
        struct loop *loop;
        const struct store_backend *backend;
        void *impl;
        struct worker *worker;

        struct store_op *waiting, **waiting_end;
        size_t waiting_count;
        struct batch_pace pace;
        struct store_batch batch; /* away on the pool, or being answered, while is_busy */
        bool is_busy;
        bool is_advancing; /* advance() is on its way */

        struct store_watch *watches;
        unsigned reporting; /* > 0: the watches are being walked */

        struct timer *purge_timer;
        struct walltime next_expiry;
        bool purge_is_due; /* the timer said so */
        bool purge_failed; /* wait for the timer instead of riding with the next write */

        bool is_closing;
        void (*closed)(void *ctx);
        void *closed_ctx;
};

/* ---- operations ---------------------------------------------------------------------------------- */

/* arena_cap: what a peer can make us hold. Keys of deleted items are ours, so that has no cap. */
static struct store_op *op_new(enum store_op_kind kind, size_t arena_cap, void *ctx)
{
        struct store_op *op = NEW(struct store_op);

        op->kind = kind;
        op->arena = arena_new(arena_cap);
        op->steps_end = &op->steps;
        op->ctx = ctx;
        return op;
}

static void op_free(struct store_op *op)
{
        error_free(op->err);
        free(op->items);
        free(op->changes);
        arena_free(op->arena);
        free(op);
}

/* Room for one element more; doubles, since pages and prefixes can be long. */
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

static struct error *check_key(struct str key)
{
        if (key.len > 0 && key.ptr[0] == '/' && key.len <= LIMIT_STORE_KEY)
                return NULL;
        AUTO_MEM char *shown = escaped(key);
        if (key.len == 0 || key.ptr[0] != '/')
                return error_new(ERROR_INVALID_ARGUMENT, "store key '%s' does not begin with '/'", shown);
        return error_new(ERROR_INVALID_ARGUMENT, "store key '%s' is longer than %d bytes", shown, LIMIT_STORE_KEY);
}

/* ---- from the queue to the pool and back --------------------------------------------------------- */

static void advance(void *ctx);

static void advance_soon(struct store *s)
{
        if (s->is_advancing || s->is_busy)
                return;
        s->is_advancing = true;
        loop_defer(s->loop, advance, s); /* not at once: what this turn of the loop asks goes together */
}

static void on_pace(void *ctx)
{
        advance_soon(ctx);
}

static void enqueue(struct store *s, struct store_op *op)
{
        *s->waiting_end = op;
        s->waiting_end = &op->next;
        s->waiting_count++;
        advance_soon(s);
}

static void on_purge_timer(void *ctx)
{
        struct store *s = ctx;

        s->purge_is_due = true;
        s->purge_failed = false;
        advance_soon(s);
}

/* Asleep while nothing expires; a busy store purges along with its writes. */
static void arm_purge_timer(struct store *s)
{
        if (s->is_closing || s->next_expiry.ns == 0) {
                timer_stop(s->purge_timer);
                return;
        }
        struct duration wait = walltime_since(s->next_expiry, loop_wall(s->loop));
        struct duration least = MILLISECONDS(s->purge_failed ? TIMEOUT_STORE_PURGE_RETRY : TIMEOUT_STORE_PURGE);
        struct duration most = MINUTES(1); /* the machine's clock may be set meanwhile */

        timer_start(s->purge_timer, wait.ns < least.ns ? least : wait.ns > most.ns ? most : wait);
}

static void report_watches(struct store *s, const struct store_op *op)
{
        for (size_t i = 0; i < op->change_count; i++) {
                const struct store_change *c = &op->changes[i];

                for (struct store_watch *w = s->watches; w != NULL; w = w->next) {
                        struct str prefix = { w->prefix, w->prefix_len };

                        if (!w->is_freed && str_starts_with(c->item.key, prefix))
                                w->changed(w->ctx, &c->item, c->deleted);
                }
        }
}

static void unlink_freed_watches(struct store *s)
{
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

static void answer(struct store *s, struct store_op *op)
{
        struct error *err = op->err; /* from here on the callback's */
        struct store_page page = { op->items, op->item_count, op->is_last };

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
        case OP_PURGE:
                s->purge_failed = err != NULL; /* the disk is full; the next write reports it */
                error_free(err);
                break;
        }
}

static void work_batch(void *ctx)
{
        struct store *s = ctx;

        s->backend->run(s->impl, &s->batch);
}

/* Nobody knows any more what is on the disk: no answer may leave, and only a fresh start can tell. */
static NO_RETURN void die(const struct error *err)
{
        log_error("the store failed; the process ends so that the next start can check it", LOG_ERR(err));
        _exit(EXIT_FAILURE);
}

static void on_batch_done(void *ctx)
{
        struct store *s = ctx;
        struct store_op *op = s->batch.first;

        if (s->batch.broken != NULL)
                die(s->batch.broken);
        s->next_expiry = s->batch.next_expiry;
        while (op != NULL) {
                struct store_op *next = op->next;

                s->reporting++;
                report_watches(s, op);
                s->reporting--;
                answer(s, op);
                op_free(op);
                op = next;
        }
        unlink_freed_watches(s);
        s->is_busy = false;
        arm_purge_timer(s);
        if (s->waiting != NULL || s->is_closing)
                advance_soon(s);
}

/* Moves what waits into the batch, in order, up to the batch's limit; returns whether there is a write. */
static bool fill_batch(struct store *s)
{
        struct store_op **end = &s->batch.first;
        bool writes = false;
        size_t reads = 0;

        size_t count = 0;
        for (; s->waiting != NULL && count < LIMIT_STORE_BATCH && reads < LIMIT_STORE_BATCH_READS; count++) {
                struct store_op *op = s->waiting;

                reads += op->kind == OP_RANGE;
                s->waiting = op->next;
                op->next = NULL;
                *end = op;
                end = &op->next;
                writes |= store_op_writes(op);
        }
        if (s->waiting == NULL)
                s->waiting_end = &s->waiting;
        s->waiting_count -= count;
        if (count > 0)
                batch_pace_began(&s->pace, count);
        return writes;
}

static void work_close(void *ctx)
{
        struct store *s = ctx;

        s->backend->close(s->impl);
}

static void on_closed(void *ctx)
{
        struct store *s = ctx;
        void (*closed)(void *ctx) = s->closed;
        void *closed_ctx = s->closed_ctx;

        if (s->watches != NULL)
                bug("a watch outlives its store");
        if (s->waiting != NULL)
                bug("a closed store was asked");
        worker_free(s->worker);
        free(s);
        if (closed != NULL)
                closed(closed_ctx);
}

static void advance(void *ctx)
{
        struct store *s = ctx;

        s->is_advancing = false;
        if (s->waiting != NULL && !s->is_closing && !batch_pace_may_begin(&s->pace, s->waiting_count))
                return;
        s->batch = (struct store_batch){
                .now = loop_wall(s->loop),
                .at = loop_now(s->loop),
                .is_watched = s->watches != NULL,
        };
        bool writes = fill_batch(s);
        bool expired = s->next_expiry.ns != 0 && s->next_expiry.ns <= s->batch.now.ns;
        if (!s->is_closing && expired && !s->purge_failed && (writes || s->purge_is_due)) {
                struct store_op *purge = op_new(OP_PURGE, SIZE_MAX, NULL);

                purge->next = s->batch.first;
                s->batch.first = purge;
        }
        s->purge_is_due = false;
        if (s->batch.first != NULL) {
                s->is_busy = true;
                worker_job(s->worker, work_batch, on_batch_done, s);
        } else if (s->is_closing) {
                s->is_busy = true;
                timer_free(s->purge_timer);
                batch_pace_release(&s->pace);
                worker_job(s->worker, work_close, on_closed, s);
        } else {
                arm_purge_timer(s);
        }
}

/* ---- open and close ------------------------------------------------------------------------------ */

static const struct store_backend *find_backend(const char *type)
{
        if (type == NULL)
                return backends[0].backend;
        for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
                if (str_equal(str_of(type), str_of(backends[i].type)))
                        return backends[i].backend;
        }
        return NULL;
}

struct error *store_open(struct loop *l, struct store_options options, struct store **ret)
{
        const struct store_backend *backend = find_backend(options.type);
        AUTO_MEM char *shown = escaped(str_of(options.type));
        void *impl = NULL;

        if (backend == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "there is no store of type '%s'", shown),
                                  "teleport.storage.type can be 'sqlite' or 'dir'");
        TRY(backend->open(options.path, options.shown, &impl));
        struct store *s = NEW(struct store);
        s->loop = l;
        s->backend = backend;
        s->impl = impl;
        s->worker = worker_new(l, "store");
        s->waiting_end = &s->waiting;
        batch_pace_init(&s->pace, l,
                        (struct batch_pace_options){
                                .pace = MILLISECONDS(PACE_STORE_BATCH),
                                .busy = LIMIT_STORE_BATCH_BUSY,
                                .full = LIMIT_STORE_BATCH_FULL,
                        },
                        on_pace, s);
        s->purge_timer = timer_new(l, on_purge_timer, s);
        s->next_expiry = (struct walltime){ 1 }; /* not known yet: the first batch tells */
        arm_purge_timer(s);
        *ret = s;
        return NULL;
}

void store_close(struct store *s, void (*closed)(void *ctx), void *ctx)
{
        if (s->is_closing)
                bug("a store is closed twice");
        s->is_closing = true;
        s->closed = closed;
        s->closed_ctx = ctx;
        timer_stop(s->purge_timer);
        advance_soon(s);
}

/* ---- reads --------------------------------------------------------------------------------------- */

void store_get(struct store *s, struct str key, void (*done)(void *ctx, const struct store_item *item, struct error *err),
               void *ctx)
{
        struct store_op *op = op_new(OP_GET, LIMIT_STORE_TXN, ctx);

        op->done.get = done;
        op->err = check_key(key);
        if (op->err == NULL)
                op->key = arena_str(op->arena, key);
        enqueue(s, op);
}

void store_range(struct store *s, struct str prefix, struct str after, size_t limit,
                 void (*done)(void *ctx, const struct store_page *page, struct error *err), void *ctx)
{
        struct store_op *op = op_new(OP_RANGE, LIMIT_STORE_TXN, ctx);

        op->done.range = done;
        op->limit = limit < LIMIT_STORE_RANGE ? limit : LIMIT_STORE_RANGE;
        op->err = check_key(prefix);
        if (op->err == NULL && !str_is_empty(after))
                op->err = check_key(after);
        if (op->err == NULL && limit == 0)
                op->err = error_new(ERROR_INVALID_ARGUMENT, "a page of no items was asked for");
        if (op->err == NULL) {
                op->key = arena_str(op->arena, prefix);
                op->after = arena_str(op->arena, after);
        }
        enqueue(s, op);
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
        t->op = op_new(OP_TXN, SIZE_MAX, NULL);
        return t;
}

/* A copy of the step at the end of the transaction; the first fault is kept for the commit. */
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
        enqueue(t->store, t->op);
        free(t);
}

void store_txn_cancel(struct store_txn *t)
{
        if (t == NULL)
                return;
        op_free(t->op);
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

struct store_watch *store_watch_new(struct store *s, struct str prefix,
                                    void (*changed)(void *ctx, const struct store_item *item, bool deleted), void *ctx)
{
        struct store_watch *w = NEW(struct store_watch);

        w->store = s;
        w->prefix = str_dup(prefix);
        w->prefix_len = prefix.len;
        w->changed = changed;
        w->ctx = ctx;
        w->next = s->watches;
        s->watches = w;
        return w;
}

void store_watch_free(struct store_watch *w)
{
        if (w == NULL)
                return;
        w->is_freed = true;
        if (w->store->reporting == 0)
                unlink_freed_watches(w->store);
}
