/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits the refusals that are logged and audited one by one. A failed join costs an unauthenticated peer nothing; without a
 * limit the records would fill the disk, and with a full disk no host can join. Beyond a rate, by source and in all,
 * refusals are counted, and the count is reported.
 */
#ifndef AUTH_CORE_REFUSAL_LOG_H
#define AUTH_CORE_REFUSAL_LOG_H

#include <stdint.h>

#include "base/str.h"

struct loop;
struct refusal_log;

/*
 * reported(ctx, count) is called at most every PACE_REFUSALS_COUNT, with the number of refusals that were only
 * counted.
 */
struct refusal_log *refusal_log_new(struct loop *l, void (*reported)(void *ctx, uint64_t count), void *ctx) MUST_USE;

/* Whether to report a refusal of this address (without port); otherwise it is counted. */
bool refusal_log_may_report(struct refusal_log *r, struct str address) MUST_USE;

/* Counts a refusal that is not to be reported by itself. */
void refusal_log_count(struct refusal_log *r);

/* Reports the remaining count and frees. NULL is ignored. */
void refusal_log_free(struct refusal_log *r);

#endif
