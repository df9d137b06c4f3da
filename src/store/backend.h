/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface between the store (store.c) and its backends: a row for each kind of store, operations, and the functions by which
 * a backend reports to its store.
 *
 *      store_get ─┐                                    ┌─▶ store_report(): watches
 *      store_range├─▶ operation ─▶ backend->submit ─▶ …┤
 *      commit    ─┘                                    └─▶ store_answer(): done
 *
 * The store checks keys and sizes, builds transactions, and has the watches; the backend keeps the items. Both are called on the loop
 * only. The backend never blocks it: a database has a thread of its own (sqlite/), another machine has a connection.
 *
 * Rules for a backend:
 *
 * - Operations of one handle are applied and answered in the order in which they were submitted, and never inside submit().
 * - Every change of the database is reported once, in the order of revisions: those of this handle, of another handle or process,
 *   and of expiry. The changes that an answer shows or made are reported before that answer.
 * - An error of a read means that the store cannot be used now. A backend that asks another machine repeats reads itself first.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "base/arena.h"
#include "store/store.h"

enum store_step_kind { STEP_REQUIRE, STEP_PUT, STEP_RENEW, STEP_DELETE, STEP_DELETE_PREFIX };

/* One line of a transaction; lives in the operation's arena. */
struct store_step {
        struct store_step *next;
        enum store_step_kind kind;
        struct str key;
        struct str value;
        struct walltime expires;
        bool is_brief;     /* STEP_PUT: deleted again soon */
        uint64_t revision; /* STEP_REQUIRE; of STEP_RENEW it is STORE_ANY */
};

/* A change that is committed. item: key and revision; of one that is not deleted, value and expiry too. */
struct store_change {
        struct store_item item;
        bool deleted;
};

enum store_op_kind { OP_GET, OP_RANGE, OP_TXN };

struct store_op {
        struct store_op *next; /* for the backend */
        enum store_op_kind kind;
        struct arena *arena; /* inputs and results */

        /* The request. */
        struct str key;   /* OP_GET; the prefix of OP_RANGE */
        struct str after; /* OP_RANGE */
        size_t limit;     /* OP_RANGE */
        struct store_step *steps, **steps_end;

        /* The answer. err may be set from the start: then the backend only answers the operation in its turn. */
        struct error *err;
        struct store_item *items; /* heap; OP_GET: none or one */
        size_t item_count, item_room;
        bool is_last;
        uint64_t revision; /* OP_TXN: of the write; OP_RANGE: of the store at the read */
        struct store_change *changes; /* heap; their bytes are in the arena */
        size_t change_count, change_room;

        union {
                void (*get)(void *ctx, const struct store_item *item, struct error *err);
                void (*range)(void *ctx, const struct store_page *page, struct error *err);
                void (*txn)(void *ctx, uint64_t revision, struct error *err);
        } done;
        void *ctx;
};

static inline bool store_item_is_expired(const struct store_item *item, struct walltime now)
{
        return item->expires.ns != 0 && item->expires.ns <= now.ns;
}

/*
 * Whether the requirement of a step holds, for a live item of this revision (0: there is none); ABORTED, naming the key, when it does
 * not. NULL for steps that require nothing. All steps are checked before the first write.
 */
struct error *store_step_check(const struct store_step *step, uint64_t revision) MUST_USE;

/* arena_cap: bytes that a peer can make us hold; SIZE_MAX: the sizes are checked elsewhere. */
struct store_op *store_op_new(enum store_op_kind kind, size_t arena_cap) MUST_USE;
void store_op_free(struct store_op *op);

/* Append to the answer, uninitialised. */
struct store_item *store_op_add_item(struct store_op *op);
struct store_change *store_op_add_change(struct store_op *op);
/* Forgets the answer, but for the error, before the operation is applied again. */
void store_op_clear(struct store_op *op);

/*
 * Reports the changes that an operation made, in its `changes`, with the operation's revision; takes the changes and the arena. Silent
 * when there are none. A change that another process made is reported by an operation that was made for it (OP_TXN), and then freed.
 */
void store_report(struct store *s, struct store_op *op);

/* Reports that changes up to this revision may have been missed, such as during a loss of the connection: all watches are lost. */
void store_report_lost(struct store *s, uint64_t revision);

/* Calls back with the operation's answer and frees the operation. */
void store_answer(struct store_op *op);

/* A kind of store. */
struct store_backend {
        const char *type, *alias; /* in teleport.storage.type; alias may be NULL */
        bool allows_second_writer; /* whether another handle can open the same database meanwhile */

        /* Blocks. ret_revision: every change with a higher revision will be reported to s. Errors as of store_open(). */
        struct error *(*open)(struct store *s, struct loop *l, const struct store_options *options, void **ret, uint64_t *ret_revision) MUST_USE;
        /* Takes an operation. */
        void (*submit)(void *impl, struct store_op *op);
        /*
         * Answers what was submitted, and what the callbacks of these answers submit, then ends; closed(ctx) from the loop, not
         * inside this call.
         */
        void (*close)(void *impl, void (*closed)(void *ctx), void *ctx);
};

/* All kinds; the first is the default. Ends with NULL. */
extern const struct store_backend *const store_backends[];

extern const struct store_backend store_sqlite;
extern const struct store_backend store_memory;

#endif
