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

/* Without it the backup would be incomplete, and nobody would know before the restore. */
static struct error *is_a_link(const char *name)
{
        AUTO_MEM char *shown = escaped(str_of(name));

        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the file '%s' of the data directory is a symbolic link or has several names (hard links): "
                                                               "it may be a file of another user", shown),
                          "replace it by a copy of its own: cp FILE FILE.new && mv FILE.new FILE; copies by `cp -l` or `rsync --link-dest` make such names");
}

struct error *tree_write_file(const char *path, const char *name, struct archive_writer *to, bool *ret_exists)
{
        AUTO_FD int fd = -1;
        struct stat st;
        bool is_link;

        *ret_exists = false;
        TRY(open_file(AT_FDCWD, path, &fd, &st, &is_link));
        if (is_link)
                return is_a_link(path);
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

struct listing {
        struct dirent **entries; /* in the order of their names */
        int count;
};

/* One directory. */
struct place {
        const struct walk *walk;
        const struct tree *tree;
        int fd;
        const char *prefix;
        unsigned depth;
        struct listing known; /* the names that were walked */
        char **read;          /* those of files that were read */
        size_t read_count, read_room;
        int last; /* tree->last, which stays open after it was read: its number is given to no other file meanwhile; -1: not yet */
};

static void listing_release(struct listing *l)
{
        for (int i = 0; i < l->count; i++)
                free(l->entries[i]);
        free(l->entries);
}

static void place_release(struct place *p)
{
        listing_release(&p->known);
        for (size_t i = 0; i < p->read_count; i++)
                free(p->read[i]);
        free(p->read);
        if (p->last >= 0)
                close(p->last);
}

static struct error *walk_dir(const struct walk *w, const struct tree *t, int dir_fd, const char *prefix, unsigned depth);

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int compare_found(const void *a, const void *b)
{
        const struct dirent *const *x = a, *const *y = b;

        return strcmp((*x)->d_name, (*y)->d_name);
}

static bool is_known(const struct listing *l, const struct dirent *e)
{
        return l->count > 0 && bsearch(&e, l->entries, (size_t)l->count, sizeof *l->entries, compare_found) != NULL;
}

static void note_read(struct place *p, const char *name)
{
        if (p->read_count == p->read_room) {
                p->read_room = p->read_room * 2 + 64;
                p->read = mem_resize(p->read, p->read_room, sizeof *p->read);
        }
        p->read[p->read_count++] = str_dup(str_of(name));
}

/* Whether the file was read under the name that it had before it was compressed. */
static bool was_read_plain(const struct place *p, struct str name)
{
        const struct str ending = STR(".gz");

        if (!str_ends_with(name, ending))
                return false;
        name.len -= ending.len;
        for (size_t i = 0; i < p->read_count; i++)
                if (str_equal(str_of(p->read[i]), name))
                        return true;
        return false;
}

/* Whether it is the file that was read last, under another name. */
static bool is_the_last(const struct place *p, const struct stat *st)
{
        struct stat last;

        return p->last >= 0 && fstat(p->last, &last) == 0 && last.st_dev == st->st_dev && last.st_ino == st->st_ino;
}

static bool is_wanted(const struct tree *t, const char *name, unsigned depth)
{
        return name[0] != '.' && (depth < t->depth || t->wants == NULL || t->wants(name));
}

static bool is_last(const struct place *p, const char *name)
{
        const struct tree *t = p->tree;

        return p->depth == t->depth && t->last != NULL && strcmp(name, t->last) == 0;
}

static bool is_dir(int dir_fd, const struct dirent *e)
{
        struct stat st;

        if (e->d_type != DT_UNKNOWN) /* some file systems do not tell */
                return e->d_type == DT_DIR;
        return fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static struct error *walk_entry(struct place *p, const struct dirent *e)
{
        AUTO_MEM char *name = mem_printf("%s/%s", p->prefix, e->d_name);
        AUTO_FD int fd = -1;
        struct stat st;
        bool is_link;

        if (!is_wanted(p->tree, e->d_name, p->depth))
                return NULL;
        if (is_dir(p->fd, e)) {
                AUTO_FD int inner = p->depth == 0 ? -1 : openat(p->fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

                return inner < 0 ? NULL : walk_dir(p->walk, p->tree, inner, name, p->depth - 1);
        }
        TRY(open_file(p->fd, e->d_name, &fd, &st, &is_link));
        if (is_link)
                return is_a_link(name);
        if (fd < 0 || is_the_last(p, &st))
                return NULL;
        TRY(p->walk->file(p->walk->ctx, fd, &st, name));
        note_read(p, e->d_name);
        if (is_last(p, e->d_name)) { /* there is one such name, and each name is walked once */
                p->last = fd;
                fd = -1;
        }
        return NULL;
}

/* Walks the new names, but for tree->last, or that one only. */
static struct error *walk_new(struct place *p, const struct listing *now, bool wants_last, bool *has_new)
{
        for (int i = 0; i < now->count; i++) {
                const char *name = now->entries[i]->d_name;

                if (is_last(p, name) != wants_last || is_known(&p->known, now->entries[i]) || was_read_plain(p, str_of(name)))
                        continue;
                *has_new = true;
                TRY(walk_entry(p, now->entries[i]));
        }
        return NULL;
}

/*
 * A file that gets another name meanwhile, as a log that is rotated or compressed, may be missing under both: under the old one when it is
 * opened, under the new one when the directory was listed. So the directory is listed again, and its new names are walked, until there are none.
 */
static struct error *walk_dir(const struct walk *w, const struct tree *t, int dir_fd, const char *prefix, unsigned depth)
{
        AUTO(place) p = { .walk = w, .tree = t, .fd = dir_fd, .prefix = prefix, .depth = depth, .last = -1 };
        bool has_new = true;

        for (int round = 0; has_new && round < ROUNDS; round++) {
                AUTO(listing) now = { 0 };

                has_new = false;
                now.count = scandirat(dir_fd, ".", &now.entries, NULL, compare_entries);
                if (now.count < 0)
                        return error_errno(errno, "cannot read the directory %s", prefix);
                TRY(walk_new(&p, &now, false, &has_new));
                TRY(walk_new(&p, &now, true, &has_new));
                struct listing before = p.known;
                p.known = now;
                now = before;
        }
        if (has_new && t->last != NULL) /* elsewhere, new names are those of new files */
                return error_hint(error_new(ERROR_ABORTED, "the files in %s get other names faster than they are read", prefix), "try again");
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
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the file %s is larger than a key or certificate", name),
                                  "it is no part of the CA: move it out of the directory");
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
