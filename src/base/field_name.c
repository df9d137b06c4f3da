/* SPDX-License-Identifier: Apache-2.0 */
#include "base/field_name.h"

/* tchar of RFC 9110 section 5.6.2. */
static const bool is_token_char[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true, ['#'] = true,  ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true,
        ['*'] = true,         ['+'] = true,         ['-'] = true,         ['.'] = true, ['^'] = true, ['_'] = true, ['`'] = true, ['|'] = true, ['~'] = true,
};

bool http_is_token(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                if (!is_token_char[(unsigned char)s.ptr[i]])
                        return false;
        }
        return s.len > 0;
}

/* Whether one of eight bytes may be a control byte: below ' ', or DEL. Some that are none count as well if they follow one in memory. */
static bool has_control(const char *eight)
{
        const uint64_t ones = 0x0101010101010101u, tops = 0x80 * ones;
        uint64_t bytes, del;

        memcpy(&bytes, eight, sizeof bytes);
        del = bytes ^ 0x7f * ones;
        return (((bytes - ' ' * ones) & ~bytes) | ((del - ones) & ~del)) & tops;
}

/* Blanks, tabs, visible ASCII and obs-text (above 0x7f); no control bytes. Cookies and tokens are long: eight bytes at a time. */
bool http_is_field_value(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                while (s.len - i >= 8 && !has_control(s.ptr + i))
                        i += 8;
                if (i == s.len)
                        break;
                unsigned char c = (unsigned char)s.ptr[i];
                if ((c < ' ' && c != '\t') || c == 0x7f)
                        return false;
        }
        return true;
}

static bool is_like_start(struct str name, struct str other)
{
        if (name.len < other.len)
                return false;
        for (size_t i = 0; i < other.len; i++) {
                bool is_word = char_is_alnum(other.ptr[i]);

                if (name.ptr[i] == other.ptr[i])
                        continue;
                if (is_word != char_is_alnum(name.ptr[i]) || (is_word && char_lower(name.ptr[i]) != char_lower(other.ptr[i])))
                        return false;
        }
        return true;
}

bool http_name_is_like(struct str name, struct str other)
{
        return name.len == other.len && is_like_start(name, other);
}

bool http_name_is_of_gateway(struct str name)
{
        static const struct str starts[] = { STR_INIT("teleport-"), STR_INIT("x-teleport-"), STR_INIT("x-forwarded-") };
        static const struct str names[] = { STR_INIT("cf-access-token"), STR_INIT("x-real-ip"), STR_INIT("forwarded") };

        for (size_t i = 0; i < ARRAY_LEN(starts); i++)
                if (is_like_start(name, starts[i]))
                        return true;
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (http_name_is_like(name, names[i]))
                        return true;
        return false;
}
