/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions in roles, matched in linear time.
 *
 * The regcomp(3) of the system takes memory and time that grow exponentially with some patterns, so
 * this is a simulation of all states at once (K. Thompson, CACM 11(6), 1968): at most code * text
 * steps, no allocation, no back references.
 *
 *   x   .   [a-z]  [^a-z]   \d \w \s \D \W \S   \ before punctuation   (x) (?:x)   x|y
 *   x*  x+  x?  x{n}  x{n,}  x{n,m}, each also with a ? behind, which changes nothing here
 *
 * Anchored at both ends, byte by byte, case-sensitive. All else of the RE2 syntax is refused.
 */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include "base/error.h"
#include "base/str.h"

enum {
        REGEX_PATTERN_MAX = 512, /* bytes of a pattern */
        REGEX_CODE_MAX = 1000,   /* steps of the compiled pattern, with repetitions expanded */
        REGEX_SETS_MAX = 64,     /* [classes] in a pattern */
};

/* One step; jumps are relative to it. */
struct regex_step {
        uint8_t what;
        uint8_t arg;
        int16_t next, other;
};

/* A compiled pattern; a plain value, 8 KiB. */
struct regex {
        struct regex_step code[REGEX_CODE_MAX];
        size_t size;
        uint8_t sets[REGEX_SETS_MAX][32]; /* a bit per byte */
        size_t set_count;
};

/* INVALID_ARGUMENT with the error in the pattern. */
struct error *regex_compile(struct str pattern, struct regex *ret) MUST_USE;

/* Whether the whole text matches. */
bool regex_match(const struct regex *re, struct str text);

#endif
