/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite backend; shared by its sources: opening and checking (sqlite_open.c, sqlite_schema.c, marker.c), batches (sqlite_batch.c), and the
 * queue in front of them (sqlite_queue.c).
 *
 * A lock on the directory ensures that only one process opens the database. Every change is therefore made by this process,
 * and its queue reports all of them.
 *
 * The loop collects operations while a batch runs on the store's thread; then all of them become the next batch, which is applied
 * in order and made durable by one commit:
 *
 *      submit ─▶ waiting ─▶ batch ─▶ [thread] sqlite_store_run ─▶ one commit ─▶ [loop] changes and answers
 *                                                                                └─▶ the next batch
 *
 * A batch belongs to the thread from the job's start to its end, otherwise to the loop. Jobs are never cancelled: a
 * store is closed when all requested operations are finished, and it is freed after the callback of its last job.
 */
#ifndef STORE_SQLITE_SQLITE_H
#define STORE_SQLITE_SQLITE_H

#include "store/backend.h"
#include "store/sqlite/sqlite_api.h"

/* The prepared statements; each has a row with its SQL in sqlite_batch.c. */
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
 * The marker: a small file beside the database that has the identity of the database and a recent revision,
 * so that a missing, foreign or older database is detected.
 */
enum { STORE_IDENTITY_SIZE = 16 };

struct store_marker {
        uint8_t identity[STORE_IDENTITY_SIZE]; /* random, created with the database */
        uint64_t revision;                     /* the database had at least this revision */
};

/* NOT_FOUND when the cluster was never initialised; DATA_LOSS when the file is invalid. */
struct error *store_marker_read(const char *dir, const char *shown, struct store_marker *ret) MUST_USE; /* shown: for messages */
struct error *store_marker_write(const char *dir, const struct store_marker *m) MUST_USE;

struct sqlite_store {
        sqlite3 *db;
        sqlite3_stmt *statements[SQL_COUNT];
        char *dir;
        char *shown; /* dir in messages */
        int lock_fd; /* -1: none */
        uint64_t revision; /* committed */
        bool has_next_expiry;
        struct walltime next_expiry; /* at that revision, if there is one */
        struct store_marker marker; /* as on the disk */
        struct instant marked_at;
        int64_t next_id, next_brief_id; /* of new items: permanent and short-lived ones */
        int log_pages; /* length of the write-ahead log after the last commit */
        int64_t snapshot_pages; /* of the copy that is being read; 0: none. No checkpoint changes the database meanwhile */
};

/* The order of columns in SQL_GET, SQL_RANGE and the check at start. */
#define SQLITE_ITEM_COLUMNS "key, value, revision, expires, checksum"

/* Opens and checks the database, and creates it at the first start; does not prepare the statements. */
struct error *sqlite_store_open(const char *path, const char *shown, struct sqlite_store *s) MUST_USE;
struct error *sqlite_store_prepare(struct sqlite_store *s) MUST_USE;
/* Closes all that is open; the write-ahead log is moved into the database. */
void sqlite_store_close(struct sqlite_store *s);

struct sqlite_batch {
        struct store_op *first;
        struct store_op *purge;      /* gets the changes of the removal of expired items, which comes first; NULL: no removal */
        struct walltime now;         /* decides which items have expired */
        struct instant at;           /* for periodic work */
        struct walltime next_expiry; /* result: expiry of the next item to expire, 0: none expires */
        struct error *broken;        /* result: the database must not be used any more */
};

/*
 * Applies the operations in order and makes the writes durable in one commit. Each operation gets its answer or its error; if
 * the commit fails, all writes of the batch fail with the same error. Blocks; runs on the store's thread.
 */
void sqlite_store_run(struct sqlite_store *s, struct sqlite_batch *batch);

/*
 * Runs the operations of the batch on the copy for a backup, after its commit (sqlite_snapshot.c). An error is that of a failing
 * disk; others are answers of their operations.
 */
struct error *sqlite_snapshot_run(struct sqlite_store *s, struct sqlite_batch *batch) MUST_USE;

/* store_check() of this backend. */
struct error *sqlite_store_check(const struct store_options *options, struct error *(*each)(void *ctx, const struct store_item *item),
                                 void *ctx, struct store_checked *ret) MUST_USE;

/* Writes the marker if the database has a newer revision. */
struct error *sqlite_store_mark(struct sqlite_store *s) MUST_USE;

/*
 * Maps a result code of SQLite to an error: RESOURCE_EXHAUSTED (full disk), DATA_LOSS (corrupt or
 * failing: stop), FAILED_PRECONDITION (in use), UNAVAILABLE.
 */
struct error *sqlite_store_error(const struct sqlite_store *s, int code) MUST_USE;

/* Constant SQL: runs it; compiles it, to be finalized by the caller; runs a query whose result is one number. */
struct error *sqlite_store_execute(struct sqlite_store *s, const char *sql) MUST_USE;
struct error *sqlite_store_compile(struct sqlite_store *s, const char *sql, sqlite3_stmt **ret) MUST_USE;
struct error *sqlite_store_number(struct sqlite_store *s, const char *sql, int64_t *ret) MUST_USE;

/* The item in the current row, borrowed until the next step. DATA_LOSS if it fails its checksum. */
struct error *sqlite_store_row(sqlite3_stmt *row, struct store_item *ret) MUST_USE;

/* Covers all columns, so that a flipped bit anywhere in an item is detected when it is read. */
int64_t sqlite_store_checksum(const struct store_item *item);

#endif
