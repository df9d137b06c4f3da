/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes old recordings, as storage.session_recording_retention and storage.session_recording_retention_size_mib say: oldest first, the
 * file with its damaged copies, and the records of the session and its recording. Every PACE_RETENTION:
 *
 *      [thread] list the files ─▶ each that is due: read its records ─▶ complete, not being sent? delete them ─▶ [thread] remove the files
 *
 * Only recordings that are complete are removed: one of a running session, or one that its node is sending or still has to send, stays, as
 * long as the node is a member of the cluster. When it is the oldest one, it does not count in the size, so that one which never becomes complete does not displace all others. The
 * records are deleted first: after a crash, the next run finds files without records, and removes them. What was removed is logged and
 * audited with the IDs of the sessions. For LIMIT_RECORDING_REMOVED_DAYS, a node that has not learned that its recording was stored gets
 * this answer (record_service.c), and removes its copy.
 */
#ifndef AUTH_SESSIONS_RECORD_RETENTION_H
#define AUTH_SESSIONS_RECORD_RETENTION_H

#include <stdbool.h>

#include "base/compiler.h"

struct auth;

struct record_retention;
/* Reads the settings now, and begins the first run. Without a setting it does nothing. */
struct record_retention *record_retention_new(struct auth *a) MUST_USE;
void record_retention_free(struct record_retention *r); /* at any moment before the store is closed; NULL is silent */
bool record_retention_is_running(const struct record_retention *r); /* for tests */

#endif
