/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/disk_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"

/* The state of one check, owned by its job. */
struct check {
        struct disk_watch *watch;
        char *path;
        struct statvfs disk;
        int errnum; /* 0: statvfs() succeeded */
};

struct disk_watch {
        struct loop *loop;
        char *path;
        struct timer *pace;
        struct job *checking; /* NULL: no check is under way */
        struct instant began;
        struct disk_room room;
        bool is_silent; /* the current check takes long, and it has been logged */
};

static void check_free(void *ctx)
{
        struct check *k = ctx;

        free(k->path);
        free(k);
}

static void check_work(void *ctx)
{
        struct check *k = ctx;

        k->errnum = statvfs(k->path, &k->disk) == 0 ? 0 : errno;
}

static bool is_short(const struct disk_watch *d)
{
        return d->room.free < d->room.least;
}

static unsigned used_percent(const struct statvfs *disk)
{
        uint64_t used = disk->f_blocks > disk->f_bfree ? (uint64_t)disk->f_blocks - disk->f_bfree : 0, all = used + disk->f_bavail;

        return all == 0 ? 0 : (unsigned)((used * 100 + all - 1) / all);
}

static void take_share(struct disk_watch *d, const struct statvfs *disk)
{
        unsigned used = used_percent(disk);

        d->room.used_percent = used;
        if (!d->room.is_warned && used >= LIMIT_DISK_WARN_PERCENT)
                log_warn("The disk of the audit log is filling up", LOG_INT("used_percent", used), LOG_INT("free_kib", (int64_t)(d->room.free / KiB)),
                         LOG_C("hint", "free some space on the disk of the data directory, or limit what is kept: docs/operate/retention.md"));
        if (d->room.is_warned && used + LIMIT_DISK_WARN_MARGIN_PERCENT <= LIMIT_DISK_WARN_PERCENT)
                log_info("The disk of the audit log is not filling up any more", LOG_INT("used_percent", used));
        d->room.is_warned = used >= LIMIT_DISK_WARN_PERCENT || (d->room.is_warned && used + LIMIT_DISK_WARN_MARGIN_PERCENT > LIMIT_DISK_WARN_PERCENT);
}

static void take(struct disk_watch *d, const struct statvfs *disk)
{
        uint64_t share = (uint64_t)disk->f_blocks * disk->f_frsize / 100 * LIMIT_EVENTS_FREE_PERCENT;
        bool was_short = is_short(d);

        d->room.least = (uint64_t)LIMIT_EVENTS_FREE_MIB * MiB < share ? (uint64_t)LIMIT_EVENTS_FREE_MIB * MiB : share;
        d->room.free = (uint64_t)disk->f_bavail * disk->f_frsize;
        metric_set_at(METRIC_DISK_FREE, 0, (int64_t)d->room.free);
        if (disk->f_blocks > 0)
                metric_set_at(METRIC_DISK_USED, 0, used_percent(disk)); /* the same share as in the warning */
        metric_set_health(HEALTH_DISK, is_short(d) ? HEALTH_DEGRADED : HEALTH_OK);
        if (!is_short(d)) /* the next event may come late: a load balancer sends nobody to a proxy that is not ready */
                metric_end_degraded(HEALTH_AUDIT);
        if (is_short(d) && !was_short)
                log_warn("The disk of the audit log is nearly full: no host joins, no SSH connection begins, and refusals are only counted",
                         LOG_INT("free_kib", (int64_t)(d->room.free / KiB)), LOG_INT("least_kib", (int64_t)(d->room.least / KiB)),
                         LOG_C("hint", "free some space on the disk of the data directory"));
        if (!is_short(d) && was_short)
                log_info("The disk of the audit log has room again", LOG_INT("free_kib", (int64_t)(d->room.free / KiB)));
        take_share(d, disk);
}

static void on_checked(void *ctx)
{
        struct check *k = ctx;
        struct disk_watch *d = k->watch;

        d->checking = NULL;
        if (d->is_silent)
                log_info("The disk of the audit log answers again");
        d->is_silent = false;
        if (k->errnum == 0) /* else the next write to the disk reports the reason */
                take(d, &k->disk);
        check_free(k);
}

static void check(struct disk_watch *d)
{
        struct check *k = NEW(struct check);

        *k = (struct check){ .watch = d, .path = str_dup(str_of(d->path)) };
        d->began = loop_now(d->loop);
        d->checking = loop_job(d->loop, check_work, on_checked, k);
}

static void on_pace(void *ctx)
{
        struct disk_watch *d = ctx;

        if (d->checking == NULL) {
                check(d);
        } else if (!d->is_silent && instant_since(loop_now(d->loop), d->began).ns >= MILLISECONDS(TIMEOUT_DISK_CHECK).ns) {
                d->is_silent = true;
                log_warn("The disk of the audit log does not respond; audited actions wait until it does",
                         LOG_C("hint", "the file server is not reachable, or the disk fails: see dmesg"));
        }
        timer_start(d->pace, MILLISECONDS(PACE_DISK_CHECK));
}

struct disk_watch *disk_watch_new(struct loop *l, const char *path)
{
        struct disk_watch *d = NEW(struct disk_watch);

        d->loop = l;
        d->path = str_dup(str_of(path));
        d->pace = timer_new(l, on_pace, d);
        timer_start(d->pace, MILLISECONDS(PACE_DISK_CHECK));
        check(d);
        return d;
}

void disk_watch_free(struct disk_watch *d)
{
        if (d == NULL)
                return;
        job_cancel(d->checking, check_free);
        timer_free(d->pace);
        free(d->path);
        free(d);
}

struct disk_room disk_watch_room(const struct disk_watch *d)
{
        return d == NULL ? (struct disk_room){ 0 } : d->room;
}

bool disk_watch_has_checked(const struct disk_watch *d)
{
        return d->checking == NULL;
}
