/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/audit_archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit_names.h"
#include "audit/audit_reader.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "os/file.h"
#include "os/zlib_api.h"

enum { TEXT = 1 * MiB, ROOM = TEXT + 16 * KiB, LEVEL = 6 }; /* a member: its text, more than zlib can make of it */

struct archive_file {
        char *path;
        struct audit_name name;
        int64_t size;
        bool is_gone;
};

struct archive {
        const char *dir;
        struct archive_file *files;
        size_t count, room;
        int64_t live_size; /* of events.log */
};

static void archive_release(struct archive *a)
{
        for (size_t i = 0; i < a->count; i++)
                free(a->files[i].path);
        free(a->files);
}

/* ---- packing --------------------------------------------------------------------------------------------------- */

static struct error *write_failed(int errnum)
{
        return error_errno(errnum == EFBIG ? ENOSPC : errnum, "cannot write a compressed file of the audit log");
}

static void put_u32(uint8_t *at, size_t v)
{
        for (int i = 0; i < 4; i++)
                at[i] = (uint8_t)(v >> (8 * i));
}

/* Appends the text as one member. */
static struct error *write_member(int fd, struct str text, uint8_t *packed)
{
        z_stream z = { 0 };
        uint8_t tag[4 + AUDIT_MEMBER_TAG] = { 'C', 'A', AUDIT_MEMBER_TAG, 0 };
        gz_header header = { .os = 3, .extra = tag, .extra_len = sizeof tag };

        if (zlib.deflate_init(&z, LEVEL, Z_DEFLATED, ZLIB_GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, (int)sizeof z) != Z_OK ||
            zlib.deflate_set_header(&z, &header) != Z_OK)
                bug("out of memory while compressing the audit log");
        z.next_in = (Bytef *)(uintptr_t)text.ptr;
        z.avail_in = (uInt)text.len;
        z.next_out = packed;
        z.avail_out = ROOM;
        int result = zlib.deflate(&z, Z_FINISH);
        size_t len = ROOM - z.avail_out;
        zlib.deflate_end(&z);
        if (result != Z_STREAM_END)
                bug("a compressed member of the audit log is larger than its text");
        put_u32(packed + AUDIT_MEMBER_LENGTHS_AT, len);
        put_u32(packed + AUDIT_MEMBER_LENGTHS_AT + 4, text.len);
        return fd_write_all(fd, (struct str){ (const char *)packed, len }) ? NULL : write_failed(errno);
}

static struct error *read_text(int fd, char *to, off_t at, size_t *ret)
{
        *ret = 0;
        while (*ret < TEXT) {
                ssize_t n = pread(fd, to + *ret, TEXT - *ret, at + (off_t)*ret);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(errno, "a file of the audit log cannot be read");
                if (n == 0)
                        return NULL;
                *ret += (size_t)n;
        }
        return NULL;
}

/* Whether the compressed file, which is read back, has the text of the file. */
static struct error *compare_texts(struct audit_reader *plain, struct audit_reader *packed)
{
        struct str expected = STR("?"), found;

        for (off_t at = 0; !str_is_empty(expected); at += (off_t)expected.len) {
                TRY(audit_reader_view(plain, at, AUDIT_READER_PIECE, &expected));
                TRY(audit_reader_view(packed, at, AUDIT_READER_PIECE, &found));
                if (job_is_cancelled())
                        return error_new(ERROR_CANCELLED, "the service stops");
                if (!str_equal(expected, found))
                        return error_new(ERROR_DATA_LOSS, "a compressed file of the audit log differs from what was written; the uncompressed one stays");
        }
        return NULL;
}

static struct error *compare(const char *plain_path, const char *packed_path)
{
        struct audit_reader *plain = audit_reader_new(open(plain_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), false);
        struct audit_reader *packed = audit_reader_new(open(packed_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), true);
        struct error *err = compare_texts(plain, packed);

        audit_reader_free(plain);
        audit_reader_free(packed);
        return err;
}

/* Writes and syncs the compressed file under the name of unfinished ones. */
static struct error *write_packed(int fd, const char *packing)
{
        AUTO_FD int to = open(packing, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
        AUTO_MEM char *text = mem_alloc(TEXT);
        AUTO_MEM uint8_t *packed = mem_alloc(ROOM);
        struct stat st;
        size_t len = 0;

        if (to < 0)
                return write_failed(errno);
        for (off_t at = 0;; at += (off_t)len) {
                TRY(read_text(fd, text, at, &len));
                if (len == 0)
                        break;
                if (job_is_cancelled())
                        return error_new(ERROR_CANCELLED, "the service stops");
                TRY(write_member(to, (struct str){ text, len }, packed));
        }
        /* The time of the last event, as gzip does. */
        if (fstat(fd, &st) == 0 && futimens(to, (const struct timespec[]){ st.st_atim, st.st_mtim }) != 0)
                return write_failed(errno);
        return fsync(to) == 0 ? NULL : write_failed(errno);
}

static struct error *pack(const struct archive *a, struct archive_file *f)
{
        AUTO_FD int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        AUTO_MEM char *packing = mem_printf("%s/" AUDIT_PACKING_NAME, a->dir);
        AUTO_MEM char *done = mem_printf("%s.gz", f->path);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
                return error_errno(fd < 0 ? errno : EINVAL, "a file of the audit log cannot be opened");
        struct error *err = write_packed(fd, packing);
        if (err == NULL)
                err = compare(f->path, packing);
        if (err == NULL && rename(packing, done) != 0)
                err = error_errno(errno, "a compressed file of the audit log cannot be renamed");
        if (err != NULL) {
                (void)unlink(packing);
                return err;
        }
        TRY(dir_sync(a->dir));
        if (unlink(f->path) != 0)
                return error_errno(errno, "a file of the audit log cannot be removed after its compression");
        f->is_gone = true;
        return dir_sync(a->dir);
}

/* ---- the files ------------------------------------------------------------------------------------------------- */

static void add_file(struct archive *a, const char *entry, const struct audit_name *name)
{
        AUTO_MEM char *path = mem_printf("%s/%s", a->dir, entry);
        struct stat st;

        if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
                return;
        if (a->count == a->room) {
                a->room = a->room * 2 + 64;
                a->files = mem_resize(a->files, a->room, sizeof *a->files);
        }
        a->files[a->count++] = (struct archive_file){ .path = path, .name = *name, .size = st.st_size };
        path = NULL;
}

static int oldest_first(const void *x, const void *y)
{
        const struct audit_name *a = &((const struct archive_file *)x)->name, *b = &((const struct archive_file *)y)->name;

        if (a->at.ns != b->at.ns)
                return a->at.ns < b->at.ns ? -1 : 1;
        if (a->number != b->number)
                return a->number < b->number ? -1 : 1;
        return b->is_packed - a->is_packed; /* the uncompressed one of a pair counts as the newer one, and is removed last */
}

static struct error *list(struct archive *a)
{
        DIR *d = opendir(a->dir);
        AUTO_MEM char *live = mem_printf("%s/" AUDIT_LIVE_NAME, a->dir);
        const struct dirent *e;
        struct audit_name name;
        struct stat st;

        if (d == NULL) {
                int errnum = errno;
                AUTO_MEM char *shown = path_shown(a->dir);

                return error_errno(errnum, "cannot open the directory '%s'", shown);
        }
        while ((e = readdir(d)) != NULL)
                if (audit_name_parse(str_of(e->d_name), &name))
                        add_file(a, e->d_name, &name);
        closedir(d);
        if (lstat(live, &st) == 0 && S_ISREG(st.st_mode))
                a->live_size = st.st_size;
        if (a->count > 0)
                qsort(a->files, a->count, sizeof *a->files, oldest_first);
        return NULL;
}

static struct error *remove_file(struct archive_file *f, struct audit_archived *ret)
{
        f->is_gone = true; /* or it is left as it is */
        if (unlink(f->path) != 0 && errno != ENOENT)
                return error_errno(errno, "a file of the audit log cannot be removed");
        ret->removed++;
        ret->removed_bytes += f->size;
        ret->removed_until = f->name.at;
        return NULL;
}

/* A file that cannot be removed, as one with chattr +i, keeps no other one: it does not count in the size any more. */
static struct error *remove_old(struct archive *a, const struct audit_archive_options *o, struct audit_archived *ret)
{
        struct error *first = NULL;
        int64_t sum = 0;

        for (size_t i = 0; i < a->count; i++)
                sum += a->files[i].size;
        for (size_t i = 0; i < a->count; i++) {
                struct archive_file *f = &a->files[i];
                bool is_old = o->age.ns > 0 && walltime_since(o->now, f->name.at).ns >= o->age.ns;

                if (!is_old && (o->size == 0 || sum <= o->size))
                        break;
                sum -= f->size;
                struct error *err = remove_file(f, ret);
                if (first == NULL)
                        first = err;
                else
                        error_free(err);
        }
        return first == NULL && ret->removed > 0 ? dir_sync(a->dir) : first;
}

/* Packs all but the end of the log, from the newest file on, so that the order of the sizes is that of the log. */
static struct error *pack_due(struct archive *a, const struct audit_archive_options *o, struct audit_archived *ret)
{
        int64_t newer = a->live_size;

        for (size_t i = a->count; i-- > 0;) {
                struct archive_file *f = &a->files[i];

                if (f->is_gone || f->name.is_packed || f->size > LIMIT_EVENTS_UNPACKED) /* a reader would not reach the end of a larger one */
                        continue;
                if (newer < o->tail) {
                        newer += f->size;
                        continue;
                }
                TRY(pack(a, f));
                ret->packed++;
        }
        return NULL;
}

struct error *audit_archive(const char *dir, const struct audit_archive_options *o, struct audit_archived *ret)
{
        AUTO(archive) a = { .dir = dir };
        AUTO_MEM char *packing = mem_printf("%s/" AUDIT_PACKING_NAME, dir);

        *ret = (struct audit_archived){ 0 };
        if (unlink(packing) != 0 && errno != ENOENT)
                return error_errno(errno, "an unfinished compressed file of the audit log cannot be removed");
        TRY(list(&a));
        struct error *err = remove_old(&a, o, ret);
        struct error *more = pack_due(&a, o, ret);
        if (err == NULL)
                return more;
        error_free(more);
        return err;
}
