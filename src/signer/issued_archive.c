/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/issued_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/zlib_api.h"

enum {
        CHUNK = 32 * KiB,
        LEVEL = 6,
        HEADER = 24,     /* 10 bytes of RFC 1952, XLEN, and the subfield: its header of 4 bytes and its data */
        LENGTH_AT = 16,  /* offset of the data of the subfield */
        TAG_SIZE = 8,
        SMALLEST = HEADER + 2 + 8, /* an empty deflate stream, and the trailer */
};

/* The constant first bytes of a member: magic, deflate, FEXTRA. */
static const uint8_t magic[] = { 0x1f, 0x8b, 8, 4 };
/* XLEN 12; subfield "CT" of 8 bytes. */
static const uint8_t extra[] = { 12, 0, 'C', 'T', TAG_SIZE, 0 };

static void put_u32(uint8_t *at, uint32_t v)
{
        for (int i = 0; i < 4; i++)
                at[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
        return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static bool is_full(int errnum)
{
        return errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG;
}

static struct error *broken(struct error *cause)
{
        return error_because(error_new(ERROR_DATA_LOSS, "the archive of the log of issued certificates is broken"), cause);
}

static struct error *write_failed(int errnum)
{
        struct error *err = error_errno(errnum == EFBIG ? ENOSPC : errnum, "cannot write the archive of the log of issued certificates");

        return is_full(errnum) ? err : broken(err);
}

static struct error *write_at(int fd, const uint8_t *from, size_t len, off_t at)
{
        while (len > 0) {
                ssize_t n = pwrite(fd, from, len, at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return write_failed(n < 0 ? errno : ENOSPC);
                from += n;
                len -= (size_t)n;
                at += n;
        }
        return NULL;
}

/* Reads up to len bytes; *ret is smaller at the end of the file. */
static struct error *read_at(int fd, uint8_t *to, size_t len, off_t at, size_t *ret)
{
        *ret = 0;
        while (*ret < len) {
                ssize_t n = pread(fd, to + *ret, len - *ret, at + (off_t)*ret);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(errno, "cannot read the log of issued certificates or its archive");
                if (n == 0)
                        return NULL;
                *ret += (size_t)n;
        }
        return NULL;
}

/* ---- members ------------------------------------------------------------------------------------------------- */

/* Whether a member begins at `at` whose length fits before `end`; *ret_length, *ret_number: values of its header. */
static bool is_member(const struct issued_archive_file *f, off_t at, off_t end, uint32_t *ret_length, uint32_t *ret_number)
{
        uint8_t header[HEADER];
        size_t got = 0;
        AUTO_PTR(error) err = read_at(f->fd, header, sizeof header, at, &got);

        if (err != NULL || got < sizeof header || memcmp(header, magic, sizeof magic) != 0 || memcmp(header + 10, extra, sizeof extra) != 0)
                return false;
        *ret_length = get_u32(header + LENGTH_AT);
        *ret_number = get_u32(header + LENGTH_AT + 4);
        return *ret_length >= SMALLEST && (off_t)*ret_length <= end - at && *ret_number != 0;
}

/* Whether the member can be unpacked completely and, with other >= 0, equals the first `size` bytes of that file. */
static bool is_whole(const struct issued_archive_file *f, off_t from, off_t end, int other, off_t size)
{
        z_stream z = { 0 };
        uint8_t packed[CHUNK], plain[CHUNK], expected[CHUNK];
        off_t done = 0;
        int r = Z_OK;
        bool same = true;

        if (zlib.inflate_init(&z, ZLIB_GZIP_WINDOW, ZLIB_VERSION, (int)sizeof z) != Z_OK)
                bug("out of memory while reading an archive");
        while (same && r == Z_OK) {
                size_t got = 0;

                if (z.avail_in == 0) {
                        size_t most = end - from < CHUNK ? (size_t)(end - from) : CHUNK;
                        AUTO_PTR(error) err = read_at(f->fd, packed, most, from, &got);

                        if (err != NULL || got == 0)
                                break;
                        from += (off_t)got;
                        z.next_in = packed;
                        z.avail_in = (uInt)got;
                }
                z.next_out = plain;
                z.avail_out = sizeof plain;
                r = zlib.inflate(&z, Z_NO_FLUSH);
                size_t len = sizeof plain - z.avail_out;
                if (other >= 0 && len > 0) {
                        AUTO_PTR(error) err = read_at(other, expected, len, done, &got);

                        same = err == NULL && got == len && memcmp(plain, expected, len) == 0;
                }
                done += (off_t)len;
        }
        zlib.inflate_end(&z);
        return same && r == Z_STREAM_END && from == end && z.avail_in == 0 && (other < 0 || done == size);
}

/* Finds the last complete member and cuts off the rest, which was being written when the machine or process ended. */
static struct error *find_end(struct issued_archive_file *f, off_t size, const char *path)
{
        uint32_t length = 0, number = 0;

        for (off_t at = 0; at < size; at += (off_t)length) {
                if (!is_member(f, at, size, &length, &number))
                        break;
                /* Only the last member is checked: earlier ones were complete before it was begun. */
                if (at + (off_t)length == size && !is_whole(f, at, size, -1, 0))
                        break;
                f->last = at;
                f->size = at + (off_t)length;
                f->number = number;
        }
        if (f->size == size)
                return NULL;
        log_warn("The end of an archive of issued certificates is torn, and cut off; its lines are still in issued.log",
                 LOG_C("file", path), LOG_INT("bytes", size - f->size));
        if (ftruncate(f->fd, f->size) < 0 || fdatasync(f->fd) < 0)
                return error_errno(errno, "cannot repair the archive of the log of issued certificates");
        return NULL;
}

/* ---- open ---------------------------------------------------------------------------------------------------- */

static struct error *open_file(struct issued_archive_file *f, const char *prefix, size_t i)
{
        AUTO_MEM char *path = mem_printf("%s.%zu.gz", prefix, i + 1);
        AUTO_MEM char *shown = escaped(str_of(path));
        struct stat st;

        f->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (f->fd < 0)
                return error_errno(errno, "cannot open the archive of the log of issued certificates, %s", shown);
        if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_new(ERROR_FAILED_PRECONDITION, "the archive of the log of issued certificates, %s, is not a file", shown);
        return find_end(f, st.st_size, shown);
}

struct error *issued_archive_open(struct issued_archive *a, const char *prefix)
{
        *a = (struct issued_archive){ .most = LIMIT_ISSUED_ARCHIVE };
        for (size_t i = 0; i < ARRAY_LEN(a->files); i++)
                a->files[i].fd = -1;
        TRY(zlib_load());
        for (size_t i = 0; i < ARRAY_LEN(a->files); i++)
                TRY(open_file(&a->files[i], prefix, i));
        return NULL;
}

void issued_archive_release(struct issued_archive *a)
{
        for (size_t i = 0; i < ARRAY_LEN(a->files); i++)
                if (a->files[i].fd > 0)
                        close(a->files[i].fd);
        *a = (struct issued_archive){ 0 };
}

/* ---- packing ------------------------------------------------------------------------------------------------- */

static const struct issued_archive_file *newest(const struct issued_archive *a)
{
        return &a->files[a->files[1].number > a->files[0].number];
}

bool issued_archive_has(const struct issued_archive *a, int fd, off_t size)
{
        const struct issued_archive_file *f = newest(a);

        return f->number != 0 && is_whole(f, f->last, f->size, fd, size);
}

/* Writes the output of deflate. */
static struct error *drain(z_stream *z, const struct issued_archive_file *f, uint8_t packed[CHUNK], off_t *at)
{
        size_t len = CHUNK - z->avail_out;

        TRY(write_at(f->fd, packed, len, *at));
        *at += (off_t)len;
        z->next_out = packed;
        z->avail_out = CHUNK;
        return NULL;
}

static struct error *pack(z_stream *z, const struct issued_archive_file *f, int fd, off_t size, off_t *at)
{
        uint8_t plain[CHUNK], packed[CHUNK];
        off_t done = 0;
        int r = Z_OK;

        z->next_out = packed;
        z->avail_out = sizeof packed;
        while (r != Z_STREAM_END) {
                if (z->avail_in == 0 && done < size) {
                        size_t most = size - done < CHUNK ? (size_t)(size - done) : CHUNK, got = 0;

                        TRY(read_at(fd, plain, most, done, &got));
                        if (got == 0)
                                return broken(error_new(ERROR_DATA_LOSS, "the log of issued certificates is shorter than it was"));
                        done += (off_t)got;
                        z->next_in = plain;
                        z->avail_in = (uInt)got;
                }
                r = zlib.deflate(z, done == size ? Z_FINISH : Z_NO_FLUSH);
                if (r == Z_STREAM_ERROR)
                        bug("deflate refuses its state");
                if (z->avail_out == 0 || r == Z_STREAM_END)
                        TRY(drain(z, f, packed, at));
        }
        return NULL;
}

/* Writes a member with its number, but without its length: append() writes that when the member is on the disk. */
static struct error *write_member(const struct issued_archive_file *f, int fd, off_t size, uint32_t number, off_t *ret_end)
{
        z_stream z = { 0 };
        uint8_t tag[4 + TAG_SIZE] = { 'C', 'T', TAG_SIZE, 0 };
        gz_header header = { .os = 3, .extra = tag, .extra_len = sizeof tag };

        put_u32(tag + 8, number);
        *ret_end = f->size;
        if (zlib.deflate_init(&z, LEVEL, Z_DEFLATED, ZLIB_GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, (int)sizeof z) != Z_OK ||
            zlib.deflate_set_header(&z, &header) != Z_OK)
                bug("out of memory while writing an archive");
        struct error *err = pack(&z, f, fd, size, ret_end);
        zlib.deflate_end(&z);
        return err;
}

static struct error *sync_data(int fd)
{
        int errnum = fdatasync(fd) < 0 ? errno : 0;

        return errnum == 0 ? NULL : write_failed(errnum);
}

static struct error *append(struct issued_archive_file *f, int fd, off_t size, uint32_t number)
{
        uint8_t length[4];
        off_t end;

        TRY(write_member(f, fd, size, number, &end));
        TRY(sync_data(f->fd));
        put_u32(length, (uint32_t)(end - f->size));
        TRY(write_at(f->fd, length, sizeof length, f->size + LENGTH_AT));
        TRY(sync_data(f->fd));
        f->last = f->size;
        f->size = end;
        f->number = number;
        return NULL;
}

static struct error *empty(struct issued_archive_file *f)
{
        if (ftruncate(f->fd, 0) < 0)
                return write_failed(errno);
        f->size = 0;
        f->last = 0;
        f->number = 0;
        return NULL;
}

struct error *issued_archive_add(struct issued_archive *a, int fd, off_t size, bool *ret_dropped)
{
        size_t i = (size_t)(newest(a) - a->files);
        uint32_t number = a->files[i].number + 1;

        *ret_dropped = false;
        if (a->files[i].size >= a->most) {
                i = 1 - i;
                *ret_dropped = a->files[i].size > 0;
                TRY(empty(&a->files[i]));
        }
        struct error *err = append(&a->files[i], fd, size, number);
        if (err != NULL && err->code == ERROR_RESOURCE_EXHAUSTED && ftruncate(a->files[i].fd, a->files[i].size) < 0)
                return broken(err);
        return err;
}
