/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/der.h"

#include "base/bug.h"

/* ---- writing -------------------------------------------------------------------------------------- */

void der_begin(struct der *d, uint8_t tag)
{
        if (d->depth == DER_DEPTH_MAX)
                bug("DER nested deeper than %d", DER_DEPTH_MAX);
        buf_put_u8(d->out, tag);
        buf_put_u8(d->out, 0); /* placeholder for the length; most lengths are below 128 and need only this byte */
        d->open[d->depth++] = d->out->len;
}

/* Bytes of a length in the long form, without the byte that has their number. */
static size_t length_width(size_t len)
{
        size_t width = 1;

        while (len >> (8 * width) > 0)
                width++;
        return width;
}

void der_end(struct der *d)
{
        if (d->depth == 0)
                bug("DER element ended that was never begun");
        size_t start = d->open[--d->depth];
        if (d->out->overflowed)
                return;
        size_t len = d->out->len - start;
        if (len < 0x80) {
                d->out->ptr[start - 1] = (char)len;
                return;
        }

        size_t width = length_width(len);
        if (buf_extend(d->out, width) == NULL)
                return;
        char *contents = d->out->ptr + start;
        memmove(contents + width, contents, len);
        contents[-1] = (char)(0x80 | width);
        for (size_t i = 0; i < width; i++)
                contents[i] = (char)(len >> (8 * (width - 1 - i)));
}

void der_put(struct der *d, uint8_t tag, struct str contents)
{
        der_begin(d, tag);
        buf_put(d->out, contents);
        der_end(d);
}

void der_put_bool(struct der *d, bool value)
{
        der_put(d, DER_BOOLEAN, value ? STR("\xff") : STR("\0"));
}

void der_put_unsigned(struct der *d, struct str big_endian)
{
        while (big_endian.len > 0 && big_endian.ptr[0] == 0)
                big_endian = str_slice(big_endian, 1, big_endian.len);
        der_begin(d, DER_INTEGER);
        if (big_endian.len == 0 || (big_endian.ptr[0] & 0x80) != 0)
                buf_put_u8(d->out, 0);
        buf_put(d->out, big_endian);
        der_end(d);
}

void der_put_small(struct der *d, uint8_t value)
{
        der_put_unsigned(d, str_of_bytes(&value, 1));
}

/* Seven bits per byte, the high bit set in all but the last (X.690 section 8.19). */
static size_t put_base128(uint8_t *out, uint32_t v)
{
        size_t width = 1;

        for (uint32_t rest = v >> 7; rest > 0; rest >>= 7)
                width++;
        for (size_t i = 0; i < width; i++)
                out[i] = (uint8_t)((v >> (7 * (width - 1 - i)) & 0x7f) | (i + 1 < width ? 0x80 : 0));
        return width;
}

enum { OID_ENCODED_MAX = OID_ARCS_MAX * 5 };

static struct str encode_oid(struct oid oid, uint8_t out[OID_ENCODED_MAX])
{
        size_t len = 0;

        if (oid.count < 2 || oid.count > OID_ARCS_MAX)
                bug("an object identifier of %zu numbers", oid.count);
        len += put_base128(out, oid.arcs[0] * 40 + oid.arcs[1]);
        for (size_t i = 2; i < oid.count; i++)
                len += put_base128(out + len, oid.arcs[i]);
        return str_of_bytes(out, len);
}

void der_put_oid(struct der *d, struct oid oid)
{
        uint8_t encoded[OID_ENCODED_MAX];

        der_put(d, DER_OID, encode_oid(oid, encoded));
}

void der_put_bits(struct der *d, struct str bytes)
{
        der_begin(d, DER_BIT_STRING);
        buf_put_u8(d->out, 0); /* number of unused bits in the last byte */
        buf_put(d->out, bytes);
        der_end(d);
}

void der_put_named_bits(struct der *d, uint8_t bits)
{
        uint8_t unused = 0;

        if (bits == 0)
                bug("no named bits");
        while ((bits >> unused & 1) == 0)
                unused++;
        der_begin(d, DER_BIT_STRING);
        buf_put_u8(d->out, unused);
        buf_put_u8(d->out, bits);
        der_end(d);
}

static void put_two_digits(struct buf *out, int n)
{
        buf_put_u8(out, (uint8_t)('0' + n / 10 % 10));
        buf_put_u8(out, (uint8_t)('0' + n % 10));
}

void der_put_time(struct der *d, struct walltime t)
{
        struct civil c = walltime_civil(t);
        int year = (int)c.year;

        if (year < 1950 || year > 9999)
                bug("year %d in a certificate", year);
        der_begin(d, year < 2050 ? DER_UTC_TIME : DER_GENERALIZED_TIME);
        if (year >= 2050)
                put_two_digits(d->out, year / 100);
        put_two_digits(d->out, year % 100);
        put_two_digits(d->out, c.month);
        put_two_digits(d->out, c.day);
        put_two_digits(d->out, c.hour);
        put_two_digits(d->out, c.minute);
        put_two_digits(d->out, c.second);
        buf_put_char(d->out, 'Z');
        der_end(d);
}

void der_put_encoded(struct der *d, struct str element)
{
        buf_put(d->out, element);
}

/* ---- reading -------------------------------------------------------------------------------------- */

static size_t read_length(struct reader *r)
{
        uint8_t first = reader_u8(r);

        if (first < 0x80)
                return first;
        size_t width = first & 0x7f;
        if (width == 0 || width > 3) { /* indefinite length, or 16 MiB and more */
                reader_fail(r, "a length that we do not accept");
                return 0;
        }
        size_t len = 0;
        for (size_t i = 0; i < width; i++)
                len = len << 8 | reader_u8(r);
        if (len < 0x80 || length_width(len) != width)
                reader_fail(r, "a length that is not in its shortest form");
        return len;
}

struct str der_get(struct reader *r, uint8_t tag)
{
        if (reader_u8(r) != tag) {
                reader_fail(r, "another type of value is expected here");
                return (struct str){ 0 };
        }
        return reader_take(r, read_length(r));
}

struct reader der_enter(struct reader *r, uint8_t tag)
{
        struct reader inner = reader_over(der_get(r, tag));

        inner.fault = r->fault;
        return inner;
}

void der_leave(struct reader *r, const struct reader *inner)
{
        if (inner->fault != NULL)
                reader_fail(r, inner->fault);
        else if (inner->rest.len > 0)
                reader_fail(r, "a value is longer than its content");
}

struct str der_get_unsigned(struct reader *r)
{
        struct str bytes = der_get(r, DER_INTEGER);
        const uint8_t *b = str_bytes(bytes);

        if (!reader_ok(r))
                return (struct str){ 0 };
        if (bytes.len == 0 || (b[0] & 0x80) != 0 || (b[0] == 0 && bytes.len > 1 && (b[1] & 0x80) == 0)) {
                reader_fail(r, "a number that is negative or not in its shortest form");
                return (struct str){ 0 };
        }
        return b[0] == 0 ? str_slice(bytes, 1, bytes.len) : bytes;
}

struct str der_get_bits(struct reader *r)
{
        struct str bytes = der_get(r, DER_BIT_STRING);

        if (!reader_ok(r))
                return (struct str){ 0 };
        if (bytes.len == 0 || bytes.ptr[0] != 0) {
                reader_fail(r, "a bit string that is not of whole bytes");
                return (struct str){ 0 };
        }
        return str_slice(bytes, 1, bytes.len);
}

struct str der_get_oid(struct reader *r)
{
        return der_get(r, DER_OID);
}

bool der_oid_is(struct str encoded, struct oid oid)
{
        uint8_t expected[OID_ENCODED_MAX];

        return str_equal(encoded, encode_oid(oid, expected));
}
