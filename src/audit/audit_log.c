/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of events.log. Records that arrive during a write wait and are then written together:
 *
 *      audit_write ─▶ waiting ─▶ batch ─▶ [thread] write, fdatasync ─▶ done, done, done ─▶ next batch
 *
 * The batch belongs to the log's thread while is_busy. Jobs are never cancelled: a log is closed when all requested writes are
 * on the disk, and it is freed in the callback of its last job.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/audit_names.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/batch_pace.h"
#include "loop/worker.h"
#include "os/file.h"

enum { CHUNK = 16 * KiB };

struct entry {
        struct entry *next;
        void (*done)(void *ctx, struct error *err);
        void *ctx;
        size_t len;
        char line[];
};

struct audit_log {
        struct loop *loop;
        struct worker *worker; /* a thread of its own: no other work may delay an event that a login waits for */
        char *dir, *path;
        char *shown_dir, *shown; /* dir and path as shown in messages */
        int fd;
        off_t size; /* all bytes before it are durable */
        struct walltime first; /* of the first event of the file; 0: not known */
        struct walltime latest; /* of its last event when it was opened, or of the latest one since; 0: not known */

        struct audit_rotation rotation;
        struct walltime now;           /* when the batch began */
        struct walltime not_before;    /* after a failed rotation: of the next one */
        struct error *not_rotated;     /* the reason of the failure, to be logged */
        bool has_rotated, is_rotation_failing;

        struct entry *waiting, **waiting_end;
        size_t waiting_bytes;       /* bytes of waiting lines, including the batch */
        struct entry *beyond;       /* refused for lack of room, to be reported; without their lines */
        uint64_t lost;              /* refused events without a callback */
        struct entry *batch;
        struct buf text;      /* the batch's lines */
        struct error *err;    /* error of the batch that could not be written */
        struct error *broken; /* set when the content of the disk is unknown */
        bool is_busy, is_advancing;
        size_t waiting_count;
        struct batch_pace pace;

        bool is_closing;
        void (*closed)(void *ctx);
        void *closed_ctx;
};

/* ---- the file; all of these functions block -------------------------------------------------------- */

static struct error *write_bytes(int fd, struct str bytes, const char *shown)
{
        if (fd_write_all(fd, bytes))
                return NULL;
        /* A limit on the file's size is reported like a full disk. */
        return error_errno(errno == EFBIG ? ENOSPC : errno, "cannot write '%s'", shown);
}

static struct error *open_log_file(struct audit_log *log)
{
        int fd = open(log->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
        struct stat st;

        if (fd < 0)
                return error_errno(errno, "cannot open '%s'", log->shown);
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
                close(fd);
                return error_new(ERROR_FAILED_PRECONDITION, "'%s' is not a regular file", log->shown);
        }
        struct error *err = dir_sync(log->dir);
        if (err != NULL) {
                close(fd);
                return err;
        }
        if (log->fd >= 0)
                close(log->fd); /* it was renamed; its records were durable before they were acknowledged */
        log->fd = fd;
        log->size = st.st_size;
        log->first = log->latest = (struct walltime){ 0 };
        return NULL;
}

/* Reads exactly len bytes at the offset. */
static struct error *read_at(int fd, const char *shown, char *to, size_t len, off_t offset)
{
        while (len > 0) {
                ssize_t n = pread(fd, to, len, offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_errno(n == 0 ? EIO : errno, "cannot read '%s'", shown);
                to += n;
                len -= (size_t)n;
                offset += n;
        }
        return NULL;
}

/* Finds the end of the last complete line. */
static struct error *find_last_line_end(const struct audit_log *log, off_t *ret)
{
        char chunk[CHUNK];
        off_t at = log->size;

        while (at > 0) {
                size_t len = at < CHUNK ? (size_t)at : CHUNK;

                at -= (off_t)len;
                TRY(read_at(log->fd, log->shown, chunk, len, at));
                const char *newline = memrchr(chunk, '\n', len);
                if (newline != NULL) {
                        *ret = at + (newline - chunk) + 1;
                        return NULL;
                }
        }
        *ret = 0;
        return NULL;
}

static struct error *copy_to_torn(const struct audit_log *log, off_t from)
{
        AUTO_MEM char *path = mem_printf("%s/events.torn", log->dir);
        AUTO_MEM char *shown = path_shown(path);
        AUTO_FD int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
        char chunk[CHUNK];

        if (fd < 0)
                return error_errno(errno, "cannot open '%s'", shown);
        while (from < log->size) {
                size_t len = log->size - from < CHUNK ? (size_t)(log->size - from) : CHUNK;

                TRY(read_at(log->fd, log->shown, chunk, len, from));
                TRY(write_bytes(fd, (struct str){ chunk, len }, shown));
                from += (off_t)len;
        }
        TRY(write_bytes(fd, STR("\n"), shown));
        return fsync(fd) == 0 ? dir_sync(log->dir) : error_errno(errno, "cannot write '%s'", shown);
}

/* Removes an incomplete last line: a crash during a write leaves one, which was never acknowledged. */
static struct error *repair_tail(struct audit_log *log)
{
        off_t end;

        TRY(find_last_line_end(log, &end));
        if (end == log->size)
                return NULL;
        TRY(copy_to_torn(log, end));
        if (ftruncate(log->fd, end) != 0 || fsync(log->fd) != 0)
                return error_errno(errno, "cannot repair '%s'", log->shown);
        log->size = end;
        return NULL;
}

/* 0: the line is no event. */
static struct walltime time_of_line(struct str line)
{
        struct walltime at = { 0 };
        AUTO_PTR(error) err = walltime_parse_rfc3339(audit_line_time(line), &at);

        return err == NULL ? at : (struct walltime){ 0 };
}

/* Finds the time of the first event; a file that does not begin with one is not rotated by age. */
static void find_first(struct audit_log *log)
{
        char begin[64];
        ssize_t len = pread(log->fd, begin, sizeof begin, 0);

        if (len > 0)
                log->first = time_of_line((struct str){ begin, (size_t)len });
}

/* Finds the time of the last event. The file ends with a line feed. */
static void find_latest(struct audit_log *log)
{
        char tail[LIMIT_AUDIT_RECORD + 1];
        size_t len = log->size < (off_t)sizeof tail ? (size_t)log->size : sizeof tail;
        AUTO_PTR(error) err = read_at(log->fd, log->shown, tail, len, log->size - (off_t)len);

        if (err != NULL || len == 0)
                return;
        const char *before = memrchr(tail, '\n', len - 1);
        size_t begin = before == NULL ? 0 : (size_t)(before - tail) + 1;
        log->latest = time_of_line((struct str){ tail + begin, len - begin });
}

static struct error *open_and_repair(struct audit_log *log)
{
        TRY(open_log_file(log));
        TRY(repair_tail(log));
        find_first(log);
        find_latest(log);
        return NULL;
}

/* Opens a new file if log rotation has renamed the current one. */
static struct error *reopen_if_moved(struct audit_log *log)
{
        struct stat named, ours;

        if (fstat(log->fd, &ours) != 0)
                return error_errno(errno, "cannot examine '%s'", log->shown);
        if (stat(log->path, &named) == 0 && named.st_dev == ours.st_dev && named.st_ino == ours.st_ino)
                return NULL;
        return open_and_repair(log);
}

static bool is_rotation_due(const struct audit_log *log)
{
        const struct audit_rotation *r = &log->rotation;
        int64_t age = walltime_since(log->now, log->first).ns;

        if (log->size == 0 || walltime_since(log->not_before, log->now).ns > 0)
                return false;
        if (r->size > 0 && log->size + (off_t)log->text.len > r->size)
                return true;
        /* A first event in the future is of a clock that was wrong. */
        return r->age.ns > 0 && log->first.ns > 0 && (age >= r->age.ns || age <= -r->age.ns);
}

/*
 * The path to rename to, which no file has; "" if there is none. Its time is not before that of an event in the file, also while the clock is
 * behind: else the file would be old, and outside a search, when the clock is right again.
 */
static char *free_path(const struct audit_log *log)
{
        struct audit_name name = { .at = walltime_since(log->latest, log->now).ns > 0 ? log->latest : log->now, .number = 1 };

        for (; name.number <= AUDIT_NAMES_PER_SECOND; name.number++) {
                AUTO(buf) text = BUF_MAX(AUDIT_NAME_MAX);

                audit_name_put(&text, &name);
                AUTO_MEM char *path = mem_printf("%s/%s", log->dir, buf_c(&text));
                AUTO_MEM char *packed = mem_printf("%s.gz", path);
                if (access(path, F_OK) != 0 && errno == ENOENT && access(packed, F_OK) != 0 && errno == ENOENT)
                        return str_dup(str_of(path));
        }
        return str_dup(STR(""));
}

/*
 * Every record in the file is durable. After a crash before open_log_file() there is no events.log, and the next start makes a new one. If
 * that fails here, the file gets its name back.
 */
static struct error *rotate(struct audit_log *log)
{
        AUTO_MEM char *path = free_path(log);

        if (path[0] == '\0' || rename(log->path, path) != 0)
                return error_errno(path[0] == '\0' ? EEXIST : errno, "cannot rename '%s'", log->shown);
        struct error *err = open_log_file(log);
        if (err != NULL && rename(path, log->path) != 0)
                err = error_because(err, error_errno(errno, "and '%s' has not got its name back", log->shown));
        return err;
}

static void rotate_if_due(struct audit_log *log)
{
        if (!is_rotation_due(log))
                return;
        log->not_rotated = rotate(log);
        log->has_rotated = log->not_rotated == NULL;
        log->not_before = log->has_rotated ? (struct walltime){ 0 } : walltime_add(log->now, MILLISECONDS(PACE_RETENTION));
}

static struct error *full_disk(const struct audit_log *log, struct error *cause)
{
        return error_because(error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the audit log cannot be written: the disk of '%s' is full",
                                                  log->shown_dir),
                                        "free some space there; the service continues by itself"),
                             cause);
}

/* Truncates what a failed write left behind; the batch was not acknowledged. */
static void undo_write(struct audit_log *log, struct error *cause)
{
        if (ftruncate(log->fd, log->size) == 0)
                log->err = full_disk(log, cause);
        else
                log->broken = error_because(error_errno(errno, "cannot repair '%s'", log->shown), cause);
}

static void write_batch(struct audit_log *log)
{
        log->err = reopen_if_moved(log);
        if (log->err != NULL) {
                metric_set_health(HEALTH_AUDIT, HEALTH_DEGRADED);
                return;
        }
        rotate_if_due(log);
        const struct instant began = clock_now(clock_system());
        struct error *err = write_bytes(log->fd, buf_str(&log->text), log->shown);
        if (err == NULL && fdatasync(log->fd) != 0)
                err = error_errno(errno, "cannot sync '%s'", log->shown);
        if (err == NULL && log->size == 0)
                log->first = log->now;
        if (err == NULL && walltime_since(log->now, log->latest).ns > 0)
                log->latest = log->now;
        if (err == NULL)
                log->size += (off_t)log->text.len;
        metric_set_health(HEALTH_AUDIT, err == NULL ? HEALTH_OK : HEALTH_DEGRADED);
        metric_observe_at(METRIC_AUDIT_SYNC, 0, instant_since(clock_now(clock_system()), began));
        if (err == NULL)
                return;
        if (err->code == ERROR_RESOURCE_EXHAUSTED)
                undo_write(log, err);
        else
                log->broken = err;
}

/* ---- events that were written before: at the start; these functions block too ------------------------ */

/* events.log, or a rotated file. */
struct past_file {
        char *path;
        int fd;
        struct timespec written;
        off_t size;
};

struct past_files {
        struct past_file *all;
        size_t count;
};

static void past_files_release(struct past_files *p)
{
        for (size_t i = 0; i < p->count; i++) {
                close(p->all[i].fd);
                free(p->all[i].path);
        }
        free(p->all);
}

static int newest_first(const void *a, const void *b)
{
        const struct past_file *x = a, *y = b;

        if (x->written.tv_sec != y->written.tv_sec)
                return x->written.tv_sec > y->written.tv_sec ? -1 : 1;
        if (x->written.tv_nsec != y->written.tv_nsec)
                return x->written.tv_nsec > y->written.tv_nsec ? -1 : 1;
        return 0;
}

static void add_past_file(struct past_files *p, const char *dir, const char *name)
{
        AUTO_MEM char *path = mem_printf("%s/%s", dir, name);
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
                return; /* it was rotated meanwhile, or is another kind of file */
        p->all[p->count++] = (struct past_file){ path, fd, st.st_mtim, st.st_size };
        path = NULL;
        fd = -1;
}

/* Finds events.log and its rotated files in its directory; the most recently written file comes first. */
static struct error *find_past_files(const char *dir, struct past_files *ret)
{
        DIR *d = opendir(dir);
        const struct dirent *e;

        if (d == NULL) {
                int errnum = errno;
                AUTO_MEM char *shown = path_shown(dir);

                return error_errno(errnum, "cannot open the directory '%s'", shown);
        }
        ret->all = mem_array(LIMIT_EVENTS_FILES, sizeof *ret->all);
        add_past_file(ret, dir, AUDIT_LIVE_NAME); /* always included, even if there are too many others */
        while ((e = readdir(d)) != NULL && ret->count < LIMIT_EVENTS_FILES)
                if (e->d_name[0] != '.' && strcmp(e->d_name, "events.torn") != 0 && strcmp(e->d_name, AUDIT_LIVE_NAME) != 0 &&
                    strcmp(e->d_name, AUDIT_PACKING_NAME) != 0 && !audit_name_is_packed(str_of(e->d_name)))
                        add_past_file(ret, dir, e->d_name);
        closedir(d);
        qsort(ret->all, ret->count, sizeof *ret->all, newest_first);
        return NULL;
}

/* Adds the uids of the file's last bytes, at most `most`, after syncing the file: the store deletes these events then. */
static struct error *add_uids(const struct past_file *f, size_t most, struct map *ret)
{
        static const struct str mark = STR_INIT("\"uid\":\"");
        size_t len = (size_t)f->size < most ? (size_t)f->size : most;
        AUTO(buf) tail = BUF_MAX(LIMIT_AUDIT_TAIL);
        char *to = buf_extend(&tail, len);

        AUTO_MEM char *shown = path_shown(f->path);

        if (fdatasync(f->fd) != 0)
                return error_errno(errno, "cannot sync '%s'", shown);
        TRY(read_at(f->fd, shown, to, len, f->size - (off_t)len));
        for (struct str rest = buf_str(&tail); !str_is_empty(rest);) {
                struct str line = str_split(&rest, '\n');
                const char *at = memmem(line.ptr, line.len, mark.ptr, mark.len); /* ours is the first: only the time precedes it */
                size_t before = at == NULL ? line.len : (size_t)(at - line.ptr) + mark.len;

                if (line.len - before > AUDIT_UID_LEN)
                        map_put(ret, str_slice(line, before, AUDIT_UID_LEN), (void *)(uintptr_t)1);
        }
        return NULL;
}

struct error *audit_log_uids(const struct audit_log *log, struct map *ret)
{
        AUTO(past_files) files = { 0 };
        size_t left = LIMIT_AUDIT_TAIL;

        TRY(find_past_files(log->dir, &files));
        for (size_t i = 0; i < files.count && left > 0; i++) {
                TRY(add_uids(&files.all[i], left, ret));
                left -= (size_t)files.all[i].size < left ? (size_t)files.all[i].size : left;
        }
        return NULL;
}

/* ---- the queue; all of these functions run on the loop --------------------------------------------- */

static void advance(void *ctx);

static void advance_soon(struct audit_log *log)
{
        if (log->is_busy || log->is_advancing)
                return;
        log->is_advancing = true;
        loop_defer(log->loop, advance, log);
}

static void on_pace(void *ctx)
{
        advance_soon(ctx);
}

static void work(void *ctx)
{
        write_batch(ctx);
}

static NO_RETURN void die(const struct error *err)
{
        log_error("the audit log failed; the process ends so that the next start can check it", LOG_ERR(err));
        _exit(EXIT_FAILURE);
}

static struct error *too_many(void)
{
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the audit log cannot be written as fast as it should be: %d MiB are waiting",
                                    LIMIT_AUDIT_WAITING / MiB),
                          "try again; is the disk of the Auth Service slow?");
}

static void report_beyond(struct audit_log *log)
{
        struct entry *e = log->beyond;

        log->beyond = NULL;
        while (e != NULL) {
                struct entry *next = e->next;

                e->done(e->ctx, too_many());
                free(e);
                e = next;
        }
        if (log->lost == 0 || log->waiting_bytes > LIMIT_AUDIT_WAITING / 2)
                return;
        log_warn("Events were left out of the audit log: it could not be written as fast", LOG_INT("count", (int64_t)log->lost));
        log->lost = 0;
}

static void report_rotation(struct audit_log *log)
{
        bool has_rotated = log->has_rotated;

        if (log->not_rotated != NULL && !log->is_rotation_failing)
                log_warn("The audit log could not be rotated, it goes on in the same file", LOG_ERR(log->not_rotated));
        log->is_rotation_failing = log->not_rotated != NULL || (log->is_rotation_failing && !has_rotated);
        error_free(log->not_rotated);
        log->not_rotated = NULL;
        log->has_rotated = false;
        if (has_rotated && log->rotation.rotated != NULL)
                log->rotation.rotated(log->rotation.ctx);
}

void audit_log_rotate(struct audit_log *log, struct audit_rotation rotation)
{
        log->rotation = rotation;
}

static void on_written(void *ctx)
{
        struct audit_log *log = ctx;

        if (log->broken != NULL)
                die(log->broken);
        report_rotation(log);
        while (log->batch != NULL) {
                struct entry *e = log->batch;

                log->batch = e->next;
                if (e->done != NULL)
                        e->done(e->ctx, log->err == NULL ? NULL : error_copy(log->err));
                metric_add_at(log->err == NULL ? METRIC_AUDIT_EVENTS : METRIC_AUDIT_FAILURES, 0, 1);
                log->waiting_bytes -= e->len;
                free(e);
        }
        metric_set_at(METRIC_AUDIT_WAITING, 0, (int64_t)log->waiting_bytes);
        error_free(log->err);
        log->err = NULL;
        buf_release(&log->text); /* frees the memory of a large batch */
        log->is_busy = false;
        if (log->waiting != NULL || log->beyond != NULL || log->lost > 0 || log->is_closing)
                advance_soon(log);
}

/* Moves waiting entries into the batch, in order, up to LIMIT_AUDIT_BATCH bytes. */
static void fill_batch(struct audit_log *log)
{
        struct entry **end = &log->batch;
        size_t count = 0;

        log->text = BUF_MAX(LIMIT_AUDIT_BATCH + LIMIT_AUDIT_RECORD);
        while (log->waiting != NULL && log->text.len < LIMIT_AUDIT_BATCH) {
                struct entry *e = log->waiting;

                log->waiting = e->next;
                e->next = NULL;
                *end = e;
                end = &e->next;
                buf_put(&log->text, (struct str){ e->line, e->len });
                count++;
        }
        log->waiting_count -= count;
        if (count > 0)
                batch_pace_began(&log->pace, count);
        if (log->waiting == NULL)
                log->waiting_end = &log->waiting;
        if (log->text.overflowed)
                bug("an audit batch is larger than its limit");
}

static void log_free(struct audit_log *log)
{
        if (log->fd >= 0)
                close(log->fd);
        worker_free(log->worker);
        batch_pace_release(&log->pace);
        buf_release(&log->text);
        free(log->path);
        free(log->dir);
        free(log->shown);
        free(log->shown_dir);
        free(log);
}

static void advance(void *ctx)
{
        struct audit_log *log = ctx;

        log->is_advancing = false;
        report_beyond(log);
        if (log->waiting != NULL && !log->is_closing && !batch_pace_may_begin(&log->pace, log->waiting_count))
                return;
        fill_batch(log);
        if (log->batch != NULL) {
                log->is_busy = true;
                log->now = loop_wall(log->loop);
                worker_job(log->worker, work, on_written, log);
        } else if (log->is_closing) {
                void (*closed)(void *ctx) = log->closed;
                void *closed_ctx = log->closed_ctx;

                log_free(log);
                if (closed != NULL)
                        closed(closed_ctx);
        }
}

bool audit_is_line(struct str line)
{
        return line.len > 1 && line.len <= LIMIT_AUDIT_RECORD && line.ptr[0] == '{' && str_find_char(line, '\n') == line.len - 1;
}

static void refuse_line(struct audit_log *log, void (*done)(void *ctx, struct error *err), void *ctx)
{
        metric_add_at(METRIC_AUDIT_FAILURES, 0, 1);
        if (done == NULL) {
                log->lost++;
        } else {
                struct entry *e = NEW(struct entry);

                *e = (struct entry){ .next = log->beyond, .done = done, .ctx = ctx };
                log->beyond = e;
        }
        advance_soon(log);
}

size_t audit_log_waiting(const struct audit_log *log)
{
        return log->waiting_bytes;
}

void audit_append_text(struct audit_log *log, struct str line, void (*done)(void *ctx, struct error *err), void *ctx)
{
        if (!audit_is_line(line))
                bug("%zu bytes are not a line of the audit log", line.len);
        if (log->waiting_bytes + line.len > LIMIT_AUDIT_WAITING) {
                refuse_line(log, done, ctx);
                return;
        }
        struct entry *e = mem_alloc(sizeof *e + line.len);
        e->done = done;
        e->ctx = ctx;
        e->len = line.len;
        log->waiting_bytes += line.len;
        metric_set_at(METRIC_AUDIT_WAITING, 0, (int64_t)log->waiting_bytes);
        memcpy(e->line, line.ptr, line.len);
        *log->waiting_end = e;
        log->waiting_end = &e->next;
        log->waiting_count++;
        advance_soon(log);
}

void audit_write(struct audit_log *log, struct audit_record *r, void (*done)(void *ctx, struct error *err), void *ctx)
{
        audit_append_text(log, audit_record_text(r), done, ctx);
        audit_record_release(r);
}

/* ---- open and close -------------------------------------------------------------------------------- */

struct error *audit_log_open(struct loop *l, const char *dir, struct audit_log **ret)
{
        TRY(dir_make(dir, 0750));
        struct audit_log *log = NEW(struct audit_log);
        log->loop = l;
        log->dir = str_dup(str_of(dir));
        log->path = mem_printf("%s/events.log", dir);
        log->shown_dir = path_shown(log->dir);
        log->shown = path_shown(log->path);
        log->fd = -1;
        log->waiting_end = &log->waiting;
        struct error *err = open_and_repair(log);
        if (err != NULL) {
                log_free(log);
                return error_wrap(err, "cannot open the audit log");
        }
        log->worker = worker_new(l, "audit");
        batch_pace_init(&log->pace, l,
                        (struct batch_pace_options){
                                .pace = MILLISECONDS(PACE_AUDIT_BATCH),
                                .busy = LIMIT_AUDIT_BATCH_BUSY,
                                .full = LIMIT_AUDIT_BATCH_FULL,
                        },
                        on_pace, log);
        *ret = log;
        return NULL;
}

void audit_log_close(struct audit_log *log, void (*closed)(void *ctx), void *ctx)
{
        if (log->is_closing)
                bug("an audit log is closed twice");
        log->is_closing = true;
        log->closed = closed;
        log->closed_ctx = ctx;
        advance_soon(log);
}
