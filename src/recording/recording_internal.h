/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What writer, reader and checker of recordings share. Private to src/recording.
 */
#ifndef RECORDING_RECORDING_INTERNAL_H
#define RECORDING_RECORDING_INTERNAL_H

#include "recording/recording.h"

#define RECORDING_MAGIC "CTREC\x01\r\n"

enum {
        MAGIC_LEN = sizeof RECORDING_MAGIC - 1,
        CHUNK_HEADER = 13,           /* length, CRC-32C, number, kind */
        CHUNK_SUMMED = 5,            /* the end of it that the CRC covers: number, kind */
        CHUNK_END_LEN = 32 + 8,      /* SHA-256, microseconds */
        DIGEST_LEN = 32,
        EVENT_BYTES_MAX = 8 * KiB,   /* of a terminal in one line: six times that and the rest fit a chunk */
        EVENT_LINE_MAX = 6 * EVENT_BYTES_MAX + 128,
        HEADER_LINE_MAX = 4 * KiB,
        SIZE_MAX_CELLS = 65535,      /* columns or rows: what TIOCSWINSZ can say */
};

enum chunk_kind { CHUNK_DATA = 'd', CHUNK_END = 'e', CHUNK_HOLE = 'h' };

struct chunk_header {
        uint32_t length, crc, number;
        uint8_t kind;
};

/*
 * Reads a chunk's header and checks it against what may come next; DATA_LOSS names the chunk. A hole's number is that of
 * the chunk behind it: `expected` or more.
 */
struct error *chunk_header_read(const uint8_t *head, uint32_t expected, struct chunk_header *ret) MUST_USE;

/* CRC-32C (RFC 3720 appendix B.4), from `crc` on, which is 0 at the start. */
uint32_t crc32c(uint32_t crc, struct str bytes);

/* ---- lines ------------------------------------------------------------------------------------------- */

/* How the bytes begin: a character of so many bytes (RFC 3629), one that is cut off (0), or a byte that is none (-1). */
int utf8_first(struct str s);

void line_put_header(struct buf *out, const struct recording_header *h);
/* At most EVENT_BYTES_MAX bytes, none of them a character that is cut off: those are written as bytes. */
void line_put_output(struct buf *out, struct duration at, struct str bytes);
void line_put_resize(struct buf *out, struct duration at, uint32_t columns, uint32_t rows);

/*
 * Reads what the functions above write, nothing else: DATA_LOSS. The line comes without its newline; `bytes` receives what
 * an OUTPUT showed.
 */
struct error *line_read_header(struct str line, struct recording_event *ret) MUST_USE;
struct error *line_read_event(struct str line, struct buf *bytes, struct recording_event *ret) MUST_USE;

#endif
