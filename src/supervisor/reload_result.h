/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result of a reload, as the supervisor sends it to `teleport reload` over data_dir/reload.sock:
 *
 *   applied NUL TEXT                one sentence on what has changed
 *   refused NUL TEXT NUL HINT       why the former configuration stays in force, and the remedy
 *
 * and then the end of the stream. A stream that ends before is no result: the supervisor has ended.
 */
#ifndef SUPERVISOR_RELOAD_RESULT_H
#define SUPERVISOR_RELOAD_RESULT_H

#include "base/buf.h"
#include "base/error.h"

enum { RELOAD_RESULT_MAX = 16 * KiB };
#define RELOAD_SOCKET "reload.sock" /* below data_dir */

void reload_result_put(struct buf *out, const struct error *err, struct str text);

/*
 * The text of "applied", in a buffer of the caller; the error that "refused" describes; UNAVAILABLE if the bytes are no whole
 * result.
 */
struct error *reload_result_parse(struct str bytes, struct str *ret_text) MUST_USE;

#endif
