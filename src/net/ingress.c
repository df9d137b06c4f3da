/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ingress.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/proxy_header.h"
#include "net/sources.h"

_Static_assert((int)IP_PORT_TEXT_MAX <= (int)ADDRESS_TEXT_MAX, "an address with port fits");

struct error *ingress_init(struct arena *arena, const struct ingress_settings *settings, struct ingress *ret)
{
        struct str mode = str_of(settings->proxy_protocol);

        *ret = (struct ingress){ .trusts_forwarded_for = settings->trusts_forwarded_for };
        if (str_equal(mode, STR("on")))
                ret->proxy_protocol = PROXY_PROTOCOL_ON;
        if (str_equal(mode, STR("off")))
                ret->proxy_protocol = PROXY_PROTOCOL_OFF;
        ret->load_balancers = arena_alloc(arena, (settings->load_balancer_count + 1) * sizeof *ret->load_balancers);
        for (size_t i = 0; i < settings->load_balancer_count; i++) {
                TRY(network_parse(str_of(settings->load_balancers[i]), &ret->load_balancers[i]));
                ret->load_balancer_count++;
        }
        return NULL;
}

bool ingress_is_load_balancer(const struct ingress *in, const char *peer)
{
        struct ip_address ip;

        if (!ip_parse(address_ip(peer), &ip))
                return false;
        for (size_t i = 0; i < in->load_balancer_count; i++)
                if (network_has(&in->load_balancers[i], &ip))
                        return true;
        return false;
}

bool ingress_has_source(const struct ingress *in, struct str source)
{
        for (size_t i = 0; i < in->load_balancer_count; i++)
                if (source_is_in(source, &in->load_balancers[i]))
                        return true;
        return false;
}

bool ingress_forwards(const struct ingress *in, const char *peer)
{
        return in->trusts_forwarded_for && ingress_is_load_balancer(in, peer);
}

bool ingress_announces(const struct ingress *in, const char *peer)
{
        return (in->proxy_protocol == PROXY_PROTOCOL_ON || in->trusts_forwarded_for) && ingress_is_load_balancer(in, peer);
}

/* ---- the PROXY protocol ------------------------------------------------------------------------------------ */

static struct error *header_missing(void)
{
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "the load balancer sent no PROXY protocol header, and proxy_protocol is on"),
                          "let the load balancer send the header, or remove its address from load_balancers");
}

static struct error *header_not_permitted(const struct ingress *in)
{
        if (in->proxy_protocol == PROXY_PROTOCOL_OFF)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "it began with a PROXY protocol header, and proxy_protocol is off"),
                                  "let the load balancer send no header, or set proxy_protocol: on and list it in load_balancers");
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "it began with a PROXY protocol header, and its sender is none of load_balancers"),
                          "if it is a load balancer of this cluster, add its address to load_balancers");
}

struct error *ingress_read(const struct ingress *in, const char *peer, bool is_own, struct str bytes, enum ingress_decision *ret,
                           char ret_client[ADDRESS_TEXT_MAX], size_t *ret_skip)
{
        bool is_on = in->proxy_protocol == PROXY_PROTOCOL_ON;
        bool is_trusted = is_on && ingress_is_load_balancer(in, peer);
        enum proxy_header_kind kind;
        struct proxy_header header;

        *ret = INGRESS_MORE;
        *ret_skip = 0;
        TRY(proxy_header_parse(bytes, &header, &kind));
        if (kind == PROXY_HEADER_PARTIAL)
                return NULL;
        if (kind == PROXY_HEADER_NONE && is_trusted && !is_own)
                return header_missing();
        if (kind == PROXY_HEADER_WHOLE && !is_trusted && in->proxy_protocol != PROXY_PROTOCOL_UNSET)
                return header_not_permitted(in);
        *ret = INGRESS_DIRECT;
        if (kind == PROXY_HEADER_NONE)
                return NULL;
        *ret_skip = header.size;
        if (!is_trusted) {
                log_warn("The address of a PROXY protocol header was ignored: proxy_protocol is not set", LOG_C("peer", peer));
        } else if (header.has_source) {
                *ret = INGRESS_CLIENT;
                ip_text_with_port(&header.source, header.source_port, ret_client);
        }
        return NULL;
}

/* ---- X-Forwarded-For ----------------------------------------------------------------------------------------- */

static struct error *not_an_address(struct str value)
{
        AUTO_MEM char *shown = escaped(value);

        return error_new(ERROR_INVALID_ARGUMENT, "the X-Forwarded-For '%s' of the load balancer is not an address", shown);
}

static struct error *too_many_addresses(void)
{
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the load balancer sent more than one address in X-Forwarded-For"),
                          "let the load balancer replace the field and not append to it");
}

/* Splits "IP", "IPV4:PORT", "[IPV6]" and "[IPV6]:PORT"; false for other forms. The parts are not checked. */
static bool split_port(struct str value, struct str *ret_ip, struct str *ret_port)
{
        size_t bracket = str_starts_with(value, STR("[")) ? 1 : 0;
        size_t end = str_find_char(value, bracket == 1 ? ']' : ':');
        struct ip_address ip;

        *ret_ip = value;
        *ret_port = STR("0");
        if (ip_parse(value, &ip))
                return true;
        struct str rest = str_slice(value, end + bracket, value.len);
        *ret_ip = str_slice(value, bracket, end - bracket);
        bool is_ipv6 = str_find_char(*ret_ip, ':') < ret_ip->len;
        if (end == value.len || is_ipv6 != (bracket == 1))
                return false;
        if (str_is_empty(rest))
                return true;
        *ret_port = str_slice(rest, 1, rest.len);
        return rest.ptr[0] == ':';
}

struct error *forwarded_for_parse(struct str value, struct ip_address *ret_ip, unsigned *ret_port)
{
        struct str ip, port;

        if (str_find_char(value, ',') < value.len)
                return too_many_addresses();
        if (split_port(value, &ip, &port) && ip_parse(ip, ret_ip) && ip_port_parse(port, ret_port))
                return NULL;
        return not_an_address(value);
}

struct error *ingress_client(const struct ingress *in, const char *peer, struct str value, size_t count,
                             char ret_client[ADDRESS_TEXT_MAX])
{
        struct ip_address ip;
        unsigned port;

        snprintf(ret_client, ADDRESS_TEXT_MAX, "%s", peer);
        if (!in->trusts_forwarded_for || count == 0)
                return NULL;
        if (!ingress_is_load_balancer(in, peer)) {
                log_info("An X-Forwarded-For field was ignored: its sender is none of load_balancers", LOG_C("peer", peer));
                return NULL;
        }
        if (count > 1)
                return too_many_addresses();
        if (str_is_empty(value))
                return NULL;
        TRY(forwarded_for_parse(value, &ip, &port));
        ip_text_with_port(&ip, port, ret_client);
        return NULL;
}
