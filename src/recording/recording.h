/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of terminals: asciicast v2 lines (docs.asciinema.org/manual/asciicast/v2) in a container
 * of our own that tells a torn or altered file from a whole one. docs/protocols/recording.md.
 *
 *     "CTREC\x01\r\n" , chunk …          chunk: u32 length, u32 CRC-32C of what follows, u32 number from 0,
 *                                        u8 kind ('d' data, 'e' end), `length` bytes: whole lines
 *
 * (Numbers big endian.) The end chunk carries the SHA-256 of everything before it and how long the session
 * lasted (u64 microseconds). What follows the last whole chunk is the torn tail of a crash.
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
 * holds everything that was not taken: whoever produces faster than the disk takes waits.
 */
void recording_output(struct recording_writer *w, struct duration at, struct str bytes);
void recording_resize(struct recording_writer *w, struct duration at, uint32_t columns, uint32_t rows);
/* Closes the open chunk, if any: after it, drain yields everything written so far. */
void recording_flush(struct recording_writer *w);
/* The end chunk; nothing can be added any more. */
void recording_finish(struct recording_writer *w, struct duration at);
/* Whole chunks not taken yet; borrowed until the next call. recording_taken says how many bytes of them are done with. */
struct str recording_drain(struct recording_writer *w);
void recording_taken(struct recording_writer *w, size_t len);

/* ---- reading ---------------------------------------------------------------------------------------- */

enum recording_event_kind { RECORDING_HEADER, RECORDING_OUTPUT, RECORDING_RESIZE, RECORDING_END };
struct recording_event {
        enum recording_event_kind kind;
        struct duration at;     /* END: how long the session lasted */
        struct str bytes;       /* OUTPUT: as the terminal got them; borrowed until the next call */
        struct str line;        /* the asciicast line it came from, without newline (HEADER, OUTPUT, RESIZE) */
        uint32_t columns, rows; /* HEADER, RESIZE */
        struct walltime started; /* HEADER */
        bool is_verified;       /* END: the digest agrees; DATA_LOSS otherwise, so always true */
};
struct recording_reader;
struct recording_reader *recording_reader_new(void) MUST_USE;
void recording_reader_free(struct recording_reader *r);
/* Gives more bytes of the container (copied), at most RECORDING_FEED_MAX before recording_next asks for more. */
void recording_feed(struct recording_reader *r, struct str bytes);
/* The next event; *ret_have false: more bytes are needed. DATA_LOSS names the chunk that is damaged; repeats from then on. */
struct error *recording_next(struct recording_reader *r, struct recording_event *ret, bool *ret_have) MUST_USE;

/*
 * Only the structure, for whoever keeps recordings without looking inside: feeds bytes, tells how far whole chunks
 * reach, whether the end chunk was seen, and what is wrong (DATA_LOSS). A plain value; zero it to start.
 */
struct recording_check {
        uint64_t whole;   /* bytes of whole chunks so far */
        uint32_t next;    /* number of the next chunk */
        bool has_ended;
        uint8_t head[16]; /* the file's or a chunk's header, as far as it came */
        size_t head_len;
        uint32_t body_len, body_left, crc, crc_so_far;
};
struct error *recording_check_feed(struct recording_check *c, struct str bytes) MUST_USE;
/* Forgets what came of a chunk that is not whole: the next byte begins a chunk at `whole`. */
void recording_check_cut(struct recording_check *c);

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
