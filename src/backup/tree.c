/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "os/file.h"
#include "pki/key.h"

enum { PIECE = 256 * KiB, DIGESTED_MAX = 1 * MiB, ROUNDS = 10 };

/* ---- one file --------------------------------------------------------------------------------------- */

/* *ret -1: there is no such file, or it is not to be read; *ret_is_link: as it is a link. */
static struct error *open_file(int dir_fd, const char *path, int *ret, struct stat *ret_st, bool *ret_is_link)
{
        *ret = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        *ret_is_link = *ret < 0 && errno == ELOOP;
        if (*ret < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
                return NULL;
        if (*ret >= 0 && fstat(*ret, ret_st) == 0) {
                if (S_ISREG(ret_st->st_mode) && ret_st->st_nlink == 1)
                        return NULL;
                *ret_is_link = S_ISREG(ret_st->st_mode) && ret_st->st_nlink > 1; /* 0: it was deleted meanwhile */
                close(*ret);
                *ret = -1;
                return NULL;
        }
        int errnum = errno;
        AUTO_MEM char *shown = path_shown(path);
        return error_errno(errnum, "cannot read %s", shown);
}

/* Reads up to `most` bytes, fewer at the end of the file. */
static struct error *read_piece(int fd, const char *name, char *to, size_t most, size_t *ret)
{
        *ret = 0;
        while (*ret < most) {
                ssize_t n = read(fd, to + *ret, most - *ret);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(errno, "cannot read %s", name);
                if (n == 0)
                        return NULL;
                *ret += (size_t)n;
        }
        return NULL;
}

static struct error *copy(int fd, const struct tar_entry *entry, struct archive_writer *to)
{
        AUTO(secret) piece = { mem_alloc(PIECE), PIECE };
        uint64_t left = entry->size;
        size_t n;

        TRY(archive_begin(to, entry));
        while (left > 0) {
                TRY(read_piece(fd, entry->name, piece.ptr, left < PIECE ? (size_t)left : PIECE, &n));
                if (n == 0)
                        return error_hint(error_new(ERROR_ABORTED, "the file %s became shorter while it was read", entry->name), "try again");
                TRY(archive_put(to, (struct str){ piece.ptr, n }));
                left -= n;
        }
        return NULL;
}

/* A file of one piece is read before its header is written: it may become shorter meanwhile, as a log that is rotated. */
static struct error *copy_small(int fd, struct tar_entry *entry, struct archive_writer *to)
{
        AUTO(secret) piece = { mem_alloc(PIECE), PIECE }; /* it may be a key */
        size_t n;

        TRY(read_piece(fd, entry->name, piece.ptr, (size_t)entry->size, &n));
        entry->size = n;
        TRY(archive_begin(to, entry));
        return archive_put(to, (struct str){ piece.ptr, n });
}

static struct error *write_open_file(int fd, const struct stat *st, const char *name, struct archive_writer *to)
{
        struct tar_entry entry = {
                .size = (uint64_t)st->st_size,
                .modified = st->st_mtime,
                .mode = (unsigned)st->st_mode & 0777,
        };

        if (!tar_name_is_valid(str_of(name))) {
                AUTO_MEM char *shown = escaped(str_of(name));

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the file '%s' of the data directory has a name that no part of a cluster has", shown),
                                  "move it out of the data directory");
        }
        memcpy(entry.name, name, strlen(name) + 1);
        return entry.size <= PIECE ? copy_small(fd, &entry, to) : copy(fd, &entry, to);
}

struct error *tree_write_file(const char *path, const char *name, struct archive_writer *to, bool *ret_exists)
{
        AUTO_FD int fd = -1;
        struct stat st;
        bool is_link;

        *ret_exists = false;
        TRY(open_file(AT_FDCWD, path, &fd, &st, &is_link));
        if (fd < 0)
                return NULL;
        *ret_exists = true;
        return write_open_file(fd, &st, name, to);
}

/* ---- directories -------------------------------------------------------------------------------------- */

/* Called for each file in the order of names; fd is borrowed. */
struct walk {
        struct error *(*file)(void *ctx, int fd, const struct stat *st, const char *name);
        void *ctx;
};

static struct error *walk_dir(const struct walk *w, const struct tree *t, int dir_fd, const char *prefix, unsigned depth);

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_wanted(const struct tree *t, const char *name, unsigned depth)
{
        return name[0] != '.' && (depth < t->depth || t->wants == NULL || t->wants(name));
}

/* Without it the backup would be incomplete, and nobody would know before the restore. */
static struct error *is_a_link(const char *name)
{
        AUTO_MEM char *shown = escaped(str_of(name));

        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the file '%s' of the data directory is a symbolic link or has several names (hard links): "
                                                               "it may be a file of another user", shown),
                          "replace it by a copy of its own: cp FILE FILE.new && mv FILE.new FILE; copies by `cp -l` or `rsync --link-dest` make such names");
}

static bool is_dir(int dir_fd, const struct dirent *e)
{
        struct stat st;

        if (e->d_type != DT_UNKNOWN) /* some file systems do not tell */
                return e->d_type == DT_DIR;
        return fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static struct error *walk_entry(const struct walk *w, const struct tree *t, int dir_fd, const struct dirent *e, const char *prefix, unsigned depth)
{
        AUTO_MEM char *name = mem_printf("%s/%s", prefix, e->d_name);
        AUTO_FD int fd = -1;
        struct stat st;
        bool is_link;

        if (!is_wanted(t, e->d_name, depth))
                return NULL;
        if (is_dir(dir_fd, e)) {
                AUTO_FD int inner = depth == 0 ? -1 : openat(dir_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

                return inner < 0 ? NULL : walk_dir(w, t, inner, name, depth - 1);
        }
        TRY(open_file(dir_fd, e->d_name, &fd, &st, &is_link));
        if (is_link)
                return is_a_link(name);
        return fd < 0 ? NULL : w->file(w->ctx, fd, &st, name);
}

struct listing {
        struct dirent **entries; /* in the order of their names */
        int count;
};

static void listing_release(struct listing *l)
{
        for (int i = 0; i < l->count; i++)
                free(l->entries[i]);
        free(l->entries);
}

static int compare_found(const void *a, const void *b)
{
        const struct dirent *const *x = a, *const *y = b;

        return strcmp((*x)->d_name, (*y)->d_name);
}

static bool has_entry(const struct listing *l, const struct dirent *e)
{
        return l->count > 0 && bsearch(&e, l->entries, (size_t)l->count, sizeof *l->entries, compare_found) != NULL;
}

/*
 * A file that gets another name meanwhile, as a log that is rotated or compressed, may be missing under both: under the old one when it is
 * opened, under the new one when the directory was listed. So the directory is listed again, and its new names are walked, until there are none.
 */
static struct error *walk_dir(const struct walk *w, const struct tree *t, int dir_fd, const char *prefix, unsigned depth)
{
        AUTO(listing) known = { 0 };
        bool has_new = true;

        for (int round = 0; has_new && round < ROUNDS; round++) {
                AUTO(listing) now = { 0 };

                has_new = false;
                now.count = scandirat(dir_fd, ".", &now.entries, NULL, compare_entries);
                if (now.count < 0)
                        return error_errno(errno, "cannot read the directory %s", prefix);
                for (int i = 0; i < now.count; i++) {
                        if (has_entry(&known, now.entries[i]))
                                continue;
                        has_new = true;
                        TRY(walk_entry(w, t, dir_fd, now.entries[i], prefix, depth));
                }
                struct listing before = known;
                known = now;
                now = before;
        }
        return NULL;
}

static struct error *walk_tree(const struct walk *w, const struct tree *t)
{
        AUTO_FD int fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "cannot read the directory %s", t->dir);
        if (t->inner == NULL)
                return walk_dir(w, t, fd, t->prefix, t->depth);
        AUTO_FD int inner = openat(fd, t->inner, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner < 0 && errno == ENOTDIR)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "%s/%s is a symbolic link, or no directory", t->dir, t->inner),
                                  "a link may lead to files of another user; mount the other file system there");
        if (inner < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "cannot read the directory %s/%s", t->dir, t->inner);
        return walk_dir(w, t, inner, t->prefix, t->depth);
}

struct writing {
        struct archive_writer *to;
        uint64_t *count;
};

static struct error *write_one(void *ctx, int fd, const struct stat *st, const char *name)
{
        const struct writing *w = ctx;

        ++*w->count;
        return write_open_file(fd, st, name, w->to);
}

struct error *tree_write(const struct tree *t, struct archive_writer *to, uint64_t *count)
{
        struct writing w = { to, count };

        return walk_tree(&(struct walk){ write_one, &w }, t);
}

static struct error *note_one(void *ctx, int fd, const struct stat *st, const char *name)
{
        struct buf *all = ctx;
        size_t n = 0;

        buf_printf(all, "%s %lld\n", name, (long long)st->st_size);
        char *to = buf_extend(all, (size_t)st->st_size);
        if (to == NULL)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the file %s is larger than a key or certificate", name);
        memset(to, 0, (size_t)st->st_size);
        return read_piece(fd, name, to, (size_t)st->st_size, &n);
}

struct error *tree_digest(const struct tree *t, uint8_t ret[32])
{
        AUTO(buf) all = BUF_MAX(DIGESTED_MAX);
        struct error *err = walk_tree(&(struct walk){ note_one, &all }, t);

        sha256(buf_str(&all), ret);
        wipe(all.ptr, all.room);
        return err;
}
