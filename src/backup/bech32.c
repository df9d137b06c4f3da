/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/bech32.h"

#include <string.h>

#include "base/secret.h"

enum { CHECKSUM = 6, VALUES_MAX = 256 }; /* values: digits of five bits */

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* One step of the checksum, a BCH code over GF(32). */
static uint32_t step(uint32_t sum, uint8_t value)
{
        static const uint32_t generator[] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 };
        uint32_t top = sum >> 25;

        sum = (sum & 0x1ffffff) << 5 ^ value;
        for (size_t i = 0; i < ARRAY_LEN(generator); i++)
                sum ^= (top >> i & 1) != 0 ? generator[i] : 0;
        return sum;
}

static uint32_t sum_of(struct str prefix, const uint8_t *values, size_t count)
{
        uint32_t sum = 1;

        for (size_t i = 0; i < prefix.len; i++)
                sum = step(sum, (uint8_t)prefix.ptr[i] >> 5);
        sum = step(sum, 0);
        for (size_t i = 0; i < prefix.len; i++)
                sum = step(sum, (uint8_t)prefix.ptr[i] & 31);
        for (size_t i = 0; i < count; i++)
                sum = step(sum, values[i]);
        return sum;
}

/* Regroups the bits: from 8 to 5, padded with zeros, or from 5 to 8; returns the number of values. `bits` are left over. */
static size_t regroup(const uint8_t *in, size_t count, unsigned from, unsigned to, uint8_t *out, uint32_t *ret_rest, unsigned *ret_bits)
{
        uint32_t held = 0;
        unsigned bits = 0;
        size_t n = 0;

        for (size_t i = 0; i < count; i++) {
                held = held << from | in[i];
                for (bits += from; bits >= to; n++) {
                        bits -= to;
                        out[n] = (uint8_t)(held >> bits & ((1u << to) - 1));
                }
                held &= (1u << bits) - 1;
        }
        *ret_rest = held;
        *ret_bits = bits;
        return n;
}

void bech32_encode(struct buf *out, struct str prefix, struct str bytes)
{
        uint8_t values[VALUES_MAX] = { 0 };
        uint32_t rest;
        unsigned bits;

        if (bytes.len * 8 / 5 + 1 + CHECKSUM > VALUES_MAX) {
                out->overflowed = true;
                return;
        }
        size_t count = regroup(str_bytes(bytes), bytes.len, 8, 5, values, &rest, &bits);
        if (bits > 0)
                values[count++] = (uint8_t)(rest << (5 - bits));
        uint32_t sum = sum_of(prefix, values, count + CHECKSUM) ^ 1; /* over zeros in place of the checksum */
        buf_put(out, prefix);
        buf_put_char(out, '1');
        for (size_t i = 0; i < count; i++)
                buf_put_char(out, alphabet[values[i]]);
        for (int i = CHECKSUM - 1; i >= 0; i--)
                buf_put_char(out, alphabet[sum >> 5 * i & 31]);
        wipe(values, sizeof values);
}

static char lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether all letters have one case. */
static bool is_of_one_case(struct str text)
{
        bool has_upper = false, has_lower = false;

        for (size_t i = 0; i < text.len; i++) {
                has_upper |= text.ptr[i] >= 'A' && text.ptr[i] <= 'Z';
                has_lower |= text.ptr[i] >= 'a' && text.ptr[i] <= 'z';
        }
        return !(has_upper && has_lower);
}

static bool decode(struct str text, struct str prefix, uint8_t *values, uint8_t *ret, size_t len)
{
        size_t count = (len * 8 + 4) / 5;
        uint32_t rest;
        unsigned bits;

        if (text.len != prefix.len + 1 + count + CHECKSUM || count + CHECKSUM > VALUES_MAX || !is_of_one_case(text))
                return false;
        for (size_t i = 0; i < prefix.len; i++)
                if (lower(text.ptr[i]) != prefix.ptr[i])
                        return false;
        if (text.ptr[prefix.len] != '1')
                return false;
        for (size_t i = 0; i < count + CHECKSUM; i++) {
                char c = lower(text.ptr[prefix.len + 1 + i]);
                const char *at = c == '\0' ? NULL : strchr(alphabet, c);

                if (at == NULL)
                        return false;
                values[i] = (uint8_t)(at - alphabet);
        }
        if (sum_of(prefix, values, count + CHECKSUM) != 1)
                return false;
        return regroup(values, count, 5, 8, ret, &rest, &bits) == len && rest == 0;
}

struct error *bech32_decode(struct str text, struct str prefix, uint8_t *ret, size_t len)
{
        uint8_t values[VALUES_MAX] = { 0 };
        uint8_t bytes[VALUES_MAX] = { 0 };
        bool is_valid = decode(text, prefix, values, bytes, len);

        if (is_valid)
                memcpy(ret, bytes, len);
        wipe(values, sizeof values);
        wipe(bytes, sizeof bytes);
        return is_valid ? NULL : error_new(ERROR_INVALID_ARGUMENT, "it is not Bech32 of %zu bytes that begins with '%.*s1'", len, STR_ARG(prefix));
}
