/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DER encoder and decoder (X.690) for keys and certificates: the encoder writes one typed value at a time; the decoder
 * is for untrusted input and accepts the canonical form only.
 */
#ifndef PKI_DER_H
#define PKI_DER_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/reader.h"

enum der_tag {
        DER_BOOLEAN = 0x01,
        DER_INTEGER = 0x02,
        DER_BIT_STRING = 0x03,
        DER_OCTET_STRING = 0x04,
        DER_NULL = 0x05,
        DER_OID = 0x06,
        DER_UTF8_STRING = 0x0c,
        DER_PRINTABLE_STRING = 0x13,
        DER_UTC_TIME = 0x17,
        DER_GENERALIZED_TIME = 0x18,
        DER_SEQUENCE = 0x30,
        DER_SET = 0x31,
};

/* Context-specific tags, as in "[2] IMPLICIT" and "[3] EXPLICIT". */
#define DER_CONTEXT(n)             ((uint8_t)(0x80 | (n)))
#define DER_CONTEXT_CONSTRUCTED(n) ((uint8_t)(0xa0 | (n)))

/* An object identifier from its numbers: `OID(2, 5, 29, 15)`; OID_INIT in constant tables. */
enum { OID_ARCS_MAX = 10 };
struct oid {
        uint32_t arcs[OID_ARCS_MAX];
        size_t count;
};
#define OID_INIT(...)                                                                                                  \
        {                                                                                                              \
                .arcs = { __VA_ARGS__ }, .count = sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t)               \
        }
#define OID(...) ((struct oid)OID_INIT(__VA_ARGS__))

/* ---- writing -------------------------------------------------------------------------------------- */

enum { DER_DEPTH_MAX = 12 };

/* An encoder over a buffer; buf_finish() reports an overflow. */
struct der {
        struct buf *out;
        size_t open[DER_DEPTH_MAX]; /* offset of the contents of each open element */
        size_t depth;
};

static inline struct der der_over(struct buf *out)
{
        return (struct der){ .out = out };
}

/* Opens an element; bytes written until the matching der_end() are its contents. */
void der_begin(struct der *d, uint8_t tag);
void der_end(struct der *d);

/* Writes a whole element with this tag and these contents. */
void der_put(struct der *d, uint8_t tag, struct str contents);

void der_put_bool(struct der *d, bool value);
/* Writes an unsigned number, given big-endian; leading zeros are dropped, and one is added before a set sign bit. */
void der_put_unsigned(struct der *d, struct str big_endian);
void der_put_small(struct der *d, uint8_t value);
void der_put_oid(struct der *d, struct oid oid);
/* Writes a BIT STRING of whole bytes. */
void der_put_bits(struct der *d, struct str bytes);
/* Writes named bits, as of KeyUsage: the highest is bit 0, trailing zeros are not written (X.680 section 22.7). */
void der_put_named_bits(struct der *d, uint8_t bits);
/* Writes a time in seconds; UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5). Years 1950 to 9999. */
void der_put_time(struct der *d, struct walltime t);
/* Writes an element that is already encoded. */
void der_put_encoded(struct der *d, struct str element);

/* ---- reading -------------------------------------------------------------------------------------- */

/*
 * Enters the next element, which must have this tag, and moves r behind it. Lengths must be definite and minimal. An
 * error is set in r and in the result; der_leave() reports errors of the contents.
 */
struct reader der_enter(struct reader *r, uint8_t tag);

/* Ends the contents of `inner`: an error in it, or remaining bytes, become an error of r. */
void der_leave(struct reader *r, const struct reader *inner);

/* The contents of the next element, borrowed. */
struct str der_get(struct reader *r, uint8_t tag);

/* A non-negative number, without the sign byte; "" for zero. */
struct str der_get_unsigned(struct reader *r);

/* Contents of a BIT STRING of whole bytes. */
struct str der_get_bits(struct reader *r);

/* The contents of an OBJECT IDENTIFIER; the second function compares them with an OID. */
struct str der_get_oid(struct reader *r);
bool der_oid_is(struct str encoded, struct oid oid);

#endif
