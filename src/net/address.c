/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "net/socket.h"
#include "net/sources.h"

/* why: the invalid part of the address, or "". host: as far as it was found. */
static struct error *not_an_address(struct str address, struct str host, const char *why)
{
        AUTO_MEM char *shown = escaped(address);
        const char *hint = name_dns_hint(host);

        if (str_contains(address, STR("://")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not an address", shown),
                                  "write host:port without a scheme; https:// is the only accepted one");
        if (hint != NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not an address%s", shown, why), "%s", hint);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not an address%s", shown, why),
                          "write host:port, for example proxy.example.com:443 or [2001:db8::1]:443");
}

struct error *address_split(struct str address, int default_port, struct str *ret_host, int *ret_port)
{
        struct str host = address, port = { 0 };
        bool has_port = false;

        if (str_starts_with(address, STR("["))) {
                size_t bracket = str_find_char(address, ']');

                if (bracket == address.len)
                        return not_an_address(address, STR(""), "");
                host = str_slice(address, 1, bracket - 1);
                port = str_slice(address, bracket + 1, address.len);
                has_port = !str_is_empty(port);
                if (!name_is_ip(host) || str_find_char(host, ':') == host.len ||
                    (has_port && !str_starts_with(port, STR(":"))))
                        return not_an_address(address, host, "");
                port = str_slice(port, 1, port.len);
        } else if (!name_is_ip(address)) { /* a bare IPv6 literal has colons but no port */
                size_t colon = str_find_char(address, ':');

                has_port = colon < address.len;
                host = str_slice(address, 0, colon);
                port = str_slice(address, colon + 1, address.len);
        }
        if (!name_is_ip(host) && (!name_is_dns(host) || name_is_any_ip(host)))
                return not_an_address(address, host, "");
        if (!has_port) {
                AUTO_MEM char *shown = escaped(address);

                if (default_port < 0)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the address '%s' has no port", shown),
                                          "write host:port");
                *ret_port = default_port;
        } else {
                int64_t number;
                AUTO_PTR(error) err = parse_int(port, 0, 65535, "the port", &number);

                if (err != NULL)
                        return not_an_address(address, host, ": the port must be a number from 0 to 65535");
                *ret_port = (int)number;
        }
        *ret_host = host;
        return NULL;
}

struct error *address_check_server(struct str address)
{
        struct str host;
        int port;

        TRY(address_split(address, 1, &host, &port));
        return port != 0 ? NULL : not_an_address(address, host, ": the port must be a number from 1 to 65535");
}

char *address_to_dial(struct str listen_addr, int default_port)
{
        struct str host;
        int port;
        struct error *err = address_split(listen_addr, default_port, &host, &port);

        if (err != NULL) {
                error_free(err);
                return NULL;
        }
        if (str_equal(host, STR("0.0.0.0")))
                return mem_printf("127.0.0.1:%d", port);
        if (str_equal(host, STR("::")))
                return mem_printf("[::1]:%d", port);
        return str_dup(listen_addr);
}

/* The first bits of an IPv4 address, in host order. */
static bool is_in_v4(uint32_t address, uint32_t network, int bits)
{
        return address >> (32 - bits) == network >> (32 - bits);
}

static bool is_private_v4(uint32_t address)
{
        return is_in_v4(address, 0x7f000000, 8) || is_in_v4(address, 0x0a000000, 8) || is_in_v4(address, 0xac100000, 12) ||
               is_in_v4(address, 0xc0a80000, 16) || is_in_v4(address, 0x64400000, 10) || is_in_v4(address, 0xa9fe0000, 16);
}

static bool is_private_v6(const struct in6_addr *address)
{
        const uint8_t *bytes = address->s6_addr;

        if (IN6_IS_ADDR_V4MAPPED(address))
                return is_private_v4((uint32_t)bytes[12] << 24 | (uint32_t)bytes[13] << 16 | (uint32_t)bytes[14] << 8 | bytes[15]);
        return IN6_IS_ADDR_LOOPBACK(address) || (bytes[0] & 0xfe) == 0xfc || (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
}

bool address_is_private(const char *address)
{
        struct str ip = address_ip(address);
        struct sock_address parsed;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;

        if (!sock_address_of_literal(str_slice(ip, 0, str_find_char(ip, '%')), 0, &parsed))
                return false;
        if (parsed.storage.ss_family == AF_INET6) {
                memcpy(&v6, &parsed.storage, sizeof v6);
                return is_private_v6(&v6.sin6_addr);
        }
        memcpy(&v4, &parsed.storage, sizeof v4);
        return is_private_v4(ntohl(v4.sin_addr.s_addr));
}

bool sock_address_of_literal(struct str host, int port, struct sock_address *ret)
{
        char text[INET6_ADDRSTRLEN];
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

        if (!name_is_ip(host))
                return false;
        memcpy(text, host.ptr, host.len);
        text[host.len] = '\0';
        *ret = (struct sock_address){ 0 };
        if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
                memcpy(&ret->storage, &v4, sizeof v4);
                ret->len = sizeof v4;
                return true;
        }
        if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
                memcpy(&ret->storage, &v6, sizeof v6);
                ret->len = sizeof v6;
                return true;
        }
        return false;
}

void sock_address_text(const struct sock_address *a, char *ret_text)
{
        char host[INET6_ADDRSTRLEN] = "", scope[IF_NAMESIZE + 1] = "";
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;

        ret_text[0] = '\0';
        switch (a->storage.ss_family) {
        case AF_INET:
                memcpy(&v4, &a->storage, sizeof v4);
                inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
                snprintf(ret_text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(v4.sin_port));
                break;
        case AF_INET6:
                memcpy(&v6, &a->storage, sizeof v6);
                inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
                if (v6.sin6_scope_id != 0) {
                        scope[0] = '%';
                        if (if_indextoname(v6.sin6_scope_id, scope + 1) == NULL)
                                scope[0] = '\0';
                }
                snprintf(ret_text, ADDRESS_TEXT_MAX, "[%s%s]:%u", host, scope, ntohs(v6.sin6_port));
                break;
        default:
                break;
        }
}
