/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory backend, for tests: items in an array in the order of their keys.
 *
 * Handles of one process with the same path share a database, so that tests can have a second writer; it is freed with the last
 * handle. Operations are applied by a deferred call of the loop, one after the other, and the changes of each are reported
 * to all handles at once.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "store/backend.h"
#include "store/purge_timer.h"

struct memory_item {
        struct store_item item; /* key and value point into bytes */
        char bytes[];
};

struct memory_db {
        struct memory_db *next;
        char *name; /* owned; NULL: private to one handle */
        struct loop *loop;
        struct memory_handle *handles;

        struct memory_item **items; /* owned, in the order of keys */
        size_t count, room;
        uint64_t revision;
        struct walltime next_expiry; /* no item expires earlier; 0: none expires */
        struct timer *purge_timer;
};

struct memory_handle {
        struct memory_handle *next;
        struct memory_db *db;
        struct store *store;

        struct store_op *waiting, **waiting_end;
        bool is_due; /* run() is deferred */

        bool is_closing;
        void (*closed)(void *ctx);
        void *closed_ctx;
};

/* The named databases of this process. */
static struct memory_db *databases;

/* ---- items --------------------------------------------------------------------------------------- */

/* The index of the first item whose key is not below the given one. */
static size_t find(const struct memory_db *db, struct str key)
{
        size_t from = 0, to = db->count;

        while (from < to) {
                size_t middle = from + (to - from) / 2;

                if (str_compare(db->items[middle]->item.key, key) < 0)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from;
}

static bool is_at(const struct memory_db *db, size_t index, struct str key)
{
        return index < db->count && str_equal(db->items[index]->item.key, key);
}

/* The item of a key, or NULL if it does not exist or has expired. */
static const struct store_item *find_live(const struct memory_db *db, struct str key, struct walltime now)
{
        size_t index = find(db, key);

        if (!is_at(db, index, key) || store_item_is_expired(&db->items[index]->item, now))
                return NULL;
        return &db->items[index]->item;
}

static void note_expiry(struct memory_db *db, struct walltime expires)
{
        if (expires.ns != 0 && (db->next_expiry.ns == 0 || expires.ns < db->next_expiry.ns))
                db->next_expiry = expires;
}

static struct memory_item *copy_item(const struct store_item *item)
{
        struct memory_item *copy = mem_alloc(sizeof *copy + item->key.len + item->value.len);
        char *value = copy->bytes + item->key.len;

        memcpy(copy->bytes, item->key.ptr, item->key.len);
        if (item->value.len > 0)
                memcpy(value, item->value.ptr, item->value.len);
        copy->item = *item;
        copy->item.key.ptr = copy->bytes;
        copy->item.value.ptr = value;
        return copy;
}

static void put(struct memory_db *db, const struct store_item *item)
{
        struct memory_item *copy = copy_item(item);
        size_t index = find(db, item->key);

        note_expiry(db, item->expires);
        if (is_at(db, index, item->key)) {
                free(db->items[index]);
                db->items[index] = copy;
                return;
        }
        if (db->count == db->room) {
                db->room = db->room == 0 ? 64 : db->room * 2;
                db->items = mem_resize(db->items, db->room, sizeof(struct memory_item *));
        }
        memmove(&db->items[index + 1], &db->items[index], (db->count - index) * sizeof(struct memory_item *));
        db->items[index] = copy;
        db->count++;
}

static void note_deleted(struct memory_db *db, struct store_op *op, struct str key)
{
        *store_op_add_change(op) = (struct store_change){ { .key = arena_str(op->arena, key), .revision = db->revision }, true };
}

/* Removes the items with indexes `from` to `to`, excluding `to`. */
static void delete(struct memory_db *db, struct store_op *op, size_t from, size_t to)
{
        for (size_t i = from; i < to; i++) {
                note_deleted(db, op, db->items[i]->item.key);
                free(db->items[i]);
        }
        memmove(&db->items[from], &db->items[to], (db->count - to) * sizeof(struct memory_item *));
        db->count -= to - from;
}

/* ---- reads; the items do not change before the callbacks have returned -------------------------------- */

static void run_get(struct memory_db *db, struct store_op *op, struct walltime now)
{
        const struct store_item *item = find_live(db, op->key, now);

        if (item != NULL)
                *store_op_add_item(op) = *item;
}

static void run_range(struct memory_db *db, struct store_op *op, struct walltime now)
{
        bool is_behind = str_compare(op->after, op->key) >= 0;
        size_t index = find(db, is_behind ? op->after : op->key), bytes = 0;

        if (is_behind && is_at(db, index, op->after))
                index++;
        op->revision = db->revision;
        for (; index < db->count && str_starts_with(db->items[index]->item.key, op->key); index++) {
                const struct store_item *item = &db->items[index]->item;

                if (store_item_is_expired(item, now))
                        continue;
                if (op->item_count == op->limit || bytes >= LIMIT_STORE_PAGE)
                        return;
                *store_op_add_item(op) = *item;
                bytes += item->key.len + item->value.len;
        }
        op->is_last = true;
}

/* ---- writes -------------------------------------------------------------------------------------- */

static void run_put(struct memory_db *db, struct store_op *op, const struct store_step *step)
{
        struct store_item item = { step->key, step->value, db->revision, step->expires };

        put(db, &item);
        *store_op_add_change(op) = (struct store_change){ item, false };
}

static void run_renew(struct memory_db *db, struct store_op *op, const struct store_step *step)
{
        size_t index = find(db, step->key);

        if (!is_at(db, index, step->key))
                return; /* an earlier step has deleted the item */
        struct store_item *item = &db->items[index]->item;
        item->revision = db->revision;
        item->expires = step->expires;
        note_expiry(db, item->expires);
        struct store_item copy = *item;
        copy.key = step->key;
        copy.value = arena_str(op->arena, item->value);
        *store_op_add_change(op) = (struct store_change){ copy, false };
}

static void run_delete(struct memory_db *db, struct store_op *op, struct str key)
{
        size_t index = find(db, key);

        if (is_at(db, index, key))
                delete(db, op, index, index + 1);
}

static void run_delete_prefix(struct memory_db *db, struct store_op *op, struct str prefix)
{
        size_t from = find(db, prefix), to = from;

        while (to < db->count && str_starts_with(db->items[to]->item.key, prefix))
                to++;
        delete(db, op, from, to);
}

static void run_step(struct memory_db *db, struct store_op *op, const struct store_step *step)
{
        switch (step->kind) {
        case STEP_REQUIRE: /* checked before the first write */
                break;
        case STEP_PUT:
                run_put(db, op, step);
                break;
        case STEP_RENEW:
                run_renew(db, op, step);
                break;
        case STEP_DELETE:
                run_delete(db, op, step->key);
                break;
        case STEP_DELETE_PREFIX:
                run_delete_prefix(db, op, step->key);
                break;
        }
}

static void run_txn(struct memory_db *db, struct store_op *op, struct walltime now)
{
        bool writes = false;

        for (const struct store_step *step = op->steps; step != NULL && op->err == NULL; step = step->next) {
                const struct store_item *item = find_live(db, step->key, now);

                writes = writes || step->kind != STEP_REQUIRE;
                op->err = store_step_check(step, item == NULL ? 0 : item->revision);
        }
        if (op->err != NULL)
                return;
        db->revision += writes;
        op->revision = db->revision;
        for (const struct store_step *step = op->steps; step != NULL; step = step->next)
                run_step(db, op, step);
}

/* ---- reports ------------------------------------------------------------------------------------- */

static struct store_op *copy_changes(const struct store_op *op)
{
        struct store_op *copy = store_op_new(OP_TXN, SIZE_MAX);

        copy->revision = op->revision;
        for (size_t i = 0; i < op->change_count; i++) {
                struct store_change *c = store_op_add_change(copy);

                *c = op->changes[i];
                c->item.key = arena_str(copy->arena, c->item.key);
                c->item.value = arena_str(copy->arena, c->item.value);
        }
        return copy;
}

/* Reports to all handles; the last one takes the changes, the others get copies. */
static void report(struct memory_db *db, struct store_op *op)
{
        for (struct memory_handle *h = db->handles; h != NULL; h = h->next) {
                struct store_op *copy = h->next == NULL ? NULL : copy_changes(op);

                store_report(h->store, copy == NULL ? op : copy);
                if (copy != NULL)
                        store_op_free(copy);
        }
}

/* ---- expiry -------------------------------------------------------------------------------------- */

static void arm_purge_timer(struct memory_db *db)
{
        purge_timer_arm(db->purge_timer, db->loop, db->next_expiry, MILLISECONDS(TIMEOUT_STORE_PURGE));
}

/* Removes expired items, at most LIMIT_STORE_PURGE, and records the time of the next expiry. */
static void delete_expired(struct memory_db *db, struct store_op *op, struct walltime now)
{
        size_t kept = 0;

        db->revision++;
        db->next_expiry = (struct walltime){ 0 };
        for (size_t i = 0; i < db->count; i++) {
                struct memory_item *item = db->items[i];

                if (store_item_is_expired(&item->item, now) && op->change_count < LIMIT_STORE_PURGE) {
                        note_deleted(db, op, item->item.key);
                        free(item);
                        continue;
                }
                note_expiry(db, item->item.expires);
                db->items[kept++] = item;
        }
        db->count = kept;
        if (op->change_count == 0)
                db->revision--;
        op->revision = db->revision;
}

static void purge(struct memory_db *db)
{
        struct walltime now = loop_wall(db->loop);

        if (db->next_expiry.ns == 0 || db->next_expiry.ns > now.ns)
                return;
        struct store_op *op = store_op_new(OP_TXN, SIZE_MAX);
        delete_expired(db, op, now);
        report(db, op);
        store_op_free(op);
}

static void on_purge_timer(void *ctx)
{
        purge(ctx);
        arm_purge_timer(ctx);
}

/* ---- operations ---------------------------------------------------------------------------------- */

static void apply(struct memory_db *db, struct store_op *op)
{
        struct walltime now = loop_wall(db->loop);

        switch (op->kind) {
        case OP_GET:
                run_get(db, op, now);
                break;
        case OP_RANGE:
                run_range(db, op, now);
                break;
        case OP_SNAPSHOT_BEGIN: /* submitted with an error only */
        case OP_SNAPSHOT_READ:
        case OP_SNAPSHOT_END:
                break;
        case OP_TXN:
                purge(db);
                run_txn(db, op, now);
                report(db, op);
                arm_purge_timer(db);
                break;
        }
}

static void finish(struct memory_handle *h);

static void run(void *ctx)
{
        struct memory_handle *h = ctx;
        struct store_op *op = h->waiting;

        h->is_due = false;
        h->waiting = NULL;
        h->waiting_end = &h->waiting;
        for (struct store_op *next; op != NULL; op = next) {
                next = op->next;
                if (op->err == NULL)
                        apply(h->db, op);
                store_answer(op);
        }
        if (h->is_closing && !h->is_due)
                finish(h);
}

static void run_soon(struct memory_handle *h)
{
        if (h->is_due)
                return;
        h->is_due = true;
        loop_defer(h->db->loop, run, h);
}

static void submit_op(void *impl, struct store_op *op)
{
        struct memory_handle *h = impl;

        *h->waiting_end = op;
        h->waiting_end = &op->next;
        run_soon(h);
}

/* ---- open and close ------------------------------------------------------------------------------ */

static struct memory_db *find_db(const char *name)
{
        for (struct memory_db *db = databases; name != NULL && db != NULL; db = db->next)
                if (strcmp(db->name, name) == 0)
                        return db;
        return NULL;
}

static struct memory_db *new_db(struct loop *l, const char *name)
{
        struct memory_db *db = NEW(struct memory_db);

        db->loop = l;
        db->purge_timer = timer_new(l, on_purge_timer, db);
        if (name == NULL)
                return db;
        db->name = str_dup(str_of(name));
        db->next = databases;
        databases = db;
        return db;
}

static void free_db(struct memory_db *db)
{
        for (struct memory_db **at = &databases; *at != NULL; at = &(*at)->next)
                if (*at == db) {
                        *at = db->next;
                        break;
                }
        for (size_t i = 0; i < db->count; i++)
                free(db->items[i]);
        free(db->items);
        timer_free(db->purge_timer);
        free(db->name);
        free(db);
}

static struct error *open_handle(struct store *s, struct loop *l, const struct store_options *options, void **ret, uint64_t *ret_revision)
{
        struct memory_db *db = find_db(options->path);

        if (db != NULL && db->loop != l)
                return error_new(ERROR_FAILED_PRECONDITION, "another event loop has the store in memory");
        if (db == NULL)
                db = new_db(l, options->path);
        struct memory_handle *h = NEW(struct memory_handle);
        *h = (struct memory_handle){ .next = db->handles, .db = db, .store = s, .waiting_end = &h->waiting };
        db->handles = h;
        *ret = h;
        *ret_revision = db->revision;
        return NULL;
}

static void finish(struct memory_handle *h)
{
        struct memory_db *db = h->db;
        void (*closed)(void *ctx) = h->closed;
        void *closed_ctx = h->closed_ctx;

        for (struct memory_handle **at = &db->handles; *at != NULL; at = &(*at)->next)
                if (*at == h) {
                        *at = h->next;
                        break;
                }
        if (db->handles == NULL)
                free_db(db);
        free(h);
        closed(closed_ctx);
}

static void close_handle(void *impl, void (*closed)(void *ctx), void *ctx)
{
        struct memory_handle *h = impl;

        h->is_closing = true;
        h->closed = closed;
        h->closed_ctx = ctx;
        run_soon(h);
}

const struct store_backend store_memory = {
        .type = "memory",
        .allows_second_writer = true,
        .open = open_handle,
        .submit = submit_op,
        .close = close_handle,
};
