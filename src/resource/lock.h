/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind: lock — ends the live sessions of its target and refuses new ones.
 */
#ifndef RESOURCE_LOCK_H
#define RESOURCE_LOCK_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "role.pb-c.h"

/*
 * Checks a lock and fills in kind and version, in place. A lock may come without a name; the cluster gives
 * it one. INVALID_ARGUMENT says what is wrong and of which field.
 */
struct error *lock_check(Cteleport__V1__Lock *lock) MUST_USE;

/* When it ends, for the store; 0: never. */
struct walltime lock_ends(const Cteleport__V1__Lock *lock);

/* Whether spec.target.join_arn stands for this ARN, which STS reported. */
bool lock_arn_matches(struct str pattern, struct str arn);

/* "user alice", "node web-1": what is locked. */
void lock_put_target(const Cteleport__V1__Lock *lock, struct buf *out);

#endif
