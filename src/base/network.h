/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses and networks as values, for lists of networks in the configuration. An IPv4 address that is written as an
 * IPv6 address (RFC 4291 section 2.5.5.2) is the IPv4 address everywhere here.
 */
#ifndef BASE_NETWORK_H
#define BASE_NETWORK_H

#include "base/error.h"
#include "base/str.h"

enum {
        IPV4_SIZE = 4,
        IPV6_SIZE = 16,
        IP_PORT_TEXT_MAX = 56, /* size of the output of ip_text_with_port() */
};

struct ip_address {
        uint8_t bytes[IPV6_SIZE];
        size_t len; /* IPV4_SIZE or IPV6_SIZE */
};

/* Whether an address has the same first `bits` as another; never if that is of the other family, also with 0 bits. */
bool ip_has_prefix(const struct ip_address *ip, const struct ip_address *other, size_t bits);

struct network {
        struct ip_address first; /* its bits after the prefix are zero */
        size_t bits;             /* length of the prefix */
};

/* The address in `bytes`, of IPV4_SIZE or IPV6_SIZE bytes. */
struct ip_address ip_of_bytes(const uint8_t *bytes, size_t len);

/* Parses "203.0.113.7" or "2001:db8::1" as inet_pton() does, so without a scope; false for other texts. */
bool ip_parse(struct str text, struct ip_address *ret);

/* Parses a port: 0 to 65535 in decimal digits without leading zeros; false for other texts. */
bool ip_port_parse(struct str text, unsigned *ret);

/* "203.0.113.7:4711" or "[2001:db8::1]:4711". */
void ip_text_with_port(const struct ip_address *ip, unsigned port, char ret[IP_PORT_TEXT_MAX]);

/*
 * Parses "10.0.0.0/8", "2001:db8::/32" or a single address. INVALID_ARGUMENT, with a hint, for other texts and for a
 * network with bits after its prefix.
 */
struct error *network_parse(struct str text, struct network *ret) MUST_USE;

/* Whether the network has the address; never for one of the other family, also in 0.0.0.0/0 and ::/0. */
bool network_has(const struct network *n, const struct ip_address *ip);

#endif
