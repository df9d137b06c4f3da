/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a terminal showed, as plain text: without sequences that move, colour or ask.
 */
#ifndef CLIENT_PLAIN_TEXT_H
#define CLIENT_PLAIN_TEXT_H

#include "base/buf.h"

/* Where in a sequence the last bytes ended (ECMA-48 section 5.4). A plain value; zero it to start. */
struct plain_text {
        enum plain_state { PLAIN_TEXT, PLAIN_ESCAPE, PLAIN_CONTROL, PLAIN_STRING, PLAIN_STRING_ESCAPE, PLAIN_CHARSET } state;
        char held[4]; /* a character of several bytes that has not ended */
        size_t held_len;
};

/* Adds what is text in the bytes: printable characters, newlines and tabs. Whatever is left could not steer a terminal. */
void plain_text_put(struct plain_text *p, struct buf *out, struct str bytes);

#endif
