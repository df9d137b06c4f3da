/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy_header.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/reader.h"

/* Section 2.2. */
enum {
        V1_LINE_MAX = 107, /* with CRLF; section 2.1 */
        V2_FIXED_SIZE = 16,
        V2_VERSION_AT = 12,
        V2_VERSION = 2,
        COMMAND_LOCAL = 0,
        COMMAND_PROXY = 1,
        FAMILY_UNSPEC = 0,
        FAMILY_INET = 1,
        FAMILY_INET6 = 2,
        FAMILY_UNIX = 3,
        TRANSPORT_UNSPEC = 0,
        TRANSPORT_STREAM = 1,
        TRANSPORT_DGRAM = 2,
        UNIX_PATH_SIZE = 108,
        TLV_CRC32C = 3, /* section 2.2.3 */
        CRC32C_SIZE = 4,
};

static const struct str v1_signature = STR_INIT("PROXY ");
static const struct str v2_signature = STR_INIT("\r\n\r\n\0\r\nQUIT\n");

static struct error *invalid(const char *why)
{
        return error_new(ERROR_INVALID_ARGUMENT, "not a valid PROXY protocol header: %s", why);
}

/* ---- version 1 ------------------------------------------------------------------------------------------- */

static struct error *parse_ip(struct str text, bool is_ipv6, struct ip_address *ret)
{
        bool has_colon = str_find_char(text, ':') < text.len;

        if (has_colon != is_ipv6 || !ip_parse(text, ret))
                return invalid("an address is not one of its family");
        return NULL;
}

/* The line without its CRLF, after "PROXY ". */
static struct error *parse_line(struct str rest, struct proxy_header *ret)
{
        struct str family = str_split(&rest, ' ');
        struct str words[4];
        struct ip_address destination;
        unsigned destination_port;

        if (str_equal(family, STR("UNKNOWN")))
                return NULL; /* anything up to the CRLF is ignored */
        bool is_ipv6 = str_equal(family, STR("TCP6"));
        if (!is_ipv6 && !str_equal(family, STR("TCP4")))
                return invalid("the protocol is none of TCP4, TCP6 and UNKNOWN");
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                size_t blank = str_find_char(rest, ' ');
                bool is_last = i + 1 == ARRAY_LEN(words);

                if ((blank < rest.len) == is_last)
                        return invalid("it does not consist of two addresses and two ports");
                words[i] = str_slice(rest, 0, blank);
                rest = str_slice(rest, blank + 1, rest.len);
        }
        TRY(parse_ip(words[0], is_ipv6, &ret->source));
        TRY(parse_ip(words[1], is_ipv6, &destination));
        if (!ip_port_parse(words[2], &ret->source_port) || !ip_port_parse(words[3], &destination_port))
                return invalid("a port is not a number from 0 to 65535");
        ret->has_source = true;
        return NULL;
}

static struct error *parse_v1(struct str bytes, struct proxy_header *ret, enum proxy_header_kind *ret_kind)
{
        struct str seen = str_slice(bytes, 0, V1_LINE_MAX);
        size_t lf = str_find_char(seen, '\n'), cr = str_find_char(seen, '\r');

        if (lf < seen.len ? cr + 1 != lf : cr + 1 < seen.len)
                return invalid("its line does not end in CR LF");
        if (lf == seen.len && seen.len == V1_LINE_MAX)
                return invalid("its line is longer than 107 bytes");
        if (lf == seen.len)
                return NULL;
        struct str line = str_slice(seen, 0, cr);
        TRY(parse_line(str_slice(line, v1_signature.len, line.len), ret));
        ret->size = lf + 1;
        *ret_kind = PROXY_HEADER_WHOLE;
        return NULL;
}

/* ---- version 2 ------------------------------------------------------------------------------------------- */

uint32_t proxy_header_crc32c(struct str bytes, size_t hole)
{
        const uint32_t polynomial = 0x82f63b78; /* reflected */
        uint32_t crc = UINT32_MAX;

        for (size_t i = 0; i < bytes.len; i++) {
                crc ^= i >= hole && i - hole < CRC32C_SIZE ? 0 : str_bytes(bytes)[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
        }
        return ~crc;
}

/* Checks the form of the TLVs at the end of the header, and its checksum. */
static struct error *check_tlvs(struct str header, struct reader *r)
{
        bool has_checksum = false;

        while (reader_ok(r) && !str_is_empty(r->rest)) {
                uint8_t type = reader_u8(r);
                struct str value = reader_take(r, reader_u16(r));

                if (!reader_ok(r) || type != TLV_CRC32C)
                        continue;
                if (value.len != CRC32C_SIZE || has_checksum)
                        return invalid("its checksum has another form");
                struct reader checksum = reader_over(value);
                if (proxy_header_crc32c(header, (size_t)(value.ptr - header.ptr)) != reader_u32(&checksum))
                        return invalid("its checksum is wrong");
                has_checksum = true;
        }
        return reader_ok(r) ? NULL : invalid("its TLVs are longer than the header");
}

/* The size of both addresses and ports of a family. */
static size_t addresses_size(unsigned family)
{
        switch (family) {
        case FAMILY_INET:
                return 2 * (IPV4_SIZE + 2);
        case FAMILY_INET6:
                return 2 * (IPV6_SIZE + 2);
        case FAMILY_UNIX:
                return 2 * UNIX_PATH_SIZE;
        default:
                return 0;
        }
}

static struct error *parse_block(struct str header, unsigned family, unsigned transport, struct proxy_header *ret)
{
        struct reader r = reader_over(header);
        size_t ip_size = family == FAMILY_INET ? IPV4_SIZE : IPV6_SIZE;

        reader_take(&r, V2_FIXED_SIZE);
        struct str addresses = reader_take(&r, addresses_size(family));
        if (!reader_ok(&r))
                return invalid("it is too short for its addresses");
        if (family != FAMILY_UNSPEC) /* with UNSPEC, the size of the addresses is not known */
                TRY(check_tlvs(header, &r));
        if ((family != FAMILY_INET && family != FAMILY_INET6) || transport != TRANSPORT_STREAM)
                return NULL;
        struct reader ports = reader_over(str_slice(addresses, 2 * ip_size, addresses.len));
        ret->has_source = true;
        ret->source = ip_of_bytes(str_bytes(addresses), ip_size);
        ret->source_port = reader_u16(&ports);
        return NULL;
}

static struct error *parse_v2(struct str bytes, struct proxy_header *ret, enum proxy_header_kind *ret_kind)
{
        struct reader r = reader_over(str_slice(bytes, V2_VERSION_AT, bytes.len));
        uint8_t version_command = reader_u8(&r), family_transport = reader_u8(&r);
        uint16_t rest = reader_u16(&r);
        unsigned command = version_command & 15, family = family_transport >> 4, transport = family_transport & 15;

        if (bytes.len > V2_VERSION_AT && (version_command >> 4 != V2_VERSION || command > COMMAND_PROXY))
                return invalid("its version or command is unknown");
        if (bytes.len > V2_VERSION_AT + 1 && command == COMMAND_PROXY && (family > FAMILY_UNIX || transport > TRANSPORT_DGRAM))
                return invalid("its address family or transport is unknown");
        if (bytes.len < V2_FIXED_SIZE)
                return NULL;
        size_t size = V2_FIXED_SIZE + (size_t)rest;
        if (size > LIMIT_PROXY_HEADER)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the PROXY protocol header has %zu bytes, and %d are the most", size, LIMIT_PROXY_HEADER);
        if (bytes.len < size)
                return NULL;
        if (command == COMMAND_PROXY)
                TRY(parse_block(str_slice(bytes, 0, size), family, transport, ret));
        ret->size = size;
        *ret_kind = PROXY_HEADER_WHOLE;
        return NULL;
}

/* ---- both ------------------------------------------------------------------------------------------------ */

/* Whether the bytes are a part of the signature, or begin with it. */
static bool may_begin_with(struct str bytes, struct str signature)
{
        return str_starts_with(bytes, str_slice(signature, 0, bytes.len));
}

struct error *proxy_header_parse(struct str bytes, struct proxy_header *ret, enum proxy_header_kind *ret_kind)
{
        bool is_v1 = may_begin_with(bytes, v1_signature), is_v2 = may_begin_with(bytes, v2_signature);

        *ret = (struct proxy_header){ 0 };
        *ret_kind = is_v1 || is_v2 ? PROXY_HEADER_PARTIAL : PROXY_HEADER_NONE;
        if (is_v1 && bytes.len >= v1_signature.len)
                return parse_v1(bytes, ret, ret_kind);
        if (is_v2 && bytes.len >= v2_signature.len)
                return parse_v2(bytes, ret, ret_kind);
        return NULL;
}
