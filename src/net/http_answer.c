/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_answer.h"

#include "base/mem.h"
#include "base/text.h"
#include "net/http1.h"

enum { SHOWN_MAX = 200, CHUNK_DIGITS_MAX = 7 };

/* ---- the body ---------------------------------------------------------------------------------------------- */

static bool put_up_to(struct buf *out, struct str bytes)
{
        buf_put(out, str_slice(bytes, 0, out->max - out->len));
        return out->len == out->max;
}

/* RFC 9112 section 7.1; false: not the size of a chunk. */
static bool read_size(struct str line, size_t *ret)
{
        struct str digits = str_trim(str_slice(line, 0, str_find_char(line, ';')));

        *ret = 0;
        if (str_is_empty(digits) || digits.len > CHUNK_DIGITS_MAX)
                return false;
        for (size_t i = 0; i < digits.len; i++) {
                int digit = hex_digit(digits.ptr[i]);

                if (digit < 0)
                        return false;
                *ret = *ret * 16 + (size_t)digit;
        }
        return true;
}

static bool take_chunks(struct str rest, struct buf *out)
{
        for (;;) {
                size_t end = str_find_char(rest, '\n'), size;

                if (end == rest.len)
                        return false;
                if (!read_size(str_slice(rest, 0, end), &size) || size == 0)
                        return true;
                rest = str_slice(rest, end + 1, rest.len);
                if (put_up_to(out, str_slice(rest, 0, size)))
                        return true;
                if (rest.len < size + 2)
                        return false;
                rest = str_slice(rest, size + 2, rest.len);
        }
}

bool http_answer_body(struct str head, struct str rest, struct buf *out)
{
        struct str length = http1_response_field(head, "content-length");
        int64_t size = 0;

        if (http1_list_has(http1_response_field(head, "transfer-encoding"), STR("chunked")))
                return take_chunks(rest, out) || rest.len >= HTTP_ANSWER_INPUT_MAX;
        if (length.ptr == NULL)
                return put_up_to(out, rest);
        struct error *err = parse_int(length, 0, INT32_MAX, "length", &size);
        if (err != NULL) {
                error_free(err);
                return true;
        }
        return put_up_to(out, str_slice(rest, 0, (size_t)size)) || rest.len >= (size_t)size;
}

/* ---- the reason in it -------------------------------------------------------------------------------------- */

static size_t find(struct str text, struct str wanted)
{
        for (size_t i = 0; i + wanted.len <= text.len; i++)
                if (str_equal_nocase(str_slice(text, i, wanted.len), wanted))
                        return i;
        return text.len;
}

/* The string at the beginning, without its escapes; up to its quote, or to the end of a body that was cut. */
static void put_json_string(struct buf *out, struct str text)
{
        for (size_t i = 0; i < text.len && text.ptr[i] != '"' && out->len < out->max; i++) {
                i += text.ptr[i] == '\\' && i + 1 < text.len;
                buf_put_char(out, text.ptr[i]);
        }
}

static void put_message(struct buf *out, struct str body)
{
        static const struct str name = STR_INIT("\"message\"");
        struct str value = str_slice(body, find(body, name) + name.len, body.len);

        value = str_trim(value);
        if (!str_starts_with(value, STR(":")))
                return;
        value = str_trim(str_slice(value, 1, value.len));
        if (str_starts_with(value, STR("\"")))
                put_json_string(out, str_slice(value, 1, value.len));
}

static struct str title_of(struct str body)
{
        static const struct str opening = STR_INIT("<title>");
        size_t at = find(body, opening);
        struct str title = str_slice(body, at + opening.len, body.len);

        return str_trim(str_slice(title, 0, str_find_char(title, '<')));
}

char *http_answer_reason(struct str reason, struct str body)
{
        AUTO(buf) message = BUF_MAX(HTTP_ANSWER_BODY_MAX);
        AUTO(buf) out = BUF_MAX(4 * SHOWN_MAX + 8);
        struct str line, text = str_trim(body);

        if (str_starts_with(text, STR("{"))) {
                put_message(&message, text);
                line = buf_str(&message);
        } else if (str_starts_with(text, STR("<"))) {
                line = title_of(text);
        } else {
                line = str_trim(str_slice(text, 0, str_find_char(text, '\n')));
        }
        if (str_is_empty(line) || str_is_empty(reason) ? str_is_empty(line) : str_ends_with(line, reason))
                return str_dup(STR(""));
        escape_text(&out, line, SHOWN_MAX);
        return buf_take(&out);
}
