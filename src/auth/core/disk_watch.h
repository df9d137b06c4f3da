/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the free space of the audit log's disk every PACE_DISK_CHECK, on the thread pool, as a disk that does not
 * respond (a dead NFS server, a failing device) must not block the loop. Until a measurement completes, the result of
 * the last one is used: writes to such a disk do not complete either, and nothing is acknowledged before its write.
 *
 * The result has the free bytes and the number of bytes to keep free: LIMIT_EVENTS_FREE_MIB, or
 * LIMIT_EVENTS_FREE_PERCENT of a small disk. Before that, a warning is logged when LIMIT_DISK_WARN_PERCENT of the disk are used; once, until
 * the share has fallen below it by LIMIT_DISK_WARN_MARGIN_PERCENT.
 */
#ifndef AUTH_CORE_DISK_WATCH_H
#define AUTH_CORE_DISK_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct loop;

struct disk_watch;
struct disk_watch *disk_watch_new(struct loop *l, const char *path) MUST_USE; /* path is copied; begins the first measurement */
void disk_watch_free(struct disk_watch *d); /* at any moment; NULL is silent */

/* All are 0 when the watch is NULL or has no measurement yet. */
struct disk_room {
        uint64_t free, least; /* bytes */
        unsigned used_percent; /* of what processes other than root's may use, rounded up, as df(1) shows it */
        bool is_warned;        /* of this share */
};
struct disk_room disk_watch_room(const struct disk_watch *d);
bool disk_watch_has_checked(const struct disk_watch *d); /* whether the last measurement has completed, for tests */

#endif
