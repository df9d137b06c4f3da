/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/reader.h"
#include "base/text.h"
#include "recording/recording_internal.h"

/* ---- characters --------------------------------------------------------------------------------------- */

/* RFC 3629 section 4, as a table: lead byte, length, and the range of the second byte. */
static const struct {
        uint8_t first, last, len, low, high;
} leads[] = {
        { 0x00, 0x7f, 1, 0, 0 },       { 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf },
        { 0xe1, 0xec, 3, 0x80, 0xbf }, { 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf },
        { 0xf0, 0xf0, 4, 0x90, 0xbf }, { 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
};

int utf8_first(struct str s)
{
        const uint8_t *p = str_bytes(s);

        for (size_t i = 0; s.len > 0 && i < ARRAY_LEN(leads); i++) {
                if (p[0] < leads[i].first || p[0] > leads[i].last)
                        continue;
                for (size_t k = 1; k < leads[i].len && k < s.len; k++)
                        if (p[k] < (k == 1 ? leads[i].low : 0x80) || p[k] > (k == 1 ? leads[i].high : 0xbf))
                                return -1;
                return leads[i].len <= s.len ? leads[i].len : 0;
        }
        return s.len == 0 ? 0 : -1;
}

/* Whether it is U+0080 to U+009F: terminals may interpret them like ESC. */
static bool is_c1(struct str character)
{
        return character.len == 2 && (uint8_t)character.ptr[0] == 0xc2 && (uint8_t)character.ptr[1] < 0xa0;
}

static bool is_plain(char c)
{
        return (uint8_t)c >= 0x20 && (uint8_t)c < 0x7f && c != '"' && c != '\\';
}

static bool is_ascii(char c)
{
        return (uint8_t)c < 0x80;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void put_escape(struct buf *out, unsigned code)
{
        static const char digits[] = "0123456789abcdef";
        char text[6] = { '\\', 'u', digits[code >> 12], digits[code >> 8 & 15], digits[code >> 4 & 15], digits[code & 15] };

        buf_put(out, str_of_bytes(text, sizeof text));
}

static void put_ascii(struct buf *out, char c)
{
        static const char shorts[128] = { ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['\b'] = 'b', ['"'] = '"', ['\\'] = '\\' };
        const char text[] = { '\\', shorts[(uint8_t)c] };

        if (text[1] != '\0')
                buf_put(out, str_of_bytes(text, sizeof text));
        else
                put_escape(out, (uint8_t)c);
}

/* Writes the first character, which is not of ASCII, or an escape for an invalid byte; returns the number of bytes used. */
static size_t put_one(struct buf *out, struct str rest)
{
        int len = utf8_first(rest);

        if (len <= 0) {
                put_escape(out, 0xdc00u + (uint8_t)rest.ptr[0]);
                return 1;
        }
        struct str character = str_slice(rest, 0, (size_t)len);
        if (is_c1(character))
                put_escape(out, (uint8_t)character.ptr[1]);
        else
                buf_put(out, character);
        return (size_t)len;
}

static void put_bytes(struct buf *out, struct str bytes)
{
        while (bytes.len > 0) {
                size_t plain = 0;

                while (plain < bytes.len && is_plain(bytes.ptr[plain]))
                        plain++;
                buf_put(out, str_slice(bytes, 0, plain));
                bytes = str_slice(bytes, plain, bytes.len);
                for (; bytes.len > 0 && is_ascii(bytes.ptr[0]) && !is_plain(bytes.ptr[0]); bytes = str_slice(bytes, 1, bytes.len))
                        put_ascii(out, bytes.ptr[0]);
                if (bytes.len > 0 && !is_ascii(bytes.ptr[0]))
                        bytes = str_slice(bytes, put_one(out, bytes), bytes.len);
        }
}

static void put_time(struct buf *out, struct duration at)
{
        int64_t us = at.ns < 0 ? 0 : at.ns / 1000;

        buf_printf(out, "[%" PRId64 ".%06" PRId64 ",", us / 1000000, us % 1000000);
}

void line_put_header(struct buf *out, const struct recording_header *h)
{
        enum { WORD_MAX = 256 };

        buf_printf(out, "{\"version\":2,\"width\":%u,\"height\":%u,\"timestamp\":%" PRId64 ",\"title\":\"", h->columns,
                   h->rows, walltime_unix(h->started));
        put_bytes(out, str_slice(h->title, 0, WORD_MAX));
        buf_put_c(out, "\",\"env\":{\"TERM\":\"");
        put_bytes(out, str_slice(h->term, 0, WORD_MAX));
        buf_put_c(out, "\"}}\n");
}

void line_put_output(struct buf *out, struct duration at, struct str bytes)
{
        put_time(out, at);
        buf_put_c(out, "\"o\",\"");
        put_bytes(out, bytes);
        buf_put_c(out, "\"]\n");
}

void line_put_resize(struct buf *out, struct duration at, uint32_t columns, uint32_t rows)
{
        put_time(out, at);
        buf_printf(out, "\"r\",\"%ux%u\"]\n", columns, rows);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static const char malformed[] = "it is not an event as recordings have them";

static void expect(struct reader *r, const char *literal)
{
        struct str want = str_of(literal);

        if (!str_equal(reader_take(r, want.len), want))
                reader_fail(r, malformed);
}

static char peek(const struct reader *r)
{
        return reader_ok(r) && r->rest.len > 0 ? r->rest.ptr[0] : '\0';
}

/* Reads decimal digits, at least one; the value is at most max. */
static int64_t read_number(struct reader *r, int64_t max)
{
        int64_t v = 0;

        if (!char_is_digit(peek(r)))
                reader_fail(r, malformed);
        while (char_is_digit(peek(r))) {
                v = v * 10 + (reader_take(r, 1).ptr[0] - '0');
                if (v > max) {
                        reader_fail(r, malformed);
                        return 0;
                }
        }
        return v;
}

static struct duration read_time(struct reader *r)
{
        enum { YEAR = 366 * 24 * 3600 };

        expect(r, "[");
        int64_t seconds = read_number(r, YEAR);
        expect(r, ".");
        size_t before = r->offset;
        int64_t us = read_number(r, 999999);
        if (r->offset - before != 6)
                reader_fail(r, malformed);
        expect(r, ",");
        return (struct duration){ (seconds * 1000000 + us) * 1000 };
}

static unsigned read_hex4(struct reader *r)
{
        struct str digits = reader_take(r, 4);
        unsigned v = 0;

        for (size_t i = 0; i < digits.len; i++) {
                char c = digits.ptr[i];

                if (!char_is_digit(c) && (c < 'a' || c > 'f'))
                        reader_fail(r, malformed);
                v = v << 4 | (unsigned)hex_digit(c) % 16;
        }
        return v;
}

static void read_escape(struct reader *r, struct buf *out)
{
        static const char shorts[128] = {
                ['n'] = '\n', ['r'] = '\r', ['t'] = '\t', ['b'] = '\b', ['"'] = '"', ['\\'] = '\\',
        };
        uint8_t c = reader_u8(r);

        if (c < 128 && shorts[c] != '\0') {
                buf_put_char(out, shorts[c]);
                return;
        }
        if (c != 'u') {
                reader_fail(r, malformed);
                return;
        }
        unsigned code = read_hex4(r);
        if (code < 0x80) {
                buf_put_u8(out, (uint8_t)code);
        } else if (code < 0xa0) {
                buf_put_u8(out, 0xc2);
                buf_put_u8(out, (uint8_t)code);
        } else if (code >= 0xdc80 && code <= 0xdcff) {
                buf_put_u8(out, (uint8_t)(code & 0xff));
        } else {
                reader_fail(r, malformed);
        }
}

static void read_character(struct reader *r, struct buf *out)
{
        int len = utf8_first(r->rest);
        struct str character = reader_take(r, len <= 0 ? 0 : (size_t)len);

        if (len <= 0 || (len == 1 && !is_plain(character.ptr[0])) || is_c1(character))
                reader_fail(r, malformed);
        else
                buf_put(out, character);
}

/* Reads a string up to its closing quote; `out` receives the decoded bytes. */
static void read_string(struct reader *r, struct buf *out)
{
        expect(r, "\"");
        while (reader_ok(r) && peek(r) != '"') {
                size_t plain = 0;

                while (plain < r->rest.len && is_plain(r->rest.ptr[plain]))
                        plain++;
                buf_put(out, reader_take(r, plain));
                if (peek(r) == '\\') {
                        reader_take(r, 1);
                        read_escape(r, out);
                } else if (peek(r) != '"') {
                        read_character(r, out);
                }
        }
        expect(r, "\"");
}

static struct error *finish(const struct reader *r)
{
        if (reader_ok(r) && r->rest.len == 0)
                return NULL;
        return error_new(ERROR_DATA_LOSS, "a line of the recording is damaged at byte %zu: %s", r->offset,
                         r->fault == NULL ? malformed : r->fault);
}

struct error *line_read_header(struct str line, struct recording_event *ret)
{
        struct reader r = reader_over(line);
        AUTO(buf) ignored = BUF_MAX(HEADER_LINE_MAX);
        struct recording_event event = { .kind = RECORDING_HEADER, .line = line };

        expect(&r, "{\"version\":2,\"width\":");
        event.columns = (uint32_t)read_number(&r, SIZE_MAX_CELLS);
        expect(&r, ",\"height\":");
        event.rows = (uint32_t)read_number(&r, SIZE_MAX_CELLS);
        expect(&r, ",\"timestamp\":");
        event.started = walltime_of_unix(read_number(&r, INT64_C(1) << 33));
        expect(&r, ",\"title\":");
        read_string(&r, &ignored);
        expect(&r, ",\"env\":{\"TERM\":");
        read_string(&r, &ignored);
        expect(&r, "}}");
        TRY(finish(&r));
        *ret = event;
        return NULL;
}

static void read_size(struct reader *r, struct recording_event *event)
{
        expect(r, "\"");
        event->columns = (uint32_t)read_number(r, SIZE_MAX_CELLS);
        expect(r, "x");
        event->rows = (uint32_t)read_number(r, SIZE_MAX_CELLS);
        expect(r, "\"");
}

struct error *line_read_event(struct str line, struct buf *bytes, struct recording_event *ret)
{
        struct reader r = reader_over(line);
        struct recording_event event = { .line = line, .at = read_time(&r) };

        expect(&r, "\"");
        uint8_t kind = reader_u8(&r);
        expect(&r, "\",");
        if (kind == 'o') {
                event.kind = RECORDING_OUTPUT;
                read_string(&r, bytes);
        } else if (kind == 'r') {
                event.kind = RECORDING_RESIZE;
                read_size(&r, &event);
        } else {
                reader_fail(&r, malformed);
        }
        expect(&r, "]");
        TRY(finish(&r));
        event.bytes = event.kind == RECORDING_OUTPUT ? buf_str(bytes) : (struct str){ 0 };
        *ret = event;
        return NULL;
}
