/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "base/mem.h"

bool str_equal(struct str a, struct str b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_equal_nocase(struct str a, struct str b)
{
        if (a.len != b.len)
                return false;
        for (size_t i = 0; i < a.len; i++)
                if (char_lower(a.ptr[i]) != char_lower(b.ptr[i]))
                        return false;
        return true;
}

int str_compare(struct str a, struct str b)
{
        size_t shared = a.len < b.len ? a.len : b.len;
        int order = shared == 0 ? 0 : memcmp(a.ptr, b.ptr, shared);

        if (order != 0)
                return order;
        return (a.len > b.len) - (a.len < b.len);
}

bool str_starts_with(struct str s, struct str prefix)
{
        return s.len >= prefix.len && str_equal(str_slice(s, 0, prefix.len), prefix);
}

bool str_ends_with(struct str s, struct str suffix)
{
        return s.len >= suffix.len &&
               str_equal(str_slice(s, s.len - suffix.len, suffix.len), suffix);
}

size_t str_find_char(struct str s, char c)
{
        const char *at = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);

        return at == NULL ? s.len : (size_t)(at - s.ptr);
}

bool str_contains(struct str s, struct str part)
{
        if (part.len == 0)
                return true;
        return s.len >= part.len && memmem(s.ptr, s.len, part.ptr, part.len) != NULL;
}

bool str_contains_nocase(struct str s, struct str part)
{
        for (size_t i = 0; i + part.len <= s.len; i++)
                if (str_equal_nocase(str_slice(s, i, part.len), part))
                        return true;
        return false;
}

struct str str_slice(struct str s, size_t start, size_t len)
{
        if (start >= s.len)
                return (struct str){ 0 };
        size_t rest = s.len - start;
        return (struct str){ s.ptr + start, len < rest ? len : rest };
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
        while (s.len > 0 && is_blank(s.ptr[0]))
                s = str_slice(s, 1, s.len);
        while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
                s.len--;
        return s;
}

struct str str_split(struct str *s, char c)
{
        size_t at = str_find_char(*s, c);
        struct str head = str_slice(*s, 0, at);

        *s = str_slice(*s, at + 1, s->len);
        return head;
}

char *str_dup(struct str s)
{
        return mem_dup(s.ptr, s.len);
}

bool char_is_digit(char c)
{
        return c >= '0' && c <= '9';
}

bool char_is_alpha(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool char_is_alnum(char c)
{
        return char_is_digit(c) || char_is_alpha(c);
}

char char_lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}
