/* SPDX-License-Identifier: Apache-2.0 */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"

enum { PATH_LIMIT = 4 * KiB }; /* equals the kernel's PATH_MAX */
enum { PATHS_SHOWN_MAX = 4 };
enum { READ_CHUNK = 4 * KiB }; /* for files of unknown length, such as those in /proc */

/* ---- names in messages ------------------------------------------------------------------------- */

/* Names of directories in messages. The size is fixed: the directories passed as descriptors are known at build time. */
static struct {
        char *path, *shown;
} shown_names[PATHS_SHOWN_MAX];

void path_show_as(const char *path, const char *shown)
{
        size_t i = 0;

        while (i < PATHS_SHOWN_MAX && shown_names[i].path != NULL && strcmp(shown_names[i].path, path) != 0)
                i++;
        if (i == PATHS_SHOWN_MAX)
                bug("more than %d directories have another name in messages", PATHS_SHOWN_MAX);
        free(shown_names[i].path);
        free(shown_names[i].shown);
        shown_names[i].path = str_dup(str_of(path));
        shown_names[i].shown = str_dup(str_of(shown));
}

char *path_shown(const char *path)
{
        for (size_t i = 0; i < PATHS_SHOWN_MAX && shown_names[i].path != NULL; i++) {
                size_t len = strlen(shown_names[i].path);

                if (strncmp(path, shown_names[i].path, len) == 0 && (path[len] == '\0' || path[len] == '/')) {
                        AUTO_MEM char *whole = mem_printf("%s%s", shown_names[i].shown, path + len);

                        return escaped(str_of(whole));
                }
        }
        return escaped(str_of(path));
}

/* ---- reading ----------------------------------------------------------------------------------- */

static ssize_t read_some(int fd, char *at, size_t len)
{
        ssize_t n;

        do
                n = read(fd, at, len);
        while (n < 0 && errno == EINTR);
        return n;
}

/* Reads straight into out, and in one piece if the file has the expected size: a secret leaves no copies behind. */
static struct error *read_to_end(int fd, const char *path, size_t expected, struct buf *out)
{
        for (;;) {
                char beyond;
                size_t left = out->max - out->len;
                size_t want = expected > 0 ? expected + 1 : READ_CHUNK; /* one byte more detects the end in the same read */

                if (want > left)
                        want = left;
                char *at = left == 0 ? &beyond : buf_extend(out, want);
                ssize_t n = read_some(fd, at, left == 0 ? 1 : want);
                if (left > 0)
                        out->len -= want - (n > 0 ? (size_t)n : 0);
                if (n < 0)
                        return error_errno(errno, "cannot read %s", path);
                if (n == 0)
                        return NULL;
                if (left == 0)
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "%s is larger than the %zu bytes we read", path,
                                         out->max);
                expected = 0;
        }
}

static struct error *open_regular(const char *path, int *ret_fd, struct stat *ret_st)
{
        AUTO_MEM char *shown = path_shown(path);
        /* O_NONBLOCK: opening a FIFO must not block. */
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0)
                return error_errno(errno, "cannot open %s", shown);
        if (fstat(fd, ret_st) < 0)
                return error_errno(errno, "cannot examine %s", shown);
        if (!S_ISREG(ret_st->st_mode))
                return error_new(ERROR_FAILED_PRECONDITION, "%s is not a regular file", shown);
        *ret_fd = fd;
        fd = -1;
        return NULL;
}

static struct error *check_private(const char *path, const struct stat *st)
{
        AUTO_MEM char *shown = path_shown(path);

        if (st->st_uid != geteuid() && st->st_uid != 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                            "%s belongs to user %u, which can put its own key in it", shown,
                                            st->st_uid),
                                  geteuid() == 0 ? "chown root %s" : "run this as the owner of %s, or as root", shown);
        if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                            "%s has mode %04o: it holds a secret that other users may read or change",
                                            shown, st->st_mode & 07777),
                                  "chmod 0600 %s", shown);
        return NULL;
}

static struct error *read_file(const char *path, bool is_private, struct buf *out)
{
        AUTO_MEM char *shown = path_shown(path);
        AUTO_FD int fd = -1;
        struct stat st;

        TRY(open_regular(path, &fd, &st));
        if (is_private)
                TRY(check_private(path, &st));
        if ((uintmax_t)st.st_size > out->max - out->len)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "%s is larger than the %zu bytes we read", shown, out->max);
        return read_to_end(fd, shown, (size_t)st.st_size, out);
}

struct error *file_read(const char *path, struct buf *out)
{
        return read_file(path, false, out);
}

void file_open_standard(void)
{
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd < 0)
                abort();
        close(fd);
}

struct error *file_read_input(const char *path, struct buf *out)
{
        AUTO_MEM char *shown = path_shown(path);
        /* /dev/stdin is opened through /proc, which fails for a socket; the descriptor itself always works. */
        bool is_stdin = strcmp(path, "/dev/stdin") == 0 || strcmp(path, "-") == 0;
        AUTO_FD int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct stat st;

        if (fd < 0)
                return error_errno(errno, "cannot open %s", shown);
        if (fstat(fd, &st) < 0)
                return error_errno(errno, "cannot examine %s", shown);
        if (S_ISDIR(st.st_mode))
                return error_new(ERROR_FAILED_PRECONDITION, "%s is a directory", shown);
        return read_to_end(fd, shown, 0, out);
}

struct error *file_read_private(const char *path, struct buf *out)
{
        return read_file(path, true, out);
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* A file being written: it gets its own name only when it is complete. */
struct draft {
        const char *path;
        char dir[PATH_LIMIT];
        const char *name;    /* the part of path after the last slash */
        char temporary[NAME_MAX + 1];
        int dir_fd;
};

static struct error *split_path(const char *path, struct draft *d)
{
        struct str whole = str_of(path);
        const char *slash = strrchr(path, '/');
        size_t dir_len = slash == NULL ? 1 : (size_t)(slash - path);

        d->path = path;
        d->name = slash == NULL ? path : slash + 1;
        if (whole.len >= sizeof(d->dir) || strlen(d->name) > NAME_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a path of %zu bytes is too long for this system", whole.len);
        if (*d->name == '\0')
                return error_new(ERROR_INVALID_ARGUMENT, "the path of a file cannot end in '/'");
        if (slash == path)
                dir_len = 1; /* "/name" */
        memcpy(d->dir, slash == NULL ? "." : path, dir_len);
        d->dir[dir_len] = '\0';
        return NULL;
}

static struct error *open_dir(const char *path, int *ret_fd)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0) {
                AUTO_MEM char *shown = path_shown(path);

                return error_errno(errno, "cannot open the directory %s", shown);
        }
        *ret_fd = fd;
        return NULL;
}

static struct error *write_shown(int fd, const char *shown, struct str bytes)
{
        return fd_write_all(fd, bytes) ? NULL : error_errno(errno, "cannot write %s", shown);
}

/* All steps up to the rename; on failure the temporary file may remain. */
static struct error *write_temporary(struct draft *d, const char *shown, struct str bytes, unsigned mode)
{
        AUTO_FD int fd =
                openat(d->dir_fd, d->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);

        if (fd < 0)
                return error_errno(errno, "cannot create a file beside %s", shown);
        /* The umask may have cleared bits that the caller requested. */
        if (fchmod(fd, (mode_t)mode) < 0)
                return error_errno(errno, "cannot set the mode of %s", shown);
        TRY(write_shown(fd, shown, bytes));
        if (fsync(fd) < 0)
                return error_errno(errno, "cannot bring %s to the disk", shown);
        return NULL;
}

static struct error *publish(struct draft *d, const char *shown)
{
        if (renameat(d->dir_fd, d->temporary, d->dir_fd, d->name) < 0)
                return error_errno(errno, "cannot replace %s", shown);
        if (fsync(d->dir_fd) < 0)
                return error_errno(errno, "cannot bring the directory of %s to the disk", shown);
        return NULL;
}

struct error *file_write_atomic(const char *path, struct str bytes, unsigned mode)
{
        AUTO_MEM char *shown = path_shown(path);
        AUTO_FD int dir_fd = -1;
        struct draft d;
        uint64_t unique;

        TRY(split_path(path, &d));
        TRY(open_dir(d.dir, &dir_fd));
        d.dir_fd = dir_fd;
        /* A unique name for each writer: two writers must never write into one file. */
        if (getrandom(&unique, sizeof(unique), 0) != (ssize_t)sizeof(unique))
                return error_errno(errno, "the kernel returned no random bytes");
        snprintf(d.temporary, sizeof(d.temporary), ".%.230s.%016llx", d.name, (unsigned long long)unique);

        struct error *err = write_temporary(&d, shown, bytes, mode);
        if (err == NULL)
                err = publish(&d, shown);
        if (err != NULL)
                unlinkat(dir_fd, d.temporary, 0); /* if it was renamed, the file does not exist any more */
        return err;
}

/* ---- directories ------------------------------------------------------------------------------- */

/* An account that may write in one of our directories may replace the files in it. */
static struct error *check_stat_is_ours(const char *path, const struct stat *st)
{
        AUTO_MEM char *shown = path_shown(path);

        if (!S_ISDIR(st->st_mode))
                return error_new(ERROR_FAILED_PRECONDITION, "%s is not a directory", shown);
        if (st->st_uid != geteuid())
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "the directory %s belongs to user %u; this program runs as user %u",
                                            shown, st->st_uid, geteuid()),
                                  geteuid() == 0 ? "chown root %s" : "run it as root or as the owner of %s, or name another directory",
                                  shown);
        if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                            "the directory %s has mode %04o: other users may change its files",
                                            shown, st->st_mode & 07777),
                                  "chmod 0700 %s", shown);
        return NULL;
}

static struct error *check_dir_is_ours(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0) {
                int errnum = errno;
                AUTO_MEM char *shown = path_shown(path);

                return error_errno(errnum, "cannot examine %s", shown);
        }
        return check_stat_is_ours(path, &st);
}

static struct error *make_one(const char *path, mode_t mode)
{
        if (mkdir(path, mode) == 0 || errno == EEXIST)
                return NULL;
        int errnum = errno;
        AUTO_MEM char *shown = path_shown(path);
        return error_errno(errnum, "cannot make the directory %s", shown);
}

struct error *dir_make(const char *path, unsigned mode)
{
        AUTO_MEM char *part = str_dup(str_of(path));

        if (mkdir(path, (mode_t)mode) < 0 && errno == ENOENT) {
                for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                        *slash = '\0';
                        TRY(make_one(part, 0755));
                        *slash = '/';
                }
        }
        TRY(make_one(path, (mode_t)mode));
        return check_dir_is_ours(path);
}

struct error *dir_make_exact(const char *path, unsigned mode)
{
        int made = mkdir(path, (mode_t)mode) < 0 ? errno : 0;
        AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
                int errnum = made != 0 && made != EEXIST ? made : errno;
                AUTO_MEM char *shown = path_shown(path);

                return error_errno(errnum, "cannot make the directory %s", shown);
        }
        TRY(check_stat_is_ours(path, &st));
        if (made == 0 && fchmod(fd, (mode_t)mode) < 0) {
                int errnum = errno;
                AUTO_MEM char *shown = path_shown(path);

                return error_errno(errnum, "cannot set the mode of the directory %s", shown);
        }
        return NULL;
}

struct error *dir_sync(const char *path)
{
        AUTO_FD int fd = -1;

        TRY(open_dir(path, &fd));
        if (fsync(fd) < 0) {
                AUTO_MEM char *shown = path_shown(path);

                return error_errno(errno, "cannot bring the directory %s to the disk", shown);
        }
        return NULL;
}

static struct error *already_locked(int fd, const char *shown)
{
        char pid[24];
        ssize_t n = pread(fd, pid, sizeof(pid), 0);
        struct str holder = str_trim(str_of_bytes(pid, n > 0 ? (size_t)n : 0));
        int64_t number;
        struct error *unreadable = parse_int(holder, 1, INT32_MAX, "PID", &number);

        if (unreadable != NULL) {
                error_free(unreadable);
                return error_new(ERROR_FAILED_PRECONDITION, "%s is in use by another process", shown);
        }
        return error_hint(
                error_new(ERROR_FAILED_PRECONDITION, "%s is in use by process %lld", shown, (long long)number),
                "stop that process first, or choose another data directory");
}

/* An open file description lock: it is not released when another descriptor of the file is closed. */
static const struct flock whole_file = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

struct error *dir_lock(const char *dir, int *ret_fd)
{
        struct flock lock = whole_file;
        AUTO_MEM char *shown = path_shown(dir);
        AUTO_MEM char *path = mem_printf("%s/lock", dir);
        AUTO_MEM char *pid = mem_printf("%ld\n", (long)getpid());
        AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
                return error_errno(errno, "cannot open the lock of %s", shown);
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
                if (errno == EAGAIN || errno == EACCES)
                        return already_locked(fd, shown);
                return error_errno(errno, "cannot lock %s", shown);
        }
        if (ftruncate(fd, 0) < 0)
                return error_errno(errno, "cannot write the lock of %s", shown);
        TRY(write_shown(fd, shown, str_of(pid)));
        *ret_fd = fd;
        fd = -1;
        return NULL;
}

bool dir_is_locked(const char *dir)
{
        AUTO_MEM char *path = mem_printf("%s/lock", dir);
        AUTO_FD int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        struct flock lock = whole_file;

        return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
