/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface between the store (store.c) and its backends: the table of backends, the operations, and the functions with which
 * a backend reports to its store.
 *
 *      store_get ─┐                                    ┌─▶ store_report(): watches
 *      store_range├─▶ operation ─▶ backend->submit ─▶ …┤
 *      commit    ─┘                                    └─▶ store_answer(): done
 *
 * The store checks keys and sizes, builds transactions, and owns the watches; the backend holds the items. Both run on the loop
 * only. The backend never blocks the loop: a database has its own thread (sqlite/), a remote store has a connection.
 *
 * Rules for a backend:
 *
 * - Operations of one handle are applied and answered in the order in which they were submitted, and never inside submit().
 * - Every change of the database is reported once, in the order of revisions: those of this handle, of another handle or process,
 *   and of expiry. The changes that an answer shows or made are reported before that answer.
 * - An error of a read means that the store is unavailable. A backend on another machine repeats failed reads itself first.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "base/arena.h"
#include "store/store.h"

enum store_step_kind { STEP_REQUIRE, STEP_PUT, STEP_RENEW, STEP_DELETE, STEP_DELETE_PREFIX };

/* One step of a transaction; allocated in the operation's arena. */
struct store_step {
        struct store_step *next;
        enum store_step_kind kind;
        struct str key;
        struct str value;
        struct walltime expires;
        bool is_brief;     /* STEP_PUT: will be deleted soon */
        uint64_t revision; /* STEP_REQUIRE; in STEP_RENEW it is STORE_ANY */
};

/* A committed change. item: key and revision; if it was not deleted, also value and expiry. */
struct store_change {
        struct store_item item;
        bool deleted;
};

enum store_op_kind { OP_GET, OP_RANGE, OP_TXN, OP_SNAPSHOT_BEGIN, OP_SNAPSHOT_READ, OP_SNAPSHOT_END };

struct store_op {
        struct store_op *next; /* for the backend's queue */
        enum store_op_kind kind;
        struct arena *arena; /* inputs and results */

        /* The request. */
        struct str key;   /* OP_GET; the prefix of OP_RANGE */
        struct str after; /* OP_RANGE */
        size_t limit;     /* OP_RANGE; the bytes of OP_SNAPSHOT_READ */
        uint64_t offset;  /* OP_SNAPSHOT_READ */
        struct store_step *steps, **steps_end;

        /* The answer. If err is set at submission, the backend only answers the operation, in its turn. */
        struct error *err;
        struct store_item *items; /* heap; OP_GET: at most one */
        size_t item_count, item_room;
        bool is_last;
        struct store_snapshot snapshot; /* OP_SNAPSHOT_BEGIN */
        struct str part;                /* OP_SNAPSHOT_READ; in the arena */
        uint64_t revision; /* OP_TXN: of the write; OP_RANGE: of the store at the time of the read */
        struct store_change *changes; /* heap; their bytes are in the arena */
        size_t change_count, change_room;

        union {
                void (*get)(void *ctx, const struct store_item *item, struct error *err);
                void (*range)(void *ctx, const struct store_page *page, struct error *err);
                void (*txn)(void *ctx, uint64_t revision, struct error *err);
                void (*begin)(void *ctx, const struct store_snapshot *info, struct error *err);
                void (*part)(void *ctx, struct str bytes, struct error *err);
        } done;
        void *ctx;
};

static inline bool store_item_is_expired(const struct store_item *item, struct walltime now)
{
        return item->expires.ns != 0 && item->expires.ns <= now.ns;
}

/*
 * Checks the requirement of a step against a live item of this revision (0: there is none); ABORTED, naming the key, if it is not
 * met. NULL for steps without requirement. All steps are checked before the first write.
 */
struct error *store_step_check(const struct store_step *step, uint64_t revision) MUST_USE;

/* arena_cap: limit of bytes, if their number depends on a peer; SIZE_MAX: the sizes are checked elsewhere. */
struct store_op *store_op_new(enum store_op_kind kind, size_t arena_cap) MUST_USE;
void store_op_free(struct store_op *op);

/* Append an uninitialised element to the answer. */
struct store_item *store_op_add_item(struct store_op *op);
struct store_change *store_op_add_change(struct store_op *op);
/* Clears the answer, except the error, before the operation is applied again. */
void store_op_clear(struct store_op *op);

/*
 * Reports the changes of an operation with the operation's revision; takes `changes` and the arena. Does nothing without
 * changes. To report a change of another process, the backend creates an OP_TXN operation and frees it afterwards.
 */
void store_report(struct store *s, struct store_op *op);

/* Reports that changes up to this revision may have been missed, such as while disconnected: all watches are lost. */
void store_report_lost(struct store *s, uint64_t revision);

/* Calls back with the operation's answer and frees the operation. */
void store_answer(struct store_op *op);

/* A kind of store. */
struct store_backend {
        const char *type, *alias; /* in teleport.storage.type; alias may be NULL */
        bool allows_second_writer; /* whether another handle can open the same database meanwhile */

        /* Loads the libraries that the backend needs, at its first call; NULL: none. open() is called afterwards only. */
        struct error *(*load)(void) MUST_USE;
        /* Blocks. ret_revision: every change with a higher revision will be reported to s. Errors as in store_open(). */
        struct error *(*open)(struct store *s, struct loop *l, const struct store_options *options, void **ret, uint64_t *ret_revision) MUST_USE;
        /* store_check(); NULL: none. */
        struct error *(*check)(const struct store_options *options, struct error *(*each)(void *ctx, const struct store_item *item),
                               void *ctx, struct store_checked *ret) MUST_USE;
        /* Queues an operation. Without `has_snapshots` there are none of the kinds OP_SNAPSHOT_…. */
        bool has_snapshots;
        void (*submit)(void *impl, struct store_op *op);
        /*
         * Answers the submitted operations, and those that the callbacks of these answers submit, then closes; closed(ctx) is
         * called from the loop, not inside this call.
         */
        void (*close)(void *impl, void (*closed)(void *ctx), void *ctx);
};

/* All backends; the first is the default. Terminated by NULL. */
extern const struct store_backend *const store_backends[];

extern const struct store_backend store_sqlite;
extern const struct store_backend store_memory;

#endif
