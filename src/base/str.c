/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "base/mem.h"

bool bytes_equal_nocase(const char *a, const char *b, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (a[i] != b[i] && char_lower(a[i]) != char_lower(b[i]))
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
