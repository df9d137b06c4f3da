/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/audit_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "os/zlib_api.h"

enum { INPUT = 32 * KiB, SMALLEST = AUDIT_MEMBER_HEADER + 2 + 8 }; /* an empty deflate stream, and the trailer */

struct audit_reader {
        int fd;
        bool is_packed, is_end, is_damaged;
        off_t start;  /* position of data in the text */
        size_t len;
        char *data;
        /* of a compressed file */
        z_stream z;
        off_t next; /* position in the file behind `input` */
        bool is_in_member;
        uint8_t *input;
};

struct audit_reader *audit_reader_new(int fd, bool is_packed)
{
        struct audit_reader *r = NEW(struct audit_reader);

        r->fd = fd;
        r->is_packed = is_packed;
        r->data = mem_alloc(AUDIT_READER_PIECE);
        if (!is_packed)
                return r;
        r->input = mem_alloc(INPUT);
        if (zlib.inflate_init(&r->z, ZLIB_GZIP_WINDOW, ZLIB_VERSION, (int)sizeof r->z) != Z_OK)
                bug("out of memory while reading the audit log");
        return r;
}

void audit_reader_free(struct audit_reader *r)
{
        if (r == NULL)
                return;
        if (r->is_packed)
                zlib.inflate_end(&r->z);
        if (r->fd >= 0)
                close(r->fd);
        free(r->input);
        free(r->data);
        free(r);
}

bool audit_reader_is_damaged(const struct audit_reader *r)
{
        return r->is_damaged;
}

/* Reads up to `room` bytes; *ret is smaller at the end of the file only. */
static struct error *read_at(int fd, void *to, size_t room, off_t at, size_t *ret)
{
        *ret = 0;
        while (*ret < room) {
                ssize_t n = pread(fd, (char *)to + *ret, room - *ret, at + (off_t)*ret);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(errno, "the audit log cannot be read");
                if (n == 0)
                        return NULL;
                *ret += (size_t)n;
        }
        return NULL;
}

/* ---- compressed files ------------------------------------------------------------------------------------------ */

static void end_damaged(struct audit_reader *r)
{
        r->is_damaged = true;
        r->is_end = true;
}

static struct error *refill(struct audit_reader *r)
{
        size_t got = 0;

        TRY(read_at(r->fd, r->input, INPUT, r->next, &got));
        r->next += (off_t)got;
        r->z.next_in = r->input;
        r->z.avail_in = (uInt)got;
        return NULL;
}

/* At the end of a member: whether another one follows. */
static struct error *begin_member(struct audit_reader *r)
{
        if (r->z.avail_in == 0)
                TRY(refill(r));
        if (r->z.avail_in == 0)
                r->is_end = true;
        else if (zlib.inflate_reset(&r->z) != Z_OK)
                bug("inflateReset refuses its state");
        else
                r->is_in_member = true;
        return NULL;
}

/* Unpacks behind the data, up to `most` bytes of it. */
static struct error *unpack(struct audit_reader *r, size_t most)
{
        while (r->len < most && !r->is_end && !job_is_cancelled()) {
                if (!r->is_in_member) {
                        TRY(begin_member(r));
                        continue;
                }
                if (r->z.avail_in == 0)
                        TRY(refill(r));
                if (r->z.avail_in == 0) { /* in the middle of a member */
                        end_damaged(r);
                        break;
                }
                r->z.next_out = (Bytef *)r->data + r->len;
                r->z.avail_out = (uInt)(most - r->len);
                int result = zlib.inflate(&r->z, Z_NO_FLUSH);
                r->len = most - r->z.avail_out;
                if (result == Z_STREAM_END)
                        r->is_in_member = false;
                else if (result != Z_OK && result != Z_BUF_ERROR)
                        end_damaged(r);
                if (r->start + (off_t)r->len > LIMIT_EVENTS_UNPACKED)
                        end_damaged(r);
        }
        return NULL;
}

static uint32_t get_u32(const uint8_t *at)
{
        return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Skips members that are before the position, as their headers say. Bytes that are no such header end the search. */
static struct error *skip_members(struct audit_reader *r, off_t at)
{
        static const uint8_t magic[] = { 0x1f, 0x8b, 8, 4 };
        static const uint8_t extra[] = { 12, 0, 'C', 'A', AUDIT_MEMBER_TAG, 0 };
        uint8_t header[AUDIT_MEMBER_HEADER];
        size_t got = 0;

        for (;;) {
                TRY(read_at(r->fd, header, sizeof header, r->next, &got));
                if (got < sizeof header || memcmp(header, magic, sizeof magic) != 0 || memcmp(header + 10, extra, sizeof extra) != 0)
                        return NULL;
                uint32_t length = get_u32(header + AUDIT_MEMBER_LENGTHS_AT), text = get_u32(header + AUDIT_MEMBER_LENGTHS_AT + 4);
                if (length < SMALLEST || text == 0 || r->start + (off_t)text > at)
                        return NULL;
                r->next += (off_t)length;
                r->start += (off_t)text;
        }
}

/* Continues at `at`, which is not in the data: from the first member when it is before it, or when nothing was read yet. */
static struct error *seek_packed(struct audit_reader *r, off_t at)
{
        if (at < r->start || r->next == 0) {
                r->next = 0;
                r->start = 0;
                r->len = 0;
                r->z.avail_in = 0;
                r->is_in_member = r->is_end = r->is_damaged = false;
                TRY(skip_members(r, at));
        }
        while (r->start + (off_t)r->len < at && !r->is_end && !job_is_cancelled()) {
                r->start += (off_t)r->len;
                r->len = 0;
                off_t ahead = at - r->start;
                TRY(unpack(r, ahead < AUDIT_READER_PIECE ? (size_t)ahead : AUDIT_READER_PIECE));
        }
        return NULL;
}

/* ---- both ------------------------------------------------------------------------------------------------------ */

static struct error *read_more(struct audit_reader *r, size_t most)
{
        size_t got = 0;

        TRY(read_at(r->fd, r->data + r->len, most - r->len, r->start + (off_t)r->len, &got));
        r->len += got;
        return NULL;
}

struct error *audit_reader_view(struct audit_reader *r, off_t at, size_t most, struct str *ret)
{
        off_t end = r->start + (off_t)r->len;

        *ret = STR("");
        if (most > AUDIT_READER_PIECE)
                most = AUDIT_READER_PIECE;
        if (r->is_packed && (at < r->start || at > end)) {
                TRY(seek_packed(r, at));
                end = r->start + (off_t)r->len;
        }
        if (at >= r->start && at <= end) {
                r->len = (size_t)(end - at);
                memmove(r->data, r->data + (at - r->start), r->len);
                r->start = at;
        } else if (!r->is_packed) {
                r->start = at;
                r->len = 0;
        } else {
                return NULL; /* behind the end of the text */
        }
        if (r->len < most)
                TRY(r->is_packed ? unpack(r, most) : read_more(r, most));
        *ret = (struct str){ r->data, r->len < most ? r->len : most };
        return NULL;
}
