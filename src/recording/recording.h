/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of terminals: asciicast v2 lines (docs.asciinema.org/manual/asciicast/v2) in this project's container
 * format, which detects truncated and altered files. docs/protocols/recording.md.
 *
 *     "CTREC\x01\r\n" , chunk …          chunk: u32 length, u32 CRC-32C of what follows, u32 number from 0,
 *                                        u8 kind ('d' data, 'e' end, 'h' hole), `length` bytes: whole lines
 *
 * (Numbers big endian.) The end chunk has the SHA-256 of everything before it and the duration of the session (u64
 * microseconds). Bytes after the last whole chunk are left by a crash. A hole replaces bytes that a node's disk has
 * lost: it has as many bytes as were lost, and its number is that of the chunk after it.
 *
 * Lines are valid JSON for any terminal output: an incomplete character at the end of an event is held until its rest
 * arrives; a byte that is not UTF-8 is written as a lone surrogate, \udc80 to \udcff, so that no byte is lost
 * ("surrogateescape").
 */
#ifndef RECORDING_RECORDING_H
#define RECORDING_RECORDING_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

enum {
        RECORDING_CHUNK_MAX = 64 * KiB, /* lines of one chunk */
        RECORDING_FEED_MAX = 4 * MiB,
};

/* ---- writing --------------------------------------------------------------------------------------- */

struct recording_header {
        uint32_t columns, rows;
        struct walltime started;
        struct str term, title; /* TERM; "user@host", may be empty */
};

struct recording_writer; /* does no I/O: recording_drain() returns the bytes to write */
struct recording_writer *recording_writer_new(const struct recording_header *header) MUST_USE;
void recording_writer_free(struct recording_writer *w);
/*
 * `at` counts from the start of the session and does not go back. The bytes are copied, without a limit. The writer
 * holds everything that was not taken, so a producer that is faster than the disk has to wait.
 */
void recording_output(struct recording_writer *w, struct duration at, struct str bytes);
void recording_resize(struct recording_writer *w, struct duration at, uint32_t columns, uint32_t rows);
/* Closes the open chunk, if any: recording_drain() then returns everything written so far. */
void recording_flush(struct recording_writer *w);
/* Writes the end chunk; nothing can be added afterwards. */
void recording_finish(struct recording_writer *w, struct duration at);
/* The whole chunks that were not taken yet; borrowed until the next call. recording_taken() removes bytes that were written. */
struct str recording_drain(struct recording_writer *w);
/* The number of bytes that were not taken, including those of open chunks. */
size_t recording_held(const struct recording_writer *w);
void recording_taken(struct recording_writer *w, size_t len);

/* ---- reading ---------------------------------------------------------------------------------------- */

enum recording_event_kind { RECORDING_HEADER, RECORDING_OUTPUT, RECORDING_RESIZE, RECORDING_HOLE, RECORDING_END };
struct recording_event {
        enum recording_event_kind kind;
        struct duration at;     /* END: duration of the session; HOLE: time of the event before it */
        struct str bytes;       /* OUTPUT: output of the terminal; borrowed until the next call */
        struct str line;        /* the asciicast line of the event, without newline (HEADER, OUTPUT, RESIZE) */
        uint32_t columns, rows; /* HEADER, RESIZE */
        struct walltime started; /* HEADER */
        bool is_verified;       /* END: the digest agrees (DATA_LOSS otherwise); false after a hole */
        /* HOLE */
        uint64_t missing_bytes;   /* of the container; 0: bytes were removed from it */
        uint32_t first_missing, missing_chunks; /* chunks; 0: extra bytes between two of them. A minimum at the end */
        bool is_at_the_end;       /* no valid chunk follows */
};
struct recording_reader;
struct recording_reader *recording_reader_new(void) MUST_USE;
void recording_reader_free(struct recording_reader *r);
/* Gives more bytes of the container (copied), at most RECORDING_FEED_MAX before recording_next asks for more. */
void recording_feed(struct recording_reader *r, struct str bytes);
/* States that no more bytes follow: damage up to the end is then a hole. */
void recording_feed_end(struct recording_reader *r);
/*
 * The next event; *ret_have false: more bytes are needed. Damaged bytes are skipped up to the next valid chunk and
 * reported as a HOLE. DATA_LOSS when the bytes are not a recording, or valid chunks have invalid contents; further
 * calls return the same.
 */
struct error *recording_next(struct recording_reader *r, struct recording_event *ret, bool *ret_have) MUST_USE;

/*
 * Checks the structure only, for a service that stores recordings without reading them: counts the bytes of whole
 * chunks, detects the end chunk, and reports errors (DATA_LOSS). A plain value; zero it to start.
 */
struct recording_check {
        uint64_t whole;   /* bytes of whole chunks so far */
        uint32_t next;    /* number of the next chunk */
        uint32_t chunks;  /* number of chunks so far, including holes */
        uint32_t missing_chunks; /* missing chunks, by marked holes */
        uint64_t missing_bytes;
        bool has_ended;
        uint8_t head[16]; /* the file's or a chunk's header, as far as received */
        size_t head_len;
        uint32_t body_len, body_left, crc, crc_so_far;
};
struct error *recording_check_feed(struct recording_check *c, struct str bytes) MUST_USE;
/* Drops an incomplete chunk: the next byte begins a chunk at `whole`. */
void recording_check_cut(struct recording_check *c);

/* ---- what is left of a damaged one ---------------------------------------------------------------------- */

/*
 * Splits a container into chunks and, after damage, finds the next valid one. Does no I/O, and holds the unread input
 * and one chunk at most. A search computes checksums of at most RECORDING_SEARCH_MAX bytes: RESOURCE_EXHAUSTED beyond.
 */
enum { RECORDING_SEARCH_MAX = 64 * MiB };
enum recording_piece_kind {
        RECORDING_PIECE_DATA, /* a valid chunk of lines */
        RECORDING_PIECE_END,  /* a valid end chunk */
        RECORDING_PIECE_HOLE, /* damaged or marked as lost; a valid chunk follows */
        RECORDING_PIECE_TAIL, /* invalid up to the end of the bytes; only after recording_scan_end() */
};
struct recording_piece {
        enum recording_piece_kind kind;
        uint64_t offset, len;  /* in the container */
        struct str chunk;      /* DATA, END: with its header; borrowed until the next call */
        uint32_t number, next; /* the first chunk that is missing, and the first that is not (HOLE); of this one and the next (DATA, END) */
        bool is_marked;        /* HOLE: marked by a chunk */
        bool is_torn;          /* TAIL: the beginning of one chunk, or zeros, as after a crash */
};
struct recording_scan;
struct recording_scan *recording_scan_new(void) MUST_USE;
void recording_scan_free(struct recording_scan *s);
DEFINE_AUTO_PTR(recording_scan);
/* Gives more bytes (copied), at most RECORDING_FEED_MAX before recording_scan_next asks for more. */
void recording_scan_feed(struct recording_scan *s, struct str bytes);
void recording_scan_end(struct recording_scan *s);
/*
 * *ret_have false: more bytes are needed, or there are no more. DATA_LOSS: not a recording, or it has bytes after its
 * end chunk.
 */
struct error *recording_scan_next(struct recording_scan *s, struct recording_piece *ret, bool *ret_have) MUST_USE;

/*
 * A hole of `len` bytes is marked by chunks that take exactly as many. recording_hole_part() is the length of the first of
 * them; 0: none is that small (RECORDING_HOLE_MIN). recording_put_hole() writes it; `next` is the number of the chunk behind the
 * hole.
 */
enum { RECORDING_HOLE_MIN = 14, RECORDING_HOLE_MOST = 32 * KiB };
size_t recording_hole_part(uint64_t len);
void recording_put_hole(struct buf *out, size_t part, uint32_t next);

/* ---- the chain --------------------------------------------------------------------------------------- */

/*
 * A hash chain over all chunks, bound to one session and available after every chunk:
 *
 *     link 0     = SHA-256(magic , session ID)
 *     link n + 1 = SHA-256(link n , chunk n with its header)
 *
 * The last link is the digest of the recording. It detects changes that the end chunk of a recording cannot: missing
 * chunks at the end, the recording of another session, a forged recording. It does not check the structure: feed it
 * checked bytes, or use it beside a checker or reader. recording_chain_begin starts it, recording_chain_release frees
 * it; zeroed may be released.
 */
enum { RECORDING_LINK_LEN = 32 };
struct recording_chain {
        uint64_t whole;  /* bytes of whole chunks so far */
        uint32_t chunks; /* number of them */
        uint8_t link[RECORDING_LINK_LEN], first[RECORDING_LINK_LEN]; /* of the last whole chunk and of chunk 0 */
        /* the following fields are private */
        void *md; /* EVP_MD_CTX, of the open chunk */
        uint8_t head[16];
        size_t head_len;
        uint32_t body_len, body_left;
};
void recording_chain_begin(struct recording_chain *c, struct str session_id);
void recording_chain_feed(struct recording_chain *c, struct str bytes);
/* Drops an incomplete chunk. */
void recording_chain_cut(struct recording_chain *c);
void recording_chain_release(struct recording_chain *c);

#endif
