/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time by which files of the audit log and recordings expire. It is the time of day, except after a jump: a clock that is wrong for a
 * minute must not remove the files of a year.
 *
 * The time of day is followed at LIMIT_EXPIRY_SPEED times the pace of the monotonic clock at most, from the time that the former run has
 * reached. That is written to dir/retention-time every PACE_EXPIRY_NOTE. Without this file, the first time of day is taken. After a jump
 * back, the time of day applies at once: less expires then.
 */
#ifndef AUTH_CORE_RETENTION_CLOCK_H
#define AUTH_CORE_RETENTION_CLOCK_H

#include "base/clock.h"
#include "loop/loop.h"

struct retention_clock;
/* Reads the file, which blocks. dir must live as long as the clock. */
struct retention_clock *retention_clock_new(struct loop *loop, const char *dir) MUST_USE;
void retention_clock_free(struct retention_clock *c); /* NULL is silent */

/* The time by which files expire now; never later than the time of day. To be called every PACE_RETENTION. */
struct walltime retention_clock_now(struct retention_clock *c);

#endif
