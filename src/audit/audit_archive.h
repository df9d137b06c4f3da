/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compresses and removes files of the audit log that the Auth Service has renamed (audit_names.h). All functions block.
 *
 *      events.log-D ─▶ events.packing ─▶ sync, compared ─▶ renamed to events.log-D.gz ─▶ sync ─▶ events.log-D removed
 *
 * A crash leaves both files at most, and readers use the uncompressed one; the next run begins again from it. The end of the log of
 * LIMIT_AUDIT_TAIL bytes stays uncompressed, as the start of the Auth Service reads it (audit_log_uids).
 *
 * Files that others have renamed are neither compressed nor removed.
 */
#ifndef AUDIT_AUDIT_ARCHIVE_H
#define AUDIT_AUDIT_ARCHIVE_H

#include "base/clock.h"
#include "base/error.h"

struct audit_archive_options {
        struct walltime now;
        struct duration age; /* files that were renamed longer ago are removed; 0: none */
        int64_t size;        /* bytes: the oldest files beyond this sum of sizes are removed; 0: none */
        int64_t tail;        /* bytes that stay uncompressed: LIMIT_AUDIT_TAIL, less in tests */
};

struct audit_archived {
        uint64_t packed, removed;
        int64_t removed_bytes;
        struct walltime removed_until; /* when the newest of the removed files was renamed */
};

/*
 * Does what is due. *ret tells what was done, also in case of an error; RESOURCE_EXHAUSTED: no disk space to compress. DATA_LOSS: a
 * compressed file differed from what was written.
 */
struct error *audit_archive(const char *dir, const struct audit_archive_options *o, struct audit_archived *ret) MUST_USE;

#endif
