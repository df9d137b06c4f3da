/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of the SQLite backend: a batch is one transaction, so any number of writers share one fsync.
 *
 * Requirements are checked before the first write of their transaction. So a transaction with an unmet
 * requirement has nothing to undo, and the other operations of the batch continue.
 */
#include "store/sqlite/sqlite.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"

static const char *const statement_sql[SQL_COUNT] = {
        [SQL_BEGIN] = "BEGIN",
        [SQL_COMMIT] = "COMMIT",
        [SQL_ROLLBACK] = "ROLLBACK",
        [SQL_GET] = "SELECT " SQLITE_ITEM_COLUMNS " FROM item WHERE key = ?1",
        [SQL_RANGE] = ("SELECT " SQLITE_ITEM_COLUMNS " FROM item WHERE key >= ?1 AND key < ?2"
                       " AND (expires = 0 OR expires > ?3) ORDER BY key LIMIT ?4"),
        [SQL_PUT] = ("INSERT INTO item (" SQLITE_ITEM_COLUMNS ", id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                     " ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision,"
                     " expires = excluded.expires, checksum = excluded.checksum"),
        [SQL_RENEW] = "UPDATE item SET revision = ?2, expires = ?3, checksum = ?4 WHERE key = ?1",
        [SQL_DELETE] = "DELETE FROM item WHERE key = ?1",
        [SQL_DELETE_PREFIX] = "DELETE FROM item WHERE key >= ?1 AND key < ?2 RETURNING key",
        [SQL_PURGE] = ("DELETE FROM item WHERE key IN (SELECT key FROM item WHERE expires > 0 AND expires <= ?1"
                       " ORDER BY expires LIMIT ?2) RETURNING key"),
        [SQL_NEXT_EXPIRY] = "SELECT expires FROM item WHERE expires > 0 ORDER BY expires LIMIT 1",
        [SQL_SET_REVISION] = "UPDATE cluster SET revision = ?1",
        [SQL_FREE_PAGES] = "PRAGMA freelist_count",
        [SQL_PAGES] = "PRAGMA page_count",
        [SQL_SHRINK] = "PRAGMA incremental_vacuum(64)", /* LIMIT_STORE_SHRINK */
};
_Static_assert((int)LIMIT_STORE_SHRINK == 64, "the text of SQL_SHRINK says the number");

/* The state of a running batch: its revision counts up here, and becomes the store's revision at the commit. */
struct run {
        struct sqlite_store *s;
        struct sqlite_batch *batch;
        uint64_t revision;
};

/* ---- statements ---------------------------------------------------------------------------------- */

/* Resets a statement for new values. Values bound before may be freed by now, so every use binds all parameters. */
static sqlite3_stmt *statement(struct sqlite_store *s, enum sqlite_statement which)
{
        sqlite()->reset(s->statements[which]);
        return s->statements[which];
}

static void bind_bytes(sqlite3_stmt *q, int index, struct str bytes)
{
        /* SQLite binds a NULL pointer as NULL, even with length 0. */
        int code = sqlite()->bind_blob64(q, index, bytes.len == 0 ? "" : bytes.ptr, bytes.len, SQLITE_STATIC);

        if (code != SQLITE_OK)
                bug("binding %zu bytes: %s", bytes.len, sqlite()->errstr(code));
}

static void bind_number(sqlite3_stmt *q, int index, int64_t number)
{
        int code = sqlite()->bind_int64(q, index, number);

        if (code != SQLITE_OK)
                bug("binding a number: %s", sqlite()->errstr(code));
}

/* Runs a statement that returns no rows. */
static struct error *run_to_end(struct sqlite_store *s, sqlite3_stmt *q)
{
        int code = sqlite()->step(q);

        sqlite()->reset(q);
        return code == SQLITE_DONE ? NULL : sqlite_store_error(s, code);
}

struct error *sqlite_store_prepare(struct sqlite_store *s)
{
        for (size_t i = 0; i < SQL_COUNT; i++) {
                int code = sqlite()->prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                              &s->statements[i], NULL);

                if (code != SQLITE_OK)
                        return sqlite_store_error(s, code);
        }
        return NULL;
}

/*
 * The smallest string above all that begin with prefix, written to `room`. Keys begin with
 * '/', so there is always a byte to increment.
 */
static struct str end_of_prefix(struct str prefix, char room[LIMIT_STORE_KEY])
{
        size_t len = prefix.len;

        while (len > 0 && (uint8_t)prefix.ptr[len - 1] == 0xff)
                len--;
        if (len == 0 || len > LIMIT_STORE_KEY)
                bug("a prefix without end");
        memcpy(room, prefix.ptr, len);
        room[len - 1] = (char)((uint8_t)room[len - 1] + 1);
        return (struct str){ room, len };
}

/* ---- reads --------------------------------------------------------------------------------------- */

static void keep_item(struct store_op *op, const struct store_item *row)
{
        struct store_item *item = store_op_add_item(op);

        *item = *row;
        item->key = arena_str(op->arena, row->key);
        item->value = arena_str(op->arena, row->value);
}

/* Returns the live item of the key in *ret, borrowed until SQL_GET is used again; revision 0: there is none. */
static struct error *find_live(struct run *r, struct str key, struct store_item *ret)
{
        struct sqlite_store *s = r->s;
        sqlite3_stmt *q = statement(s, SQL_GET);

        *ret = (struct store_item){ .revision = 0 };
        bind_bytes(q, 1, key);
        int code = sqlite()->step(q);
        if (code == SQLITE_DONE)
                return NULL;
        if (code != SQLITE_ROW)
                return sqlite_store_error(s, code);
        struct store_item item;
        TRY(sqlite_store_row(q, &item));
        if (!store_item_is_expired(&item, r->batch->now))
                *ret = item;
        return NULL;
}

static struct error *run_get(struct run *r, struct store_op *op)
{
        struct store_item item;

        TRY(find_live(r, op->key, &item));
        if (item.revision != 0)
                keep_item(op, &item);
        sqlite()->reset(r->s->statements[SQL_GET]);
        return NULL;
}

static struct error *run_range(struct run *r, struct store_op *op)
{
        struct sqlite_store *s = r->s;
        sqlite3_stmt *q = statement(s, SQL_RANGE);
        char end[LIMIT_STORE_KEY], start[LIMIT_STORE_KEY + 1];
        struct str from = op->key;
        struct error *err = NULL;
        size_t bytes = 0;
        int code;

        if (str_compare(op->after, op->key) >= 0) { /* the smallest key above `after` is `after` and a NUL */
                memcpy(start, op->after.ptr, op->after.len);
                start[op->after.len] = '\0';
                from = (struct str){ start, op->after.len + 1 };
        }
        bind_bytes(q, 1, from);
        bind_bytes(q, 2, end_of_prefix(op->key, end));
        bind_number(q, 3, r->batch->now.ns);
        bind_number(q, 4, (int64_t)op->limit + 1); /* one more than the limit shows whether this is the last page */
        while ((code = sqlite()->step(q)) == SQLITE_ROW) {
                struct store_item item;

                if (op->item_count == op->limit || bytes >= LIMIT_STORE_PAGE)
                        break;
                err = sqlite_store_row(q, &item);
                if (err != NULL)
                        break;
                keep_item(op, &item);
                bytes += item.key.len + item.value.len;
        }
        op->is_last = code == SQLITE_DONE;
        op->revision = r->revision;
        if (err == NULL && code != SQLITE_DONE && code != SQLITE_ROW)
                err = sqlite_store_error(s, code);
        sqlite()->reset(q);
        return err;
}

/* ---- writes -------------------------------------------------------------------------------------- */

/* *ret_refusal is the unmet requirement, reported to the caller; the returned error is the database's. */
static struct error *check_step(struct run *r, const struct store_step *step, struct error **ret_refusal)
{
        struct store_item item;

        TRY(find_live(r, step->key, &item));
        sqlite()->reset(r->s->statements[SQL_GET]);
        *ret_refusal = store_step_check(step, item.revision);
        return NULL;
}

static void note_change(struct store_op *op, struct store_item item, bool deleted)
{
        *store_op_add_change(op) = (struct store_change){ item, deleted };
}

static struct error *run_put(struct run *r, struct store_op *op, const struct store_step *step)
{
        sqlite3_stmt *q = statement(r->s, SQL_PUT);
        struct store_item item = { step->key, step->value, r->revision, step->expires };

        bind_bytes(q, 1, item.key);
        bind_bytes(q, 2, item.value);
        bind_number(q, 3, (int64_t)item.revision);
        bind_number(q, 4, item.expires.ns);
        bind_number(q, 5, sqlite_store_checksum(&item));
        bind_number(q, 6, step->is_brief ? r->s->next_brief_id++ : r->s->next_id++);
        TRY(run_to_end(r->s, q));
        note_change(op, item, false);
        return NULL;
}

static struct error *run_renew(struct run *r, struct store_op *op, const struct store_step *step)
{
        struct store_item item;

        TRY(find_live(r, step->key, &item));
        if (item.revision == 0)
                return NULL; /* an earlier step of the transaction has deleted the item */
        item.key = step->key;
        item.value = arena_str(op->arena, item.value);
        item.revision = r->revision;
        item.expires = step->expires;
        sqlite()->reset(r->s->statements[SQL_GET]);
        sqlite3_stmt *q = statement(r->s, SQL_RENEW);
        bind_bytes(q, 1, item.key);
        bind_number(q, 2, (int64_t)item.revision);
        bind_number(q, 3, item.expires.ns);
        bind_number(q, 4, sqlite_store_checksum(&item));
        TRY(run_to_end(r->s, q));
        note_change(op, item, false);
        return NULL;
}

static struct error *run_delete(struct run *r, struct store_op *op, const struct store_step *step)
{
        sqlite3_stmt *q = statement(r->s, SQL_DELETE);

        bind_bytes(q, 1, step->key);
        TRY(run_to_end(r->s, q));
        if (sqlite()->changes(r->s->db) > 0)
                note_change(op, (struct store_item){ .key = step->key, .revision = r->revision }, true);
        return NULL;
}

/* Runs a DELETE … RETURNING key to its end. */
static struct error *run_deletes(struct run *r, struct store_op *op, sqlite3_stmt *q)
{
        int code;

        while ((code = sqlite()->step(q)) == SQLITE_ROW) {
                struct str key = str_of_bytes(sqlite()->column_blob(q, 0), (size_t)sqlite()->column_bytes(q, 0));

                note_change(op, (struct store_item){ arena_str(op->arena, key), .revision = r->revision }, true);
        }
        struct error *err = code == SQLITE_DONE ? NULL : sqlite_store_error(r->s, code);
        sqlite()->reset(q);
        return err;
}

static struct error *run_delete_prefix(struct run *r, struct store_op *op, const struct store_step *step)
{
        sqlite3_stmt *q = statement(r->s, SQL_DELETE_PREFIX);
        char end[LIMIT_STORE_KEY];

        bind_bytes(q, 1, step->key);
        bind_bytes(q, 2, end_of_prefix(step->key, end));
        return run_deletes(r, op, q);
}

static struct error *run_purge(struct run *r, struct store_op *op)
{
        sqlite3_stmt *q = statement(r->s, SQL_PURGE);

        r->revision++;
        bind_number(q, 1, r->batch->now.ns);
        bind_number(q, 2, LIMIT_STORE_PURGE);
        TRY(run_deletes(r, op, q));
        if (sqlite()->changes(r->s->db) == 0)
                r->revision--;
        op->revision = r->revision;
        return NULL;
}

static struct error *run_step(struct run *r, struct store_op *op, const struct store_step *step)
{
        switch (step->kind) {
        case STEP_PUT:
                return run_put(r, op, step);
        case STEP_RENEW:
                return run_renew(r, op, step);
        case STEP_DELETE:
                return run_delete(r, op, step);
        case STEP_DELETE_PREFIX:
                return run_delete_prefix(r, op, step);
        case STEP_REQUIRE:
                return NULL; /* requirements were checked before */
        }
        bug("transaction step %d", (int)step->kind);
}

static struct error *run_txn(struct run *r, struct store_op *op)
{
        bool writes = false;

        for (const struct store_step *step = op->steps; step != NULL; step = step->next) {
                writes = writes || step->kind != STEP_REQUIRE;
                if (step->kind != STEP_REQUIRE && step->kind != STEP_RENEW)
                        continue;
                TRY(check_step(r, step, &op->err));
                if (op->err != NULL)
                        return NULL;
        }
        r->revision += writes;
        for (const struct store_step *step = op->steps; step != NULL; step = step->next)
                TRY(run_step(r, op, step));
        op->revision = r->revision;
        return NULL;
}

/* ---- a batch ------------------------------------------------------------------------------------- */

/* Returns only errors that concern the whole batch; an error of the operation alone is stored in op->err. */
static struct error *run_op(struct run *r, struct store_op *op)
{
        switch (op->kind) {
        case OP_GET:
                return run_get(r, op);
        case OP_RANGE:
                return run_range(r, op);
        case OP_TXN:
                return run_txn(r, op);
        case OP_SNAPSHOT_BEGIN: /* after the commit: sqlite_snapshot_run() */
        case OP_SNAPSHOT_READ:
        case OP_SNAPSHOT_END:
                return NULL;
        }
        bug("store operation %d", (int)op->kind);
}

static struct error *find_next_expiry(struct run *r)
{
        sqlite3_stmt *q = statement(r->s, SQL_NEXT_EXPIRY);
        int code = sqlite()->step(q);

        r->batch->next_expiry.ns = code == SQLITE_ROW ? sqlite()->column_int64(q, 0) : 0;
        sqlite()->reset(q);
        return code == SQLITE_ROW || code == SQLITE_DONE ? NULL : sqlite_store_error(r->s, code);
}

static struct error *run_all(struct run *r)
{
        struct sqlite_store *s = r->s;

        r->revision = s->revision;
        TRY(run_to_end(s, statement(s, SQL_BEGIN)));
        if (r->batch->purge != NULL && r->batch->purge->err == NULL)
                TRY(run_purge(r, r->batch->purge));
        for (struct store_op *op = r->batch->first; op != NULL; op = op->next) {
                if (op->err == NULL)
                        TRY(run_op(r, op));
        }
        if (r->revision != s->revision) {
                sqlite3_stmt *q = statement(s, SQL_SET_REVISION);

                bind_number(q, 1, (int64_t)r->revision);
                TRY(run_to_end(s, q));
        }
        if (r->revision != s->revision || !s->has_next_expiry)
                TRY(find_next_expiry(r));
        else
                r->batch->next_expiry = s->next_expiry;
        const struct instant began = clock_now(clock_system());
        TRY(run_to_end(s, statement(s, SQL_COMMIT)));
        if (r->revision != s->revision)
                metric_observe_at(METRIC_STORE_SYNC, 0, instant_since(clock_now(clock_system()), began));
        s->revision = r->revision;
        s->next_expiry = r->batch->next_expiry;
        s->has_next_expiry = true;
        return NULL;
}

/* Nothing of the batch was written: its writes fail with `why`, and its reads run again on the old state. */
static struct error *run_reads_only(struct run *r, const struct error *why)
{
        struct sqlite_store *s = r->s;

        for (size_t i = 0; i < SQL_COUNT; i++)
                sqlite()->reset(s->statements[i]);
        if (sqlite()->get_autocommit(s->db) == 0)
                TRY(run_to_end(s, statement(s, SQL_ROLLBACK)));
        if (r->batch->purge != NULL) {
                store_op_clear(r->batch->purge);
                r->batch->purge->err = error_copy(why);
        }
        for (struct store_op *op = r->batch->first; op != NULL; op = op->next) {
                store_op_clear(op);
                if (op->err != NULL && op->err->code == ERROR_ABORTED) {
                        error_free(op->err); /* decided on writes that were rolled back */
                        op->err = NULL;
                }
                if (op->kind == OP_TXN && op->err == NULL)
                        op->err = error_copy(why);
        }
        return run_all(r);
}

/*
 * Moves a long log into the database. If the disk is full, the log stays. A failed fsync must not be repeated:
 * a second fsync may succeed although the data of the first one was lost.
 */
static struct error *checkpoint_when_due(struct sqlite_store *s)
{
        int most = s->snapshot_pages > 0 ? LIMIT_STORE_SNAPSHOT_LOG : LIMIT_STORE_LOG;

        if (s->log_pages < most / SQLITE_PAGE_SIZE)
                return NULL;
        s->snapshot_pages = 0; /* the checkpoint changes the database: a copy that is being read is given up */
        int code = sqlite()->wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        struct error *err = code == SQLITE_OK ? NULL : sqlite_store_error(s, code);
        if (err == NULL || err->code == ERROR_DATA_LOSS)
                return err;
        error_free(err);
        return NULL;
}

static struct error *read_number(struct sqlite_store *s, enum sqlite_statement which, int64_t *ret)
{
        sqlite3_stmt *q = statement(s, which);
        int code = sqlite()->step(q);

        *ret = code == SQLITE_ROW ? sqlite()->column_int64(q, 0) : 0;
        sqlite()->reset(q);
        return code == SQLITE_ROW ? NULL : sqlite_store_error(s, code);
}

static struct error *shrink(struct sqlite_store *s)
{
        int64_t free_pages, pages;

        TRY(read_number(s, SQL_FREE_PAGES, &free_pages));
        if (free_pages * SQLITE_PAGE_SIZE <= LIMIT_STORE_FREE)
                return NULL;
        TRY(read_number(s, SQL_PAGES, &pages));
        if (free_pages * 100 <= pages * LIMIT_STORE_FREE_PERCENT)
                return NULL;
        sqlite3_stmt *q = statement(s, SQL_SHRINK);
        int code;
        while ((code = sqlite()->step(q)) == SQLITE_ROW)
                ;
        sqlite()->reset(q);
        return code == SQLITE_DONE ? NULL : sqlite_store_error(s, code);
}

/*
 * Returns pages of deleted items to the file system, some with each batch that writes: at least as many as a purge of
 * LIMIT_STORE_PURGE items frees. It runs in a transaction of its own, so that a full disk fails no operation.
 */
static struct error *shrink_when_due(struct sqlite_store *s, bool has_written)
{
        struct error *err = has_written ? shrink(s) : NULL;

        if (err == NULL || err->code == ERROR_DATA_LOSS)
                return err;
        error_free(err);
        return NULL;
}

/* A marker that cannot be written only weakens the detection of an old database; the database is safe. */
static void mark_when_due(struct sqlite_store *s, struct instant now)
{
        if (instant_since(now, s->marked_at).ns < MILLISECONDS(TIMEOUT_STORE_MARKER).ns)
                return;
        error_free(sqlite_store_mark(s));
        s->marked_at = now;
}

static void count_writes(const struct sqlite_batch *batch)
{
        for (const struct store_op *op = batch->first; op != NULL && metrics_are_on(); op = op->next) {
                if (op->kind != OP_TXN)
                        continue;
                metric_add_at(METRIC_STORE_WRITES, 0, 1);
                if (op->err != NULL && op->err->code != ERROR_ABORTED && op->err->code != ERROR_INVALID_ARGUMENT)
                        metric_add_at(METRIC_STORE_FAILURES, 0, 1);
        }
}

void sqlite_store_run(struct sqlite_store *s, struct sqlite_batch *batch)
{
        struct run r = { .s = s, .batch = batch };
        uint64_t before = s->revision;

        const struct instant began = clock_now(clock_system());
        struct error *err = run_all(&r);
        if (err == NULL && s->revision != before) {
                metric_set_health(HEALTH_STORE, HEALTH_OK);
                metric_observe_at(METRIC_STORE_SECONDS, 0, instant_since(clock_now(clock_system()), began));
        }
        if (err != NULL && err->code != ERROR_DATA_LOSS) {
                struct error *why = err;

                metric_set_health(HEALTH_STORE, HEALTH_DEGRADED);
                err = run_reads_only(&r, why);
                error_free(why);
        }
        count_writes(batch);
        if (err == NULL)
                err = shrink_when_due(s, s->revision != before);
        if (err == NULL)
                err = checkpoint_when_due(s);
        if (err == NULL)
                err = sqlite_snapshot_run(s, batch);
        if (err == NULL)
                mark_when_due(s, batch->at);
        batch->broken = err; /* a failure of the disk, or a second failure in a row, without a write */
}
