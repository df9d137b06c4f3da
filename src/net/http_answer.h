/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer that refuses a request says: its body, or the sentence in it that names the reason. Its bytes are foreign. */
#ifndef NET_HTTP_ANSWER_H
#define NET_HTTP_ANSWER_H

#include "base/buf.h"
#include "base/str.h"

enum {
        HTTP_ANSWER_BODY_MAX = 1 * KiB,  /* bytes of a body that are looked at */
        HTTP_ANSWER_INPUT_MAX = 4 * KiB, /* and bytes after the head, with the sizes of chunks, after which no more are awaited */
};

/*
 * Appends what came of the body: `rest` are the bytes after `head`. Content-Length and chunks count, as far as they are valid
 * (RFC 9112 sections 6 and 7). True: no more bytes are needed, as the body or `out` is full.
 */
bool http_answer_body(struct str head, struct str rest, struct buf *out) MUST_USE;

/*
 * The reason in a body, escaped and cut; the caller frees: "message" of JSON, the title of HTML, or the first line of text.
 * "" if there is none, or if it repeats the status line.
 */
char *http_answer_reason(struct str reason, struct str body) MUST_USE;

#endif
