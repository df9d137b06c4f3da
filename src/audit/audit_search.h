/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searches events in events.log and its rotated files, uncompressed or compressed by gzip (audit_names.h). A file that is there twice,
 * as while it is compressed, is read once. All functions block and run on the thread pool, after zlib_load().
 */
#ifndef AUDIT_AUDIT_SEARCH_H
#define AUDIT_AUDIT_SEARCH_H

#include "audit/audit.h"

/* Everything borrowed. */
struct audit_query {
        struct walltime from, to;  /* both inclusive, by the millisecond */
        const struct str *users;   /* events of any of them; none: of all users */
        size_t user_count;
        const struct str *types;   /* event types such as "session.start"; none: all types */
        size_t type_count;
        size_t most;               /* limit of events; LIMIT_EVENTS_COUNT at most */
        struct str after;          /* `next` of the page before; empty: from the oldest */
};

enum { AUDIT_CURSOR_SIZE = 48 };

/* A page. Zeroed before; released by audit_page_release. */
struct audit_page {
        struct buf text; /* lines with their newlines, oldest first */
        size_t count;
        uint64_t skipped; /* number of lines that are not events */
        char next[AUDIT_CURSOR_SIZE]; /* cursor of the next page; "": this was the last page */
};
void audit_page_release(struct audit_page *p);

/*
 * Reads until the page is full (most, LIMIT_EVENTS_PAGE) or LIMIT_EVENTS_SCAN bytes were read: in the latter case a
 * page may be empty without being the last. The end of a damaged compressed file, and what is beyond LIMIT_EVENTS_UNPACKED, counts as
 * one line that is no event. INVALID_ARGUMENT for a malformed cursor, ABORTED when the file it points into is gone.
 */
struct error *audit_search(const char *dir, const struct audit_query *q, struct audit_page *ret) MUST_USE;

/* Whether a line (without newline) matches a query. */
enum audit_match { AUDIT_PASSES, AUDIT_MATCHES, AUDIT_IS_NO_EVENT };
enum audit_match audit_line_match(struct str line, const struct audit_query *q);

#endif
