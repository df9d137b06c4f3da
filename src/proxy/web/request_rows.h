/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests in the recording of a connection to an HTTP application (app/request_log.h), out of its plain text (recording_export.h):
 * the newest of those that match a search. A host has written the lines: each may have any content.
 */
#ifndef PROXY_WEB_REQUEST_ROWS_H
#define PROXY_WEB_REQUEST_ROWS_H

#include <jansson.h>

#include "base/buf.h"
#include "base/limits.h"

enum { REQUEST_LINE_MAX = 16 * KiB, REQUEST_NOTES_MAX = 8 };

/* Borrowed from `event` */
struct request_row {
        const char *time, *method, *path, *query; /* "": not known */
        int64_t status, received, sent, took_ms;  /* status 0: the connection ended before a response */
        bool is_cut;                              /* it ended before the whole response was sent */
        json_t *event;
};

/* A plain value; zeroed it may be released. The fields are private but seen, matching and the notes. */
struct request_rows {
        size_t seen, matching;
        char *notes[REQUEST_NOTES_MAX]; /* what is wrong with the recording, and lines that are no requests */
        size_t note_count;
        struct str words; /* borrowed */
        struct buf line;
        bool is_too_long;
        struct request_row ring[LIMIT_WEB_REQUESTS_SHOWN];
};

/* words: each must be in method, path, query or status; borrowed. */
void request_rows_begin(struct request_rows *r, struct str words);
void request_rows_release(struct request_rows *r);

/* The next part of the text. */
void request_rows_put(struct request_rows *r, struct str text);

size_t request_rows_shown(const struct request_rows *r);
/* index 0: the newest. */
const struct request_row *request_rows_at(const struct request_rows *r, size_t index);

#endif
