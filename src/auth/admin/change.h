/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user, role or lock being written or removed by an administrator: what the three have in common.
 * Shared by users.c, roles.c and locks.c, included by nobody else.
 */
#ifndef AUTH_ADMIN_CHANGE_H
#define AUTH_ADMIN_CHANGE_H

#include "auth/admin/request.h"
#include "resource/token.h"

struct change {
        const struct state_kind *state;
        enum audit_account account; /* that a write is charged to */
        struct str name;   /* outlives the request's answer: in its arena */
        uint64_t present;  /* revision of what is there now; 0: nothing is */
        bool must_be_new;
        struct token_warnings warnings;
};

/* "user \"x\" is not found", with the command that lists them as hint. */
struct error *change_not_found(const char *kind, struct str name) MUST_USE;

/* ALREADY_EXISTS for one that must be new and is not, ABORTED when if_revision ("": any) is not what is there. */
struct error *change_check(const struct change *c, const char *if_revision) MUST_USE;

/* A transaction that holds only while nobody else changes the same: add to it, then change_put or change_delete. */
struct store_txn *change_begin(struct admin_request *q, struct change *c) MUST_USE;

/* Begins the audit record that tells who changes what. */
void change_audit(struct admin_request *q, const struct change *c, const struct audit_kind *kind, struct audit_record *r);

/* Writes the resource (its revision is taken out) with its audit record, and answers with a PutResponse. */
void change_put(struct admin_request *q, struct change *c, struct store_txn *t, ProtobufCMessage *message, Cteleport__V1__Metadata *metadata,
                struct walltime expires, struct audit_record *r);

/* Removes it with its audit record, and answers with Empty. It was charged for when it was written. */
void change_delete(struct admin_request *q, struct change *c, struct store_txn *t, struct audit_record *r);

#endif
