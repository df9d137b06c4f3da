/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/archive.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "os/file.h"

static const char lock_name[] = "lock";

void restored_release(struct restored *r)
{
        data_check_release(&r->check);
}

/* ---- an empty directory ----------------------------------------------------------------------------- */

/* Files that an empty data directory may have. */
static bool is_ignored(const char *name)
{
        static const char *const names[] = { ".", "..", lock_name, RESTORE_MARKER, "lost+found" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (strcmp(name, names[i]) == 0)
                        return true;
        return false;
}

/* Whether it is a directory without files, as one where a file system of its own is mounted: backend, log, or log/records. */
static bool has_no_files(int dir_fd, const char *name, int depth)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        bool has_files = dir == NULL;

        for (struct dirent *e; !has_files && (e = readdir(dir)) != NULL;)
                has_files = !is_ignored(e->d_name) && (depth == 0 || !has_no_files(dirfd(dir), e->d_name, depth - 1));
        if (dir != NULL)
                closedir(dir);
        else if (fd >= 0)
                close(fd);
        return !has_files;
}

static struct error *open_entries(const char *path, DIR **ret)
{
        *ret = opendir(path);
        if (*ret != NULL || errno == ENOENT)
                return NULL;
        AUTO_MEM char *shown = path_shown(path);
        return error_errno(errno, "cannot read the directory %s", shown);
}

/* A directory that does not exist is empty. */
static struct error *check_is_empty(const char *path)
{
        AUTO_MEM char *shown = path_shown(path);
        AUTO_MEM char *found = NULL;
        DIR *dir;

        TRY(open_entries(path, &dir));
        for (struct dirent *e; dir != NULL && found == NULL && (e = readdir(dir)) != NULL;)
                if (!is_ignored(e->d_name) && !has_no_files(dirfd(dir), e->d_name, 1))
                        found = escaped(str_of(e->d_name));
        if (dir != NULL)
                closedir(dir);
        if (found == NULL)
                return NULL;
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "%s is not empty: it has '%s'", shown, found),
                          "a backup is restored into an empty directory only; move this one away first, and delete it when the cluster runs");
}

static struct error *remove_entry(int dir_fd, const char *name, int depth);

/* Takes fd. */
static struct error *remove_all(int fd, bool is_top, int depth)
{
        DIR *dir = fdopendir(fd);
        struct error *err = NULL;

        for (struct dirent *e; err == NULL && (e = readdir(dir)) != NULL;) {
                bool is_self = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
                bool is_kept = is_top ? is_ignored(e->d_name) : strcmp(e->d_name, "lost+found") == 0;

                if (!is_self && !is_kept)
                        err = remove_entry(dirfd(dir), e->d_name, depth);
        }
        closedir(dir);
        return err;
}

static struct error *remove_entry(int dir_fd, const char *name, int depth)
{
        AUTO_MEM char *shown = escaped(str_of(name));

        if (unlinkat(dir_fd, name, 0) == 0)
                return NULL;
        int fd = errno == EISDIR || errno == EPERM ? openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (fd < 0 || depth == 0) {
                if (fd >= 0)
                        close(fd);
                return error_errno(errno, "cannot remove '%s', a part of an incomplete restore", shown);
        }
        TRY(remove_all(fd, false, depth - 1));
        bool is_gone = unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == EBUSY; /* EBUSY: a file system is mounted there; it is empty now */
        return is_gone ? NULL : error_errno(errno, "cannot remove the directory '%s'", shown);
}

/* Removes everything but the lock and the marker. */
static struct error *empty(const char *path)
{
        enum { DEPTH = 16 };
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "cannot open the directory %s", path);
        return remove_all(fd, true, DEPTH);
}

/* In place: a temporary file that a crash left would be one more name. Until the text is whole, nothing else was written. */
static struct error *write_marker(const char *data_dir, const char *path, const char *text)
{
        AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0 || !fd_write_all(fd, str_of(text)) || fsync(fd) < 0)
                return error_errno(errno, "cannot write %s", path);
        return dir_sync(data_dir);
}

/* The marker has the path of the store, so that no other directory is emptied after a crash. */
static struct error *begin(const struct restore_options *o)
{
        AUTO_MEM char *path = restore_marker_path(o->data_dir);
        AUTO_MEM char *text = mem_printf("A restore into this directory is not complete. Store: %s\n", o->store);
        AUTO(buf) found = BUF_MAX(16 * KiB);
        struct error *err = file_read(path, &found);

        if (err != NULL && err->code != ERROR_NOT_FOUND)
                return err;
        error_free(err);
        if (str_equal(buf_str(&found), str_of(text))) {
                TRY(empty(o->store));
                TRY(empty(o->data_dir));
        } else if (!str_starts_with(str_of(text), buf_str(&found))) {
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "another restore into %s was interrupted: %.*s", o->data_dir,
                                            STR_ARG(str_trim(buf_str(&found)))),
                                  "run it again with the same configuration, or empty both directories");
        }
        TRY(check_is_empty(o->store));
        TRY(check_is_empty(o->data_dir));
        return write_marker(o->data_dir, path, text);
}

/* Everything below both directories becomes durable before the marker is removed. */
static struct error *sync_all(const char *path)
{
        AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || syncfs(fd) < 0)
                return error_errno(errno, "cannot bring %s to the disk", path);
        return NULL;
}

static struct error *remove_marker(const char *data_dir)
{
        AUTO_MEM char *path = restore_marker_path(data_dir);

        if (unlink(path) < 0)
                return error_errno(errno, "cannot remove %s", path);
        return dir_sync(data_dir);
}

/* ---- files ------------------------------------------------------------------------------------------- */

/* Names of a backup and their places. A directory has any files, the deepest of which is acme/CA/FILE. */
static const struct place {
        const char *name;
        bool is_dir;
} places[] = {
        { "ca", .is_dir = true },
        { "acme", .is_dir = true },
        { "log", .is_dir = true },
        { "host_uuid" },
        { "webproxy_cert.pem" },
        { "webproxy_key.pem" },
};
enum { WORDS_MAX = 4 };

static size_t count_words(struct str name)
{
        size_t count = 1;

        for (size_t i = 0; i < name.len; i++)
                count += name.ptr[i] == '/';
        return count;
}

/* The path of a file; NULL: a backup has no such file. */
static char *place_of(const struct restore_options *o, const char *name)
{
        struct str rest = str_of(name);
        struct str first = str_split(&rest, '/');

        if (strcmp(name, ARCHIVE_DATABASE) == 0)
                return mem_printf("%s/sqlite.db", o->store);
        if (strcmp(name, ARCHIVE_CONFIG) == 0)
                return mem_printf("%s/%s", o->data_dir, RESTORE_CONFIG);
        for (size_t i = 0; i < ARRAY_LEN(places); i++)
                if (str_equal(first, str_of(places[i].name)) && places[i].is_dir != str_is_empty(rest) && count_words(str_of(name)) <= WORDS_MAX)
                        return mem_printf("%s/%s", o->data_dir, name);
        return NULL;
}

/* Makes the directories above a file, below base. */
static struct error *make_dirs(const char *path, const char *base)
{
        AUTO_MEM char *part = str_dup(str_of(path));

        for (char *slash = strchr(part + strlen(base) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                TRY(dir_make(part, 0700));
                *slash = '/';
        }
        return NULL;
}

static struct error *copy(struct archive_reader *from, int fd, const char *path)
{
        enum { PIECE = 256 * KiB };
        AUTO(secret) piece = { mem_alloc(PIECE), PIECE }; /* it may be a key */
        size_t n;

        for (;;) {
                TRY(archive_get(from, piece.ptr, PIECE, &n));
                if (n == 0)
                        return NULL;
                if (!fd_write_all(fd, (struct str){ piece.ptr, n }))
                        return error_errno(errno, "cannot write %s", path);
        }
}

static struct error *write_file(const struct restore_options *o, struct archive_reader *from, const struct tar_entry *entry)
{
        AUTO_MEM char *path = place_of(o, entry->name);
        const struct timespec times[] = { { .tv_sec = entry->modified }, { .tv_sec = entry->modified } };

        if (path == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "the backup has a file '%s', which is no part of a cluster", entry->name);
        TRY(make_dirs(path, strcmp(entry->name, ARCHIVE_DATABASE) == 0 ? o->store : o->data_dir));
        AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno == EEXIST ? error_new(ERROR_INVALID_ARGUMENT, "the backup has the file '%s' twice", entry->name)
                                       : error_errno(errno, "cannot write %s", path);
        TRY(copy(from, fd, path));
        if (fchmod(fd, entry->mode & 0640) < 0 || futimens(fd, times) < 0)
                return error_errno(errno, "cannot write %s", path);
        return NULL;
}

/* ---- the manifest -------------------------------------------------------------------------------------- */

/* The first file. Only the format matters: the rest is for users who look into the archive. */
static struct error *check_manifest(struct archive_reader *from, const struct tar_entry *entry)
{
        AUTO(buf) text = BUF_MAX(RESTORE_MANIFEST_MAX);
        size_t n = 1;

        if (strcmp(entry->name, ARCHIVE_MANIFEST) != 0 || entry->size > RESTORE_MANIFEST_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the file is no backup of a cluster: it does not begin with " ARCHIVE_MANIFEST);
        char *to = buf_extend(&text, (size_t)entry->size);
        for (size_t at = 0; n > 0; at += n)
                TRY(archive_get(from, to == NULL ? NULL : to + at, (size_t)entry->size - at, &n));
        json_t *root = json_loadb(text.ptr == NULL ? "" : text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
        const json_t *format = json_object_get(root, "format"), *version = json_object_get(root, "version");
        struct error *err = NULL;
        if (!json_is_integer(format) || json_integer_value(format) < 1) {
                err = error_new(ERROR_INVALID_ARGUMENT, "the description of the backup, " ARCHIVE_MANIFEST ", is malformed");
        } else if (json_integer_value(format) > ARCHIVE_FORMAT) {
                AUTO_MEM char *shown = escaped(str_of(json_is_string(version) ? json_string_value(version) : "?"));

                err = error_hint(error_new(ERROR_FAILED_PRECONDITION, "the backup was made by a newer version of teleport (%s)", shown),
                                 "restore it with that version, or a newer one");
        }
        json_decref(root);
        return err;
}

/* ---- the steps ----------------------------------------------------------------------------------------- */

static struct error *write_all(const struct restore_options *o, struct archive_reader *from, struct restored *ret)
{
        struct tar_entry entry;
        bool is_end = false;

        TRY(archive_next(from, &entry, &is_end));
        if (!is_end)
                TRY(check_manifest(from, &entry));
        while (!is_end) {
                TRY(archive_next(from, &entry, &is_end));
                if (is_end)
                        break;
                TRY(write_file(o, from, &entry));
                ret->has_config |= strcmp(entry.name, ARCHIVE_CONFIG) == 0;
                ret->files++;
        }
        return NULL;
}

static struct error *check_result(const struct restore_options *o, struct restored *ret)
{
        data_check_run(&ret->check, o->data_dir, (struct store_options){ .path = o->store });
        const struct error *err = data_check_error(&ret->check);

        if (err != NULL)
                return error_wrap(error_copy(err), "the restored cluster is not sound");
        if (o->pin != NULL && !str_equal(str_of(o->pin), buf_str(&ret->check.pin)))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the backup is of another cluster: its CA has the pin %.*s",
                                            STR_ARG(buf_str(&ret->check.pin))),
                                  "take the backup of your cluster; `tctl status` printed its pin");
        return NULL;
}

static struct error *restore(const struct restore_options *o, struct archive_reader *from, struct restored *ret)
{
        TRY(dir_make(o->store, 0700));
        TRY(write_all(o, from, ret));
        TRY(check_result(o, ret));
        TRY(sync_all(o->store));
        TRY(sync_all(o->data_dir));
        sync(); /* file systems that are mounted below */
        return NULL;
}

/* Removes what a failed restore has written; if that fails too, the marker stays. */
static void undo(const struct restore_options *o)
{
        AUTO_PTR(error) store_err = empty(o->store);
        AUTO_PTR(error) err = empty(o->data_dir);

        if (store_err == NULL && err == NULL)
                error_free(remove_marker(o->data_dir));
}

struct error *restore_run(const struct restore_options *o, struct restored *ret)
{
        AUTO_PTR(age_reader) file = NULL;
        AUTO_FD int lock = -1;

        TRY(age_reader_new(o->unlock, o->source, &file)); /* a wrong passphrase touches nothing */
        AUTO_PTR(archive_reader) archive = archive_reader_new(file);
        TRY(dir_make(o->data_dir, 0700));
        TRY(dir_lock(o->data_dir, &lock));
        TRY(begin(o));
        struct error *err = restore(o, archive, ret);
        if (err == NULL)
                return remove_marker(o->data_dir);
        undo(o);
        return err;
}
