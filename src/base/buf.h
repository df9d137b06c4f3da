/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing byte buffer with a maximum size.
 *
 * Writing functions do not return errors: bytes beyond the maximum are dropped, and buf_finish() reports it. `AUTO(buf)
 * b = BUF_MAX(4 * KiB);`
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

struct buf {
        char *ptr;
        size_t len;
        size_t room; /* allocated */
        size_t max;  /* maximum size */
        bool overflowed;
};

#define BUF_MAX(limit) ((struct buf){ .max = (limit) })

void buf_release(struct buf *b);

/* Empties the buffer and clears an overflow; keeps the memory and the maximum. */
void buf_clear(struct buf *b);

/* The contents; valid until the next change. */
static inline struct str buf_str(const struct buf *b)
{
        return (struct str){ b->ptr, b->len };
}

/* The bytes as a C string (followed by a NUL that is not counted); valid until the next change. */
const char *buf_c(struct buf *b);

/* Transfers the memory, NUL-terminated, to the caller, who frees it; b is empty afterwards. */
char *buf_take(struct buf *b) MUST_USE;

void buf_put(struct buf *b, struct str s);
static inline void buf_put_c(struct buf *b, const char *c)
{
        buf_put(b, str_of(c));
}
void buf_put_char(struct buf *b, char c);
/* A number in decimal digits. */
void buf_put_decimal(struct buf *b, uint64_t number);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* Big-endian integers, as networks and OpenSSH write them. */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);

/* OpenSSH string: u32 length, then the bytes (RFC 4251 section 5). */
void buf_put_ssh_string(struct buf *b, struct str s);

/*
 * Makes room for len more bytes and returns where to write them; they count as written. NULL when that would exceed the
 * maximum.
 */
void *buf_extend(struct buf *b, size_t len);

/* Allocates memory for len more bytes, at most up to the maximum, so that writing them allocates none. */
void buf_reserve(struct buf *b, size_t len);

/* Removes len bytes from the front. */
void buf_consume(struct buf *b, size_t len);

/* RESOURCE_EXHAUSTED naming `what` if anything was dropped since the last clear. */
struct error *buf_finish(const struct buf *b, const char *what) MUST_USE;

#endif
