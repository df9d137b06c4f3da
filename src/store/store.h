/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's state: keys and values with revisions, expiry, conditional transactions and watches.
 *
 * Asynchronous, so that a backend may be a file or another machine. Operations of one process are
 * applied in the order in which they were requested. Acknowledged writes survive kill -9 and power loss.
 * Values are opaque (protobuf messages of the owner). Keys are "/"-separated paths of checked names.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

struct loop;
struct store;

struct store_item {
        struct str key;
        struct str value;
        uint64_t revision;       /* increases with every write to the store; never 0 */
        struct walltime expires; /* 0: never. An expired item is never returned */
};

/* Selects a backend: `type` is its name in teleport.yaml, from the table in backend.h. */
struct store_options {
        const char *type; /* "sqlite" (alias "dir"; the default if NULL), "memory" for tests */
        const char *path; /* directory; made with mode 0700. "memory": handles with the same path share a store; NULL: private */
        const char *shown; /* the directory's name in messages; NULL: the path */
};

/*
 * Loads the libraries of this type of store: a process calls it before it enters a sandbox that forbids executable mappings.
 * Errors as in store_open().
 */
struct error *store_load(const char *type) MUST_USE;

/*
 * Opens and checks the store; blocks, so it is called at start-up. FAILED_PRECONDITION when another
 * process has it open, a newer version wrote it, or a library is missing; DATA_LOSS when it is corrupt, missing although the
 * cluster was initialised, or older than its marker: no access is granted on uncertain data.
 *
 * Later, a failing disk or content that does not match its checksum ends the process with a log
 * line: after a failed fsync the content of the disk is unknown, and the next start checks everything.
 */
struct error *store_open(struct loop *l, struct store_options options, struct store **ret) MUST_USE;
/* Whether a database exists or existed: the state of a cluster. Nothing is created or opened. */
bool store_is_there(const char *path);
/*
 * Checks a store that no process has open as store_open() does, and changes nothing in it. each gets every item, borrowed until it
 * returns; its error ends the check. A database of an older version is checked as the next start will upgrade it. Blocks.
 * NOT_FOUND: there is no database; FAILED_PRECONDITION: a process has it open, or a newer version wrote it; DATA_LOSS as store_open();
 * UNIMPLEMENTED: this type of store has no check.
 */
struct store_checked {
        uint64_t items, revision;
        int format; /* of the database */
        int newest; /* format that this version writes */
};
struct error *store_check(struct store_options options, struct error *(*each)(void *ctx, const struct store_item *item), void *ctx,
                          struct store_checked *ret) MUST_USE;
/*
 * Finishes the requested operations, then closes; closed(ctx) is called from the loop. Watches are freed by
 * their owners before that. No operation may be requested after closed was called.
 */
void store_close(struct store *s, void (*closed)(void *ctx), void *ctx);

/* The loop that the store was opened with. */
struct loop *store_loop(const struct store *s);

/* item is borrowed until the callback returns; NULL with err NULL: no such key. err is owned. */
void store_get(struct store *s, struct str key, void (*done)(void *ctx, const struct store_item *item, struct error *err),
               void *ctx);

/*
 * Items with the prefix in key order, after `after` (empty: from the start), at most `limit`, and at most
 * LIMIT_STORE_RANGE or about LIMIT_STORE_PAGE bytes: request the next page with the last key while !is_last.
 * page and items are borrowed until the callback returns; page NULL with err.
 */
struct store_page {
        const struct store_item *items;
        size_t count;
        bool is_last;
        uint64_t revision; /* of the store at the read: the page includes every change up to it, and none after it */
};
void store_range(struct store *s, struct str prefix, struct str after, size_t limit,
                 void (*done)(void *ctx, const struct store_page *page, struct error *err), void *ctx);

/*
 * Writes that are applied completely or not at all. Build, commit once; the transaction frees itself. Inputs are
 * copied, LIMIT_STORE_TXN bytes at most; an invalid input (a key that does not begin with '/' or is too
 * long, a value that is too large) is reported by the commit as INVALID_ARGUMENT.
 *
 * All requirements are checked before the first write, in whatever order they were added; writes
 * are applied in the order in which they were added.
 *
 *   struct store_txn *t = store_txn_new(s);
 *   store_txn_require(t, token_key, token_revision);          // unchanged since it was read, and not expired
 *   store_txn_require(t, host_key, 0);                        // does not exist
 *   store_txn_put(t, host_key, bytes, expires);
 *   store_txn_commit(t, on_committed, j);
 */
struct store_txn;
struct store_txn *store_txn_new(struct store *s) MUST_USE;
/* revision 0: must not exist; STORE_ANY: must exist; otherwise: must exist with this revision. */
#define STORE_ANY UINT64_MAX
void store_txn_require(struct store_txn *t, struct str key, uint64_t revision);
void store_txn_put(struct store_txn *t, struct str key, struct str value, struct walltime expires);
/*
 * The same for an item that will be deleted within seconds, such as one that is forwarded: it is stored apart from permanent
 * items, so that its deletion frees whole pages instead of leaving gaps between permanent items.
 */
void store_txn_put_brief(struct store_txn *t, struct str key, struct str value);
/*
 * Extends, or shortens, the life of an item without writing its value, like Teleport's KeepAlive. The transaction is ABORTED if
 * the item does not exist or has expired. It is an ordinary write: the item gets the transaction's revision, and watches get it
 * with its new expiry, so that copies stay correct. An item that an earlier step of the transaction deletes stays deleted.
 */
void store_txn_renew(struct store_txn *t, struct str key, struct walltime expires);
void store_txn_delete(struct store_txn *t, struct str key);
void store_txn_delete_prefix(struct store_txn *t, struct str prefix);
/* Makes the commit write nothing and report err (owned from now on), unless the transaction already has an error. */
void store_txn_fail(struct store_txn *t, struct error *err);
/*
 * done (may be NULL) is called exactly once from the loop: err NULL and the revision written; ABORTED if a requirement
 * is not met (the error names the key); RESOURCE_EXHAUSTED if the disk is full (retry later);
 * UNAVAILABLE otherwise.
 */
void store_txn_commit(struct store_txn *t, void (*done)(void *ctx, uint64_t revision, struct error *err), void *ctx);
void store_txn_cancel(struct store_txn *t); /* instead of a commit */

/*
 * A copy of the whole database as it is at one moment, read part by part for a backup while other operations go on. One at a time:
 * the caller ends it before it begins another, and within minutes, as the store cannot reuse the space of its write-ahead log meanwhile.
 *
 * begin: info is borrowed until done returns; RESOURCE_EXHAUSTED: the disk is full; UNIMPLEMENTED: this type of store has none.
 * read: `most` bytes from offset on, fewer at the end; borrowed until done returns. ABORTED: the log has become larger than
 * LIMIT_STORE_SNAPSHOT_LOG, and the copy was given up.
 */
struct store_snapshot {
        uint64_t size, revision;
        int format;
};
void store_snapshot_begin(struct store *s, void (*done)(void *ctx, const struct store_snapshot *info, struct error *err), void *ctx);
void store_snapshot_read(struct store *s, uint64_t offset, size_t most, void (*done)(void *ctx, struct str bytes, struct error *err),
                         void *ctx);
void store_snapshot_end(struct store *s);

/* A transaction of one write. */
void store_put(struct store *s, struct str key, struct str value, struct walltime expires,
               void (*done)(void *ctx, uint64_t revision, struct error *err), void *ctx);

/*
 * Changes under a prefix, after they are committed, in the order of their revisions: those of this process, of others that write
 * to the same store, and of expiry. Watches get a transaction before its own `done`, and before an answer that includes it.
 *
 * from: the first revision of interest; 0: only changes that are reported after this call. A copy of the items under a prefix is read
 * with store_range(), and updated by a watch from the page's revision + 1. A watch from an older revision first gets the changes
 * in the history (LIMIT_STORE_HISTORY, LIMIT_STORE_HISTORY_BYTES; none from before the first watch of the store).
 *
 * If changes from `from` on are no longer in the history, or the backend has missed some, `lost` is called once. The watch then
 * gets no more events: the owner frees it, reads the items again and watches from there.
 */
struct store_watch_events {
        /* deleted covers expiry too (value empty then); an expired item is reported within a second or so, though no longer found
           from its instant on. item borrowed until the callback returns. */
        void (*changed)(void *ctx, const struct store_item *item, bool deleted);
        void (*lost)(void *ctx);
};

/* events must live as long as the watch. The loop calls the callbacks, never inside this call; they may free the watch. */
struct store_watch;
struct store_watch *store_watch_new(struct store *s, struct str prefix, uint64_t from, const struct store_watch_events *events,
                                    void *ctx) MUST_USE;
void store_watch_free(struct store_watch *w);

#endif
