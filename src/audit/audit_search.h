/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for events in events.log and the files that log rotation made of it (events.log.1,
 * events.log-20260101; compressed ones are not looked at). All of it blocks, for the pool.
 */
#ifndef AUDIT_AUDIT_SEARCH_H
#define AUDIT_AUDIT_SEARCH_H

#include "audit/audit.h"

/* Everything borrowed. */
struct audit_query {
        struct walltime from, to;  /* both inclusive, by the millisecond */
        const struct str *users;   /* any of them; none: everybody */
        size_t user_count;
        const struct str *types;   /* "session.start"; the same */
        size_t type_count;
        size_t most;               /* events; LIMIT_EVENTS_COUNT at most */
        struct str after;          /* `next` of the page before; empty: from the oldest */
};

enum { AUDIT_CURSOR_SIZE = 48 };

/* A page. Zeroed before; released by audit_page_release. */
struct audit_page {
        struct buf text; /* lines with their newlines, oldest first */
        size_t count;
        uint64_t skipped; /* lines that are no events */
        char next[AUDIT_CURSOR_SIZE]; /* "": that was the last page */
};
void audit_page_release(struct audit_page *p);

/*
 * Reads until the page is full (most, LIMIT_EVENTS_PAGE) or LIMIT_EVENTS_SCAN bytes were read: then it may
 * be empty and still not the last. INVALID_ARGUMENT for a cursor that is none, ABORTED when the file it
 * points into is gone.
 */
struct error *audit_search(const char *dir, const struct audit_query *q, struct audit_page *ret) MUST_USE;

/* What a line (without newline) is to a query. */
enum audit_match { AUDIT_PASSES, AUDIT_MATCHES, AUDIT_IS_NO_EVENT };
enum audit_match audit_line_match(struct str line, const struct audit_query *q);

#endif
