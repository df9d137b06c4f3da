/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the answer of the ssh that holds a shared connection to a hello and an alive check (OpenSSH's PROTOCOL.mux, version 4),
 * from the bytes received so far.
 *
 *     u32 length   u32 0x00000001   u32 4             (string name, string value)*     hello
 *     u32 12       u32 0x80000005   u32 0 (request)   u32 process                      alive
 */
#ifndef CLIENT_MUX_ANSWER_H
#define CLIENT_MUX_ANSWER_H

#include "base/str.h"

enum { MUX_VERSION = 4, MUX_HELLO = 1 };

enum {
        MUX_PACKET_MAX = 4 * 1024,            /* with its length; a master's hello has no more than a few extensions */
        MUX_ANSWER_MAX = MUX_PACKET_MAX + 16, /* hello and alive */
};

enum mux_answer {
        MUX_ANSWER_SHORT, /* a valid prefix of a master's answer: read on */
        MUX_ANSWER_ALIVE,
        MUX_ANSWER_OTHER, /* not an answer of a usable master, whatever follows */
};

/* Bytes after the two packets make the answer invalid: a master sends nothing unrequested. */
enum mux_answer mux_answer_read(struct str bytes);

#endif
