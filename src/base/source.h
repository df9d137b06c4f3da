/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an address is counted as wherever something is counted by where it comes from: an IPv4 address, also when it is
 * written as an IPv6 one, or the /64 of an IPv6 address, which one subscriber has all of.
 */
#ifndef BASE_SOURCE_H
#define BASE_SOURCE_H

#include "base/str.h"

/* Room for what source_of() writes. */
enum { SOURCE_TEXT_MAX = 64 };

/*
 * The source of "203.0.113.7:4711", "[2001:db8::1]:4711", or of the same without port ("203.0.113.7", "2001:db8::/64");
 * of anything else it is "?". Also takes what it wrote itself. NUL-terminated.
 */
void source_of(struct str address, char ret[SOURCE_TEXT_MAX]);

#endif
