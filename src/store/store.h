/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's state: keys and values with revisions, expiry, conditional transactions and watches.
 *
 * Asynchronous, so that a backend may be a file or another machine. Operations of one process are
 * applied in the order they were asked. What was acknowledged survives kill -9 and power loss.
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
        uint64_t revision;       /* grows with every write to the store; never 0 */
        struct walltime expires; /* 0: never. An expired item is never returned */
};

/* How a backend is named in teleport.yaml; a row each (backend.h). */
struct store_options {
        const char *type; /* "sqlite" (alias "dir", and what NULL means), "memory" for tests */
        const char *path; /* directory; made with mode 0700. "memory": what handles of a process share; NULL: this handle is the only one */
        const char *shown; /* what messages call that directory; NULL: the path */
};

/*
 * Opens and checks the store; blocks, so it belongs to start-up. FAILED_PRECONDITION when somebody
 * else has it open or a newer version wrote it; DATA_LOSS when it is corrupt, missing although the
 * cluster was initialised, or older than its marker: nothing is granted on guesses.
 *
 * Later, a disk that fails or content that does not match its checksum ends the process with a log
 * line: after a failed fsync nobody knows what is on the disk, and the next start checks everything.
 */
struct error *store_open(struct loop *l, struct store_options options, struct store **ret) MUST_USE;
/* Whether a database is there, or was: the state of a cluster. Nothing is created or opened. */
bool store_is_there(const char *path);
/*
 * Finishes what was asked, then closes; closed(ctx) comes from the loop. Watches are freed by their
 * owners before that. Nothing may be asked once closed was called.
 */
void store_close(struct store *s, void (*closed)(void *ctx), void *ctx);

/* item borrowed until the callback returns; NULL with err NULL: there is no such key. err owned. */
void store_get(struct store *s, struct str key, void (*done)(void *ctx, const struct store_item *item, struct error *err),
               void *ctx);

/*
 * Items with the prefix in key order, after `after` (empty: from the start), at most limit, and at most
 * LIMIT_STORE_RANGE or about LIMIT_STORE_PAGE bytes: ask again with the last key while !is_last.
 * page and items borrowed until the callback returns; page NULL with err.
 */
struct store_page {
        const struct store_item *items;
        size_t count;
        bool is_last;
        uint64_t revision; /* of the store at the read: the page shows every change up to it, and none after it */
};
void store_range(struct store *s, struct str prefix, struct str after, size_t limit,
                 void (*done)(void *ctx, const struct store_page *page, struct error *err), void *ctx);

/*
 * Writes that happen all or not at all. Build, commit once; the transaction frees itself. Inputs are
 * copied, LIMIT_STORE_TXN bytes at most; a fault in one (a key that does not begin with '/' or is too
 * long, a value too large) is reported by the commit as INVALID_ARGUMENT.
 *
 * All requirements are checked before the first write, whatever the order they were added in; writes
 * apply in the order they were added.
 *
 *   struct store_txn *t = store_txn_new(s);
 *   store_txn_require(t, token_key, token_revision);          // still as we read it, and not expired
 *   store_txn_require(t, host_key, 0);                        // nobody is there
 *   store_txn_put(t, host_key, bytes, expires);
 *   store_txn_commit(t, on_committed, j);
 */
struct store_txn;
struct store_txn *store_txn_new(struct store *s) MUST_USE;
/* revision 0: must not exist; STORE_ANY: must exist; else: must exist with this revision. */
#define STORE_ANY UINT64_MAX
void store_txn_require(struct store_txn *t, struct str key, uint64_t revision);
void store_txn_put(struct store_txn *t, struct str key, struct str value, struct walltime expires);
/*
 * The same for an item that is deleted again within seconds, such as one on its way elsewhere: it lies apart from those that
 * stay, so that what it leaves is whole pages, and not gaps between those that nothing fills again.
 */
void store_txn_put_brief(struct store_txn *t, struct str key, struct str value);
/*
 * Extends, or shortens, the life of an item without writing its value, as Teleport's KeepAlive does; the transaction is ABORTED when the
 * item is gone or has expired. It is a write as others: the item gets the transaction's revision, and watches get the item with
 * its new expiry, so that copies stay right. An item that an earlier step of the transaction deletes stays deleted.
 */
void store_txn_renew(struct store_txn *t, struct str key, struct walltime expires);
void store_txn_delete(struct store_txn *t, struct str key);
void store_txn_delete_prefix(struct store_txn *t, struct str prefix);
/* Lets the commit write nothing and report err (owned from now on), unless it has a fault already. */
void store_txn_fail(struct store_txn *t, struct error *err);
/*
 * done (may be NULL) exactly once from the loop: err NULL and the revision written; ABORTED when a requirement did
 * not hold (error says which key); RESOURCE_EXHAUSTED when the disk is full (retry later);
 * UNAVAILABLE otherwise.
 */
void store_txn_commit(struct store_txn *t, void (*done)(void *ctx, uint64_t revision, struct error *err), void *ctx);
void store_txn_cancel(struct store_txn *t); /* instead of commit */

/* One-write shorthands. */
void store_put(struct store *s, struct str key, struct str value, struct walltime expires,
               void (*done)(void *ctx, uint64_t revision, struct error *err), void *ctx);

/*
 * Changes under a prefix, after they are committed, in the order of their revisions: those of this process, of others that write to the
 * same store, and of expiry. Watches get a transaction before its own `done`, and before an answer that shows it.
 *
 * from: the first revision of interest; 0: only changes that are reported after this call. A copy of the items under a prefix is read
 * with store_range(), and followed by a watch from the page's revision + 1. A watch from an older revision first gets the changes
 * that are kept (LIMIT_STORE_HISTORY, LIMIT_STORE_HISTORY_BYTES; none from before the first watch of the store).
 *
 * When changes from `from` on are not kept any more, or the backend has missed some, `lost` is called once instead, and the watch gets
 * nothing more: the owner frees it, reads again and watches from there.
 */
struct store_watch_events {
        /* deleted covers expiry too (value empty then); an expired item is reported within a second or so, though no longer found
           from its instant on. item borrowed until the callback returns. */
        void (*changed)(void *ctx, const struct store_item *item, bool deleted);
        void (*lost)(void *ctx);
};

/* events live as long as the watch. The callbacks come from the loop, not inside this call; they may free the watch. */
struct store_watch;
struct store_watch *store_watch_new(struct store *s, struct str prefix, uint64_t from, const struct store_watch_events *events,
                                    void *ctx) MUST_USE;
void store_watch_free(struct store_watch *w);

#endif
