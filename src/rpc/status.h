/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding of errors for peers: a code and one text, "what\nhint: …". Causes are not sent. The reason of an error, if
 * set, is sent in a separate trailer that other gRPC clients ignore.
 */
#ifndef RPC_STATUS_H
#define RPC_STATUS_H

#include "base/buf.h"
#include "base/error.h"

/* Longest text that is sent or accepted. */
enum { STATUS_TEXT_MAX = 4 * KiB };
#define STATUS_REASON_HEADER "cteleport-reason"

/* Appends message and hint of err, clipped to STATUS_TEXT_MAX and the maximum size of out. */
void status_put_text(struct buf *out, const struct error *err);

/*
 * Converts a status of a peer to an error: text is split into message and hint, and escaped, since it is shown to
 * users. A code outside of 1..16 becomes UNKNOWN, an empty text a sentence with the code's name.
 */
struct error *status_to_error(uint64_t code, struct str text) MUST_USE;

#endif
