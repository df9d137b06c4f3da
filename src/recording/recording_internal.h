/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations shared by the writer, reader and checker of recordings. Private to src/recording.
 */
#ifndef RECORDING_RECORDING_INTERNAL_H
#define RECORDING_RECORDING_INTERNAL_H

#include "recording/recording.h"

#define RECORDING_MAGIC "CTREC\x01\r\n"

enum {
        MAGIC_LEN = sizeof RECORDING_MAGIC - 1,
        CHUNK_HEADER = 13,           /* length, CRC-32C, number, kind */
        CHUNK_SUMMED = 5,            /* the part of the header that the CRC covers: number, kind */
        CHUNK_END_LEN = 32 + 8,      /* SHA-256, microseconds */
        DIGEST_LEN = 32,
        EVENT_BYTES_MAX = 8 * KiB,   /* of output in one line: escaped, up to six times as long, it fits a chunk */
        EVENT_LINE_MAX = 6 * EVENT_BYTES_MAX + 128,
        HEADER_LINE_MAX = 4 * KiB,
        SIZE_MAX_CELLS = 65535,      /* maximum of columns or rows, that of TIOCSWINSZ */
};

enum chunk_kind { CHUNK_DATA = 'd', CHUNK_END = 'e', CHUNK_HOLE = 'h' };

struct chunk_header {
        uint32_t length, crc, number;
        uint8_t kind;
};

/*
 * Reads a chunk's header and checks that it may come next; DATA_LOSS names the chunk. A hole's number is that of the
 * chunk behind it: `expected` or more.
 */
struct error *chunk_header_read(const uint8_t *head, uint32_t expected, struct chunk_header *ret) MUST_USE;

/* CRC-32C (RFC 3720 appendix B.4), from `crc` on, which is 0 at the start. */
uint32_t crc32c(uint32_t crc, struct str bytes);

/* ---- lines ------------------------------------------------------------------------------------------- */

/* The length of the first character in bytes (RFC 3629), 0 if it is incomplete, or -1 for an invalid byte. */
int utf8_first(struct str s);

void line_put_header(struct buf *out, const struct recording_header *h);
/* Writes at most EVENT_BYTES_MAX bytes; an incomplete character is written as single bytes. */
void line_put_output(struct buf *out, struct duration at, struct str bytes);
void line_put_resize(struct buf *out, struct duration at, uint32_t columns, uint32_t rows);

/*
 * Reads the output of the functions above and nothing else: DATA_LOSS. The line has no newline; `bytes` receives the
 * output of an OUTPUT event.
 */
struct error *line_read_header(struct str line, struct recording_event *ret) MUST_USE;
struct error *line_read_event(struct str line, struct buf *bytes, struct recording_event *ret) MUST_USE;

#endif
