/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extracts the plain text of terminal output: without sequences that move the cursor, set colours or query the terminal.
 */
#ifndef RECORDING_PLAIN_TEXT_H
#define RECORDING_PLAIN_TEXT_H

#include "base/buf.h"

/* The state within a sequence after the last bytes (ECMA-48 section 5.4). A plain value; zero it to start. */
struct plain_text {
        enum plain_state { PLAIN_TEXT, PLAIN_ESCAPE, PLAIN_CONTROL, PLAIN_STRING, PLAIN_STRING_ESCAPE, PLAIN_CHARSET } state;
        char held[4]; /* an incomplete character of several bytes */
        size_t held_len;
};

/* Appends the text in the bytes: printable characters, newlines and tabs. The result cannot control a terminal. */
void plain_text_put(struct plain_text *p, struct buf *out, struct str bytes);

#endif
