/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/connect.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/interop.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "cluster/proxy_dial.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "net/tls.h"
#include "pki/cert_check.h"

enum { PORT_PROXY = 3080, PORT_AUTH = 3025, PORT_PEER = 3021, PORT_HTTPS = 443 };
enum { CHAIN_PEM_MAX = 256 * KiB, CHAIN_LENGTH_MAX = 10, ROOTS_PEM_MAX = 8 * MiB };

/* The name in every certificate of the cluster's servers. */
#define SERVER_NAME "teleport.cluster.local"

/* The parameters of the TLS handshake for each route, and the expected role of the server. */
static const struct route {
        const char *name;
        const char *server_name; /* NULL: the host of the address */
        const char *role;        /* in the server's certificate; NULL: a web certificate */
        const char *alpn[2];    /* of a proxy never "h2", which a load balancer would select */
        bool is_internal;       /* both ends are cteleport: TLS 1.3 only */
        bool shows_certificate; /* the host shows the certificate of its identity */
} routes[] = {
        [ROUTE_PROXY_WEB] = { "proxy server", NULL, NULL, { "teleport-proxy-grpc" } },
        [ROUTE_PROXY_CLUSTER] = { "proxy server", SERVER_NAME, "Proxy", { "teleport-proxy-grpc" } },
        [ROUTE_AUTH] = { "auth server", SERVER_NAME, "Auth", { "h2" }, .is_internal = true },
        [ROUTE_MEMBER] = { "cluster", NULL, "Auth", { NULL }, /* names depend on the cluster */
                           .is_internal = true, .shows_certificate = true },
        [ROUTE_TUNNEL] = { "proxy server", SERVER_NAME, "Proxy", { "cteleport-reversetunnel" },
                           .is_internal = true, .shows_certificate = true },
        [ROUTE_PEER] = { "proxy server", SERVER_NAME, "Proxy", { "cteleport-peer" },
                         .is_internal = true, .shows_certificate = true },
};

struct connect {
        struct loop *loop;
        const struct connect_way *way;
        const struct connect_trust *trust;
        void (*done)(void *ctx, struct stream *tls, struct error *err);
        void *ctx;
        struct proxy_dial *dial;
        struct error *failed; /* before the dial */
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
        TRY(address_check_server(address));
        TRY(address_split(address, default_port, &host, &port));
        AUTO_MEM char *joined = address_join(host, port);
        int n = snprintf(w->address, sizeof w->address, "%s", joined);
        if (n < 0 || (size_t)n >= sizeof w->address)
                return error_new(ERROR_INVALID_ARGUMENT, "an address is longer than %zu bytes", sizeof w->address - 1);
        *ret_port = port;
        return http_proxy_of_environment(host, port, &w->via);
}

/* auth_server may name a proxy as well. */
static bool looks_like_proxy(int port)
{
        return port == PORT_PROXY || port == PORT_HTTPS;
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
        ways[*count].is_proxy = route != ROUTE_AUTH;
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
        if (looks_like_proxy(port)) {
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
        ret->is_proxy = !str_is_empty(proxy_server);
        if (ret->is_proxy)
                return put_address(ret, proxy_server, PORT_PROXY, &port);
        TRY(put_address(ret, auth_server, PORT_AUTH, &port));
        ret->is_proxy = looks_like_proxy(port);
        return NULL;
}

struct error *connect_way_of_tunnel(struct str addr, struct connect_way *ret)
{
        int port;
        *ret = (struct connect_way){ .route = ROUTE_TUNNEL, .proof = PROOF_STORED, .is_proxy = true };
        return put_address(ret, addr, PORT_PROXY, &port);
}

struct error *connect_way_of_peer(struct str addr, struct connect_way *ret)
{
        int port;
        *ret = (struct connect_way){ .route = ROUTE_PEER, .proof = PROOF_STORED };
        TRY(put_address(ret, addr, PORT_PEER, &port));
        ret->via = (struct http_proxy){ .userinfo = STR("") };
        return NULL;
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
                bool is_issuer = cert_is_issued_by(leaf, ca);
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
                err = error_hint(err, "the server shows no CA that signed its certificate: it may be no server of cteleport; compare "
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

/*
 * C0: without a proof of the server nothing is sent to it. The inner handshake of an upgrade shows no web certificate, but
 * the proxy's certificate of the cluster.
 */
static struct error *check_proof(struct connect *c, const struct stream *tls, bool is_upgraded)
{
        const char *role = routes[c->way->route].role;
        struct str leaf = tls_peer_cert_der(tls);
        if (c->way->proof == PROOF_PIN)
                TRY(check_pins(&c->trust->pins, tls, leaf));
        if (c->way->proof == PROOF_INSECURE)
                return NULL;
        if (role == NULL && is_upgraded)
                role = "Proxy";
        return role != NULL ? connect_check_role(leaf, role, loop_wall(c->loop))
                            : connect_check_web_certificate(leaf, loop_wall(c->loop));
}

/* ---- steps: dial, check --------------------------------------------------------------------------------- */

static void finish(struct connect *c, struct stream *tls, struct error *err)
{
        if (err != NULL && err->code != ERROR_CANCELLED)
                err = error_for_default(error_wrap(err, "cannot reach the %s at %s", connect_way_name(c->way), c->way->address),
                                        REASON_CONNECTION);
        c->done(c->ctx, tls, err);
        free(c);
}

/*
 * A member knows the CA of its cluster: a certificate of an unknown one (REASON_CONNECTION) comes from a device in front of it, which
 * the hint names. One that has expired is the cluster's own.
 */
static struct error *hint_at_what_is_between(const struct connect *c, struct error *err)
{
        bool is_untrusted = err->code == ERROR_UNAUTHENTICATED && error_is_for(err, REASON_CONNECTION);
        if (!routes[c->way->route].shows_certificate || !is_untrusted)
                return err;
        return error_hint(err, "something in front of the cluster seems to end TLS (a load balancer, an HTTP proxy, a captive portal): it must "
                               "pass TLS through unchanged, or pass WebSocket upgrades on; this host keeps its identity and tries again");
}

static void on_dialled(void *ctx, struct stream *tls, bool is_upgraded, struct error *err)
{
        struct connect *c = ctx;
        c->dial = NULL;
        if (err != NULL && !is_upgraded)
                err = hint_at_what_is_between(c, err);
        if (err == NULL) {
                err = check_proof(c, tls, is_upgraded);
                if (err != NULL) {
                        stream_close(tls);
                        tls = NULL;
                }
        }
        finish(c, tls, err);
}

/* The options that depend on the proof; trust_pem borrows from `trust`. */
static struct tls_options options_of_proof(const struct connect *c, struct buf *trust)
{
        const struct connect_trust *known = c->trust;
        struct tls_options options = { .peer = TLS_PEER_REQUIRED, .is_internal = routes[c->way->route].is_internal };

        switch (c->way->proof) {
        case PROOF_SYSTEM:
                options.roots_pem = known->roots_pem;
                break;
        case PROOF_CA_FILE:
                options.trust_pem = known->ca_file_pem;
                break;
        case PROOF_STORED:
                host_identity_trust_pem(known->stored, trust);
                options.trust_pem = buf_str(trust);
                break;
        case PROOF_PIN:
        case PROOF_FIRST_USE:
        case PROOF_INSECURE:
                options.peer = TLS_PEER_INSECURE;
                break;
        }
        return options;
}

static struct error *make_context(const struct connect *c, struct tls_options options, struct tls_context **ret)
{
        const struct connect_trust *known = c->trust;
        AUTO(buf) own = BUF_MAX(2 * CERT_MAX);
        AUTO(buf) member_name = BUF_MAX(3 * LIMIT_NAME);
        AUTO(buf) member_alpn = BUF_MAX(3 * LIMIT_NAME);
        AUTO_PTR(tls_context) made = NULL;
        const char *alpn[] = { NULL, "h2", NULL };

        options.alpn = routes[c->way->route].alpn;
        if (c->way->route == ROUTE_MEMBER) {
                cluster_auth_names(c->trust->stored->cluster, &member_name, &member_alpn);
                alpn[0] = buf_c(&member_alpn);
                options.alpn = alpn;
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

static struct error *make_direct(const struct connect *c, struct tls_context **ret)
{
        AUTO(buf) trust = BUF_MAX(CHAIN_PEM_MAX);

        return make_context(c, options_of_proof(c, &trust), ret);
}

/* Whether the host CA is learned from the proxy: a web certificate proves the proxy, and is the load balancer's here. */
static bool learns_ca(const struct connect *c)
{
        return c->way->route == ROUTE_PROXY_WEB && (c->way->proof == PROOF_SYSTEM || c->way->proof == PROOF_CA_FILE);
}

/* In an upgrade both ends are cteleport. */
static struct error *make_inner(void *ctx, struct str host_ca_pem, struct tls_context **ret)
{
        const struct connect *c = ctx;
        AUTO(buf) trust = BUF_MAX(CHAIN_PEM_MAX);
        struct tls_options options = options_of_proof(c, &trust);

        options.is_internal = true;
        if (learns_ca(c))
                options = (struct tls_options){ .peer = TLS_PEER_REQUIRED, .trust_pem = host_ca_pem, .is_internal = true };
        return make_context(c, options, ret);
}

/*
 * The certificate of HTTPS is verified by the system's CAs, and by ca.cert. Where it vouches for the learned host CA, the
 * proof of the way counts alone.
 */
static struct error *make_outer(void *ctx, struct tls_context **ret)
{
        static const char *const alpn[] = { "http/1.1", NULL };
        const struct connect *c = ctx;
        AUTO(buf) roots = BUF_MAX(ROOTS_PEM_MAX);
        struct tls_options options = { .peer = c->trust->is_insecure ? TLS_PEER_INSECURE : TLS_PEER_REQUIRED, .alpn = alpn };

        if (learns_ca(c) && c->way->proof == PROOF_CA_FILE) {
                options.trust_pem = c->trust->ca_file_pem;
        } else {
                buf_put(&roots, c->trust->roots_pem);
                if (!learns_ca(c))
                        buf_put(&roots, c->trust->ca_file_pem);
                options.roots_pem = buf_str(&roots);
        }
        return tls_context_new(options, ret);
}

static struct error *begin(struct connect *c)
{
        const struct connect_way *way = c->way;
        AUTO(buf) member_name = BUF_MAX(3 * LIMIT_NAME);
        AUTO(buf) member_alpn = BUF_MAX(3 * LIMIT_NAME);
        struct proxy_dial_options options = {
                .address = way->address,
                .via = &way->via,
                .roots_pem = c->trust->roots_pem,
                .server_name = routes[way->route].server_name,
                .may_upgrade = way->is_proxy,
                .learns_ca = learns_ca(c),
                .ca_hint = "with ca_pin this request is not made",
                .inner_name = way->route == ROUTE_MEMBER ? NULL : SERVER_NAME,
                .make_outer = make_outer,
                .make_inner = make_inner,
                .done = on_dialled,
                .ctx = c,
        };

        if (way->route == ROUTE_MEMBER) {
                cluster_auth_names(c->trust->stored->cluster, &member_name, &member_alpn);
                options.server_name = buf_c(&member_name);
        }
        TRY(make_direct(c, &options.direct));
        c->dial = proxy_dial_start(c->loop, &options);
        return NULL;
}

static void on_failed(void *ctx)
{
        struct connect *c = ctx;

        finish(c, NULL, c->failed);
}

struct connect *connect_start(struct loop *l, const struct connect_way *way, const struct connect_trust *trust,
                              void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        struct connect *c = NEW(struct connect);

        *c = (struct connect){ .loop = l, .way = way, .trust = trust, .done = done, .ctx = ctx };
        c->failed = begin(c);
        if (c->failed != NULL)
                loop_defer(l, on_failed, c);
        return c;
}

void connect_watch(struct connect *c, const struct watch *w)
{
        if (c->dial != NULL)
                proxy_dial_watch(c->dial, w);
}

void connect_cancel(struct connect *c)
{
        if (c->dial != NULL)
                proxy_dial_cancel(c->dial);
}
