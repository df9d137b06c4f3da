/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdio.h>

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode_base64(struct buf *out, struct str bytes, const char *alphabet, bool padded)
{
        const uint8_t *in = str_bytes(bytes);

        for (size_t i = 0; i < bytes.len; i += 3) {
                size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
                uint32_t group = (uint32_t)in[i] << 16;

                if (have > 1)
                        group |= (uint32_t)in[i + 1] << 8;
                if (have > 2)
                        group |= in[i + 2];
                for (size_t digit = 0; digit < 4; digit++) {
                        if (digit <= have)
                                buf_put_char(out, alphabet[group >> (18 - 6 * digit) & 63]);
                        else if (padded)
                                buf_put_char(out, '=');
                }
        }
}

void base64_encode(struct buf *out, struct str bytes)
{
        encode_base64(out, bytes, base64_alphabet, true);
}

void base64_encode_raw(struct buf *out, struct str bytes)
{
        encode_base64(out, bytes, base64_alphabet, false);
}

void base64url_encode(struct buf *out, struct str bytes)
{
        encode_base64(out, bytes, base64url_alphabet, false);
}

static int base64_value(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (char_is_digit(c))
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

struct error *base64_decode(struct buf *out, struct str text)
{
        if (text.len % 4 != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "base64 text has a length of %zu", text.len);
        for (size_t i = 0; i < text.len; i += 4) {
                bool last = i + 4 == text.len;
                size_t digits = 4;
                uint32_t group = 0;

                if (last && text.ptr[i + 3] == '=')
                        digits = text.ptr[i + 2] == '=' ? 2 : 3;
                for (size_t digit = 0; digit < 4; digit++) {
                        int value = digit < digits ? base64_value(text.ptr[i + digit]) : 0;

                        if (value < 0)
                                return error_new(ERROR_INVALID_ARGUMENT,
                                                 "base64 text has a wrong character at %zu", i + digit);
                        group = group << 6 | (uint32_t)value;
                }
                if ((digits == 2 && (group & 0xffff) != 0) || (digits == 3 && (group & 0xff) != 0))
                        return error_new(ERROR_INVALID_ARGUMENT, "base64 text is not canonical");
                for (size_t byte = 0; byte + 1 < digits; byte++)
                        buf_put_u8(out, (uint8_t)(group >> (16 - 8 * byte)));
        }
        return NULL;
}

void hex_encode(struct buf *out, struct str bytes)
{
        static const char digits[] = "0123456789abcdef";
        char *at = buf_extend(out, 2 * bytes.len);

        for (size_t i = 0; at != NULL && i < bytes.len; i++) {
                uint8_t byte = (uint8_t)bytes.ptr[i];

                *at++ = digits[byte >> 4];
                *at++ = digits[byte & 15];
        }
}

int hex_digit(char c)
{
        if (char_is_digit(c))
                return c - '0';
        c = char_lower(c);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct error *hex_decode(struct buf *out, struct str text)
{
        if (text.len % 2 != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "hex text has an odd length");
        for (size_t i = 0; i < text.len; i += 2) {
                int high = hex_digit(text.ptr[i]), low = hex_digit(text.ptr[i + 1]);

                if (high < 0 || low < 0)
                        return error_new(ERROR_INVALID_ARGUMENT, "hex text has a wrong character at %zu", i);
                buf_put_u8(out, (uint8_t)(high << 4 | low));
        }
        return NULL;
}

struct error *parse_int(struct str text, int64_t min, int64_t max, const char *what, int64_t *ret)
{
        bool negative = text.len > 0 && text.ptr[0] == '-';
        struct str digits = str_slice(text, negative ? 1 : 0, text.len);
        int64_t value = 0;
        bool ok = digits.len > 0;

        for (size_t i = 0; ok && i < digits.len; i++) {
                int digit = digits.ptr[i] - '0';

                ok = char_is_digit(digits.ptr[i]) && !__builtin_mul_overflow(value, 10, &value) &&
                     !__builtin_sub_overflow(value, digit, &value); /* negative while parsing, so that INT64_MIN fits */
        }
        if (ok && !negative)
                ok = !__builtin_mul_overflow(value, -1, &value);
        if (!ok || value < min || value > max)
                return error_new(ERROR_INVALID_ARGUMENT, "%s must be a whole number from %lld to %lld", what,
                                 (long long)min, (long long)max);
        *ret = value;
        return NULL;
}

/* Decodes one UTF-8 sequence at s.ptr; returns its length or 0 if it is not well-formed (RFC 3629). */
static size_t utf8_next(struct str s, uint32_t *ret_rune)
{
        const uint8_t *in = str_bytes(s);
        size_t len;
        uint32_t rune, least;

        if (in[0] < 0x80) {
                *ret_rune = in[0];
                return 1;
        }
        if (in[0] >= 0xc2 && in[0] <= 0xdf) {
                len = 2, rune = in[0] & 0x1f, least = 0x80;
        } else if ((in[0] & 0xf0) == 0xe0) {
                len = 3, rune = in[0] & 0x0f, least = 0x800;
        } else if (in[0] >= 0xf0 && in[0] <= 0xf4) {
                len = 4, rune = in[0] & 0x07, least = 0x10000;
        } else {
                return 0;
        }
        if (s.len < len)
                return 0;
        for (size_t i = 1; i < len; i++) {
                if ((in[i] & 0xc0) != 0x80)
                        return 0;
                rune = rune << 6 | (in[i] & 0x3f);
        }
        if (rune < least || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
                return 0;
        *ret_rune = rune;
        return len;
}

bool text_is_utf8(struct str s)
{
        uint32_t rune;

        while (s.len > 0) {
                size_t len = utf8_next(s, &rune);

                if (len == 0)
                        return false;
                s = str_slice(s, len, s.len);
        }
        return true;
}

/* Characters that move the cursor, hide or reorder text, or end a line in some programs. */
static bool rune_is_harmful(uint32_t rune)
{
        return rune < 0x20 || (rune >= 0x7f && rune <= 0x9f) || rune == 0x061c ||
               (rune >= 0x200b && rune <= 0x200f) || (rune >= 0x2028 && rune <= 0x202e) ||
               (rune >= 0x2060 && rune <= 0x206f) || rune == 0xfeff || rune == 0xfffe ||
               rune == 0xffff;
}

/* The longest prefix, at most `limit` bytes, that no form escapes: printable ASCII without quotes and backslashes. */
static struct str plain_run(struct str s, size_t limit)
{
        size_t len = 0;

        while (len < s.len && len < limit && s.ptr[len] >= 0x20 && s.ptr[len] < 0x7f && s.ptr[len] != '"' && s.ptr[len] != '\\')
                len++;
        return (struct str){ s.ptr, len };
}

void escape_text(struct buf *out, struct str foreign, size_t limit)
{
        size_t start = out->len;

        while (foreign.len > 0) {
                uint32_t rune = 0;

                if (out->len - start >= limit) {
                        buf_put_c(out, "...");
                        return;
                }
                struct str run = plain_run(foreign, limit - (out->len - start));
                if (run.len > 0) {
                        buf_put(out, run);
                        foreign = str_slice(foreign, run.len, foreign.len);
                        continue;
                }
                size_t len = utf8_next(foreign, &rune);
                if (len == 0) {
                        buf_printf(out, "\\x%02x", (uint8_t)foreign.ptr[0]);
                        len = 1;
                } else if (rune == '\\') {
                        buf_put_c(out, "\\\\");
                } else if (rune == '\n') {
                        buf_put_c(out, "\\n");
                } else if (rune < 0x80 && rune_is_harmful(rune)) {
                        buf_printf(out, "\\x%02x", rune);
                } else if (rune_is_harmful(rune)) {
                        buf_printf(out, "\\u{%x}", rune);
                } else {
                        buf_put(out, str_slice(foreign, 0, len));
                }
                foreign = str_slice(foreign, len, foreign.len);
        }
}

char *escaped(struct str foreign)
{
        struct buf out = BUF_MAX(2 * ESCAPE_LIMIT);

        escape_text(&out, foreign, ESCAPE_LIMIT);
        return buf_take(&out);
}

void json_put_string(struct buf *out, struct str s)
{
        buf_put_char(out, '"');
        while (s.len > 0) {
                uint32_t rune = 0;
                struct str run = plain_run(s, s.len);

                if (run.len > 0) {
                        buf_put(out, run);
                        s = str_slice(s, run.len, s.len);
                        continue;
                }
                size_t len = utf8_next(s, &rune);

                if (len == 0) {
                        buf_put_c(out, "\xef\xbf\xbd");
                        len = 1;
                } else if (rune == '"' || rune == '\\') {
                        buf_printf(out, "\\%c", (char)rune);
                } else if (rune == '\n') {
                        buf_put_c(out, "\\n");
                } else if (rune_is_harmful(rune)) {
                        buf_printf(out, "\\u%04x", rune); /* all harmful characters are in the basic multilingual plane */
                } else {
                        buf_put(out, str_slice(s, 0, len));
                }
                s = str_slice(s, len, s.len);
        }
        buf_put_char(out, '"');
}

void json_put_escaped(struct buf *out, struct str foreign, size_t limit)
{
        AUTO(buf) safe = BUF_MAX(limit + 64);

        if (foreign.len <= limit && plain_run(foreign, limit).len == foreign.len) { /* as most are */
                buf_put_char(out, '"');
                buf_put(out, foreign);
                buf_put_char(out, '"');
                return;
        }
        escape_text(&safe, foreign, limit);
        json_put_string(out, buf_str(&safe));
}

enum { DISTANCE_MAX = 64 };

size_t text_distance(struct str a, struct str b)
{
        size_t row[3][DISTANCE_MAX + 1];

        a = str_slice(a, 0, DISTANCE_MAX);
        b = str_slice(b, 0, DISTANCE_MAX);
        for (size_t j = 0; j <= b.len; j++)
                row[0][j] = j;
        for (size_t i = 1; i <= a.len; i++) {
                size_t *now = row[i % 3], *above = row[(i + 2) % 3], *before = row[(i + 1) % 3];

                now[0] = i;
                for (size_t j = 1; j <= b.len; j++) {
                        char x = char_lower(a.ptr[i - 1]), y = char_lower(b.ptr[j - 1]);
                        size_t best = above[j - 1] + (x != y);

                        if (above[j] + 1 < best)
                                best = above[j] + 1;
                        if (now[j - 1] + 1 < best)
                                best = now[j - 1] + 1;
                        if (i > 1 && j > 1 && x == char_lower(b.ptr[j - 2]) &&
                            char_lower(a.ptr[i - 2]) == y && before[j - 2] + 1 < best)
                                best = before[j - 2] + 1;
                        now[j] = best;
                }
        }
        return row[a.len % 3][b.len];
}

struct nearest nearest_to(struct str written, size_t most)
{
        return (struct nearest){ written, most, NULL };
}

void nearest_offer(struct nearest *n, const char *word)
{
        size_t distance = text_distance(n->written, str_of(word)), len = strlen(word);

        if (distance > n->most || (n->word != NULL && distance == n->most) || distance >= len)
                return;
        if (distance > 1 && (2 * distance >= len || 2 * distance >= n->written.len)) /* it differs in half of its letters */
                return;
        n->word = word;
        n->most = distance;
}
