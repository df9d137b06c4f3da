/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer of a new program to the supervisor of the running one, which asks whether processes of both can run side by side:
 *
 *   service protocol VERSION, metrics ROWS DIGEST BYTES
 *
 * VERSION is SERVICE_PROTOCOL. The rest is about the memory in which both record metrics: DIGEST is that of the first ROWS rows of the
 * new program's table, not more than the running one has, and BYTES of that memory are used by all of its rows.
 */
#ifndef SUPERVISOR_UPGRADE_ANSWER_H
#define SUPERVISOR_UPGRADE_ANSWER_H

#include "base/buf.h"
#include "base/error.h"

/* The answer of this program to one whose table of metrics has `rows` rows. */
void upgrade_answer_put(struct buf *out, size_t rows);
/*
 * Checks the output of another program: FAILED_PRECONDITION says why it cannot take over. Lines before the last one are ignored: the
 * dynamic linker may print warnings. has_metrics: processes of this host record metrics.
 */
struct error *upgrade_answer_check(struct str output, bool has_metrics) MUST_USE;

#endif
