/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every method of the Auth Service and the groups of callers that it is open to. A method without a row does not exist; a
 * row without open_to serves no caller. Users need more than a group: the rules of their roles
 * must allow `verbs` on `kind`, unless the row names no kind.
 */
#ifndef AUTH_CORE_METHODS_H
#define AUTH_CORE_METHODS_H

#include "rpc/rpc.h"

struct admin_kind;

struct guarded_method {
        struct rpc_method method;
        unsigned open_to;   /* CALLER_… groups */
        const char *kind;   /* what the method is about: CALLER_USER needs a rule for it; NULL: none */
        unsigned verbs;     /* ACCESS_…, all of them */
        const struct admin_kind *resource; /* of List, Get, Put and Delete (auth/admin/resources.h); NULL in other methods */
        bool serves_owners; /* users whose rule reaches only their own resources are accepted: the handler checks further */
};

extern const struct guarded_method auth_methods[];
extern const size_t auth_method_count;

/* The same as pointers, for rpc_serve. */
const struct rpc_method *const *auth_method_list(void);

/* The guard of every connection: UNAUTHENTICATED for unauthenticated peers, PERMISSION_DENIED for others. Decided anew for each call. */
struct error *auth_guard(void *caller, const struct rpc_method *method) MUST_USE;

#endif
