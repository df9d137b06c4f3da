/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text and bytes with a length: a borrowed view, passed by value.
 *
 * A str never owns its bytes; the lender documents how long it is valid. It need not end in NUL and may contain NULs.
 * The zero value is the empty string.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

struct arena;

struct str {
        const char *ptr;
        size_t len;
};

/* For printf("%.*s", STR_ARG(s)). Only for text that has passed escape or a name check. */
#define STR_ARG(s) (int)(s).len, (s).ptr

/* A str over a string literal, usable in constant initialisers too (STR_INIT). */
#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal) { "" literal, sizeof(literal) - 1 }

/* A view of a C string; NULL gives the empty string. */
static inline struct str str_of(const char *c)
{
        return (struct str){ c, c == NULL ? 0 : strlen(c) };
}

static inline struct str str_of_bytes(const void *bytes, size_t len)
{
        return (struct str){ bytes, len };
}

static inline const uint8_t *str_bytes(struct str s)
{
        return (const uint8_t *)s.ptr;
}

static inline bool str_is_empty(struct str s)
{
        return s.len == 0;
}

/* Compares bytes. Not for secrets: those go through secret_equal(). */
static inline bool str_equal(struct str a, struct str b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case folded comparison, the same in every locale. */
bool bytes_equal_nocase(const char *a, const char *b, size_t len);
static inline bool str_equal_nocase(struct str a, struct str b)
{
        return a.len == b.len && bytes_equal_nocase(a.ptr, b.ptr, a.len);
}

/* Orders by bytes, shorter first when one is a prefix of the other: <0, 0, >0. */
int str_compare(struct str a, struct str b);

bool str_starts_with(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);

/* Index of the first c, or s.len when there is none. */
static inline size_t str_find_char(struct str s, char c)
{
        const char *at = s.len == 0 ? NULL : (const char *)memchr(s.ptr, c, s.len);

        return at == NULL ? s.len : (size_t)(at - s.ptr);
}

/* Whether part occurs in s. */
bool str_contains(struct str s, struct str part);
/* The same; the case of ASCII letters does not matter. */
bool str_contains_nocase(struct str s, struct str part);

/* The part of s from start on, at most len bytes; clipped to s when out of range. */
static inline struct str str_slice(struct str s, size_t start, size_t len)
{
        if (start >= s.len)
                return (struct str){ 0 };
        size_t rest = s.len - start;
        return (struct str){ s.ptr + start, len < rest ? len : rest };
}

/* Removes surrounding ASCII blanks, tabs, CRs and LFs. */
struct str str_trim(struct str s);

/*
 * Splits s at the first c: returns the part before it and sets *s to the part after it. Without c the whole is returned
 * and *s becomes empty. Use `while (!str_is_empty(rest))`.
 */
struct str str_split(struct str *s, char c);

/* The text for an interface that declares char * and does not write to it: execve, free, the messages of protobuf-c. */
static inline char *unconst(const char *text)
{
        return (char *)(uintptr_t)text;
}

/* Copies into new memory, NUL-terminated; the caller frees. Inner NULs are kept. */
char *str_dup(struct str s) MUST_USE;

/* ASCII classes, independent of the locale. */
static inline bool char_is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static inline bool char_is_alpha(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool char_is_alnum(char c)
{
        return char_is_digit(c) || char_is_alpha(c);
}

static inline char char_lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

#endif
