/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of terminals: asciicast v2 lines (docs.asciinema.org/manual/asciicast/v2) in a container
 * of our own that tells a torn or altered file from a whole one. docs/protocols/recording.md.
 *
 *     "CTREC\x01\r\n" , chunk …          chunk: u32 length, u32 CRC-32C of what follows, u32 number from 0,
 *                                        u8 kind ('d' data, 'e' end, 'h' hole), `length` bytes: whole lines
 *
 * (Numbers big endian.) The end chunk carries the SHA-256 of everything before it and how long the session
 * lasted (u64 microseconds). What follows the last whole chunk is the torn tail of a crash. A hole stands where a node's
 * disk lost what was written: it takes as many bytes as are lost, and its number is that of the chunk behind it.
 *
 * Lines are valid JSON whatever the terminal showed: a character cut between two events waits for its
 * rest; a byte that is not UTF-8 is written as a lone surrogate, \udc80 to \udcff, so that nothing is
 * lost ("surrogateescape").
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

struct recording_writer; /* an engine: bytes come out in drain, it touches no file */
struct recording_writer *recording_writer_new(const struct recording_header *header) MUST_USE;
void recording_writer_free(struct recording_writer *w);
/*
 * `at` counts from the start of the session and does not go back. The bytes are copied; any number of them. The writer
 * holds everything that was not taken: a producer that is faster than the disk waits.
 */
void recording_output(struct recording_writer *w, struct duration at, struct str bytes);
void recording_resize(struct recording_writer *w, struct duration at, uint32_t columns, uint32_t rows);
/* Closes the open chunk, if any: after it, drain yields everything written so far. */
void recording_flush(struct recording_writer *w);
/* The end chunk; nothing can be added any more. */
void recording_finish(struct recording_writer *w, struct duration at);
/* Whole chunks not taken yet; borrowed until the next call. recording_taken says how many bytes of them are done with. */
struct str recording_drain(struct recording_writer *w);
/* All bytes that it holds and that were not taken, of chunks that are open as well. */
size_t recording_held(const struct recording_writer *w);
void recording_taken(struct recording_writer *w, size_t len);

/* ---- reading ---------------------------------------------------------------------------------------- */

enum recording_event_kind { RECORDING_HEADER, RECORDING_OUTPUT, RECORDING_RESIZE, RECORDING_HOLE, RECORDING_END };
struct recording_event {
        enum recording_event_kind kind;
        struct duration at;     /* END: how long the session lasted; HOLE: that of the event before it */
        struct str bytes;       /* OUTPUT: as the terminal got them; borrowed until the next call */
        struct str line;        /* the asciicast line it came from, without newline (HEADER, OUTPUT, RESIZE) */
        uint32_t columns, rows; /* HEADER, RESIZE */
        struct walltime started; /* HEADER */
        bool is_verified;       /* END: the digest agrees; DATA_LOSS otherwise. False behind a hole: nothing can be compared then */
        /* HOLE */
        uint64_t missing_bytes;   /* of the container; 0: they were taken out of it */
        uint32_t first_missing, missing_chunks; /* chunks; 0: something stands between two of them. At least so many at the end */
        bool is_at_the_end;       /* nothing sound comes behind it */
};
struct recording_reader;
struct recording_reader *recording_reader_new(void) MUST_USE;
void recording_reader_free(struct recording_reader *r);
/* Gives more bytes of the container (copied), at most RECORDING_FEED_MAX before recording_next asks for more. */
void recording_feed(struct recording_reader *r, struct str bytes);
/* No more bytes come: what is damaged to the end is a hole then. */
void recording_feed_end(struct recording_reader *r);
/*
 * The next event; *ret_have false: more bytes are needed. Damaged bytes are skipped up to the next sound chunk, and reported
 * as a HOLE. DATA_LOSS for what no damage explains: this is no recording, or its writer did not make it; repeats from then on.
 */
struct error *recording_next(struct recording_reader *r, struct recording_event *ret, bool *ret_have) MUST_USE;

/*
 * Only the structure, for a service that stores recordings without reading them: feeds bytes, says how far whole chunks
 * reach, whether the end chunk was seen, and what is wrong (DATA_LOSS). A plain value; zero it to start.
 */
struct recording_check {
        uint64_t whole;   /* bytes of whole chunks so far */
        uint32_t next;    /* number of the next chunk */
        uint32_t chunks;  /* that came, holes too */
        uint32_t missing_chunks; /* by holes that are marked as such */
        uint64_t missing_bytes;
        bool has_ended;
        uint8_t head[16]; /* the file's or a chunk's header, as far as it came */
        size_t head_len;
        uint32_t body_len, body_left, crc, crc_so_far;
};
struct error *recording_check_feed(struct recording_check *c, struct str bytes) MUST_USE;
/* Forgets what came of a chunk that is not whole: the next byte begins a chunk at `whole`. */
void recording_check_cut(struct recording_check *c);

/* ---- what is left of a damaged one ---------------------------------------------------------------------- */

/*
 * Cuts a container into chunks, and finds the next sound one behind what is damaged. An engine: it touches no file, and holds
 * no more than was fed and a chunk. Finding costs at most RECORDING_SEARCH_MAX bytes of checksums, whatever the bytes
 * are: RESOURCE_EXHAUSTED beyond.
 */
enum { RECORDING_SEARCH_MAX = 64 * MiB };
enum recording_piece_kind {
        RECORDING_PIECE_DATA, /* a sound chunk of lines */
        RECORDING_PIECE_END,  /* a sound end */
        RECORDING_PIECE_HOLE, /* damaged or marked as lost; a sound chunk follows */
        RECORDING_PIECE_TAIL, /* not sound, to the end of the bytes; only after recording_scan_end() */
};
struct recording_piece {
        enum recording_piece_kind kind;
        uint64_t offset, len;  /* in the container */
        struct str chunk;      /* DATA, END: with its header; borrowed until the next call */
        uint32_t number, next; /* the first chunk that is missing, and the first that is not (HOLE); of this one and the next (DATA, END) */
        bool is_marked;        /* HOLE: a chunk that says so */
        bool is_torn;          /* TAIL: the begin of one chunk, or zeros: as a crash leaves it */
};
struct recording_scan;
struct recording_scan *recording_scan_new(void) MUST_USE;
void recording_scan_free(struct recording_scan *s);
DEFINE_AUTO_PTR(recording_scan);
/* Gives more bytes (copied), at most RECORDING_FEED_MAX before recording_scan_next asks for more. */
void recording_scan_feed(struct recording_scan *s, struct str bytes);
void recording_scan_end(struct recording_scan *s);
/* *ret_have false: more bytes are needed, or there are no more. DATA_LOSS: not a recording, or it goes on behind its end. */
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
 * A digest over all chunks that is known at every chunk's end, bound to one session:
 *
 *     link 0     = SHA-256(magic , session ID)
 *     link n + 1 = SHA-256(link n , chunk n with its header)
 *
 * The last link is the digest of the recording. It finds what a recording's own end cannot: chunks left out at
 * the end, another session's recording, one that was made anew. Checks no structure: feed it what was checked, or
 * beside a checker or reader. recording_chain_begin starts it, recording_chain_release frees it; zeroed may be released.
 */
enum { RECORDING_LINK_LEN = 32 };
struct recording_chain {
        uint64_t whole;  /* bytes of whole chunks so far */
        uint32_t chunks; /* as many */
        uint8_t link[RECORDING_LINK_LEN], first[RECORDING_LINK_LEN]; /* of the last whole chunk and of chunk 0 */
        /* nothing below is for others */
        void *md; /* EVP_MD_CTX, of the open chunk */
        uint8_t head[16];
        size_t head_len;
        uint32_t body_len, body_left;
};
void recording_chain_begin(struct recording_chain *c, struct str session_id);
void recording_chain_feed(struct recording_chain *c, struct str bytes);
/* Forgets what came of a chunk that is not whole. */
void recording_chain_cut(struct recording_chain *c);
void recording_chain_release(struct recording_chain *c);

#endif
