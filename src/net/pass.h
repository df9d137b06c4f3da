/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The preamble that a Proxy Service sends on a connection that it passes through to the Auth Service: PASS_MAGIC and a
 * ticket from PassService/Announce (auth/core/passes.h). No TLS record begins like this.
 *
 *      offset 0    4    "CTP1"
 *      offset 4   16    the ticket
 */
#ifndef NET_PASS_H
#define NET_PASS_H

#include "base/str.h"

#define PASS_MAGIC "CTP1"
enum { PASS_MAGIC_SIZE = 4, PASS_TICKET_SIZE = 16, PASS_PREAMBLE_SIZE = PASS_MAGIC_SIZE + PASS_TICKET_SIZE };

/* The first bytes of a connection. */
enum pass_kind {
        PASS_NONE,    /* no preamble: bytes of a direct client */
        PASS_PARTIAL, /* the beginning of a preamble: more bytes are needed */
        PASS_WHOLE,   /* a preamble; *ret_ticket borrows it */
};
enum pass_kind pass_parse(struct str bytes, struct str *ret_ticket);

#endif
