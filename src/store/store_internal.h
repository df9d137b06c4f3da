/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the queue (store.c) and the backends agree on: operations, batches and a row per backend.
 *
 * The loop collects operations while a batch is away on the pool; then all of them become the next
 * batch, which the backend applies in order and makes durable once:
 *
 *      store_put ─┐                      pool thread                      loop
 *      store_get ─┼─ waiting ─▶ batch ─▶ backend->run ─▶ one commit ─▶ watches, done, done, done
 *      commit    ─┘                                                        └─▶ the next batch
 *
 * A batch belongs to the pool thread from the job's start to its end, to the loop otherwise. That is order, not cancellation: a
 * store is closed when all that was asked is finished, and lives until the callback of its last job, so none is ever cancelled.
 */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include "base/arena.h"
#include "store/store.h"

enum store_step_kind { STEP_REQUIRE, STEP_PUT, STEP_DELETE, STEP_DELETE_PREFIX };

/* One line of a transaction; lives in the operation's arena. */
struct store_step {
        struct store_step *next;
        enum store_step_kind kind;
        struct str key;
        struct str value;
        struct walltime expires;
        bool is_brief;     /* STEP_PUT: deleted again soon */
        uint64_t revision; /* STEP_REQUIRE */
};

struct store_change {
        struct store_item item; /* in the operation's arena */
        bool deleted;
};

enum store_op_kind { OP_GET, OP_RANGE, OP_TXN, OP_PURGE };

struct store_op {
        struct store_op *next;
        enum store_op_kind kind;
        struct arena *arena; /* inputs and results */

        /* Asked. */
        struct str key;   /* OP_GET; the prefix of OP_RANGE */
        struct str after; /* OP_RANGE */
        size_t limit;     /* OP_RANGE */
        struct store_step *steps, **steps_end;

        /* Answered. err may be set from the start: then the backend leaves the operation alone. */
        struct error *err;
        struct store_item *items; /* heap; OP_GET: none or one */
        size_t item_count, item_room;
        bool is_last;
        uint64_t revision;
        struct store_change *changes; /* heap */
        size_t change_count, change_room;

        union {
                void (*get)(void *ctx, const struct store_item *item, struct error *err);
                void (*range)(void *ctx, const struct store_page *page, struct error *err);
                void (*txn)(void *ctx, uint64_t revision, struct error *err);
        } done;
        void *ctx;
};

static inline bool store_op_writes(const struct store_op *op)
{
        return op->kind == OP_TXN || op->kind == OP_PURGE;
}

/* Append to what was answered; called by backends. */
struct store_item *store_op_add_item(struct store_op *op);
struct store_change *store_op_add_change(struct store_op *op);
/* Forgets what was answered, for another try. */
void store_op_clear(struct store_op *op);

struct store_batch {
        struct store_op *first;
        struct walltime now;          /* expiry is judged by this */
        struct instant at;            /* for what happens every so often */
        bool is_watched;              /* changes are wanted */
        struct walltime next_expiry;  /* answered: when the next item expires, 0: none does */
        struct error *broken;         /* answered: the backend is not to be used any more */
};

/* A kind of store: a row in store.c. The functions block. */
struct store_backend {
        struct error *(*open)(const char *path, const char *shown, void **ret) MUST_USE;
        /*
         * Applies the operations in order and makes the writes durable in one commit. Each operation ends
         * with its answer or its error; when the commit fails, all writes of the batch fail alike.
         */
        void (*run)(void *impl, struct store_batch *batch);
        void (*close)(void *impl);
};

extern const struct store_backend store_sqlite;
extern const struct store_backend store_sqlite_memory;

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

#endif
