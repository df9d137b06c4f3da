/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/connect.h"

#include <stdio.h>

#include "base/bug.h"
#include "base/interop.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/transport.h"
#include "pki/cert_check.h"

enum { PORT_PROXY = 3080, PORT_AUTH = 3025, PORT_HTTPS = 443 };
enum { CHAIN_PEM_MAX = 256 * KiB, CHAIN_LENGTH_MAX = 10 };

/* The parameters of the TLS handshake for each route, and the expected role of the server. */
static const struct route {
        const char *name;
        const char *server_name; /* NULL: the host of the address */
        const char *role;        /* in the server's certificate; NULL: a web certificate */
        const char *alpn[3];
        bool is_internal;       /* both ends are cteleport: TLS 1.3 only */
        bool shows_certificate; /* the host shows the certificate of its identity */
} routes[] = {
        [ROUTE_PROXY_WEB] = { "proxy server", NULL, NULL, { "teleport-proxy-grpc", "h2" } },
        [ROUTE_PROXY_CLUSTER] = { "proxy server", "teleport.cluster.local", "Proxy", { "teleport-proxy-grpc", "h2" } },
        [ROUTE_AUTH] = { "auth server", "teleport.cluster.local", "Auth", { "h2" }, .is_internal = true },
        [ROUTE_MEMBER] = { "cluster", NULL, "Auth", { NULL }, /* names depend on the cluster */
                           .is_internal = true, .shows_certificate = true },
        [ROUTE_TUNNEL] = { "proxy server", "teleport.cluster.local", "Proxy", { "cteleport-reversetunnel" },
                           .is_internal = true, .shows_certificate = true },
};

struct connect {
        struct loop *loop;
        const struct connect_way *way;
        const struct connect_trust *trust;
        void (*done)(void *ctx, struct stream *tls, struct error *err);
        void *ctx;
        struct transport *transport;
        struct tls_handshake *handshake;
};

const char *connect_way_name(const struct connect_way *w)
{
        return routes[w->route].name;
}

enum join_trust connect_way_trust(const struct connect_way *w)
{
        switch (w->proof) {
        case PROOF_SYSTEM:
        case PROOF_CA_FILE:
        case PROOF_STORED:
        case PROOF_PIN:
                return JOIN_TRUST_VERIFIED;
        case PROOF_FIRST_USE:
                return JOIN_TRUST_FIRST_USE;
        case PROOF_INSECURE:
                return JOIN_TRUST_INSECURE;
        }
        return JOIN_TRUST_NONE;
}

/* ---- ways ------------------------------------------------------------------------------------------ */

static struct error *put_address(struct connect_way *w, struct str address, int default_port, int *ret_port)
{
        struct str host;
        int port;
        TRY(address_split(address, default_port, &host, &port));
        bool is_v6 = str_find_char(host, ':') != host.len;
        int n = snprintf(w->address, sizeof w->address, is_v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(host), port);
        if (n < 0 || (size_t)n >= sizeof w->address)
                return error_new(ERROR_INVALID_ARGUMENT, "an address is longer than %zu bytes", sizeof w->address - 1);
        *ret_port = port;
        return http_proxy_of_environment(host, port, &w->via);
}

static bool has_stored(const struct connect_trust *trust)
{
        return trust->stored != NULL && !host_identity_is_empty(trust->stored);
}

static void add_way(struct connect_way *ways, size_t *count, const struct connect_way *address,
                    enum connect_route route, enum connect_proof proof)
{
        if (*count == CONNECT_WAYS_MAX)
                return; /* ways that are more likely were added before */
        ways[*count] = *address;
        ways[*count].route = route;
        ways[*count].proof = proof;
        (*count)++;
}

/*
 * A proxy is verified by the cluster's CA, if this host knows it, or by its web certificate. With pins only the
 * pinned CA counts: a web certificate for the name of the proxy does not prove that it belongs to the cluster.
 */
static void add_proxy_ways(struct connect_way *ways, size_t *count, const struct connect_way *address,
                           const struct connect_trust *trust)
{
        if (trust->pins.count > 0) {
                add_way(ways, count, address, ROUTE_PROXY_CLUSTER, PROOF_PIN);
                return;
        }
        if (has_stored(trust))
                add_way(ways, count, address, ROUTE_PROXY_CLUSTER, PROOF_STORED);
        if (trust->is_insecure) {
                add_way(ways, count, address, ROUTE_PROXY_WEB, PROOF_INSECURE);
                return;
        }
        if (!str_is_empty(trust->ca_file_pem)) {
                add_way(ways, count, address, ROUTE_PROXY_WEB, PROOF_CA_FILE);
                add_way(ways, count, address, ROUTE_PROXY_CLUSTER, PROOF_CA_FILE);
        }
        add_way(ways, count, address, ROUTE_PROXY_WEB, PROOF_SYSTEM);
}

/* The Auth Service is verified by the cluster's CA, with the strongest knowledge of that CA that this host has. */
static void add_auth_way(struct connect_way *ways, size_t *count, const struct connect_way *address,
                         const struct connect_trust *trust)
{
        enum connect_proof proof = PROOF_FIRST_USE;
        if (trust->pins.count > 0)
                proof = PROOF_PIN;
        else if (!str_is_empty(trust->ca_file_pem))
                proof = PROOF_CA_FILE;
        else if (has_stored(trust))
                proof = PROOF_STORED;
        else if (trust->is_insecure)
                proof = PROOF_INSECURE;
        add_way(ways, count, address, ROUTE_AUTH, proof);
}

struct error *connect_ways_to_join(struct str proxy_server, struct str auth_server, const struct connect_trust *trust,
                                   struct connect_way ways[CONNECT_WAYS_MAX], size_t *ret_count)
{
        struct connect_way address = { 0 };
        int port;
        *ret_count = 0;
        if (!str_is_empty(proxy_server)) {
                TRY(put_address(&address, proxy_server, PORT_PROXY, &port));
                add_proxy_ways(ways, ret_count, &address, trust);
                return NULL;
        }
        if (str_is_empty(auth_server))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "no proxy_server and no auth_server is configured"),
                                  "set teleport.proxy_server (host:443) in the configuration file");
        TRY(put_address(&address, auth_server, PORT_AUTH, &port));
        if (port == PORT_PROXY || port == PORT_HTTPS) {
                add_proxy_ways(ways, ret_count, &address, trust);
                add_auth_way(ways, ret_count, &address, trust);
        } else {
                add_auth_way(ways, ret_count, &address, trust);
                add_proxy_ways(ways, ret_count, &address, trust);
        }
        return NULL;
}

struct error *connect_way_of_member(struct str proxy_server, struct str auth_server, struct connect_way *ret)
{
        int port;
        *ret = (struct connect_way){ .route = ROUTE_MEMBER, .proof = PROOF_STORED };
        if (!str_is_empty(proxy_server))
                return put_address(ret, proxy_server, PORT_PROXY, &port);
        return put_address(ret, auth_server, PORT_AUTH, &port);
}

struct error *connect_way_of_tunnel(struct str addr, struct connect_way *ret)
{
        int port;
        *ret = (struct connect_way){ .route = ROUTE_TUNNEL, .proof = PROOF_STORED };
        return put_address(ret, addr, PORT_PROXY, &port);
}

/* ---- proof ----------------------------------------------------------------------------------------- */

/*
 * The certificate of the server must be signed by a pinned CA; the handshake has proven that the server has its key. The
 * error shows the CA that signed it, if the server sent it, else the last certificate of the chain.
 */
static struct error *check_pins(const struct ca_pins *pins, const struct stream *tls, struct str leaf)
{
        struct str found = leaf;
        bool is_issuer_found = false;

        for (size_t i = 1; i < CHAIN_LENGTH_MAX; i++) {
                struct str ca = tls_peer_chain_der(tls, i);
                if (str_is_empty(ca))
                        break;
                struct error *err = cert_check_issuer(leaf, ca);
                bool is_issuer = err == NULL;
                error_free(err);
                if (is_issuer && ca_pins_name(pins, ca))
                        return NULL;
                if (is_issuer || !is_issuer_found)
                        found = ca;
                is_issuer_found |= is_issuer;
        }
        struct error *err = ca_pins_refuse(pins, found);
        if (cert_is_of_teleport(leaf))
                err = interop_refuse_certificate(err);
        else if (!is_issuer_found)
                err = error_hint(err, "the server shows no CA that signed its certificate: either something in front of it ends TLS, which must "
                                      "pass through where ca_pin is set, or it is no server of cteleport; compare "
                                      "teleport.ca_pin with the pin that 'tctl status' prints on the Auth Service's machine");
        err->code = ERROR_ABORTED;
        return error_for(err, REASON_PIN);
}

static struct error *check_times(const struct cert_info *info, struct walltime now)
{
        if (now.ns >= info->times.not_after.ns)
                return error_hint(error_new(ERROR_UNAUTHENTICATED, "the server's certificate has expired"),
                                  "if the server's clock is right, set the clock of this host");
        if (now.ns < info->times.not_before.ns)
                return error_hint(error_new(ERROR_UNAUTHENTICATED,
                                            "the server's certificate is not valid yet: this host's clock is at least "
                                            "%lld seconds behind",
                                            (long long)(info->times.not_before.ns - now.ns) / 1000000000),
                                  "set the clock of this host, for instance with chrony");
        return NULL;
}

static struct error *check_info(const struct cert_info *info, const char *role, struct walltime now)
{
        if (info->is_ca || !str_equal(info->role, str_of(role))) {
                AUTO_MEM char *shown = escaped(info->role);
                struct error *err = error_new(ERROR_UNAUTHENTICATED,
                                              "the server's certificate is of role '%s' instead of '%s'", shown, role);
                return str_equal(info->role, STR("Auth")) && !info->is_ca
                               ? error_hint(err, "this is an Auth Service: name it in auth_server, or let proxy_server name "
                                                 "a Proxy Service")
                               : err;
        }
        return check_times(info, now);
}

struct error *connect_check_role(struct str leaf_der, const char *role, struct walltime now)
{
        AUTO_PTR(arena) a = arena_new(CERT_READ_ARENA);
        struct cert_info info;

        TRY(cert_read(a, leaf_der, &info));
        return check_info(&info, role, now);
}

struct error *connect_check_web_certificate(struct str leaf_der, struct walltime now)
{
        AUTO_PTR(arena) a = arena_new(CERT_READ_ARENA);
        struct cert_info info;
        struct error *err = cert_read(a, leaf_der, &info);

        if (err == NULL && (info.is_user || !str_is_empty(info.role)))
                return check_info(&info, "Proxy", now);
        error_free(err); /* issued by another CA: its verified name is the proof */
        return NULL;
}

/* C0: without a proof of the server nothing is sent to it. */
static struct error *check_proof(struct connect *c, const struct stream *tls)
{
        const char *role = routes[c->way->route].role;
        struct str leaf = tls_peer_cert_der(tls);
        if (c->way->proof == PROOF_PIN)
                TRY(check_pins(&c->trust->pins, tls, leaf));
        if (c->way->proof == PROOF_INSECURE)
                return NULL;
        return role != NULL ? connect_check_role(leaf, role, loop_wall(c->loop))
                            : connect_check_web_certificate(leaf, loop_wall(c->loop));
}

/* ---- steps: transport, handshake, check ---------------------------------------------------------- */

static void finish(struct connect *c, struct stream *tls, struct error *err)
{
        if (err != NULL && err->code != ERROR_CANCELLED)
                err = error_for_default(error_wrap(err, "cannot reach the %s at %s", connect_way_name(c->way), c->way->address),
                                        REASON_CONNECTION);
        c->done(c->ctx, tls, err);
        free(c);
}

/* A member knows the CA of its cluster: an untrusted certificate comes from a device in front of it, which the hint names. */
static struct error *hint_at_what_is_between(const struct connect *c, struct error *err)
{
        bool is_untrusted = err->code == ERROR_UNAUTHENTICATED && !error_is_for(err, REASON_OTHER_CA);
        if (!routes[c->way->route].shows_certificate || !is_untrusted)
                return err;
        return error_hint(err, "something in front of the cluster seems to end TLS (a load balancer, an HTTP proxy, a captive portal): it must "
                               "pass TLS through unchanged; this host keeps its identity and tries again");
}

static void on_handshake(void *ctx, struct stream *tls, struct error *err)
{
        struct connect *c = ctx;
        c->handshake = NULL;
        if (err != NULL)
                err = hint_at_what_is_between(c, err);
        if (err == NULL) {
                err = check_proof(c, tls);
                if (err != NULL) {
                        stream_close(tls);
                        tls = NULL;
                }
        }
        finish(c, tls, err);
}

static struct error *make_context(struct connect *c, const char *const *alpn, struct tls_context **ret)
{
        AUTO(buf) trust = BUF_MAX(CHAIN_PEM_MAX);
        AUTO(buf) own = BUF_MAX(2 * CERT_MAX);
        AUTO_PTR(tls_context) made = NULL;
        const struct connect_trust *known = c->trust;
        struct tls_options options = {
                .peer = TLS_PEER_REQUIRED,
                .alpn = alpn,
                .is_internal = routes[c->way->route].is_internal,
        };
        switch (c->way->proof) {
        case PROOF_SYSTEM:
                options.roots_pem = known->roots_pem;
                break;
        case PROOF_CA_FILE:
                options.trust_pem = known->ca_file_pem;
                break;
        case PROOF_STORED:
                host_identity_trust_pem(known->stored, &trust);
                options.trust_pem = buf_str(&trust);
                break;
        case PROOF_PIN:
        case PROOF_FIRST_USE:
        case PROOF_INSECURE:
                options.peer = TLS_PEER_INSECURE;
                break;
        }
        TRY(tls_context_new(options, &made));
        if (routes[c->way->route].shows_certificate) {
                /* Without the CA: the server knows it, and would store the whole chain for the life of the connection. */
                cert_der_to_pem(known->stored->certs.tls_cert, &own);
                TRY(tls_context_add(made, NULL,
                                    (struct tls_identity){ .cert_chain_pem = buf_str(&own),
                                                           .key_pem = secret_str(&known->stored->tls_key_pem) }));
        }
        *ret = made;
        made = NULL;
        return NULL;
}

static void shake_hands(struct connect *c, struct stream *lower)
{
        const struct route *route = &routes[c->way->route];
        AUTO_PTR(tls_context) tls = NULL;
        AUTO(buf) cluster_name = BUF_MAX(3 * LIMIT_NAME);
        AUTO(buf) cluster_alpn = BUF_MAX(3 * LIMIT_NAME);
        AUTO_MEM char *host_name = NULL;
        const char *const *alpn = route->alpn;
        const char *server_name = route->server_name;
        struct error *err = NULL;

        const char *member_alpn[] = { NULL, "h2", NULL };
        if (c->way->route == ROUTE_MEMBER) {
                cluster_auth_name(c->trust->stored->cluster, &cluster_name);
                buf_put_c(&cluster_alpn, "teleport-auth@");
                buf_put(&cluster_alpn, buf_str(&cluster_name));
                member_alpn[0] = buf_c(&cluster_alpn);
                alpn = member_alpn;
                server_name = buf_c(&cluster_name);
        } else if (server_name == NULL) {
                struct str host;
                int port;
                err = address_split(str_of(c->way->address), PORT_PROXY, &host, &port);
                if (err == NULL)
                        server_name = host_name = str_dup(host);
        }
        if (err == NULL)
                err = make_context(c, alpn, &tls);
        if (err != NULL) {
                stream_close(lower);
                finish(c, NULL, err);
                return;
        }
        c->handshake = tls_start(c->loop, tls, lower, server_name, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_handshake, c);
}

static void on_transport(void *ctx, struct stream *s, struct error *err)
{
        struct connect *c = ctx;
        c->transport = NULL;
        if (err != NULL)
                finish(c, NULL, err);
        else
                shake_hands(c, s);
}

struct connect *connect_start(struct loop *l, const struct connect_way *way, const struct connect_trust *trust,
                              void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        struct connect *c = NEW(struct connect);
        const struct transport_target target = { .address = way->address, .via = &way->via };

        *c = (struct connect){ .loop = l, .way = way, .trust = trust, .done = done, .ctx = ctx };
        c->transport = transport_start(l, &target, on_transport, c);
        return c;
}

void connect_cancel(struct connect *c)
{
        if (c->transport != NULL)
                transport_cancel(c->transport);
        else if (c->handshake != NULL)
                tls_cancel(c->handshake);
}
