/* SPDX-License-Identifier: Apache-2.0 */
#include "base/network.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

struct ip_address ip_of_bytes(const uint8_t *bytes, size_t len)
{
        static const uint8_t mapped[IPV6_SIZE - IPV4_SIZE] = { [10] = 0xff, [11] = 0xff };
        struct ip_address ip = { .len = len };

        if (len == IPV6_SIZE && memcmp(bytes, mapped, sizeof mapped) == 0) {
                bytes += sizeof mapped;
                ip.len = IPV4_SIZE;
        }
        memcpy(ip.bytes, bytes, ip.len);
        return ip;
}

bool ip_parse(struct str text, struct ip_address *ret)
{
        char copy[INET6_ADDRSTRLEN];
        uint8_t bytes[IPV6_SIZE];

        if (text.len == 0 || text.len >= sizeof copy || str_find_char(text, '\0') != text.len)
                return false;
        memcpy(copy, text.ptr, text.len);
        copy[text.len] = '\0';
        if (inet_pton(AF_INET, copy, bytes) == 1)
                *ret = ip_of_bytes(bytes, IPV4_SIZE);
        else if (inet_pton(AF_INET6, copy, bytes) == 1)
                *ret = ip_of_bytes(bytes, IPV6_SIZE);
        else
                return false;
        return true;
}

bool ip_port_parse(struct str text, unsigned *ret)
{
        int64_t port;
        bool has_other_form = text.len == 0 || text.ptr[0] == '-' || (text.len > 1 && text.ptr[0] == '0');
        AUTO_PTR(error) err = parse_int(text, 0, UINT16_MAX, "the port", &port);

        if (err != NULL || has_other_form)
                return false;
        *ret = (unsigned)port;
        return true;
}

/* Writes the address without a port, in INET6_ADDRSTRLEN bytes. */
static void ip_text(const struct ip_address *ip, char *ret)
{
        inet_ntop(ip->len == IPV4_SIZE ? AF_INET : AF_INET6, ip->bytes, ret, INET6_ADDRSTRLEN);
}

void ip_text_with_port(const struct ip_address *ip, unsigned port, char ret[IP_PORT_TEXT_MAX])
{
        char text[INET6_ADDRSTRLEN];

        ip_text(ip, text);
        snprintf(ret, IP_PORT_TEXT_MAX, ip->len == IPV4_SIZE ? "%s:%u" : "[%s]:%u", text, port);
}

/* Sets the bits after the first `bits` to zero; false: one of them was set. */
static bool clear_after(struct ip_address *ip, size_t bits)
{
        bool was_clear = true;

        for (size_t i = 0; i < ip->len; i++) {
                size_t kept = bits > 8 * i ? bits - 8 * i : 0;
                uint8_t mask = (uint8_t)(kept >= 8 ? 0xff : 0xff00 >> kept);

                was_clear = was_clear && (ip->bytes[i] & ~mask) == 0;
                ip->bytes[i] &= mask;
        }
        return was_clear;
}

struct error *network_parse(struct str text, struct network *ret)
{
        AUTO_MEM char *shown = escaped(text);
        struct str bits = text, ip = str_split(&bits, '/');
        bool has_bits = ip.len < text.len;
        int64_t count = 0;

        if (!ip_parse(ip, &ret->first))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a network", shown),
                                  "write an address with the length of its prefix, such as 10.0.0.0/8, or one address, such as 10.0.0.5");
        bool was_mapped = ret->first.len == IPV4_SIZE && str_find_char(ip, ':') < ip.len;
        struct error *err = has_bits ? parse_int(bits, 0, 8 * (int64_t)ret->first.len, "the prefix", &count) : NULL;
        if (err != NULL || (has_bits && was_mapped)) {
                error_free(err);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' has no valid length of a prefix", shown),
                                  "write 0 to 32 after an IPv4 address, 0 to 128 after an IPv6 address");
        }
        ret->bits = has_bits ? (size_t)count : 8 * ret->first.len;
        if (!clear_after(&ret->first, ret->bits)) {
                char first[INET6_ADDRSTRLEN];

                ip_text(&ret->first, first);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' has bits after its prefix", shown),
                                  "write %s/%zu, or one address without a prefix", first, ret->bits);
        }
        return NULL;
}

bool ip_has_prefix(const struct ip_address *ip, const struct ip_address *other, size_t bits)
{
        struct ip_address first = *ip, of_other = *other;

        if (ip->len != other->len)
                return false;
        clear_after(&first, bits);
        clear_after(&of_other, bits);
        return memcmp(first.bytes, of_other.bytes, first.len) == 0;
}

bool network_has(const struct network *n, const struct ip_address *ip)
{
        return ip_has_prefix(ip, &n->first, n->bits);
}
