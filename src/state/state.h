/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the cluster's state, as protobuf messages in the store: what the repositories of this folder have in common.
 *
 * Each kind of record has a file pair here (host.h, token.h, …) with a row, its struct state_kind, and the functions that other
 * folders use. Keys, the packing of messages and the comparison of revisions are known to this folder only.
 *
 * A record is handed out unread (struct state_record): its reader decodes it into an arena of the caller. A record that cannot be
 * read is an error (DATA_LOSS) for the caller, who decides what it means: a listing leaves it out (state_log_unreadable), a login
 * is denied. It never ends the process. An ID that is too long for a key of the store is INVALID_ARGUMENT, of a transaction when it
 * is committed.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "store/store.h"

/* One kind of record; a constant in the file of that kind. */
struct state_kind {
        const char *name;                      /* of one record, for errors: "host" */
        struct str prefix;                     /* of its keys: "/hosts/" */
        const ProtobufCMessageDescriptor *type; /* NULL: the value is text */
};

/* A record as the store has it; borrowed until the callback that brings it returns. */
struct state_record {
        const struct state_kind *kind;
        struct str id;           /* the key behind the kind's prefix */
        struct str value;        /* the packed message; empty: it was deleted */
        uint64_t revision;
        struct walltime expires; /* 0: never */
};

/* A page of records in the order of their IDs. */
struct state_page {
        const struct state_record *records;
        size_t count;
        bool is_last;
        uint64_t revision; /* of the store at the read */
};

/* Decodes the message of a record of this kind, with memory of the arena. DATA_LOSS, naming the kind, when it cannot be read. */
struct error *state_read(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret) MUST_USE;

/*
 * The same of a resource: its metadata must be there; metadata.revision is set to the record's. With state_read_named() it must also have the name that is
 * its ID.
 */
struct error *state_read_resource(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret) MUST_USE;
struct error *state_read_named(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret) MUST_USE;

/* Logs a record that is left out because it cannot be read. Takes err; NULL: the record was read, nothing is logged. */
void state_log_unreadable(const struct state_record *r, struct error *err);

/* Looks a record up. record NULL without err: there is none. done exactly once from the loop; err owned. */
void state_get(struct store *s, const struct state_kind *kind, struct str id,
               void (*done)(void *ctx, const struct state_record *record, struct error *err), void *ctx);

/*
 * Reads a page: at most limit records behind the ID `after` ("": from the first). The store may return fewer; the next page is
 * read with the last ID while !is_last. page NULL with err (owned).
 */
void state_list(struct store *s, const struct state_kind *kind, struct str after, size_t limit,
                void (*done)(void *ctx, const struct state_page *page, struct error *err), void *ctx);

/*
 * Calls each for every record of the kind, page by page; an error that it returns is logged (state_log_unreadable), and the
 * scan goes on. done exactly once: NULL, the store's error (owned), or CANCELLED once *is_stopped is true: the store is not
 * asked any more then, and each is not called. is_stopped may be NULL; it and ctx live until done.
 */
void state_scan(struct store *s, const struct state_kind *kind, const bool *is_stopped,
                struct error *(*each)(void *ctx, const struct state_record *record), void (*done)(void *ctx, struct error *err),
                void *ctx);

/* Parts of a transaction. Requirements: revision 0: there is no such record; STORE_ANY: there is one; else: it is at this revision. */
void state_require(struct store_txn *t, const struct state_kind *kind, struct str id, uint64_t revision);
void state_put(struct store_txn *t, const struct state_kind *kind, struct str id, const ProtobufCMessage *message, struct walltime expires);
void state_put_text(struct store_txn *t, const struct state_kind *kind, struct str id, struct str text, struct walltime expires);
/* state_put_text() of a record that is deleted again within seconds (store_txn_put_brief). */
void state_put_brief(struct store_txn *t, const struct state_kind *kind, struct str id, struct str text);
void state_delete(struct store_txn *t, const struct state_kind *kind, struct str id);

#endif
