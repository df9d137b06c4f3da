/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "base/bug.h"
#include "base/mem.h"
#include "recording/recording_internal.h"

enum {
        HELD_MAX = 3,         /* bytes of an incomplete character */
        READY_MAX = 256 * MiB, /* a caller that leaves more bytes untaken has a bug */
};

struct recording_writer {
        struct buf lines;  /* lines of the open chunk */
        struct buf line;   /* the current line */
        struct buf ready;  /* complete chunks */
        size_t taken;      /* bytes of ready that the caller has taken */
        uint32_t number;
        char held[HELD_MAX];
        size_t held_len;
        EVP_MD_CTX *digest; /* of all bytes added to ready */
        struct duration last;
        bool has_finished;
};

static void put_ready(struct recording_writer *w, struct str bytes)
{
        buf_put(&w->ready, bytes);
        if (w->ready.overflowed)
                bug("no reader takes what a recording writes");
        if (EVP_DigestUpdate(w->digest, bytes.ptr, bytes.len) != 1)
                bug("SHA-256 failed");
}

static void put_chunk(struct recording_writer *w, enum chunk_kind kind, struct str body)
{
        AUTO(buf) head = BUF_MAX(CHUNK_HEADER);
        AUTO(buf) summed = BUF_MAX(CHUNK_SUMMED);

        buf_put_u32(&summed, w->number++);
        buf_put_u8(&summed, (uint8_t)kind);
        buf_put_u32(&head, (uint32_t)body.len);
        buf_put_u32(&head, crc32c(crc32c(0, buf_str(&summed)), body));
        buf_put(&head, buf_str(&summed));
        put_ready(w, buf_str(&head));
        put_ready(w, body);
}

struct recording_writer *recording_writer_new(const struct recording_header *header)
{
        struct recording_writer *w = NEW(struct recording_writer);

        w->lines = BUF_MAX(RECORDING_CHUNK_MAX);
        w->line = BUF_MAX(EVENT_LINE_MAX);
        w->ready = BUF_MAX(READY_MAX);
        w->digest = EVP_MD_CTX_new();
        if (w->digest == NULL || EVP_DigestInit_ex(w->digest, EVP_sha256(), NULL) != 1)
                bug("there is no SHA-256");
        put_ready(w, STR(RECORDING_MAGIC));
        line_put_header(&w->lines, header);
        recording_flush(w);
        return w;
}

void recording_writer_free(struct recording_writer *w)
{
        if (w == NULL)
                return;
        EVP_MD_CTX_free(w->digest);
        buf_release(&w->lines);
        buf_release(&w->line);
        buf_release(&w->ready);
        free(w);
}

void recording_flush(struct recording_writer *w)
{
        if (w->lines.len > 0)
                put_chunk(w, CHUNK_DATA, buf_str(&w->lines));
        buf_release(&w->lines); /* an idle terminal holds no memory */
        w->lines = BUF_MAX(RECORDING_CHUNK_MAX);
        if (w->line.len == 0) {
                buf_release(&w->line);
                w->line = BUF_MAX(EVENT_LINE_MAX);
        }
}

/* Moves the current line to the open chunk, or to the next one if it does not fit. */
static void end_line(struct recording_writer *w)
{
        if (w->lines.len + w->line.len > RECORDING_CHUNK_MAX)
                recording_flush(w);
        buf_put(&w->lines, buf_str(&w->line));
        if (w->line.overflowed || w->lines.overflowed)
                bug("a line of a recording is too long");
        buf_clear(&w->line);
}

static void put_output(struct recording_writer *w, struct str bytes)
{
        if (bytes.len == 0)
                return;
        line_put_output(&w->line, w->last, bytes);
        end_line(w);
}

/* The number of bytes of an incomplete character at the end. */
static size_t cut_off(struct str bytes)
{
        for (size_t n = 1; n <= HELD_MAX && n <= bytes.len; n++) {
                struct str tail = str_slice(bytes, bytes.len - n, n);

                if (((uint8_t)tail.ptr[0] & 0xc0) != 0x80) /* a lead byte, or ASCII */
                        return utf8_first(tail) == 0 ? n : 0;
        }
        return 0;
}

static void go_on(struct recording_writer *w, struct duration at)
{
        if (w->has_finished)
                bug("a recording continues after its end");
        if (at.ns > w->last.ns)
                w->last = at;
}

/* The longest prefix that fits a line and does not cut a character. Never empty. */
static struct str first_event(struct str bytes)
{
        struct str part = str_slice(bytes, 0, EVENT_BYTES_MAX);

        return part.len == bytes.len ? part : str_slice(part, 0, part.len - cut_off(part));
}

/* Completes the held character with bytes from the front; removes these bytes. */
static void complete_held(struct recording_writer *w, struct str *bytes)
{
        while (w->held_len > 0 && bytes->len > 0) {
                char whole[HELD_MAX + 1];
                struct str s = { whole, w->held_len + 1 };

                memcpy(whole, w->held, w->held_len);
                whole[w->held_len] = bytes->ptr[0];
                int len = utf8_first(s);
                if (len < 0) { /* it is not a character: written as single bytes */
                        put_output(w, str_of_bytes(w->held, w->held_len));
                        w->held_len = 0;
                        return;
                }
                *bytes = str_slice(*bytes, 1, bytes->len);
                if (len == 0) {
                        w->held[w->held_len++] = whole[s.len - 1];
                        continue;
                }
                put_output(w, s);
                w->held_len = 0;
        }
}

void recording_output(struct recording_writer *w, struct duration at, struct str bytes)
{
        go_on(w, at);
        complete_held(w, &bytes);
        size_t cut = cut_off(bytes);
        struct str rest = str_slice(bytes, 0, bytes.len - cut);

        if (cut > 0) {
                memcpy(w->held, bytes.ptr + rest.len, cut);
                w->held_len = cut;
        }
        while (rest.len > 0) {
                struct str part = first_event(rest);

                put_output(w, part);
                rest = str_slice(rest, part.len, rest.len);
        }
}

/* Writes the incomplete character as it is: its bytes must come before the next event. */
static void give_up_held(struct recording_writer *w)
{
        put_output(w, str_of_bytes(w->held, w->held_len));
        w->held_len = 0;
}

void recording_resize(struct recording_writer *w, struct duration at, uint32_t columns, uint32_t rows)
{
        go_on(w, at);
        give_up_held(w);
        line_put_resize(&w->line, w->last, columns < SIZE_MAX_CELLS ? columns : SIZE_MAX_CELLS,
                        rows < SIZE_MAX_CELLS ? rows : SIZE_MAX_CELLS);
        end_line(w);
}

void recording_finish(struct recording_writer *w, struct duration at)
{
        AUTO(buf) body = BUF_MAX(CHUNK_END_LEN);
        unsigned char digest[DIGEST_LEN];

        go_on(w, at);
        give_up_held(w);
        recording_flush(w);
        if (EVP_DigestFinal_ex(w->digest, digest, NULL) != 1 || EVP_DigestInit_ex(w->digest, NULL, NULL) != 1)
                bug("SHA-256 failed");
        buf_put(&body, str_of_bytes(digest, sizeof digest));
        buf_put_u64(&body, (uint64_t)w->last.ns / 1000);
        put_chunk(w, CHUNK_END, buf_str(&body));
        w->has_finished = true;
}

struct str recording_drain(struct recording_writer *w)
{
        return str_slice(buf_str(&w->ready), w->taken, w->ready.len);
}

size_t recording_held(const struct recording_writer *w)
{
        return w->ready.len - w->taken + w->lines.len;
}

void recording_taken(struct recording_writer *w, size_t len)
{
        w->taken += len;
        if (w->taken > w->ready.len)
                bug("more of a recording was taken than there is");
        if (w->taken == w->ready.len) {
                buf_release(&w->ready);
                w->ready = BUF_MAX(READY_MAX);
                w->taken = 0;
        } else if (w->taken >= MiB) {
                buf_consume(&w->ready, w->taken);
                w->taken = 0;
        }
}
