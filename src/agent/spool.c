/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "agent/spool_internal.h"

static const struct str suffix = STR_INIT(".rec");

/* ---- files ------------------------------------------------------------------------------------------------- */

static void on_sync_due(void *ctx);
static void write_free(void *ctx);
static void check_free(void *ctx);

static struct spool_file *file_new(struct spool *sp, struct str id, int fd)
{
        struct spool_file *f = NEW(struct spool_file);

        f->spool = sp;
        f->fd = fd;
        snprintf(f->id, sizeof f->id, "%.*s", STR_ARG(id));
        snprintf(f->name, sizeof f->name, "%.*s.rec", STR_ARG(id));
        f->sync = timer_new(sp->loop, on_sync_due, f);
        f->begun = f->synced = loop_now(sp->loop);
        upload_init(f);
        f->next = sp->files;
        f->at = &sp->files;
        if (f->next != NULL)
                f->next->at = &f->next;
        sp->files = f;
        map_put(&sp->by_id, str_of(f->id), f);
        metric_add_at(METRIC_RECORDINGS_WAITING, 0, 1);
        return f;
}

static void file_free(struct spool_file *f)
{
        metric_add_at(METRIC_RECORDINGS_WAITING, 0, -1);
        *f->at = f->next;
        if (f->next != NULL)
                f->next->at = f->at;
        map_remove(&f->spool->by_id, str_of(f->id));
        upload_release(f);
        timer_free(f->sync);
        recording_writer_free(f->writer);
        f->spool->waiting -= f->counted;
        if (f->user != NULL)
                budget_unreserve(f->user, f->taken);
        budget_drop(f->user);
        free(f->holes);
        job_cancel(f->checking, check_free);
        job_cancel(f->writing, write_free);
        if (f->fd >= 0)
                close(f->fd);
        free(f);
}

/* Frees a closed spool after its last file. */
static void free_if_empty(struct spool *sp)
{
        if (!sp->is_closing || sp->files != NULL)
                return;
        close(sp->dir);
        timer_free(sp->stuck);
        budget_release(&sp->room);
        map_release(&sp->by_id);
        free(sp);
}

/* Marks a file of an earlier run as finished, so that the next one may be checked. */
static void leave_old(struct spool_file *f)
{
        if (!f->is_old)
                return;
        f->is_old = false;
        f->spool->old_uploads--;
}

/* The cluster has the valid parts. The file stays on this node for an examination of the disk. */
static void keep_damaged(const struct spool_file *f)
{
        AUTO_MEM char *name = mem_printf("%s.damaged", f->id);

        if (renameat(f->spool->dir, f->name, f->spool->dir, name) < 0)
                log_warn("A damaged recording cannot be renamed", LOG_C("file", f->name), LOG_C("error", strerrordesc_np(errno)));
        else
                log_warn("A damaged recording is kept on this node", LOG_C("session_id", f->id), LOG_C("file", name));
}

/*
 * Another process of this service may have left recordings, and one of them may be the next one. If thousands of connections end at once, the
 * folder has thousands of files: it is read again when as many recordings have ended as are left, so that each one reads a few entries.
 */
static void find_next_old(struct spool *sp, bool was_old)
{
        sp->settled++;
        if (was_old || sp->settled > sp->by_id.count)
                spool_send_old(sp);
}

void spool_file_settle(struct spool_file *f)
{
        struct spool *sp = f->spool;
        bool was_old = f->is_old;

        if (upload_is_busy(f) || !(f->is_closed || sp->is_closing))
                return;
        if ((f->writing != NULL || f->checking != NULL) && !sp->is_closing)
                return;
        if (f->is_unwanted && f->is_damaged)
                keep_damaged(f);
        else if (f->is_unwanted && unlinkat(sp->dir, f->name, 0) == 0)
                sp->room.total += f->old_size; /* 0 for a recording of this run: file_free returns its share to the user */
        else if (f->is_unwanted)
                log_warn("A recording that is not needed cannot be removed", LOG_C("file", f->name), LOG_C("error", strerrordesc_np(errno)));
        if (f->is_unwanted || sp->is_closing) {
                leave_old(f);
                file_free(f);
        } else if (f->is_refused) { /* stays in the list, so that it is not found again */
                leave_old(f);
                if (f->fd >= 0)
                        close(f->fd);
                f->fd = -1;
        }
        if (sp->is_closing)
                free_if_empty(sp);
        else
                find_next_old(sp, was_old);
}

/* ---- waiting data ----------------------------------------------------------------------------------------------- */

static void send_stuck(void *ctx)
{
        struct spool *sp = ctx;

        log_warn("The disk of this node does not write recordings as fast as terminals produce them: all recorded terminals wait for it",
                 LOG_INT("waiting_bytes", (int64_t)sp->waiting));
        timer_start(sp->stuck, MILLISECONDS(PACE_SPOOL_STUCK_LOG));
}

static void set_full(struct spool *sp, bool is_full)
{
        if (is_full == sp->is_full || sp->is_closing)
                return;
        sp->is_full = is_full;
        if (is_full)
                timer_start(sp->stuck, MILLISECONDS(TIMEOUT_SPOOL_STUCK));
        else
                timer_stop(sp->stuck);
        if (sp->full != NULL)
                sp->full(sp->full_ctx, is_full);
}

/* Updates the number of waiting bytes, after a change of the recording. */
static void recount(struct spool_file *f)
{
        struct spool *sp = f->spool;
        size_t now = f->writing_len + (f->writer == NULL ? 0 : recording_held(f->writer));

        sp->waiting += now - f->counted;
        f->counted = now;
        if (sp->waiting >= LIMIT_SPOOL_WAITING_ALL)
                set_full(sp, true);
        else if (sp->waiting <= LIMIT_SPOOL_WAITING_ALL / 2)
                set_full(sp, false);
}

void spool_on_full(struct spool *sp, void (*full)(void *ctx, bool is_full), void *ctx)
{
        sp->full = full;
        sp->full_ctx = ctx;
}

bool spool_must_wait(const struct spool_file *f)
{
        return !f->has_failed && (f->spool->is_full || spool_pending(f) > LIMIT_SPOOL_WAITING);
}

/* ---- the disk, on the pool ------------------------------------------------------------------------------------ */

/* *ret_free: bytes of the disk that recordings may still use. */
static struct error *check_room(int fd, uint64_t *ret_free)
{
        struct statvfs st;

        if (fstatvfs(fd, &st) < 0)
                return error_errno(errno, "cannot determine the free space of the disk");
        uint64_t available = (uint64_t)st.f_bavail * st.f_frsize, kept = (uint64_t)LIMIT_SPOOL_FREE_MIB * MiB;
        *ret_free = available < kept ? 0 : available - kept;
        if (available >= kept)
                return NULL;
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the disk of this node has no room for recordings"),
                          "at least %d MiB of it stay free", LIMIT_SPOOL_FREE_MIB);
}

static struct error *append(int fd, uint64_t at, struct str bytes)
{
        while (bytes.len > 0) {
                ssize_t n = pwrite(fd, bytes.ptr, bytes.len, (off_t)at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_errno(n < 0 ? errno : ENOSPC, "cannot write the recording");
                bytes = str_slice(bytes, (size_t)n, bytes.len);
                at += (uint64_t)n;
        }
        return NULL;
}

static struct error *sync_file(int fd, uint64_t *ret_free)
{
        if (fdatasync(fd) < 0)
                return error_errno(errno, "cannot write the recording");
        return check_room(fd, ret_free);
}

/* Chunks that a job writes to the disk. */
struct write {
        struct spool_file *file;
        int fd; /* duplicated for the job */
        uint64_t at;
        struct buf bytes;
        bool wants_sync;
        size_t written;
        uint64_t disk_free; /* from check_room(), after a sync */
        struct error *err;
};

static void write_free(void *ctx)
{
        struct write *w = ctx;

        if (w->fd >= 0)
                close(w->fd);
        buf_release(&w->bytes);
        error_free(w->err);
        free(w);
}

static void write_job(void *ctx)
{
        struct write *w = ctx;

        if (w->err != NULL) /* the reservation of disk space has failed */
                return;
        w->err = w->fd < 0 ? error_new(ERROR_RESOURCE_EXHAUSTED, "there are no descriptors left") : append(w->fd, w->at, buf_str(&w->bytes));
        if (w->err == NULL) {
                w->written = w->bytes.len;
                if (w->wants_sync)
                        w->err = sync_file(w->fd, &w->disk_free);
                return;
        }
        /* A chunk that was written in part is invalid, and is cut off. */
        if (w->fd >= 0 && ftruncate(w->fd, (off_t)w->at) < 0)
                w->err = error_because(w->err, error_errno(errno, "cannot cut it"));
}

static void write_more(struct spool_file *f);

static void report_drained(struct spool_file *f)
{
        if (!f->wants_drain || f->is_closed || spool_must_wait(f))
                return;
        f->wants_drain = false;
        if (f->drained != NULL)
                f->drained(f->ctx);
}

static void on_written(void *ctx)
{
        struct write *w = ctx;
        struct spool_file *f = w->file;
        struct error *err = w->err;

        w->err = NULL;
        f->writing = NULL;
        f->writing_len = 0;
        f->size += w->written;
        if (w->wants_sync && err == NULL)
                f->spool->disk_free = w->disk_free;
        write_free(w);
        recount(f);
        if (err != NULL) {
                spool_file_fail(f, err);
        } else {
                write_more(f);
                report_drained(f);
                if (f->is_dirty && !f->is_closed && !timer_is_running(f->sync))
                        timer_start(f->sync, MILLISECONDS(PACE_SPOOL_SYNC));
        }
        upload_advance(f);
}

/* Reserves disk space for a user's recordings. On a small disk one user gets at most as much as is left for all others. */
static struct error *take_room(struct spool *sp, struct budget_holder *user, size_t len)
{
        const struct budget *all = &sp->room;

        if (budget_held(user) + len > sp->disk_free)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "this user's recordings that the cluster has not received use half of the disk space for recordings");
        if (budget_reserve(user, len))
                return NULL;
        if (len > all->total - all->used)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "this node has %d MiB of recordings that the cluster has not received, which is the maximum",
                                            LIMIT_SPOOL_MIB),
                                  "they are removed from data_dir/spool once the cluster has received them");
        return error_new(ERROR_RESOURCE_EXHAUSTED, "this node has %d MiB of one user's recordings that the cluster has not received, which is the maximum",
                         LIMIT_SPOOL_USER_MIB);
}

/*
 * Starts a job on the pool that writes all waiting data, or syncs written data if a sync is due. The next job writes the data
 * that arrives during this one. The output of a quiet terminal is thus written at once, in small chunks, and that of a busy
 * terminal in large chunks.
 */
static void write_more(struct spool_file *f)
{
        struct instant now = loop_now(f->spool->loop);
        bool is_due = f->is_closed || instant_since(now, f->synced).ns >= MILLISECONDS(PACE_SPOOL_SYNC).ns;

        if (f->writing != NULL || f->has_failed || f->is_unwanted)
                return;
        if (!f->is_closed) /* a closed recording is flushed already */
                recording_flush(f->writer);
        struct str ready = recording_drain(f->writer);
        if (ready.len == 0 && !(f->is_dirty && is_due)) {
                f->is_complete |= f->is_closed;
                return;
        }
        struct write *w = NEW(struct write);
        *w = (struct write){ .file = f, .fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0), .at = f->size, .bytes = BUF_MAX(ready.len + 1), .wants_sync = is_due };
        buf_put(&w->bytes, ready);
        recording_taken(f->writer, ready.len);
        w->err = f->size + ready.len <= (uint64_t)LIMIT_RECORDING_MIB * MiB
                         ? take_room(f->spool, f->user, ready.len)
                         : error_new(ERROR_RESOURCE_EXHAUSTED, "the recording is as long as one may be, %d MiB", LIMIT_RECORDING_MIB);
        f->taken += w->err == NULL ? ready.len : 0;
        f->writing_len = ready.len;
        f->is_dirty = !is_due;
        if (is_due)
                f->synced = now;
        f->writing = loop_job(f->spool->loop, write_job, on_written, w);
}

/* ---- a session's recording ---------------------------------------------------------------------------------------- */

void spool_file_fail(struct spool_file *f, struct error *err)
{
        if (f->has_failed || f->is_complete) {
                error_free(err);
                return;
        }
        f->has_failed = f->is_aborted = f->is_complete = true;
        recording_writer_free(f->writer); /* together with its unwritten data */
        f->writer = NULL;
        recount(f);
        if (f->sync != NULL)
                timer_stop(f->sync);
        log_warn("A recording ends early", LOG_C("session_id", f->id), LOG_ERR(err));
        f->wants_drain = false;
        if (f->is_closed)
                error_free(err);
        else
                f->failed(f->ctx, err);
}

/*
 * Locks a recording for this process, as long as its descriptors are open: while a new process of the service takes over, the former
 * one writes and sends the recordings of its connections. False: another process has it.
 */
static bool take_file(int fd, bool is_new)
{
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        /* Another process may have found a new one before this lock. It gives it up at once: see is_in_transit(). */
        return fcntl(fd, is_new ? F_OFD_SETLKW : F_OFD_SETLK, &whole) == 0;
}

/* Whether another process has just made this file, and will lock it, or has just removed it. */
static bool is_in_transit(const struct spool *sp, const struct stat *st)
{
        int64_t age = walltime_unix(loop_wall(sp->loop)) - (int64_t)st->st_mtim.tv_sec;

        return st->st_nlink == 0 || (st->st_size == 0 && age > -60 && age < 60);
}

struct error *spool_begin(struct spool *sp, struct str session_id, struct str user, const struct recording_header *header,
                          void (*failed)(void *ctx, struct error *err), void *ctx, struct spool_file **ret)
{
        AUTO_MEM char *name = mem_printf("%.*s.rec", STR_ARG(session_id));
        AUTO_FD int fd = openat(sp->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
                return error_errno(errno, "cannot begin the recording");
        (void)take_file(fd, true);
        struct recording_writer *w = recording_writer_new(header);
        struct budget_holder *holder = budget_hold(&sp->room, user);
        struct str head = recording_drain(w);
        size_t taken = 0;
        struct error *err = check_room(fd, &sp->disk_free);
        if (err == NULL)
                err = take_room(sp, holder, head.len);
        if (err == NULL)
                taken = head.len;
        if (err == NULL)
                err = append(fd, 0, head);
        if (err != NULL) {
                budget_unreserve(holder, taken);
                budget_drop(holder);
                recording_writer_free(w);
                unlinkat(sp->dir, name, 0);
                return err;
        }
        struct spool_file *f = file_new(sp, session_id, fd);
        fd = -1;
        f->writer = w;
        f->user = holder;
        f->taken = taken;
        f->size = head.len;
        recording_taken(w, head.len);
        f->failed = failed;
        f->ctx = ctx;
        *ret = f;
        return NULL;
}

void spool_publish(struct spool_file *f)
{
        f->is_published = true;
        upload_advance(f);
}

void spool_discard(struct spool_file *f)
{
        f->is_closed = f->is_unwanted = f->is_complete = true;
        timer_stop(f->sync);
        spool_file_settle(f);
}

static struct duration since_begun(const struct spool_file *f)
{
        return instant_since(loop_now(f->spool->loop), f->begun);
}

static void on_sync_due(void *ctx)
{
        write_more(ctx);
}

void spool_output(struct spool_file *f, struct str bytes)
{
        if (f->has_failed || bytes.len == 0)
                return;
        recording_output(f->writer, since_begun(f), bytes);
        write_more(f);
        recount(f);
}

void spool_resize(struct spool_file *f, uint32_t columns, uint32_t rows)
{
        if (f->has_failed)
                return;
        recording_resize(f->writer, since_begun(f), columns, rows);
        write_more(f);
        recount(f);
}

size_t spool_pending(const struct spool_file *f)
{
        return f->has_failed ? 0 : f->counted;
}

void spool_on_drain(struct spool_file *f, void (*drained)(void *ctx))
{
        f->drained = drained;
        f->wants_drain = true;
}

void spool_finish(struct spool_file *f)
{
        f->is_closed = true;
        timer_stop(f->sync);
        if (!f->has_failed) {
                recording_finish(f->writer, since_begun(f));
                write_more(f);
                recount(f);
        }
        upload_advance(f);
}

/* ---- recordings of an earlier run -------------------------------------------------------------------------------------- */

struct check {
        struct spool_file *file;
        int fd; /* duplicated for the job */
        struct error *err;
        /* results, as in spool_file */
        uint64_t size;
        bool has_ended, is_damaged, has_more; /* has_more: than the header, which is the first chunk */
        struct spool_hole *holes;
        size_t hole_count;
};

static void check_free(void *ctx)
{
        struct check *k = ctx;

        if (k->fd >= 0)
                close(k->fd);
        free(k->holes);
        error_free(k->err);
        free(k);
}

/* Adds a hole, whose marker has as many bytes as the hole; false if the hole is too small for a marker. */
static bool note_hole(struct check *k, const struct recording_piece *p)
{
        uint32_t next = p->kind == RECORDING_PIECE_TAIL ? p->next + 1 : p->next;

        k->is_damaged = true;
        if (p->len < RECORDING_HOLE_MIN)
                return false;
        if (k->hole_count == LIMIT_RECORDING_HOLES) { /* the data between these holes stays on the disk only */
                k->holes[k->hole_count - 1].to = p->offset + p->len;
                k->holes[k->hole_count - 1].next = next;
                return true;
        }
        if (k->holes == NULL)
                k->holes = mem_array(LIMIT_RECORDING_HOLES, sizeof *k->holes);
        k->holes[k->hole_count++] = (struct spool_hole){ p->offset, p->offset + p->len, next };
        return true;
}

/* Records the pieces that the scan has found; false: no data after them can be sent. */
static bool watch(struct check *k, struct recording_scan *scan, bool *ret_is_torn)
{
        struct recording_piece p;
        bool have = true;

        for (;;) {
                AUTO_PTR(error) damage = recording_scan_next(scan, &p, &have);

                if (damage != NULL) { /* data after the end, or no recording at all */
                        k->is_damaged = true;
                        return false;
                }
                if (!have)
                        return true;
                if (p.kind == RECORDING_PIECE_TAIL && p.is_torn) {
                        *ret_is_torn = true;
                        return false;
                }
                if ((p.kind == RECORDING_PIECE_HOLE || p.kind == RECORDING_PIECE_TAIL) && !p.is_marked && !note_hole(k, &p))
                        return false;
                k->size = p.offset + p.len;
                k->has_more |= p.number > 0;
                k->has_ended = p.kind == RECORDING_PIECE_END;
        }
}

/* Finds the valid part of the file, and its holes. Only an incomplete chunk that a crash left at the end is cut off. */
static struct error *check(struct check *k)
{
        enum { PIECE = 64 * KiB };
        AUTO_PTR(recording_scan) scan = recording_scan_new();
        AUTO_MEM char *piece = mem_alloc(PIECE);
        bool is_torn = false;
        ssize_t n = 1;

        for (uint64_t at = 0; n > 0; at += (uint64_t)n) {
                if (job_is_cancelled())
                        return NULL;
                n = pread(k->fd, piece, PIECE, (off_t)at);
                if (n < 0)
                        return error_errno(errno, "cannot read a recording");
                if (n == 0)
                        recording_scan_end(scan);
                else
                        recording_scan_feed(scan, str_of_bytes(piece, (size_t)n));
                if (!watch(k, scan, &is_torn))
                        break;
        }
        if ((is_torn && ftruncate(k->fd, (off_t)k->size) < 0) || fdatasync(k->fd) < 0)
                return error_errno(errno, "cannot truncate a recording to its valid part");
        return NULL;
}

static void check_job(void *ctx)
{
        struct check *k = ctx;

        k->err = check(k);
}

static void on_checked(void *ctx)
{
        struct check *k = ctx;
        struct spool_file *f = k->file;
        AUTO_PTR(error) err = k->err;

        f->checking = NULL;
        f->is_aborted = !k->has_ended;
        f->size = k->size;
        f->is_damaged = k->is_damaged;
        f->is_empty = !k->has_more && !k->is_damaged;
        f->holes = k->holes;
        f->hole_count = k->hole_count;
        k->holes = NULL;
        k->err = NULL;
        check_free(k);
        if (f->is_damaged)
                log_warn("The recording of an earlier session is damaged: its valid parts are sent to the cluster, and the file is kept", LOG_C("session_id", f->id),
                         LOG_INT("holes", f->hole_count), LOG_C("file", f->name));
        log_info("Found the recording of an earlier session", LOG_C("session_id", f->id), LOG_INT("bytes", f->size),
                 LOG_C("is", f->is_aborted ? "aborted" : "complete"));
        if (err != NULL) {
                log_warn("The recording of an earlier session stays here", LOG_C("session_id", f->id), LOG_ERR(err));
                f->is_refused = true;
                spool_file_settle(f);
                return;
        }
        f->is_published = f->is_complete = true;
        upload_advance(f);
}

static void find_one(struct spool *sp, const char *name)
{
        struct str id = str_of(name);

        if (!str_ends_with(id, suffix))
                return;
        id.len -= suffix.len;
        if (!name_is_uuid(id) || map_get(&sp->by_id, id) != NULL)
                return;
        int fd = openat(sp->dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        struct stat st = { .st_nlink = 1, .st_size = 1 };
        if (fd >= 0 && (!take_file(fd, false) || (fstat(fd, &st) == 0 && is_in_transit(sp, &st)))) {
                close(fd); /* of another process of this service, which writes or sends it */
                return;
        }
        if (fd < 0) {
                log_warn("The recording of an earlier session cannot be opened", LOG_C("file", name), LOG_C("error", strerrordesc_np(errno)));
                return;
        }
        struct check *k = NEW(struct check);
        k->file = file_new(sp, id, fd);
        k->file->old_size = (uint64_t)st.st_size;
        k->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        k->file->is_old = k->file->is_closed = true;
        sp->old_uploads++;
        k->file->checking = loop_job(sp->loop, check_job, on_checked, k);
}

void spool_send_old(struct spool *sp)
{
        int fd = sp->old_uploads >= LIMIT_SPOOL_UPLOADS ? -1 : openat(sp->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *all = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        if (all == NULL) {
                if (fd >= 0)
                        close(fd);
                return;
        }
        sp->settled = 0;
        while (sp->old_uploads < LIMIT_SPOOL_UPLOADS && (entry = readdir(all)) != NULL)
                find_one(sp, entry->d_name);
        closedir(all);
}

/* The size of all files in the folder, of any name. */
static uint64_t bytes_in(int dir)
{
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *all = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        uint64_t sum = 0;
        struct stat st;

        if (all == NULL) {
                if (fd >= 0)
                        close(fd);
                return 0;
        }
        while ((entry = readdir(all)) != NULL)
                if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
                        sum += (uint64_t)st.st_size;
        closedir(all);
        return sum;
}

/* Computes the space for recordings that the files of earlier runs leave. */
static void measure(struct spool *sp)
{
        uint64_t has = bytes_in(sp->dir), most = (uint64_t)LIMIT_SPOOL_MIB * MiB;

        sp->room.total = has < most ? (size_t)(most - has) : 0;
        if (has > 0)
                log_info("Recordings of earlier sessions are on this node", LOG_INT("bytes", (int64_t)has), LOG_INT("room_bytes", (int64_t)sp->room.total));
}

/* ---- open and close --------------------------------------------------------------------------------------------------- */

struct spool *spool_open(struct agent *agent, const char *dir)
{
        struct spool *sp = NEW(struct spool);

        *sp = (struct spool){ .agent = agent, .loop = agent_loop(agent), .budget = SPOOL_BUDGET };
        sp->room = (struct budget){ .total = (size_t)LIMIT_SPOOL_MIB * MiB, .share = (size_t)LIMIT_SPOOL_USER_MIB * MiB };
        sp->disk_free = UINT64_MAX; /* until the first check */
        sp->stuck = timer_new(sp->loop, send_stuck, sp);
        TAILQ_INIT(&sp->turns);
        sp->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (sp->dir < 0) /* each recording then fails with an error of its own */
                log_warn("The folder of recordings cannot be opened", LOG_C("folder", dir), LOG_C("error", strerrordesc_np(errno)));
        else {
                measure(sp);
                spool_send_old(sp);
        }
        return sp;
}

void spool_close(struct spool *sp)
{
        struct spool_file *next;

        if (sp == NULL)
                return;
        sp->is_closing = true;
        sp->full = NULL;
        timer_free(sp->stuck); /* calls may end after the loop has closed its timers */
        sp->stuck = NULL;
        if (sp->files == NULL) {
                free_if_empty(sp);
                return;
        }
        for (struct spool_file *f = sp->files; f != NULL; f = next) {
                next = f->next;
                f->is_closed = true;
                timer_free(f->sync); /* calls may end after the loop has closed its timers */
                f->sync = NULL;
                upload_close(f);
                spool_file_settle(f); /* the last one frees the spool */
        }
}
