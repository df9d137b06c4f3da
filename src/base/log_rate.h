/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limit of log lines. A peer may cause log lines in a loop, and these would fill the disk that also has the audit
 * log. So each log statement in the code has a rate for each peer and one for all peers together; lines beyond it are
 * counted, and the next line of the statement has their number.
 *
 * The peer is found from the fields of the line: see log_rate_peer(). The state is a fixed table of the process, for
 * one thread.
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
