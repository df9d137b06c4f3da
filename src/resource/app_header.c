/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app_header.h"

#include "base/field_name.h"
#include "base/mem.h"
#include "base/text.h"

static const struct str opening = STR_INIT("{{"), closing = STR_INIT("}}");

/* Fields that have a meaning for the connection or for the length of a message. */
static bool is_of_connection(struct str name)
{
        static const struct str names[] = { STR_INIT("connection"), STR_INIT("content-length"), STR_INIT("transfer-encoding"), STR_INIT("upgrade"), STR_INIT("te"),
                                            STR_INIT("trailer"), STR_INIT("keep-alive"), STR_INIT("proxy-connection"), STR_INIT("expect") };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (http_name_is_like(name, names[i]))
                        return true;
        return false;
}

static bool is_value(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (((unsigned char)s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
                        return false;
        return true;
}

/* tchar of RFC 9110 section 5.6.2. */
static bool is_name(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && (s.ptr[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s.ptr[i]) == NULL))
                        return false;
        return s.len > 0;
}

static size_t find(struct str s, struct str part)
{
        size_t at = 0;

        while (at < s.len && !str_starts_with(str_slice(s, at, s.len), part))
                at++;
        return at;
}

/* Splits the value at its template. */
static struct error *split_value(struct str value, struct app_header *ret)
{
        size_t begin = find(value, opening), end = find(value, closing);
        struct str inside = end > begin ? str_trim(str_slice(value, begin + opening.len, end - begin - opening.len)) : STR("");
        struct str kind = str_split(&inside, '.');

        ret->before = value;
        if (begin == value.len && end == value.len)
                return NULL;
        ret->before = str_slice(value, 0, begin);
        ret->trait = inside;
        ret->after = str_slice(value, end + closing.len, value.len);
        ret->is_token = str_equal(kind, STR("internal")) && str_equal(inside, STR("jwt"));
        bool is_known = str_equal(kind, STR("internal")) || str_equal(kind, STR("external"));
        if (end == value.len || end < begin || !is_known || !is_name(inside) || find(ret->after, opening) < ret->after.len || find(ret->after, closing) < ret->after.len)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the template of a header is malformed"),
                                  "write at most one {{internal.TRAIT}} or {{external.TRAIT}} in its value");
        return NULL;
}

struct error *app_header_parse(struct str text, struct app_header *ret)
{
        size_t colon = str_find_char(text, ':');
        struct app_header h = { .name = str_slice(text, 0, colon) };
        struct str value = str_trim(str_slice(text, colon + 1, text.len));
        AUTO_MEM char *shown = escaped(h.name);

        if (colon == text.len || !is_name(h.name) || !is_value(value))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the header '%s' has no name and value of HTTP", shown), "write \"Name: value\"");
        if (http_name_is_of_gateway(h.name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the header '%s' is one that the cluster sets", shown), "choose another name");
        if (is_of_connection(h.name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the header '%s' belongs to the connection", shown), "remove it");
        TRY(split_value(value, &h));
        *ret = h;
        return NULL;
}
