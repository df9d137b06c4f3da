/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods of the Auth Service, with the groups of callers that may call each method. A method without a
 * row does not exist; a row without open_to serves no caller. Users need more than a group: the rules of their roles
 * must allow `verbs` on `kind`, unless the row names no kind.
 */
#ifndef AUTH_CORE_METHODS_H
#define AUTH_CORE_METHODS_H

#include "rpc/rpc.h"

struct admin_kind;

struct guarded_method {
        struct rpc_method method;
        unsigned open_to;   /* CALLER_… groups */
        const char *kind;   /* kind of resource that the method handles: a CALLER_USER needs a rule for it; NULL: none */
        unsigned verbs;     /* ACCESS_…, all of them */
        const struct admin_kind *resource; /* of List, Get, Put and Delete (auth/admin/resources.h); NULL in other methods */
        bool serves_owners; /* users whose rule reaches only their own resources are accepted: the handler checks further */
};

extern const struct guarded_method auth_methods[];
extern const size_t auth_method_count;

/* The same as pointers, for rpc_serve. */
const struct rpc_method *const *auth_method_list(void);

/*
 * Checks whether the caller may call the method; every connection uses it for each call. Errors: UNAUTHENTICATED for
 * unauthenticated peers, PERMISSION_DENIED for other callers.
 */
struct error *auth_guard(void *caller, const struct rpc_method *method) MUST_USE;

#endif
