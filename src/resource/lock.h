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
 * Checks a lock and fills in kind and version, in place. A lock without a name gets one from the cluster.
 * INVALID_ARGUMENT names the field and the problem.
 */
struct error *lock_check(Cteleport__V1__Lock *lock) MUST_USE;

/* The expiry of a lock, for the store; 0: never. */
struct walltime lock_ends(const Cteleport__V1__Lock *lock);

/* Whether the pattern of spec.target.join_arn matches this ARN, which STS reported. */
bool lock_arn_matches(struct str pattern, struct str arn);

/* Writes the target of a lock: "user alice", "node web-1". */
void lock_put_target(const Cteleport__V1__Lock *lock, struct buf *out);

#endif
