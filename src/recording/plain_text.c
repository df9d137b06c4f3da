/* SPDX-License-Identifier: Apache-2.0 */
#include "recording/plain_text.h"

#include "base/text.h"

enum { ESC = 0x1b, BEL = 0x07, DEL = 0x7f, CONTINUATION = 0x80, LEAD = 0xc0 };

/* The length of a UTF-8 character by its first byte; 0: no character begins with that byte. */
static size_t length_of(unsigned char lead)
{
        if (lead < CONTINUATION)
                return 1;
        if (lead >= 0xc2 && lead < 0xe0)
                return 2;
        if (lead >= 0xe0 && lead < 0xf0)
                return 3;
        return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

/* Appends a complete character, unless it could control the terminal. */
static void put_held(struct plain_text *p, struct buf *out)
{
        AUTO(buf) checked = BUF_MAX(64);
        struct str held = str_of_bytes(p->held, p->held_len);

        escape_text(&checked, held, sizeof p->held);
        if (str_equal(buf_str(&checked), held) || (held.len == 1 && held.ptr[0] == '\\'))
                buf_put(out, held);
        p->held_len = 0;
}

static void put_byte(struct plain_text *p, struct buf *out, unsigned char c)
{
        if (p->held_len > 0 && (c & LEAD) != CONTINUATION)
                p->held_len = 0; /* not a character */
        if (p->held_len == 0 && (c == '\n' || c == '\t')) {
                buf_put_char(out, (char)c);
                return;
        }
        if (p->held_len == 0 && (c < ' ' || c == DEL || length_of(c) == 0))
                return;
        p->held[p->held_len++] = (char)c;
        if (p->held_len == length_of((unsigned char)p->held[0]))
                put_held(p, out);
}

/* The state after a byte inside of a sequence. */
static enum plain_state next_state(enum plain_state state, unsigned char c)
{
        switch (state) {
        case PLAIN_ESCAPE:
                if (c == '[')
                        return PLAIN_CONTROL;
                if (strchr("]PX^_", c) != NULL && c != '\0')
                        return PLAIN_STRING;
                return c >= ' ' && c <= '/' ? PLAIN_CHARSET : PLAIN_TEXT;
        case PLAIN_CONTROL:
                return c >= '@' && c <= '~' ? PLAIN_TEXT : PLAIN_CONTROL;
        case PLAIN_CHARSET:
                return c >= '0' && c <= '~' ? PLAIN_TEXT : PLAIN_CHARSET;
        case PLAIN_STRING:
                if (c == ESC)
                        return PLAIN_STRING_ESCAPE;
                return c == BEL ? PLAIN_TEXT : PLAIN_STRING;
        case PLAIN_STRING_ESCAPE:
                return c == '\\' ? PLAIN_TEXT : next_state(PLAIN_ESCAPE, c);
        case PLAIN_TEXT:
                break;
        }
        return PLAIN_TEXT;
}

void plain_text_put(struct plain_text *p, struct buf *out, struct str bytes)
{
        for (size_t i = 0; i < bytes.len; i++) {
                unsigned char c = (unsigned char)bytes.ptr[i];
                bool is_newline = c == '\n' && p->state != PLAIN_STRING; /* an incomplete sequence must not consume the rest */

                if (p->state != PLAIN_TEXT && p->state != PLAIN_STRING && c == ESC)
                        p->state = PLAIN_ESCAPE;
                else if (p->state != PLAIN_TEXT && !is_newline)
                        p->state = next_state(p->state, c);
                else if (c == ESC)
                        p->state = PLAIN_ESCAPE;
                else {
                        p->state = PLAIN_TEXT;
                        put_byte(p, out, c);
                }
        }
}
