/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections from a host to the cluster. A way (struct connect_way) defines the address to dial (perhaps through an
 * HTTP proxy of the environment), the TLS parameters, and the verification of the server.
 */
#ifndef CLUSTER_CONNECT_H
#define CLUSTER_CONNECT_H

#include "join/host_identity.h"
#include "join/client.h"
#include "net/http_proxy.h"
#include "net/socket.h"
#include "pki/ca_pins.h"

struct loop;
struct stream;
struct watch;

enum connect_route {
        ROUTE_PROXY_WEB,     /* a proxy by its public name and web certificate, to join */
        ROUTE_PROXY_CLUSTER, /* a proxy by its certificate of the cluster, to join */
        ROUTE_AUTH,          /* the Auth Service, to join */
        ROUTE_MEMBER,        /* the Auth Service, with our certificate; a proxy forwards the TLS bytes unchanged */
        ROUTE_TUNNEL,        /* a proxy, with our certificate, for a reverse tunnel (tunnel/tunnel.h) */
        ROUTE_PEER,          /* from a proxy to another one, with our certificate (proxy/peer_server.h) */
};

enum connect_proof {
        PROOF_SYSTEM,    /* the system's CAs */
        PROOF_CA_FILE,   /* data_dir/ca.cert */
        PROOF_STORED,    /* the CAs stored with an identity of this host */
        PROOF_PIN,       /* teleport.ca_pin */
        PROOF_FIRST_USE, /* none: the operator configured nothing */
        PROOF_INSECURE,  /* none: --insecure */
};

struct connect_way {
        enum connect_route route;
        enum connect_proof proof;
        char address[ADDRESS_TEXT_MAX + LIMIT_NAME]; /* host:port */
        struct http_proxy via;                       /* the HTTP proxy in between, if any */
        bool is_proxy; /* the address is taken for that of a proxy, in front of which a load balancer may be */
};

enum { CONNECT_WAYS_MAX = 8 };

/* The CAs, pins and settings by which this host verifies a server; everything borrowed. */
struct connect_trust {
        struct ca_pins pins;
        struct str ca_file_pem;
        struct str roots_pem; /* CAs of the system, beside those that this process can read; may be empty */
        const struct host_identity *stored; /* NULL or empty: none */
        bool is_insecure; /* HTTPS with a load balancer is not verified either; the cluster behind it is, if proof is there */
};

/*
 * The ways to join, best first: those with the strongest verification, and for auth_server the likelier kind of service
 * by its port (3080 and 443 are typical of a proxy). With a pin every way verifies the pin, whatever else is known and
 * also with --insecure. Either proxy_server or auth_server is given, the other is empty. INVALID_ARGUMENT for a
 * malformed address of the server or the HTTP proxy.
 */
struct error *connect_ways_to_join(struct str proxy_server, struct str auth_server, const struct connect_trust *trust,
                                   struct connect_way ways[CONNECT_WAYS_MAX], size_t *ret_count) MUST_USE;

/* The way for a host that has an identity. */
struct error *connect_way_of_member(struct str proxy_server, struct str auth_server, struct connect_way *ret) MUST_USE;

/* The way of a reverse tunnel to the proxy at addr ("host[:port]"). */
struct error *connect_way_of_tunnel(struct str addr, struct connect_way *ret) MUST_USE;

/* The way from a proxy to another one at addr ("host[:port]"); never through an HTTP proxy. */
struct error *connect_way_of_peer(struct str addr, struct connect_way *ret) MUST_USE;

/* "proxy server" or "auth server"; "cluster" for a member's way. */
const char *connect_way_name(const struct connect_way *w);
enum join_trust connect_way_trust(const struct connect_way *w);

/*
 * The role that a server of the cluster must have in its certificate ("Auth", "Proxy"), and whether the certificate is
 * good now. A certificate of the cluster's CA does not suffice, as every joined host has one. The handshake has
 * verified the CA. UNAUTHENTICATED otherwise.
 */
struct error *connect_check_role(struct str leaf_der, const char *role, struct walltime now) MUST_USE;

/*
 * The same for a proxy with a web certificate: whichever CAs verified it in the handshake (ca.cert, the system's), a
 * certificate issued by the cluster is refused unless it has role Proxy.
 */
struct error *connect_check_web_certificate(struct str leaf_der, struct walltime now) MUST_USE;

/*
 * Dials, does the TLS handshake, through a load balancer if one ends TLS at the address (cluster/proxy_dial.h), and
 * verifies the server. done is called exactly once, from the loop, with the stream
 * (owned) or an error: UNAUTHENTICATED when the server is not verified or refused us; ABORTED when its CA is not
 * pinned: no other way may be tried then. Pointers are borrowed until then.
 */
struct connect;
struct connect *connect_start(struct loop *l, const struct connect_way *way, const struct connect_trust *trust,
                              void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx) MUST_USE;
/*
 * Reports the steps to w, borrowed until done; to be called right after connect_start(). An error after the last step is of the
 * verification of the server, in the innermost TLS.
 */
void connect_watch(struct connect *c, const struct watch *w);
void connect_cancel(struct connect *c); /* calls done with CANCELLED unless it was called already */

#endif
