/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/reader.h"
#include "recording/recording_internal.h"

struct recording_reader {
        struct recording_scan *scan;
        struct buf chunk;    /* copy of the current chunk's lines */
        struct str lines;    /* unread lines */
        struct buf bytes;    /* bytes of the last returned event */
        bool has_header;
        bool has_hole;       /* an earlier hole: the digest cannot be verified any more */
        struct duration last;
        EVP_MD_CTX *digest;
        struct error *fault; /* once set, returned by every later call */
};

static void digest_put(struct recording_reader *r, struct str bytes)
{
        if (EVP_DigestUpdate(r->digest, bytes.ptr, bytes.len) != 1)
                bug("SHA-256 failed");
}

struct recording_reader *recording_reader_new(void)
{
        struct recording_reader *r = NEW(struct recording_reader);

        r->scan = recording_scan_new();
        r->chunk = BUF_MAX(RECORDING_CHUNK_MAX);
        r->bytes = BUF_MAX(RECORDING_CHUNK_MAX);
        r->digest = EVP_MD_CTX_new();
        if (r->digest == NULL || EVP_DigestInit_ex(r->digest, EVP_sha256(), NULL) != 1)
                bug("there is no SHA-256");
        digest_put(r, STR(RECORDING_MAGIC));
        return r;
}

void recording_reader_free(struct recording_reader *r)
{
        if (r == NULL)
                return;
        EVP_MD_CTX_free(r->digest);
        recording_scan_free(r->scan);
        buf_release(&r->chunk);
        buf_release(&r->bytes);
        error_free(r->fault);
        free(r);
}

void recording_feed(struct recording_reader *r, struct str bytes)
{
        if (r->fault == NULL)
                recording_scan_feed(r->scan, bytes);
}

void recording_feed_end(struct recording_reader *r)
{
        recording_scan_end(r->scan);
}

static struct error *read_end(struct recording_reader *r, struct str body, struct recording_event *ret)
{
        unsigned char digest[DIGEST_LEN];
        struct reader rest = reader_over(body);

        if (EVP_DigestFinal_ex(r->digest, digest, NULL) != 1)
                bug("SHA-256 failed");
        bool is_same = str_equal(reader_take(&rest, DIGEST_LEN), str_of_bytes(digest, sizeof digest));
        if (!is_same && !r->has_hole)
                return error_new(ERROR_DATA_LOSS, "the recording was altered: its digest does not fit");
        uint64_t us = reader_u64(&rest);
        if (us < (uint64_t)r->last.ns / 1000 || us > INT64_MAX / 1000)
                return error_new(ERROR_DATA_LOSS, "the recording ends before its last event");
        *ret = (struct recording_event){
                .kind = RECORDING_END,
                .at = { (int64_t)us * 1000 },
                .is_verified = is_same && !r->has_hole,
        };
        return NULL;
}

static struct error *open_data(struct recording_reader *r, const struct recording_piece *p)
{
        digest_put(r, p->chunk);
        buf_clear(&r->chunk);
        buf_put(&r->chunk, str_slice(p->chunk, CHUNK_HEADER, p->chunk.len));
        r->lines = buf_str(&r->chunk);
        if (!str_ends_with(r->lines, STR("\n")))
                return error_new(ERROR_DATA_LOSS, "chunk %u of the recording is damaged: its last line has no end", p->number);
        return NULL;
}

static void report_hole(struct recording_reader *r, const struct recording_piece *p, struct recording_event *ret)
{
        r->has_hole = true;
        if (p->number == 0 && (p->next > 0 || p->kind == RECORDING_PIECE_TAIL))
                r->has_header = true; /* the header was lost with chunk 0 */
        *ret = (struct recording_event){
                .kind = RECORDING_HOLE,
                .at = r->last,
                .missing_bytes = p->len,
                .first_missing = p->number,
                .missing_chunks = p->kind == RECORDING_PIECE_TAIL ? 1 : p->next - p->number,
                .is_at_the_end = p->kind == RECORDING_PIECE_TAIL,
        };
}

/* Reads the next piece. *ret_have: it is an event; otherwise its lines were opened, or no complete piece is available. */
static struct error *open_piece(struct recording_reader *r, struct recording_event *ret, bool *ret_have)
{
        struct recording_piece p;
        bool have;

        TRY(recording_scan_next(r->scan, &p, &have));
        if (!have || (p.kind == RECORDING_PIECE_TAIL && p.is_torn))
                return NULL;
        if (p.kind == RECORDING_PIECE_DATA)
                return open_data(r, &p);
        *ret_have = true;
        if (p.kind == RECORDING_PIECE_END)
                return read_end(r, str_slice(p.chunk, CHUNK_HEADER, p.chunk.len), ret);
        report_hole(r, &p, ret);
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
                return error_new(ERROR_DATA_LOSS, "the times of the recording decrease");
        r->last = ret->at;
        return NULL;
}

static struct error *next(struct recording_reader *r, struct recording_event *ret, bool *ret_have)
{
        if (r->lines.len == 0)
                TRY(open_piece(r, ret, ret_have));
        if (*ret_have || r->lines.len == 0)
                return NULL;
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
