/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every method of the Auth Service and who it is open to. What is not in this table does not exist; a
 * row without an open_to does not serve anybody.
 */
#ifndef AUTH_METHODS_H
#define AUTH_METHODS_H

#include "rpc/rpc.h"

struct guarded_method {
        struct rpc_method method;
        unsigned open_to; /* CALLER_… groups */
};

extern const struct guarded_method auth_methods[];
extern const size_t auth_method_count;

/* The same as pointers, for rpc_serve. */
const struct rpc_method *const *auth_method_list(void);

/* The guard of every connection: UNAUTHENTICATED for strangers, PERMISSION_DENIED for the known. */
struct error *auth_guard(void *caller, const struct rpc_method *method) MUST_USE;

#endif
