/* SPDX-License-Identifier: Apache-2.0 */
#include "base/reader.h"
#include "recording/recording_internal.h"

static struct error *damaged(uint32_t number, const char *why)
{
        return error_hint(error_new(ERROR_DATA_LOSS, "chunk %u of the recording is damaged: %s", number, why),
                          "the bytes before it are complete");
}

struct error *chunk_header_read(const uint8_t *head, uint32_t expected, struct chunk_header *ret)
{
        struct reader r = reader_over(str_of_bytes(head, CHUNK_HEADER));
        struct chunk_header h;

        h.length = reader_u32(&r);
        h.crc = reader_u32(&r);
        h.number = reader_u32(&r);
        h.kind = reader_u8(&r);
        if (h.kind != CHUNK_DATA && h.kind != CHUNK_END && h.kind != CHUNK_HOLE)
                return damaged(expected, "its kind is unknown");
        if (h.kind == CHUNK_HOLE ? h.number < expected : h.number != expected)
                return damaged(expected, "its number is another");
        if (h.kind == CHUNK_END ? h.length != CHUNK_END_LEN : h.length == 0 || h.length > RECORDING_CHUNK_MAX)
                return damaged(expected, "its length is impossible");
        *ret = h;
        return NULL;
}

/* Fills c->head up to `want` bytes; returns whether it is full. */
static bool gather(struct recording_check *c, struct str *bytes, size_t want)
{
        size_t len = want - c->head_len < bytes->len ? want - c->head_len : bytes->len;

        if (len > 0)
                memcpy(c->head + c->head_len, bytes->ptr, len);
        c->head_len += len;
        *bytes = str_slice(*bytes, len, bytes->len);
        return c->head_len == want;
}

static struct error *take_magic(struct recording_check *c, struct str *bytes)
{
        if (!gather(c, bytes, MAGIC_LEN))
                return NULL;
        if (memcmp(c->head, RECORDING_MAGIC, MAGIC_LEN) != 0)
                return error_new(ERROR_DATA_LOSS, "this is not a recording");
        c->whole = MAGIC_LEN;
        c->head_len = 0;
        return NULL;
}

static struct error *take_header(struct recording_check *c, struct str *bytes)
{
        struct chunk_header h;

        if (!gather(c, bytes, CHUNK_HEADER))
                return NULL;
        TRY(chunk_header_read(c->head, c->next, &h));
        c->body_len = c->body_left = h.length;
        c->crc = h.crc;
        c->crc_so_far = crc32c(0, str_of_bytes(c->head + CHUNK_HEADER - CHUNK_SUMMED, CHUNK_SUMMED));
        return NULL;
}

static void pass_hole(struct recording_check *c)
{
        struct reader r = reader_over(str_of_bytes(c->head, CHUNK_HEADER));

        reader_take(&r, 8); /* skips length and CRC */
        uint32_t next = reader_u32(&r);
        c->missing_chunks += next - c->next;
        c->missing_bytes += CHUNK_HEADER + (uint64_t)c->body_len;
        c->next = next;
}

static struct error *take_body(struct recording_check *c, struct str *bytes)
{
        struct str part = str_slice(*bytes, 0, c->body_left);

        c->crc_so_far = crc32c(c->crc_so_far, part);
        c->body_left -= (uint32_t)part.len;
        *bytes = str_slice(*bytes, part.len, bytes->len);
        if (c->body_left > 0)
                return NULL;
        if (c->crc_so_far != c->crc)
                return damaged(c->next, "its checksum does not fit");
        c->has_ended = c->head[CHUNK_HEADER - 1] == CHUNK_END;
        c->whole += CHUNK_HEADER + c->body_len;
        c->chunks++;
        if (c->head[CHUNK_HEADER - 1] == CHUNK_HOLE)
                pass_hole(c);
        else
                c->next++;
        c->head_len = 0;
        return NULL;
}

struct error *recording_check_feed(struct recording_check *c, struct str bytes)
{
        while (bytes.len > 0) {
                if (c->has_ended)
                        return error_new(ERROR_DATA_LOSS, "the recording has bytes after its end");
                if (c->whole == 0)
                        TRY(take_magic(c, &bytes));
                else if (c->body_left == 0)
                        TRY(take_header(c, &bytes));
                else
                        TRY(take_body(c, &bytes));
        }
        return NULL;
}

void recording_check_cut(struct recording_check *c)
{
        c->head_len = 0;
        c->body_left = 0;
}
