/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The true address of clients behind a load balancer: which peers may announce one, by a header of the PROXY protocol
 * (net/proxy_header.h) or in X-Forwarded-For. Only the load balancers of a configured list are believed; a header from
 * any other peer changes nothing.
 *
 *      proxy_protocol   header from a load balancer   no header from one   header from another peer
 *      on               its address counts            refused              refused
 *      unset            skipped                       accepted             skipped
 *      off              refused                       accepted             refused
 *
 * With `on`, a load balancer on this machine may also connect without a header: local services use the same address.
 */
#ifndef NET_INGRESS_H
#define NET_INGRESS_H

#include "base/arena.h"
#include "base/network.h"
#include "net/socket.h"

enum proxy_protocol { PROXY_PROTOCOL_UNSET, PROXY_PROTOCOL_ON, PROXY_PROTOCOL_OFF };

struct ingress {
        enum proxy_protocol proxy_protocol;
        bool trusts_forwarded_for; /* X-Forwarded-For of load balancers */
        struct network *load_balancers;
        size_t load_balancer_count;
};

/* The settings of a configuration section. Borrowed. */
struct ingress_settings {
        const char *proxy_protocol; /* "on", "off", NULL: unset */
        bool trusts_forwarded_for;
        char *const *load_balancers; /* texts of network_parse() */
        size_t load_balancer_count;
};

/* Reads the settings; the list of *ret is in the arena. INVALID_ARGUMENT: a load balancer is not a network. */
struct error *ingress_init(struct arena *arena, const struct ingress_settings *settings, struct ingress *ret) MUST_USE;

/* Whether `peer`, an address with port, is a listed load balancer. */
bool ingress_is_load_balancer(const struct ingress *in, const char *peer);

/* Whether a source (text of source_of()) has the address of a listed load balancer. */
bool ingress_has_source(const struct ingress *in, struct str source);

/* Whether X-Forwarded-For of `peer` is believed: it is a load balancer, and such fields are trusted. */
bool ingress_forwards(const struct ingress *in, const char *peer);

/* Whether connections of `peer` stand for other clients: it is a load balancer, and one of the two ways is on. */
bool ingress_announces(const struct ingress *in, const char *peer);

enum ingress_decision {
        INGRESS_MORE,   /* more bytes are needed */
        INGRESS_DIRECT, /* the connection counts for its peer */
        INGRESS_CLIENT, /* it counts for the client, whose address with port is in *ret_client */
};

/*
 * Decides on the first bytes of a connection from `peer`; is_own: the peer is this machine. *ret_skip is the size of the
 * header. INVALID_ARGUMENT, RESOURCE_EXHAUSTED: the header is malformed. PERMISSION_DENIED: the header is missing or not
 * permitted. The connection must then be ended.
 */
struct error *ingress_read(const struct ingress *in, const char *peer, bool is_own, struct str bytes, enum ingress_decision *ret,
                           char ret_client[ADDRESS_TEXT_MAX], size_t *ret_skip) MUST_USE;

/*
 * The client of an HTTP request from `peer`, as an address with port (0 if it is not known): the one address in
 * X-Forwarded-For if the peer is a load balancer and such fields are trusted, otherwise the peer. `value` is that of the
 * first X-Forwarded-For field, `count` the number of such fields. INVALID_ARGUMENT: a load balancer has sent more than one
 * address, or another text.
 */
struct error *ingress_client(const struct ingress *in, const char *peer, struct str value, size_t count,
                             char ret_client[ADDRESS_TEXT_MAX]) MUST_USE;

/*
 * Parses the one address of an X-Forwarded-For field: "203.0.113.7", "203.0.113.7:4711", "2001:db8::7", "[2001:db8::7]" or
 * "[2001:db8::7]:4711"; the port is 0 if there is none. INVALID_ARGUMENT for other texts and for a list.
 */
struct error *forwarded_for_parse(struct str value, struct ip_address *ret_ip, unsigned *ret_port) MUST_USE;

#endif
