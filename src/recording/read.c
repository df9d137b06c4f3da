/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/reader.h"
#include "recording/recording_internal.h"

struct recording_reader {
        struct buf in;       /* fed, from the chunk on that is being read */
        size_t read;         /* of in */
        struct str lines;    /* left of the current chunk; borrowed from in */
        struct buf bytes;    /* of the event given last */
        uint32_t next;       /* number of the next chunk */
        bool has_begun;      /* the magic was seen */
        bool has_header;
        bool has_ended;
        struct duration last;
        EVP_MD_CTX *digest;
        struct error *fault; /* repeats from then on */
};

struct recording_reader *recording_reader_new(void)
{
        struct recording_reader *r = NEW(struct recording_reader);

        r->in = BUF_MAX(RECORDING_FEED_MAX + CHUNK_HEADER + RECORDING_CHUNK_MAX);
        r->bytes = BUF_MAX(RECORDING_CHUNK_MAX);
        r->digest = EVP_MD_CTX_new();
        if (r->digest == NULL || EVP_DigestInit_ex(r->digest, EVP_sha256(), NULL) != 1)
                bug("there is no SHA-256");
        return r;
}

void recording_reader_free(struct recording_reader *r)
{
        if (r == NULL)
                return;
        EVP_MD_CTX_free(r->digest);
        buf_release(&r->in);
        buf_release(&r->bytes);
        error_free(r->fault);
        free(r);
}

void recording_feed(struct recording_reader *r, struct str bytes)
{
        if (r->fault != NULL)
                return;
        if (r->lines.len == 0) {
                buf_consume(&r->in, r->read);
                r->read = 0;
                buf_put(&r->in, bytes);
        } else { /* the lines move with the buffer */
                size_t from_end = r->in.len - (size_t)(r->lines.ptr - r->in.ptr);

                buf_put(&r->in, bytes);
                r->lines.ptr = r->in.ptr + (r->in.len - bytes.len - from_end);
        }
        if (r->in.overflowed)
                bug("a recording is fed faster than it is read");
}

static struct str unread(const struct recording_reader *r)
{
        return str_slice(buf_str(&r->in), r->read, r->in.len);
}

/* Passes over bytes that the digest covers. */
static struct str pass(struct recording_reader *r, size_t len)
{
        struct str bytes = str_slice(unread(r), 0, len);

        if (EVP_DigestUpdate(r->digest, bytes.ptr, bytes.len) != 1)
                bug("SHA-256 failed");
        r->read += len;
        return bytes;
}

static struct error *read_end(struct recording_reader *r, struct str body, struct recording_event *ret)
{
        unsigned char digest[DIGEST_LEN];
        struct reader rest = reader_over(body);

        if (EVP_DigestFinal_ex(r->digest, digest, NULL) != 1)
                bug("SHA-256 failed");
        if (!str_equal(reader_take(&rest, DIGEST_LEN), str_of_bytes(digest, sizeof digest)))
                return error_new(ERROR_DATA_LOSS, "the recording was altered: its digest does not fit");
        uint64_t us = reader_u64(&rest);
        if (us < (uint64_t)r->last.ns / 1000 || us > INT64_MAX / 1000)
                return error_new(ERROR_DATA_LOSS, "the recording ends before its last event");
        r->has_ended = true;
        *ret = (struct recording_event){
                .kind = RECORDING_END,
                .at = { (int64_t)us * 1000 },
                .is_verified = true,
        };
        return NULL;
}

static struct error *damaged(const struct recording_reader *r, const char *why)
{
        return error_new(ERROR_DATA_LOSS, "chunk %u of the recording is damaged: %s", r->next, why);
}

/* Opens the next chunk if it is whole: then *ret_have says whether it was the end, else its lines are there. */
static struct error *open_chunk(struct recording_reader *r, struct recording_event *ret, bool *ret_have, bool *ret_more)
{
        struct str in = unread(r);
        struct chunk_header h;

        *ret_more = false;
        if (in.len < CHUNK_HEADER)
                return NULL;
        TRY(chunk_header_read(str_bytes(in), r->next, &h));
        if (in.len - CHUNK_HEADER < h.length)
                return NULL;
        if (crc32c(0, str_slice(in, CHUNK_HEADER - CHUNK_SUMMED, CHUNK_SUMMED + h.length)) != h.crc)
                return damaged(r, "its checksum does not fit");
        if (h.kind == CHUNK_END) {
                r->read += CHUNK_HEADER + h.length;
                *ret_have = true;
                return read_end(r, str_slice(in, CHUNK_HEADER, h.length), ret);
        }
        r->lines = str_slice(pass(r, CHUNK_HEADER + h.length), CHUNK_HEADER, h.length);
        if (!str_ends_with(r->lines, STR("\n")))
                return damaged(r, "its last line has no end");
        r->next++;
        *ret_more = true;
        return NULL;
}

static struct error *read_line(struct recording_reader *r, struct recording_event *ret)
{
        struct str line = str_split(&r->lines, '\n');

        if (!r->has_header) {
                r->has_header = true;
                return line_read_header(line, ret);
        }
        buf_clear(&r->bytes);
        TRY(line_read_event(line, &r->bytes, ret));
        if (ret->at.ns < r->last.ns)
                return error_new(ERROR_DATA_LOSS, "the recording goes back in time");
        r->last = ret->at;
        return NULL;
}

static struct error *next(struct recording_reader *r, struct recording_event *ret, bool *ret_have)
{
        if (!r->has_begun) {
                if (unread(r).len < MAGIC_LEN)
                        return NULL;
                if (!str_equal(pass(r, MAGIC_LEN), STR(RECORDING_MAGIC)))
                        return error_new(ERROR_DATA_LOSS, "this is not a recording");
                r->has_begun = true;
        }
        if (r->has_ended)
                return unread(r).len == 0 ? NULL
                                          : error_new(ERROR_DATA_LOSS, "the recording goes on behind its end");
        if (r->lines.len == 0) {
                bool more;

                TRY(open_chunk(r, ret, ret_have, &more));
                if (!more)
                        return NULL;
        }
        *ret_have = true;
        return read_line(r, ret);
}

struct error *recording_next(struct recording_reader *r, struct recording_event *ret, bool *ret_have)
{
        *ret_have = false;
        if (r->fault == NULL)
                r->fault = next(r, ret, ret_have);
        if (r->fault == NULL)
                return NULL;
        *ret_have = false;
        return error_copy(r->fault);
}
