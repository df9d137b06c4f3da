/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursor for parsing untrusted bytes, which stores its first error.
 *
 * After an error every read returns zero or the empty string. Values may be used only after reader_finish() has
 * succeeded.
 */
#ifndef BASE_READER_H
#define BASE_READER_H

#include "base/error.h"
#include "base/str.h"

struct reader {
        struct str rest;
        size_t offset;     /* bytes read so far, for messages */
        const char *fault; /* the first error, or NULL */
};

static inline struct reader reader_over(struct str bytes)
{
        return (struct reader){ .rest = bytes };
}

/* The next len bytes, borrowed from the input. */
struct str reader_take(struct reader *r, size_t len);

/* Big-endian integers. */
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u24(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);

/* OpenSSH string (RFC 4251 section 5): u32 length and that many bytes, at most max. */
struct str reader_ssh_string(struct reader *r, size_t max);

/* Records an error found by the caller (a static sentence) unless there is one already. */
void reader_fail(struct reader *r, const char *fault);

static inline bool reader_ok(const struct reader *r)
{
        return r->fault == NULL;
}

/* INVALID_ARGUMENT naming `what` if there was an error or bytes are left. */
struct error *reader_finish(const struct reader *r, const char *what) MUST_USE;

#endif
