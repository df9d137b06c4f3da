/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of one administrative request. Private to auth/admin.
 */
#ifndef AUTH_ADMIN_REQUEST_H
#define AUTH_ADMIN_REQUEST_H

#include "api.pb-c.h"
#include "auth/core/auth.h"
#include "auth/core/caller.h"
#include "rpc/rpc.h"
#include "state/state.h"

/* Size of the arena of a request: it holds a page of resources, or one resource, until the answer is sent. */
enum { ADMIN_ARENA = LIMIT_REQUEST_ARENA };

struct admin_request {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the administrator's connection has ended */
        struct arena *arena;
        const ProtobufCMessage *message; /* in arena */
        struct budget_holder *memory;    /* the caller's share of the memory of waiting requests; NULL: not counted */
        size_t charged;                  /* to it */
        struct buf caller;               /* the client's description, for the audit */
        struct str user;                 /* the user of the request, in arena; empty: an administrator on this machine, who may do everything */
        void *state;                     /* of the method, in arena */
        struct admin_work {
                struct job *job; /* NULL: none is under way */
                void (*work)(void *ctx), (*done)(void *ctx), (*release)(void *ctx);
                void *ctx;
        } work;
};

/*
 * Begins a request: copies the message and watches for the end of the call. NULL: refused, as running requests hold too
 * much memory.
 */
struct admin_request *admin_begin(struct rpc_call *call, const ProtobufCMessage *first) MUST_USE;
/* The name in a NameRequest. */
static inline struct str admin_name(const struct admin_request *q)
{
        return str_of(((const Cteleport__V1__NameRequest *)q->message)->name);
}
/*
 * CANCELLED when the client has ended the call, so that the request ends before it writes anything.
 */
static inline struct error *admin_check_waited_for(const struct admin_request *q)
{
        return q->call != NULL ? NULL : error_new(ERROR_CANCELLED, "the administrator disconnected");
}
/*
 * Charges the memory that the request has allocated to the budget of waiting requests. To be called before the request
 * waits again while its arena holds a page of the store. RESOURCE_EXHAUSTED: the budget is spent.
 */
struct error *admin_charge(struct admin_request *q) MUST_USE;
/*
 * Blocking work for the request, as loop_job(), one at a time. When the client ends the call meanwhile, the job is
 * cancelled: release(ctx), which frees memory outside the arena, is called instead of done(ctx), and q is freed. The
 * same happens at once when waiting requests hold too much memory.
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
        const ProtobufCMessageDescriptor *page; /* the answer; NULL: the answer is the resource itself */
        void *ctx; /* of the kind */
        ProtobufCMessage **messages;
        size_t count, room, size;
        char *next;
};

/* Adds a message to the page; false when it is full. */
bool listing_add(struct admin_request *q, struct listing *l, ProtobufCMessage *message);
/* The same for a further resource of one record, also beyond the size of a page. */
void listing_add_more(struct admin_request *q, struct listing *l, ProtobufCMessage *message);
/* Ends with the page. */
void listing_reply(struct admin_request *q, struct listing *l);

#endif
