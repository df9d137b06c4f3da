/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes HTML. Only literals of the source are written as they are; every text that is put in is escaped.
 */
#ifndef HTTP_HTML_H
#define HTTP_HTML_H

#include "base/buf.h"

/* Escapes text for use between tags and in quoted attributes: & < > " ' become references. */
void html_put(struct buf *out, struct str text);

/*
 * As printf, but texts (%s, %.*s) are escaped for use between tags and in quoted attributes. The format, which holds the tags, must
 * be a literal. Others: %d, %u, %zu, %lld, %%, without flags.
 */
void html_print(struct buf *out, const char *format, ...) PRINTF_LIKE(2, 3);

/* A text as part of the query of a URL: all but unreserved characters become %XX (RFC 3986 section 2). */
void url_put(struct buf *out, struct str text);

/* "a sentence" as "A sentence."; "a question?" as "A question?" */
void html_put_sentence(struct buf *out, const char *words);

/* A point in time: <time datetime=…>2026-01-31 12:00:00 UTC</time>. */
void html_put_time(struct buf *out, int64_t unix_seconds);

#endif
