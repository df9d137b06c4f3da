/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which refusals are told one by one. Joins that fail cost a stranger nothing; written down without
 * end they would fill the disk, and with a full disk nobody joins any more. Beyond a rate, by source and
 * in all, they are counted, and the count is told.
 */
#ifndef AUTH_CORE_REFUSAL_LOG_H
#define AUTH_CORE_REFUSAL_LOG_H

#include <stdint.h>

#include "base/str.h"

struct loop;
struct refusal_log;

/* told(ctx, count) comes at most every TIMEOUT_REFUSALS_UNREPORTED: so many were not told one by one. */
struct refusal_log *refusal_log_new(struct loop *l, void (*reported)(void *ctx, uint64_t count), void *ctx) MUST_USE;

/* Whether a refusal of this address (without port) is to be told; else it is counted here. */
bool refusal_log_may_report(struct refusal_log *r, struct str address) MUST_USE;

/* Counts a refusal that is not to be told one by one. */
void refusal_log_count(struct refusal_log *r);

/* Tells the count that is left. NULL is silent. */
void refusal_log_free(struct refusal_log *r);

#endif
