/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One administrator's request under way; shared by the files of auth/admin, included by nobody else.
 */
#ifndef AUTH_ADMIN_REQUEST_H
#define AUTH_ADMIN_REQUEST_H

#include "api.pb-c.h"
#include "auth/core/auth.h"
#include "auth/core/caller.h"
#include "rpc/rpc.h"
#include "state/state.h"

/* A page and what is made of it, or one resource; nothing of it outlives the answer. */
enum { ADMIN_ARENA = LIMIT_REQUEST_ARENA };

struct admin_request {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the administrator is gone */
        struct arena *arena;
        const ProtobufCMessage *message; /* in arena */
        struct budget_holder *memory;    /* the caller's share of what requests that wait may hold; NULL: not counted */
        size_t charged;                  /* to it */
        struct buf who;                  /* for the audit */
        struct str user;                 /* the user of the request, in arena; empty: an administrator on this machine, who may do everything */
        void *state;                     /* of the method, in arena */
        struct admin_work {
                struct job *job; /* NULL: none is under way */
                void (*work)(void *ctx), (*done)(void *ctx), (*release)(void *ctx);
                void *ctx;
        } work;
};

/* Begins: copies the message, watches for the end of the call. NULL: refused, as those under way hold too much. */
struct admin_request *admin_begin(struct rpc_call *call, const ProtobufCMessage *first) MUST_USE;
/* The name in a NameRequest. */
static inline struct str admin_name(const struct admin_request *q)
{
        return str_of(((const Cteleport__V1__NameRequest *)q->message)->name);
}
/* Ends a request before it has written anything when nobody waits for it any more; the service may be ending. */
static inline struct error *admin_check_waited_for(const struct admin_request *q)
{
        return q->call != NULL ? NULL : error_new(ERROR_CANCELLED, "the administrator went away");
}
/*
 * Counts what the request has allocated so far among what all hold that wait: to be called before it waits again with a page of
 * the store in its arena. RESOURCE_EXHAUSTED: too much is held.
 */
struct error *admin_charge(struct admin_request *q) MUST_USE;
/*
 * Blocking work for the request, as loop_job(), one at a time. When the administrator goes away meanwhile, it is cancelled:
 * release(ctx), which frees what is not in the arena, comes instead of done(ctx), and q is gone. So it is, at once, when requests
 * that wait hold too much.
 */
void admin_work(struct admin_request *q, void (*work)(void *ctx), void (*done)(void *ctx), void (*release)(void *ctx), void *ctx);
/* Ends with an answer, or with an error (owned). Frees q. */
void admin_reply(struct admin_request *q, const ProtobufCMessage *answer);
void admin_fail(struct admin_request *q, struct error *err);

/* The user of the request with the current roles, in the arena; until the next turn of the loop. */
struct error *admin_user(const struct admin_request *q, struct access_user *ret) MUST_USE;

/* One page of a List, or the one resource of a Get. */
struct admin_kind;
struct listing {
        const struct admin_kind *kind;
        const ProtobufCMessageDescriptor *page; /* the answer; NULL: it is the resource itself */
        void *ctx; /* of the kind */
        ProtobufCMessage **messages;
        size_t count, room, size;
        char *next;
};

/* Adds a message to the page; false when it is full. */
bool listing_add(struct admin_request *q, struct listing *l, ProtobufCMessage *message);
/* Ends with the page. */
void listing_reply(struct admin_request *q, struct listing *l);

#endif
