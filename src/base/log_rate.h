/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lines of the log are written. A peer causes lines by what it does, and may do it in a loop; lines without end fill the disk
 * that the audit log is on. So each kind of line, which is a place in the code, has a rate for each peer, and one for all peers
 * together; what is beyond is counted, and the next line of the kind says how many were left out.
 *
 * Who the peer is, the fields of the line say: see log_rate_peer(). Memory is a fixed table; one process, one thread.
 */
#ifndef BASE_LOG_RATE_H
#define BASE_LOG_RATE_H

#include "base/buf.h"
#include "base/log.h"

/*
 * Whom a line is about, in out: its host_id, else user (or who an administrator is, `by`), else the source of its remote_addr or
 * peer (base/source.h). Empty when it names none.
 */
void log_rate_peer(const struct log_field *fields, struct buf *out);

/* Whether the line is to be written now; else it is counted. Debug lines are not limited: at that level all are wanted. */
bool log_rate_allows(struct log_site *site, enum log_level level, const struct log_field *fields, struct instant now) MUST_USE;

#endif
