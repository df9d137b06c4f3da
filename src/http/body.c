/* SPDX-License-Identifier: Apache-2.0 */
#include "http/body.h"

#include "base/limits.h"
#include "base/text.h"

enum { SIZE_DIGITS_MAX = 15, EXTENSION_MAX = 256 };

/* The states of the chunked coding are named after the awaited bytes. */
enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER };

void http_body_start(struct http_body_reader *r, struct http_framing framing)
{
        *r = (struct http_body_reader){ .kind = framing.kind, .line = BUF_MAX(LIMIT_HTTP_TRAILER) };
        if (framing.kind == HTTP_BODY_LENGTH)
                r->left = framing.length;
        r->is_done = framing.kind == HTTP_BODY_NONE || (framing.kind == HTTP_BODY_LENGTH && r->left == 0);
}

void http_body_reader_release(struct http_body_reader *r)
{
        http_fields_release(&r->trailers);
        buf_release(&r->line);
        *r = (struct http_body_reader){ 0 };
}

bool http_body_is_done(const struct http_body_reader *r)
{
        return r->is_done || r->kind == HTTP_BODY_NONE;
}

static struct error *bad(const char *why)
{
        return error_new(ERROR_INVALID_ARGUMENT, "not a valid body in chunks: %s", why);
}

/* Data of at most r->left bytes. */
static struct str take_data(struct http_body_reader *r, struct str *bytes)
{
        size_t len = bytes->len < r->left ? bytes->len : (size_t)r->left;
        struct str piece = str_slice(*bytes, 0, len);

        *bytes = str_slice(*bytes, len, bytes->len);
        r->left -= len;
        return piece;
}

/* ---- trailers ----------------------------------------------------------------------------------------------- */

/* Fields that are not allowed in a trailer (RFC 9110 section 6.5.1), or that only the gateway may set. */
static bool is_not_for_trailers(struct str name)
{
        static const struct str names[] = { STR_INIT("transfer-encoding"), STR_INIT("host"), STR_INIT("connection"), STR_INIT("keep-alive"), STR_INIT("proxy-connection"),
                                            STR_INIT("upgrade"), STR_INIT("te"), STR_INIT("trailer"), STR_INIT("expect"), STR_INIT("authorization"),
                                            STR_INIT("proxy-authorization"), STR_INIT("cookie"), STR_INIT("set-cookie"), STR_INIT("cache-control"), STR_INIT("range"),
                                            STR_INIT("location"), STR_INIT("max-forwards"), STR_INIT("www-authenticate"), STR_INIT("http2-settings") };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (http_name_is_like(name, names[i]))
                        return true;
        return http_name_is_of_gateway(name) || (name.len > 8 && http_name_is_like(str_slice(name, 0, 8), STR("content-")));
}

/* The line in r->line, without its LF, has ended. */
static struct error *take_trailer_line(struct http_body_reader *r)
{
        struct str line = buf_str(&r->line);

        if (line.len == 0 || line.ptr[line.len - 1] != '\r' || str_find_char(line, '\r') + 1 != line.len)
                return bad("a line of the trailer does not end in CR LF");
        line = str_slice(line, 0, line.len - 1);
        if (line.len == 0) {
                http_fields_remove_if(&r->trailers, is_not_for_trailers);
                buf_release(&r->line);
                r->is_done = true;
                return NULL;
        }
        struct error *err = http_fields_parse_line(&r->trailers, http_fields_keep(&r->trailers, line));
        buf_clear(&r->line);
        return err == NULL ? NULL : error_wrap(err, "the trailer");
}

static struct error *take_trailer(struct http_body_reader *r, struct str *bytes)
{
        size_t end = str_find_char(*bytes, '\n');
        bool is_line = end < bytes->len;

        r->trailer_size += end + (is_line ? 1 : 0);
        if (r->trailer_size > LIMIT_HTTP_TRAILER)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the trailer of the message is longer than %d bytes", LIMIT_HTTP_TRAILER);
        buf_put(&r->line, str_slice(*bytes, 0, end));
        *bytes = str_slice(*bytes, end + 1, bytes->len);
        return is_line ? take_trailer_line(r) : NULL;
}

/* ---- chunks ------------------------------------------------------------------------------------------------- */

static struct error *expect(char c, char expected, const char *why)
{
        return c == expected ? NULL : bad(why);
}

static struct error *take_size(struct http_body_reader *r, char c)
{
        int digit = hex_digit(c);

        if (digit >= 0) {
                if (r->count++ == SIZE_DIGITS_MAX)
                        return bad("the size of a chunk is too long");
                r->left = r->left * 16 + (uint64_t)digit;
                return NULL;
        }
        if (r->count == 0 || (c != '\r' && c != ';'))
                return bad("the size of a chunk is no hexadecimal number");
        r->count = 0;
        r->state = c == ';' ? EXTENSION : SIZE_LF;
        return NULL;
}

static struct error *take_extension(struct http_body_reader *r, char c)
{
        if (c == '\r') {
                r->state = SIZE_LF;
                return NULL;
        }
        if (r->count++ == EXTENSION_MAX)
                return bad("the extension of a chunk is too long");
        return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f ? bad("the extension of a chunk holds control bytes") : NULL;
}

/* A byte of the framing. */
static struct error *take_byte(struct http_body_reader *r, char c)
{
        switch (r->state) {
        case SIZE:
                return take_size(r, c);
        case EXTENSION:
                return take_extension(r, c);
        case SIZE_LF:
                r->state = r->left > 0 ? DATA : TRAILER;
                return expect(c, '\n', "the size of a chunk does not end in CR LF");
        case DATA_CR:
                r->state = DATA_LF;
                return expect(c, '\r', "a chunk is longer than its size");
        default:
                r->state = SIZE;
                r->count = 0;
                return expect(c, '\n', "a chunk is longer than its size");
        }
}

static struct error *read_chunks(struct http_body_reader *r, struct str *bytes, struct str *ret_piece)
{
        while (bytes->len > 0 && !r->is_done) {
                if (r->state == DATA) {
                        *ret_piece = take_data(r, bytes);
                        r->state = r->left == 0 ? DATA_CR : DATA;
                        return NULL;
                }
                if (r->state == TRAILER) {
                        TRY(take_trailer(r, bytes));
                        continue;
                }
                char c = bytes->ptr[0];
                *bytes = str_slice(*bytes, 1, bytes->len);
                TRY(take_byte(r, c));
        }
        return NULL;
}

struct error *http_body_read(struct http_body_reader *r, struct str *bytes, struct str *ret_piece)
{
        *ret_piece = (struct str){ 0 };
        if (http_body_is_done(r))
                return NULL;
        if (r->kind == HTTP_BODY_CHUNKED)
                return read_chunks(r, bytes, ret_piece);
        if (r->kind == HTTP_BODY_UNTIL_CLOSE) {
                *ret_piece = *bytes;
                *bytes = (struct str){ 0 };
                return NULL;
        }
        *ret_piece = take_data(r, bytes);
        r->is_done = r->left == 0;
        return NULL;
}

struct error *http_body_end(struct http_body_reader *r)
{
        if (r->kind == HTTP_BODY_UNTIL_CLOSE)
                r->is_done = true;
        return http_body_is_done(r) ? NULL : error_new(ERROR_INVALID_ARGUMENT, "the connection ended within the body");
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

void http_body_put(struct buf *out, enum http_body_kind kind, struct str piece)
{
        if (kind == HTTP_BODY_CHUNKED)
                buf_printf(out, "%zx\r\n", piece.len);
        buf_put(out, piece);
        if (kind == HTTP_BODY_CHUNKED)
                buf_put_c(out, "\r\n");
}

void http_body_put_end(struct buf *out, enum http_body_kind kind, const struct http_fields *trailers)
{
        if (kind != HTTP_BODY_CHUNKED)
                return;
        buf_put_c(out, "0\r\n");
        if (trailers != NULL)
                http_fields_put(out, trailers);
        buf_put_c(out, "\r\n");
}
