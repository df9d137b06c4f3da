/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source of a connection, by which limits count unauthenticated peers: an IPv4 address, also when written as an
 * IPv6 address, or the /64 of an IPv6 address, which usually belongs to one subscriber.
 */
#ifndef BASE_SOURCE_H
#define BASE_SOURCE_H

#include "base/network.h"
#include "base/str.h"

/* Size of the output of source_of(). */
enum { SOURCE_TEXT_MAX = 64 };

/*
 * The source of "203.0.113.7:4711", "[2001:db8::1]:4711", or of the same without port ("203.0.113.7", "2001:db8::/64");
 * "?" for other texts. A source is its own source. NUL-terminated.
 */
void source_of(struct str address, char ret[SOURCE_TEXT_MAX]);

/* Whether a source contains an address of the network. */
bool source_is_in(struct str source, const struct network *n);

#endif
