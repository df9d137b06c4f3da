/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of the audit log's disk is free: looked up every PACE_DISK_CHECK, on the pool, for a disk that does not answer (a dead
 * NFS server, a dying device) must not stop the loop. Until the first answer, and while there is none, the last one counts: what is
 * written there does not end either, and nothing is acknowledged without it.
 *
 * Free bytes, and those that are to stay so: LIMIT_EVENTS_FREE_MIB, or LIMIT_EVENTS_FREE_PERCENT of a small disk.
 */
#ifndef AUTH_CORE_DISK_WATCH_H
#define AUTH_CORE_DISK_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct loop;

struct disk_watch;
struct disk_watch *disk_watch_new(struct loop *l, const char *path) MUST_USE; /* path is copied; the first look begins */
void disk_watch_free(struct disk_watch *d); /* at any moment; NULL is silent */

/* Of a watch that is NULL, or has had no answer yet: both 0. */
struct disk_room {
        uint64_t free, least; /* bytes */
};
struct disk_room disk_watch_room(const struct disk_watch *d);
bool disk_watch_has_looked(const struct disk_watch *d); /* since the last turn of PACE_DISK_CHECK, for tests */

#endif
