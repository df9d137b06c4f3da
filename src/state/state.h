/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the cluster's state, as protobuf messages in the store: the common part of the repositories in this folder.
 *
 * Each kind of record has a file pair here (host.h, token.h, …) with its struct state_kind and the functions for
 * other folders. Only this folder builds keys, packs messages and compares revisions.
 *
 * A record is returned undecoded (struct state_record): the reader decodes it into an arena of its own. A record that cannot be
 * decoded is an error (DATA_LOSS) for the caller, which decides: a listing omits the record (state_log_unreadable), a login
 * is denied. It never ends the process. An ID that is too long for a key of the store is INVALID_ARGUMENT; in a transaction the
 * commit reports it.
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
        const char *name;                      /* name of a single record, for errors: "host" */
        struct str prefix;                     /* prefix of its keys: "/hosts/" */
        const ProtobufCMessageDescriptor *type; /* NULL: the value is text */
};

/* A record as stored; borrowed until the callback that receives it returns. */
struct state_record {
        const struct state_kind *kind;
        struct str id;           /* the key after the kind's prefix */
        struct str value;        /* the packed message; empty: it was deleted */
        uint64_t revision;
        struct walltime expires; /* 0: never */
};

/* A page of records in the order of their IDs. */
struct state_page {
        const struct state_record *records;
        size_t count;
        bool is_last;
        uint64_t revision; /* of the store at the time of the read */
};

/* Decodes the message of a record of this kind into the arena. DATA_LOSS, naming the kind, if it cannot be decoded. */
struct error *state_read(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret) MUST_USE;

/*
 * The same for a resource: it must have metadata; metadata.revision is set to the record's. state_read_named() also requires that
 * metadata.name equals the record's ID.
 */
struct error *state_read_resource(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret) MUST_USE;
struct error *state_read_named(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret) MUST_USE;

/* Logs a record that is omitted because it cannot be decoded. Takes err; if err is NULL, nothing is logged. */
void state_log_unreadable(const struct state_record *r, struct error *err);

/* Reads a record. record NULL without err: no such record. done is called exactly once from the loop; err is owned. */
void state_get(struct store *s, const struct state_kind *kind, struct str id,
               void (*done)(void *ctx, const struct state_record *record, struct error *err), void *ctx);

/*
 * Reads a page: at most limit records after the ID `after` ("": from the first). The store may return fewer; the next page is
 * read with the last ID while !is_last. page NULL with err (owned).
 */
void state_list(struct store *s, const struct state_kind *kind, struct str after, size_t limit,
                void (*done)(void *ctx, const struct state_page *page, struct error *err), void *ctx);

/*
 * Calls each for every record of the kind, page by page; an error that it returns is logged (state_log_unreadable), and the
 * scan continues. done is called exactly once: with NULL, the store's error (owned), or CANCELLED once *is_stopped is true: then
 * neither the store is read nor each is called any more. is_stopped may be NULL; it and ctx must live until done.
 */
void state_scan(struct store *s, const struct state_kind *kind, const bool *is_stopped,
                struct error *(*each)(void *ctx, const struct state_record *record), void (*done)(void *ctx, struct error *err),
                void *ctx);

/* Parts of a transaction. Requirements: revision 0: no such record; STORE_ANY: it exists; otherwise: it has this revision. */
void state_require(struct store_txn *t, const struct state_kind *kind, struct str id, uint64_t revision);
void state_put(struct store_txn *t, const struct state_kind *kind, struct str id, const ProtobufCMessage *message, struct walltime expires);
void state_put_text(struct store_txn *t, const struct state_kind *kind, struct str id, struct str text, struct walltime expires);
/* state_put_text() for a record that will be deleted within seconds (store_txn_put_brief). */
void state_put_brief(struct store_txn *t, const struct state_kind *kind, struct str id, struct str text);
void state_delete(struct store_txn *t, const struct state_kind *kind, struct str id);

#endif
