/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text forms of bytes and numbers: base64, hex, decimal, and escaping of text from unauthenticated peers.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* RFC 4648 section 4 with padding. */
void base64_encode(struct buf *out, struct str bytes);

/* The same without padding ("raw standard"), as join challenges are written. */
void base64_encode_raw(struct buf *out, struct str bytes);

/* The alphabet for URLs and file names, without padding (RFC 4648 section 5), as JSON Web Signatures are written. */
void base64url_encode(struct buf *out, struct str bytes);

/* Strict: padded, canonical, no blanks. INVALID_ARGUMENT otherwise; the contents of out are then undefined. */
struct error *base64_decode(struct buf *out, struct str text) MUST_USE;

/* The value of one hex digit in either case; -1 for other characters. */
int hex_digit(char c);

/* Lower-case hex. */
void hex_encode(struct buf *out, struct str bytes);

/* Either case; an odd length or another character is INVALID_ARGUMENT. */
struct error *hex_decode(struct buf *out, struct str text) MUST_USE;

/* Whole text as a decimal number within [min, max]; no sign but '-', no blanks. `what` names it in errors. */
struct error *parse_int(struct str text, int64_t min, int64_t max, const char *what, int64_t *ret) MUST_USE;

/*
 * Writes at most `limit` bytes of untrusted text, made safe for terminals, log lines and readers: invalid UTF-8, C0,
 * C1, DEL, bidirectional controls and line separators become \xNN or \u{NNNN}; a cut is marked with "...".
 */
void escape_text(struct buf *out, struct str foreign, size_t limit);

/* Maximum bytes of untrusted text in one log value or error sentence. */
enum { ESCAPE_LIMIT = 512 };

/*
 * escape_text into new memory, ESCAPE_LIMIT bytes at most, for error sentences. The caller frees: `AUTO_MEM char *shown
 * = escaped(name);`
 */
char *escaped(struct str foreign) MUST_USE;

/* Whether the bytes are well-formed UTF-8 (RFC 3629). */
bool text_is_utf8(struct str s);

/* JSON string literal of s with the quotes; invalid UTF-8 becomes U+FFFD (RFC 8259 section 7). */
void json_put_string(struct buf *out, struct str s);

/* The same of escape_text(). */
void json_put_escaped(struct buf *out, struct str foreign, size_t limit);

/* The number of edits (insert, delete, replace, swap) between two words; case is ignored. For "did you mean". */
size_t text_distance(struct str a, struct str b);

/* Finds the nearest of several words: nearest_to(written, 2), nearest_offer() for each word, then .word, NULL if none is near. */
struct nearest {
        struct str written;
        size_t most; /* maximum number of edits for the next word to be nearer */
        const char *word;
};
struct nearest nearest_to(struct str written, size_t most);
void nearest_offer(struct nearest *n, const char *word);

#endif
