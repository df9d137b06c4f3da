/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite backend, shared by its two sources: opening and checking, and running batches.
 */
#ifndef STORE_SQLITE_SQLITE_H
#define STORE_SQLITE_SQLITE_H

#include <sqlite3.h>

#include "store/store_internal.h"

/* The statements kept prepared; their SQL is a row each in sqlite_batch.c. */
enum sqlite_statement {
        SQL_BEGIN,
        SQL_COMMIT,
        SQL_ROLLBACK,
        SQL_GET,
        SQL_RANGE,
        SQL_PUT,
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

struct sqlite_store {
        sqlite3 *db;
        sqlite3_stmt *statements[SQL_COUNT];
        char *dir;   /* NULL: in memory, without lock and marker */
        char *shown; /* what messages call it */
        int lock_fd; /* -1: none */
        uint64_t revision; /* committed */
        struct store_marker marker; /* as it is on the disk */
        struct instant marked_at;
        int64_t next_id, next_brief_id; /* of new items: of those that stay, and of those that do not */
        int log_pages; /* in the write-ahead log after the last commit */
};

/* How the columns of a row follow each other in SQL_GET, SQL_RANGE and the check at start. */
#define SQLITE_ITEM_COLUMNS "key, value, revision, expires, checksum"

/* Opens, checks and, the first time, creates; the statements are not prepared yet. */
struct error *sqlite_store_open(const char *path, const char *shown, struct sqlite_store *s) MUST_USE;
/* Closes what is open; the database ends without a write-ahead log. */
void sqlite_store_close(struct sqlite_store *s);

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
