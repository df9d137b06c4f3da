/* SPDX-License-Identifier: Apache-2.0 */
#include "base/source.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Bits of an IPv6 address that make a source. */
enum { IPV6_SOURCE_BITS = 64 };

/* The address without brackets, port and prefix length; empty when there is none. */
static struct str without_port(struct str address)
{
        if (address.len > 0 && address.ptr[0] == '[')
                return str_slice(address, 1, str_find_char(address, ']') - 1);
        address = str_slice(address, 0, str_find_char(address, '/'));
        size_t colon = str_find_char(address, ':');
        bool has_more = str_find_char(str_slice(address, colon + 1, address.len), ':') + colon + 1 < address.len;
        return has_more ? address : str_slice(address, 0, colon);
}

/* inet_pton() accepts only the form of an IPv4 address that inet_ntop() writes. */
static bool is_ipv4(const char *text)
{
        struct in_addr v4;

        return inet_pton(AF_INET, text, &v4) == 1;
}

static void source_of_ipv6(const char *text, char ret[SOURCE_TEXT_MAX])
{
        char prefix[INET6_ADDRSTRLEN];
        struct in6_addr v6;

        if (inet_pton(AF_INET6, text, &v6) != 1)
                return;
        if (IN6_IS_ADDR_V4MAPPED(&v6)) {
                inet_ntop(AF_INET, v6.s6_addr + 12, ret, SOURCE_TEXT_MAX);
                return;
        }
        memset(v6.s6_addr + IPV6_SOURCE_BITS / 8, 0, IPV6_SIZE - IPV6_SOURCE_BITS / 8);
        inet_ntop(AF_INET6, &v6, prefix, sizeof prefix);
        snprintf(ret, SOURCE_TEXT_MAX, "%s/%d", prefix, IPV6_SOURCE_BITS);
}

void source_of(struct str address, char ret[SOURCE_TEXT_MAX])
{
        struct str host = without_port(address);
        char text[INET6_ADDRSTRLEN] = { 0 };

        memcpy(ret, "?", sizeof "?");
        host = str_slice(host, 0, str_find_char(host, '%')); /* removes the scope of a link-local address */
        if (host.len == 0 || host.len >= sizeof text || str_find_char(host, '\0') != host.len)
                return;
        memcpy(text, host.ptr, host.len);
        if (is_ipv4(text))
                memcpy(ret, text, host.len + 1);
        else
                source_of_ipv6(text, ret);
}

bool source_is_in(struct str source, const struct network *n)
{
        struct network wide = *n;
        struct ip_address ip;

        if (!ip_parse(str_slice(source, 0, str_find_char(source, '/')), &ip))
                return false;
        if (wide.first.len == IPV6_SIZE && wide.bits > IPV6_SOURCE_BITS) {
                memset(wide.first.bytes + IPV6_SOURCE_BITS / 8, 0, IPV6_SIZE - IPV6_SOURCE_BITS / 8);
                wide.bits = IPV6_SOURCE_BITS;
        }
        return network_has(&wide, &ip);
}
