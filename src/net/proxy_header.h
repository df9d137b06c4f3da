/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of the header of the PROXY protocol, versions 1 and 2, with which a load balancer begins a connection to announce
 * the address of its client ("The PROXY protocol", haproxy.org, doc/proxy-protocol.txt, sections 2.1 and 2.2). It decides
 * nothing: whether the sender may announce an address is a matter of net/ingress.h.
 */
#ifndef NET_PROXY_HEADER_H
#define NET_PROXY_HEADER_H

#include "base/network.h"

enum proxy_header_kind {
        PROXY_HEADER_NONE,    /* the bytes do not begin with a header */
        PROXY_HEADER_PARTIAL, /* the beginning of a header: more bytes are needed */
        PROXY_HEADER_WHOLE,
};

struct proxy_header {
        size_t size; /* bytes of the header; those of the connection follow */
        /*
         * Whether the header has the address of a TCP client. Otherwise the connection counts for its real peer: health
         * checks (LOCAL), and clients of families without an IP address (UNKNOWN, UNSPEC, UNIX, UDP).
         */
        bool has_source;
        struct ip_address source;
        unsigned source_port;
};

/*
 * Parses the first bytes of a connection. *ret is set with PROXY_HEADER_WHOLE only. INVALID_ARGUMENT: the bytes begin like a
 * header and are none: the connection is to be ended (sections 2.1 and 2.2). RESOURCE_EXHAUSTED: a header of version 2
 * is larger than LIMIT_PROXY_HEADER. If an input is refused, every continuation of it is refused as well.
 *
 * The destination is checked and not returned. Of the TLVs of version 2 the form is checked, and the checksum
 * (PP2_TYPE_CRC32C, section 2.2.3) is verified if there is one; the others are skipped. The block of a LOCAL command is
 * skipped unread.
 */
struct error *proxy_header_parse(struct str bytes, struct proxy_header *ret, enum proxy_header_kind *ret_kind) MUST_USE;

/* CRC32c (RFC 4960 appendix B) of the bytes with four zeros in place of those at `hole`; no hole if it is bytes.len or larger. */
uint32_t proxy_header_crc32c(struct str bytes, size_t hole);

#endif
