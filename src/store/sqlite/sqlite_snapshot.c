/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy of the database for a backup.
 *
 * In WAL mode commits are appended to the log, and only a checkpoint changes the database file. So after a complete checkpoint the
 * file is the whole database as it was at that moment, and it stays so until the next checkpoint, which waits for the end of the
 * copy (checkpoint_when_due()). Nothing is copied on the disk, and writers go on.
 *
 * The file is read through SQLite's own descriptor: closing another one of this process would release SQLite's lock.
 */
#include "store/sqlite/sqlite.h"
#include "store/sqlite/sqlite_schema.h"

static struct error *begin(struct sqlite_store *s, struct store_op *op)
{
        int in_log = 0, moved = 0;
        int64_t pages = 0;

        s->snapshot_pages = 0; /* the checkpoint changes the database, also where it fails: a copy that is being read is given up */
        int code = sqlite()->wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
        if (code != SQLITE_OK)
                return sqlite_store_error(s, code);
        if (in_log != moved)
                return error_new(ERROR_UNAVAILABLE, "the write-ahead log in '%s' cannot be emptied", s->shown);
        TRY(sqlite_store_number(s, "PRAGMA page_count", &pages));
        s->snapshot_pages = pages;
        s->log_pages = 0; /* all of it is in the database; the next commit begins the log anew */
        op->snapshot = (struct store_snapshot){
                .size = (uint64_t)pages * SQLITE_PAGE_SIZE,
                .revision = s->revision,
                .format = sqlite_schema_newest(),
        };
        return NULL;
}

static struct error *read_part(struct sqlite_store *s, struct store_op *op)
{
        uint64_t size = (uint64_t)s->snapshot_pages * SQLITE_PAGE_SIZE;
        sqlite3_file *file = NULL;

        if (size == 0)
                return error_hint(error_new(ERROR_ABORTED, "the store was written faster than its copy was read; the copy was given up"),
                                  "try again, onto a faster disk or at a quieter time");
        if (op->offset >= size)
                return NULL;
        size_t len = op->limit < size - op->offset ? op->limit : (size_t)(size - op->offset);
        char *to = arena_alloc(op->arena, len);
        sqlite()->file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
        int code = file->pMethods->xRead(file, to, (int)len, (sqlite3_int64)op->offset);
        if (code != SQLITE_OK)
                return error_new(ERROR_DATA_LOSS, "the disk of '%s' fails: the database cannot be read (SQLite %d)", s->shown, code);
        op->part = (struct str){ to, len };
        return NULL;
}

struct error *sqlite_snapshot_run(struct sqlite_store *s, struct sqlite_batch *batch)
{
        for (struct store_op *op = batch->first; op != NULL; op = op->next) {
                if (op->err != NULL)
                        continue;
                if (op->kind == OP_SNAPSHOT_BEGIN)
                        op->err = begin(s, op);
                else if (op->kind == OP_SNAPSHOT_READ)
                        op->err = read_part(s, op);
                else if (op->kind == OP_SNAPSHOT_END)
                        s->snapshot_pages = 0;
                if (op->err != NULL && op->err->code == ERROR_DATA_LOSS) {
                        struct error *err = op->err;

                        op->err = NULL;
                        return err;
                }
        }
        return NULL;
}
