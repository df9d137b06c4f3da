/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DER (X.690), as much of it as keys and certificates need: a writer that takes one typed value at a
 * time, and a reader for untrusted input that accepts each value in its one DER form only.
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

/* An object identifier by its numbers: `OID(2, 5, 29, 15)`; OID_INIT in constant tables. */
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

/* A writer over a buffer, which reports an overflow by buf_finish() as ever. */
struct der {
        struct buf *out;
        size_t open[DER_DEPTH_MAX]; /* where the contents of each open element begin */
        size_t depth;
};

static inline struct der der_over(struct buf *out)
{
        return (struct der){ .out = out };
}

/* Opens an element; what is written until the matching der_end is its contents. */
void der_begin(struct der *d, uint8_t tag);
void der_end(struct der *d);

/* A whole element of the tag with these contents. */
void der_put(struct der *d, uint8_t tag, struct str contents);

void der_put_bool(struct der *d, bool value);
/* A number without sign, big-endian; leading zeros are dropped, one is added where a sign bit would show. */
void der_put_unsigned(struct der *d, struct str big_endian);
void der_put_small(struct der *d, uint8_t value);
void der_put_oid(struct der *d, struct oid oid);
/* Whole bytes only. */
void der_put_bits(struct der *d, struct str bytes);
/* Bits with names, as of KeyUsage: the highest is bit 0, zeros at the end are not written (X.680 section 22.7). */
void der_put_named_bits(struct der *d, uint8_t bits);
/* Seconds; UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5). Years 1950 to 9999. */
void der_put_time(struct der *d, struct walltime t);
/* An element that is already encoded. */
void der_put_encoded(struct der *d, struct str element);

/* ---- reading -------------------------------------------------------------------------------------- */

/*
 * Enters the next element, which must have this tag, and leaves r behind it. Lengths must be definite
 * and as short as can be. A fault is in r and in the result; read inner faults with der_leave.
 */
struct reader der_enter(struct reader *r, uint8_t tag);

/* The contents of `inner` have been read: a fault in it, or bytes left, become a fault of r. */
void der_leave(struct reader *r, const struct reader *inner);

/* The contents of the next element, borrowed. */
struct str der_get(struct reader *r, uint8_t tag);

/* A number that is not negative, without the sign byte; "" for zero. */
struct str der_get_unsigned(struct reader *r);

/* Contents of a BIT STRING of whole bytes. */
struct str der_get_bits(struct reader *r);

/* The contents of an OBJECT IDENTIFIER, and whether they are these numbers. */
struct str der_get_oid(struct reader *r);
bool der_oid_is(struct str encoded, struct oid oid);

#endif
