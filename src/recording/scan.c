/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans a container as read from the disk. Valid chunks follow each other:
 *
 *      chunk ──▶ chunk ──▶ … ──▶ end
 *        │ its header or checksum is wrong
 *        ▼
 *      searching, byte by byte, for a chunk with a later number and a valid checksum ──▶ hole, then that chunk
 *        │ the bytes end
 *        ▼
 *      tail
 *
 * Terminal output cannot look like a chunk: lines have no control characters, and the length of a chunk begins with a zero byte.
 */
#include "base/bug.h"
#include "base/mem.h"
#include "base/reader.h"
#include "recording/recording_internal.h"

struct recording_scan {
        struct buf in;   /* bytes fed; from `read` on they are unread */
        size_t read;
        uint64_t offset; /* position of `read` in the container */
        uint32_t next;   /* number of the next chunk */
        bool has_begun, has_ended, no_more;
        size_t given;    /* length of the last returned piece: skipped at the next call */
        /* searching */
        bool is_searching, has_no_magic;
        uint64_t hole, last_data; /* start of the hole; position after its last nonzero byte */
        uint64_t chunk_end;       /* expected end of the damaged chunk; 0: unknown */
        uint64_t searched;
        struct error *fault;
};

struct recording_scan *recording_scan_new(void)
{
        struct recording_scan *s = NEW(struct recording_scan);

        s->in = BUF_MAX(RECORDING_FEED_MAX + CHUNK_HEADER + RECORDING_CHUNK_MAX);
        return s;
}

void recording_scan_free(struct recording_scan *s)
{
        if (s == NULL)
                return;
        buf_release(&s->in);
        error_free(s->fault);
        free(s);
}

static void pass(struct recording_scan *s, size_t len)
{
        s->read += len;
        s->offset += len;
}

void recording_scan_feed(struct recording_scan *s, struct str bytes)
{
        if (s->fault != NULL)
                return;
        pass(s, s->given);
        s->given = 0;
        buf_consume(&s->in, s->read);
        s->read = 0;
        buf_put(&s->in, bytes);
        if (s->in.overflowed)
                bug("a recording is fed faster than it is read");
}

void recording_scan_end(struct recording_scan *s)
{
        s->no_more = true;
}

static struct str unread(const struct recording_scan *s)
{
        return str_slice(buf_str(&s->in), s->read, s->in.len);
}

static bool sum_fits(struct str chunk, const struct chunk_header *h)
{
        return crc32c(0, str_slice(chunk, CHUNK_HEADER - CHUNK_SUMMED, chunk.len)) == h->crc;
}

static void begin_search(struct recording_scan *s, size_t chunk_len)
{
        s->is_searching = true;
        s->hole = s->last_data = s->offset;
        s->chunk_end = chunk_len > 0 ? s->offset + chunk_len : 0;
}

/* ---- chunks in sequence ------------------------------------------------------------------------------------- */

static void give_tail(struct recording_scan *s, struct recording_piece *ret, bool is_torn)
{
        *ret = (struct recording_piece){ .kind = RECORDING_PIECE_TAIL, .offset = s->offset, .len = unread(s).len, .number = s->next,
                                         .next = s->next, .is_torn = is_torn };
        s->given = unread(s).len;
}

static void give_chunk(struct recording_scan *s, const struct chunk_header *h, struct recording_piece *ret)
{
        struct str chunk = str_slice(unread(s), 0, CHUNK_HEADER + h->length);

        *ret = (struct recording_piece){ .kind = h->kind == CHUNK_END ? RECORDING_PIECE_END : RECORDING_PIECE_DATA, .offset = s->offset,
                                         .len = chunk.len, .chunk = chunk, .number = s->next, .next = h->number + 1 };
        if (h->kind == CHUNK_HOLE) {
                ret->kind = RECORDING_PIECE_HOLE;
                ret->is_marked = true;
                ret->next = h->number;
        }
        s->has_ended = h->kind == CHUNK_END;
        s->next = ret->next;
        s->given = chunk.len;
}

static void next_chunk(struct recording_scan *s, struct recording_piece *ret, bool *ret_have)
{
        struct str in = unread(s);
        struct chunk_header h;

        if (in.len < CHUNK_HEADER) {
                *ret_have = s->no_more && in.len > 0;
                if (*ret_have)
                        give_tail(s, ret, true);
                return;
        }
        AUTO_PTR(error) damage = chunk_header_read(str_bytes(in), s->next, &h);
        if (damage != NULL) {
                begin_search(s, 0);
        } else if (in.len - CHUNK_HEADER < h.length) {
                if (s->no_more) /* torn, unless a later chunk shows that this length is wrong */
                        begin_search(s, CHUNK_HEADER + h.length);
        } else if (!sum_fits(str_slice(in, 0, CHUNK_HEADER + h.length), &h)) {
                begin_search(s, CHUNK_HEADER + h.length);
        } else {
                give_chunk(s, &h, ret);
                *ret_have = true;
        }
}

/* ---- search for the next valid chunk -------------------------------------------------------------------------- */

/* Whether it could be the header of a later chunk, without checking its checksum. */
static bool is_plausible(const struct recording_scan *s, struct str in, struct chunk_header *ret)
{
        const uint8_t *p = str_bytes(in);

        if (p[0] != 0 || p[1] > 1 || (p[12] != CHUNK_DATA && p[12] != CHUNK_END && p[12] != CHUNK_HOLE))
                return false;
        struct reader r = reader_over(str_slice(in, 8, 4));
        uint32_t number = reader_u32(&r);
        AUTO_PTR(error) damage = number < s->next ? NULL : chunk_header_read(p, number, ret);
        return number >= s->next && damage == NULL;
}

enum chunk_search { SEARCH_NOT_HERE, SEARCH_FOUND, SEARCH_TOO_SHORT };

static enum chunk_search check_here(struct recording_scan *s, struct chunk_header *ret)
{
        struct str in = unread(s);

        if (!is_plausible(s, in, ret))
                return SEARCH_NOT_HERE;
        if (in.len - CHUNK_HEADER < ret->length)
                return s->no_more ? SEARCH_NOT_HERE : SEARCH_TOO_SHORT;
        if (sum_fits(str_slice(in, 0, CHUNK_HEADER + ret->length), ret))
                return SEARCH_FOUND;
        s->searched += ret->length;
        return SEARCH_NOT_HERE;
}

static void leave_hole(struct recording_scan *s, uint32_t found, struct recording_piece *ret)
{
        *ret = (struct recording_piece){ .kind = RECORDING_PIECE_HOLE, .offset = s->hole, .len = s->offset - s->hole, .number = s->next,
                                         .next = found };
        s->next = found;
        s->is_searching = s->has_no_magic = false;
}

static void skip_byte(struct recording_scan *s)
{
        if (unread(s).ptr[0] != '\0')
                s->last_data = s->offset + 1;
        pass(s, 1);
}

/* The container ends in a hole: a crash leaves the start of a chunk, or zeros if the file grew before its bytes were written. */
static struct error *end_in_hole(struct recording_scan *s, struct recording_piece *ret, bool *ret_have)
{
        while (unread(s).len > 0)
                skip_byte(s);
        if (s->has_no_magic)
                return error_new(ERROR_DATA_LOSS, "this is not a recording");
        bool is_short = s->chunk_end > 0 ? s->last_data < s->chunk_end : s->last_data < s->hole + CHUNK_HEADER;
        *ret = (struct recording_piece){ .kind = RECORDING_PIECE_TAIL, .offset = s->hole, .len = s->offset - s->hole, .number = s->next,
                                         .next = s->next, .is_torn = is_short };
        *ret_have = true;
        s->is_searching = false;
        return NULL;
}

static struct error *search(struct recording_scan *s, struct recording_piece *ret, bool *ret_have)
{
        struct chunk_header h;

        while (unread(s).len >= CHUNK_HEADER) {
                enum chunk_search chunk_search = check_here(s, &h);

                if (chunk_search == SEARCH_FOUND) {
                        leave_hole(s, h.number, ret);
                        *ret_have = true;
                        return NULL;
                }
                if (chunk_search == SEARCH_TOO_SHORT)
                        return NULL;
                if (s->searched > RECORDING_SEARCH_MAX)
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "the recording is damaged from byte %llu on, and no valid part was found after it",
                                         (unsigned long long)s->hole);
                skip_byte(s);
        }
        return s->no_more ? end_in_hole(s, ret, ret_have) : NULL;
}

/* ---- the whole container ----------------------------------------------------------------------------------------- */

static struct error *read_magic(struct recording_scan *s, struct recording_piece *ret, bool *ret_have)
{
        struct str in = unread(s), magic = STR(RECORDING_MAGIC);

        if (in.len >= MAGIC_LEN) {
                s->has_begun = true;
                if (str_equal(str_slice(in, 0, MAGIC_LEN), magic)) {
                        pass(s, MAGIC_LEN);
                        return NULL;
                }
                begin_search(s, 0);
                s->has_no_magic = true;
                return NULL;
        }
        if (!s->no_more || in.len == 0)
                return NULL;
        if (!str_equal(in, str_slice(magic, 0, in.len)))
                return error_new(ERROR_DATA_LOSS, "this is not a recording");
        give_tail(s, ret, true);
        *ret_have = true;
        return NULL;
}

static struct error *next(struct recording_scan *s, struct recording_piece *ret, bool *ret_have)
{
        pass(s, s->given);
        s->given = 0;
        if (!s->has_begun)
                TRY(read_magic(s, ret, ret_have));
        if (*ret_have || !s->has_begun)
                return NULL;
        if (s->has_ended)
                return unread(s).len == 0 ? NULL : error_new(ERROR_DATA_LOSS, "the recording has bytes after its end");
        if (!s->is_searching)
                next_chunk(s, ret, ret_have);
        return s->is_searching ? search(s, ret, ret_have) : NULL;
}

struct error *recording_scan_next(struct recording_scan *s, struct recording_piece *ret, bool *ret_have)
{
        *ret_have = false;
        if (s->fault == NULL)
                s->fault = next(s, ret, ret_have);
        if (s->fault == NULL)
                return NULL;
        *ret_have = false;
        return error_copy(s->fault);
}

/* ---- marking ------------------------------------------------------------------------------------------------------- */

size_t recording_hole_part(uint64_t len)
{
        if (len <= RECORDING_HOLE_MOST)
                return len < RECORDING_HOLE_MIN ? 0 : (size_t)len;
        return len - RECORDING_HOLE_MOST < RECORDING_HOLE_MIN ? RECORDING_HOLE_MOST - RECORDING_HOLE_MIN : RECORDING_HOLE_MOST;
}

void recording_put_hole(struct buf *out, size_t part, uint32_t next)
{
        static char zeros[RECORDING_HOLE_MOST]; /* never written, and not const: as a constant, it would be 32 KiB of the program */
        AUTO(buf) summed = BUF_MAX(CHUNK_SUMMED);

        _Static_assert((int)RECORDING_HOLE_MIN == (int)CHUNK_HEADER + 1, "the smallest chunk");
        if (part < RECORDING_HOLE_MIN || part > RECORDING_HOLE_MOST)
                bug("a hole of %zu bytes", part);
        struct str body = { zeros, part - CHUNK_HEADER };
        buf_put_u32(&summed, next);
        buf_put_u8(&summed, CHUNK_HOLE);
        buf_put_u32(out, (uint32_t)body.len);
        buf_put_u32(out, crc32c(crc32c(0, buf_str(&summed)), body));
        buf_put(out, buf_str(&summed));
        buf_put(out, body);
}
