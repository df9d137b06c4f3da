/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite backend, shared by its sources: opening and checking (sqlite_open.c, marker.c), running batches (sqlite_batch.c), and the
 * queue in front of them (sqlite_queue.c).
 *
 * One process has the database at a time, by a lock on its directory. Every change is therefore made by this process, and its queue
 * reports all of them.
 *
 * The loop collects operations while a batch is away on the store's thread; then all of them become the next batch, which is applied
 * in order and made durable once:
 *
 *      submit ─▶ waiting ─▶ batch ─▶ [thread] sqlite_store_run ─▶ one commit ─▶ [loop] changes and answers
 *                                                                                └─▶ the next batch
 *
 * A batch belongs to the thread from the job's start to its end, to the loop otherwise. That is order, not cancellation: a
 * store is closed when all that was asked is finished, and lives until the callback of its last job, so none is ever cancelled.
 */
#ifndef STORE_SQLITE_SQLITE_H
#define STORE_SQLITE_SQLITE_H

#include <sqlite3.h>

#include "store/backend.h"

/* The statements kept prepared; their SQL is a row each in sqlite_batch.c. */
enum sqlite_statement {
        SQL_BEGIN,
        SQL_COMMIT,
        SQL_ROLLBACK,
        SQL_GET,
        SQL_RANGE,
        SQL_PUT,
        SQL_RENEW,
        SQL_DELETE,
        SQL_DELETE_PREFIX,
        SQL_PURGE,
        SQL_NEXT_EXPIRY,
        SQL_SET_REVISION,
        SQL_FREE_PAGES,
        SQL_PAGES,
        SQL_SHRINK,
        SQL_COUNT,
};

enum { SQLITE_PAGE_SIZE = 4096 };

/*
 * The marker: a small file beside the database that says which database belongs here and how far it
 * had come, so that a missing, foreign or older one is noticed.
 */
enum { STORE_IDENTITY_SIZE = 16 };

struct store_marker {
        uint8_t identity[STORE_IDENTITY_SIZE]; /* random, made with the database */
        uint64_t revision;                     /* the database had at least this */
};

/* NOT_FOUND when the cluster was never initialised; DATA_LOSS when the file makes no sense. */
struct error *store_marker_read(const char *dir, const char *shown, struct store_marker *ret) MUST_USE; /* shown: as messages call it */
struct error *store_marker_write(const char *dir, const struct store_marker *m) MUST_USE;

struct sqlite_store {
        sqlite3 *db;
        sqlite3_stmt *statements[SQL_COUNT];
        char *dir;
        char *shown; /* what messages call it */
        int lock_fd; /* -1: none */
        uint64_t revision; /* committed */
        bool has_next_expiry;
        struct walltime next_expiry; /* at that revision, if it is there */
        struct store_marker marker; /* as it is on the disk */
        struct instant marked_at;
        int64_t next_id, next_brief_id; /* of new items: of those that stay, and of those that do not */
        int log_pages; /* in the write-ahead log after the last commit */
};

/* How the columns of a row follow each other in SQL_GET, SQL_RANGE and the check at start. */
#define SQLITE_ITEM_COLUMNS "key, value, revision, expires, checksum"

/* Opens, checks and, the first time, creates; the statements are not prepared yet. */
struct error *sqlite_store_open(const char *path, const char *shown, struct sqlite_store *s) MUST_USE;
struct error *sqlite_store_prepare(struct sqlite_store *s) MUST_USE;
/* Closes what is open; the database ends without a write-ahead log. */
void sqlite_store_close(struct sqlite_store *s);

struct sqlite_batch {
        struct store_op *first;
        struct store_op *purge;      /* takes the changes of a removal of expired items, which comes before the others; NULL: none */
        struct walltime now;         /* expiry is judged by this */
        struct instant at;           /* for what happens every so often */
        struct walltime next_expiry; /* answered: when the next item expires, 0: none does */
        struct error *broken;        /* answered: the database is not to be used any more */
};

/*
 * Applies the operations in order and makes the writes durable in one commit. Each operation ends with its answer or its error; when
 * the commit fails, all writes of the batch fail alike. Blocks; on the store's thread.
 */
void sqlite_store_run(struct sqlite_store *s, struct sqlite_batch *batch);

/* Writes the marker when the database is ahead of it. */
struct error *sqlite_store_mark(struct sqlite_store *s) MUST_USE;

/*
 * What a result code of SQLite means for us: RESOURCE_EXHAUSTED (full disk), DATA_LOSS (corrupt or
 * failing: stop), FAILED_PRECONDITION (in use), UNAVAILABLE.
 */
struct error *sqlite_store_error(const struct sqlite_store *s, int code) MUST_USE;

/* The item in the current row, borrowed until the next step. DATA_LOSS if it fails its checksum. */
struct error *sqlite_store_row(sqlite3_stmt *row, struct store_item *ret) MUST_USE;

/* Covers all columns, so that a flipped bit anywhere in an item is found when it is read. */
int64_t sqlite_store_checksum(const struct store_item *item);

#endif
