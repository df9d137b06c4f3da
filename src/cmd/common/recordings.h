/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of recorded sessions, shared by tctl and tsh.
 */
#ifndef CMD_COMMON_RECORDINGS_H
#define CMD_COMMON_RECORDINGS_H

#include "api.pb-c.h"
#include "base/buf.h"
#include "base/error.h"
#include "cmd/common/flags.h"

/* Sorts them by their start and prints them in the given --format. */
void recordings_put(struct buf *out, const struct flags *given, Cteleport__V1__Recording **recordings, size_t count);

/* DATA_LOSS when a file differs from the data that its node sent; an unfinished recording is no error. */
struct error *recordings_check(Cteleport__V1__Recording *const *recordings, size_t count) MUST_USE;

#endif
