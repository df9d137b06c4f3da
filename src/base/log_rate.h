/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limit of log lines. A peer causes lines by its requests, and may do it in a loop; lines without end fill the
 * disk that the audit log is on. So each kind of line, which is a place in the code, has a rate for each peer, and one
 * for all peers together; what is beyond is counted, and the next line of the kind says how many were left out.
 *
 * Who the peer is, the fields of the line say: see log_rate_peer(). Memory is a fixed table; one process, one thread.
 */
#ifndef BASE_LOG_RATE_H
#define BASE_LOG_RATE_H

#include "base/buf.h"
#include "base/log.h"

/*
 * Writes the peer that a line is about: its host_id, else user (or the administrator, `by`), else the source of its
 * remote_addr or peer (base/source.h). Empty when the line has none of these.
 */
void log_rate_peer(const struct log_field *fields, struct buf *out);

/* Whether the line may be written now; otherwise it is counted. Debug lines are not limited. */
bool log_rate_allows(struct log_site *site, enum log_level level, const struct log_field *fields, struct instant now) MUST_USE;

#endif
