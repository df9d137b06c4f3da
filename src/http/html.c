/* SPDX-License-Identifier: Apache-2.0 */
#include "http/html.h"

#include <stdarg.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"

void html_put(struct buf *out, struct str text)
{
        for (size_t i = 0; i < text.len; i++) {
                switch (text.ptr[i]) {
                case '&':
                        buf_put_c(out, "&amp;");
                        break;
                case '<':
                        buf_put_c(out, "&lt;");
                        break;
                case '>':
                        buf_put_c(out, "&gt;");
                        break;
                case '"':
                        buf_put_c(out, "&quot;");
                        break;
                case '\'':
                        buf_put_c(out, "&#39;");
                        break;
                default:
                        buf_put_char(out, text.ptr[i]);
                }
        }
}

/* Writes one value; returns the length of its directive after the '%'. */
static size_t put_value(struct buf *out, struct str directive, va_list *values)
{
        static const struct str text = STR_INIT("s"), part = STR_INIT(".*s"), size = STR_INIT("zu"), wide = STR_INIT("lld");

        if (str_starts_with(directive, STR("%"))) {
                buf_put_char(out, '%');
                return 1;
        }
        if (str_starts_with(directive, text)) {
                html_put(out, str_of(va_arg(*values, const char *)));
                return text.len;
        }
        if (str_starts_with(directive, part)) {
                int len = va_arg(*values, int);
                html_put(out, str_of_bytes(va_arg(*values, const char *), (size_t)len));
                return part.len;
        }
        if (str_starts_with(directive, STR("d"))) {
                buf_printf(out, "%d", va_arg(*values, int));
                return 1;
        }
        if (str_starts_with(directive, STR("u"))) {
                buf_printf(out, "%u", va_arg(*values, unsigned));
                return 1;
        }
        if (str_starts_with(directive, size)) {
                buf_printf(out, "%zu", va_arg(*values, size_t));
                return size.len;
        }
        if (str_starts_with(directive, wide)) {
                buf_printf(out, "%lld", va_arg(*values, long long));
                return wide.len;
        }
        bug("html_print does not know '%%%.*s'", STR_ARG(directive));
}

void html_print(struct buf *out, const char *format, ...)
{
        struct str rest = str_of(format);
        va_list values;

        va_start(values, format);
        while (!str_is_empty(rest)) {
                size_t at = str_find_char(rest, '%');

                buf_put(out, str_slice(rest, 0, at));
                if (at >= rest.len)
                        break;
                rest = str_slice(rest, at + 1, rest.len);
                rest = str_slice(rest, put_value(out, rest, &values), rest.len);
        }
        va_end(values);
}

void url_put(struct buf *out, struct str text)
{
        for (size_t i = 0; i < text.len; i++) {
                char c = text.ptr[i];

                if (char_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
                        buf_put_char(out, c);
                else
                        buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
        }
}

void html_put_sentence(struct buf *out, const char *words)
{
        char first[] = { words[0] >= 'a' && words[0] <= 'z' ? (char)(words[0] - 'a' + 'A') : words[0], '\0' };

        if (words[0] == '\0')
                return;
        html_put(out, str_of(first));
        html_put(out, str_of(words + 1));
        if (strchr(".?!", words[strlen(words) - 1]) == NULL)
                buf_put_char(out, '.');
}

void html_put_time(struct buf *out, int64_t unix_seconds)
{
        AUTO(buf) text = BUF_MAX(64);

        walltime_put_rfc3339(&text, walltime_of_unix(unix_seconds));
        struct str when = buf_str(&text);
        size_t middle = str_find_char(when, 'T');
        html_print(out, "<time datetime=\"%.*s\">%.*s %.*s UTC</time>", STR_ARG(when), STR_ARG(str_slice(when, 0, middle)),
                   STR_ARG(str_slice(when, middle + 1, 8)));
}
