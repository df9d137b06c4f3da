/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One administrator's request under way; shared by admin_*.c, included by nobody else.
 */
#ifndef AUTH_ADMIN_REQUEST_H
#define AUTH_ADMIN_REQUEST_H

#include "auth/auth.h"
#include "auth/caller.h"
#include "rpc/rpc.h"

/* More than one answer of any listing; nothing of it outlives the answer. */
enum { ADMIN_ARENA = 512 * MiB, ADMIN_PAGE = 500 };

struct admin_request {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the administrator is gone */
        struct arena *arena;
        const ProtobufCMessage *message; /* in arena */
        struct buf who;                  /* for the audit */
        void *state;                     /* of the method, in arena */
};

/* Begins: copies the message, watches for the end of the call. */
struct admin_request *admin_begin(struct rpc_call *call, const ProtobufCMessage *first) MUST_USE;
/* Ends with an answer, or with an error (owned). Frees q. */
void admin_reply(struct admin_request *q, const ProtobufCMessage *answer);
void admin_fail(struct admin_request *q, struct error *err);

/*
 * Walks all items under a prefix, page by page; each is called for every item, done once at the end.
 */
void admin_walk(struct admin_request *q, struct str prefix,
                struct error *(*each)(struct admin_request *q, const struct store_item *item),
                void (*done)(struct admin_request *q));

#endif
