/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error on its way to a peer and back: a code and one text, "what\nhint: …". Causes are not sent. Its reason, if it has one,
 * goes in a trailer of its own that other gRPC clients ignore.
 */
#ifndef RPC_STATUS_H
#define RPC_STATUS_H

#include "base/buf.h"
#include "base/error.h"

/* Longest text sent or believed. */
enum { STATUS_TEXT_MAX = 4 * KiB };
#define STATUS_REASON_HEADER "cteleport-reason"

/* Appends what and hint of err, clipped to what STATUS_TEXT_MAX and the ceiling of out allow. */
void status_put_text(struct buf *out, const struct error *err);

/*
 * The error that a peer reports: text is split into what and hint and escaped, since it is shown to
 * users. A code outside of 1..16 becomes UNKNOWN, an empty text a sentence that names the code.
 */
struct error *status_to_error(uint64_t code, struct str text) MUST_USE;

#endif
