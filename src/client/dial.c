/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections from a workstation to the cluster: TCP (through an HTTP proxy, if the environment names one), TLS (through a
 * load balancer that ends it, if there is one), and for a node the proxy's CONNECT. All of them use the proxy's one public
 * port.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "client/node_tunnel.h"
#include "cluster/connect.h"
#include "cluster/proxy_dial.h"
#include "join/host_identity.h"
#include "loop/loop.h"
#include "net/http_proxy.h"
#include "net/socket.h"
#include "net/tls.h"
#include "os/file.h"
#include "pki/cert.h"

enum { CHAIN_PEM_MAX = 256 * KiB };

enum way { WAY_AUTH, WAY_WEB, WAY_KNOWN, WAY_PAGE, WAY_NODE };

/* The name in every certificate of the cluster's servers. */
#define SERVER_NAME "teleport.cluster.local"

/* The handshake of each kind of connection: names offered, and the role required of the server. */
static const struct route {
        const char *name;
        const char *server_name; /* NULL: made from the cluster's name, or the host of the address */
        const char *role;        /* of the server's certificate; NULL: it is the proxy's for the web */
        const char *alpn[2];        /* of the proxy never "h2", which a load balancer would select */
} routes[] = {
        [WAY_AUTH] = { "Auth Service behind the proxy", NULL, "Auth", { NULL } },
        [WAY_WEB] = { "proxy", NULL, NULL, { "teleport-proxy-grpc" } },
        [WAY_KNOWN] = { "proxy", SERVER_NAME, "Proxy", { "teleport-proxy-grpc" } },
        [WAY_PAGE] = { "proxy", NULL, NULL, { "http/1.1" } },
        [WAY_NODE] = { "proxy", SERVER_NAME, "Proxy", { "cteleport-ssh" } },
};

struct client_dial {
        struct loop *loop;
        enum way way;
        const struct profile *profile; /* NULL: without authentication */
        bool is_insecure;
        bool is_unauthenticated; /* shows no certificate of the profile */
        bool is_app;             /* WAY_NODE: to an application */
        uint32_t port;           /* of its tcp_ports */
        char *address, *target, *login;
        char *tried;             /* of an application; NULL: none */
        struct http_proxy via; /* the HTTP proxy in between, if any */
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
        /* the current step */
        struct proxy_dial *dial;
        struct node_tunnel *node;
        struct error *failed; /* a failure before the dial */
};

static void finish(struct client_dial *d, struct stream *s, struct error *err)
{
        d->done(d->ctx, s, client_refusal_hint(err, d->is_unauthenticated ? NULL : d->profile));
        free(d->address);
        free(d->target);
        free(d->login);
        free(d->tried);
        free(d);
}

static void fail(struct client_dial *d, struct error *err)
{
        if (err->code != ERROR_CANCELLED)
                err = error_wrap(err, "cannot reach the %s at %s", routes[d->way].name, d->address);
        finish(d, NULL, err);
}

struct error *client_refusal_hint(struct error *err, const struct profile *p)
{
        if (p == NULL || err == NULL || !error_is_for(err, REASON_IDENTITY))
                return err;
        return error_hint(err, "the login may have ended, or the CA of users was replaced; log in again: tsh login --proxy=%s --user=%s", p->web_addr, p->user);
}

/* ---- proof ------------------------------------------------------------------------------------------------ */

/*
 * Every host has a certificate by the cluster's CA; only some roles are valid for a server. The inner handshake of an upgrade
 * shows no web certificate, but the proxy's certificate of the cluster.
 */
static struct error *check_role(const struct client_dial *d, const struct stream *tls, bool is_upgraded)
{
        const char *role = routes[d->way].role;
        struct str leaf = tls_peer_cert_der(tls);

        if (role == NULL && d->is_insecure)
                return NULL;
        if (role == NULL && is_upgraded)
                role = "Proxy";
        return role != NULL ? connect_check_role(leaf, role, loop_wall(d->loop))
                            : connect_check_web_certificate(leaf, loop_wall(d->loop));
}

static struct error *add_certificate(struct tls_context *c, const struct profile *p)
{
        AUTO(buf) cert = BUF_MAX(CHAIN_PEM_MAX);
        AUTO(secret) key = { 0 };

        TRY(file_read(p->tls_cert, &cert));
        TRY(profile_tls_key(p, &key));
        return tls_context_add(c, NULL, (struct tls_identity){ .cert_chain_pem = buf_str(&cert), .key_pem = secret_str(&key) });
}

struct error *client_tls_context(const struct profile *p, const char *const *alpn, struct tls_context **ret)
{
        AUTO_PTR(tls_context) c = NULL;
        AUTO(buf) trust = BUF_MAX(CHAIN_PEM_MAX);

        TRY(file_read(p->host_cas, &trust));
        TRY(tls_context_new((struct tls_options){ .peer = TLS_PEER_REQUIRED, .alpn = alpn, .trust_pem = buf_str(&trust), .is_internal = true }, &c));
        TRY(add_certificate(c, p));
        *ret = c;
        c = NULL;
        return NULL;
}

/* host_ca_pem: verifies the server without a profile; "": the system's CAs do. */
static struct error *make_context(const struct client_dial *d, struct str host_ca_pem, struct tls_context **ret)
{
        AUTO_PTR(tls_context) c = NULL;
        AUTO(buf) trust = BUF_MAX(CHAIN_PEM_MAX);
        AUTO(buf) auth_name = BUF_MAX(3 * LIMIT_NAME), auth_alpn = BUF_MAX(3 * LIMIT_NAME);
        const char *alpn[] = { NULL, "h2", NULL };
        struct tls_options options = { .peer = TLS_PEER_REQUIRED, .alpn = routes[d->way].alpn, .trust_pem = host_ca_pem };

        if (d->way == WAY_AUTH) {
                cluster_auth_names(str_of(d->profile->cluster), &auth_name, &auth_alpn);
                alpn[0] = buf_c(&auth_alpn);
                options.alpn = alpn;
        }
        if (d->profile != NULL) {
                TRY(file_read(d->profile->host_cas, &trust));
                options.trust_pem = buf_str(&trust);
        } else if (d->is_insecure) {
                options.peer = TLS_PEER_INSECURE;
        }
        options.is_internal = d->profile != NULL || !str_is_empty(host_ca_pem);
        TRY(tls_context_new(options, &c));
        if (d->profile != NULL && d->way != WAY_KNOWN && !d->is_unauthenticated)
                TRY(add_certificate(c, d->profile));
        *ret = c;
        c = NULL;
        return NULL;
}

static struct error *make_inner(void *ctx, struct str host_ca_pem, struct tls_context **ret)
{
        return make_context(ctx, host_ca_pem, ret);
}

/* HTTPS with a load balancer is verified by the system's CAs, as the proxy's web certificate was at the login. */
static struct error *make_outer(void *ctx, struct tls_context **ret)
{
        static const char *const alpn[] = { "http/1.1", NULL };
        const struct client_dial *d = ctx;
        bool is_insecure = d->is_insecure || (d->profile != NULL && d->profile->is_insecure);

        return tls_context_new((struct tls_options){ .peer = is_insecure ? TLS_PEER_INSECURE : TLS_PEER_REQUIRED, .alpn = alpn }, ret);
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

const char *client_dial_host_id(const struct client_dial *d)
{
        return node_tunnel_host_id(d->node);
}

static void on_node(void *ctx, struct stream *s, struct error *err)
{
        finish(ctx, s, err);
}

static struct error *web_certificate_hint(struct error *err)
{
        if (err->code != ERROR_UNAUTHENTICATED || (err->hint != NULL && !error_is_for(err, REASON_CONNECTION))) /* its time, or its name */
                return err;
        return error_hint(err, "if the proxy's certificate was issued by a private CA, name that in SSL_CERT_FILE or "
                               "SSL_CERT_DIR; to accept whatever answers: --insecure");
}

/* An Auth Service, or another server, has no protocol in common with a login. */
static struct error *login_hint(struct error *err)
{
        if (err->code != ERROR_FAILED_PRECONDITION)
                return err;
        return error_hint(err, "users log in at the proxy's address: tsh login --proxy=HOST[:PORT]; is this the address of a proxy?");
}

static void on_dialled(void *ctx, struct stream *tls, bool is_upgraded, struct error *err)
{
        struct client_dial *d = ctx;

        d->dial = NULL;
        if (err != NULL && d->way == WAY_WEB)
                err = login_hint(err);
        if (err != NULL && (d->way == WAY_WEB || d->way == WAY_PAGE))
                err = web_certificate_hint(err);
        if (err == NULL) {
                err = check_role(d, tls, is_upgraded);
                if (err != NULL)
                        stream_close(tls);
        }
        if (err != NULL)
                fail(d, err);
        else if (d->way == WAY_NODE)
                d->node = node_tunnel_start(d->loop, tls, &(struct node_tunnel_target){ .name = d->target, .login = d->login, .is_app = d->is_app, .port = d->port, .tried = d->tried == NULL ? "" : d->tried },
                                            MILLISECONDS(TIMEOUT_DIAL_NODE), on_node, d);
        else
                finish(d, tls, NULL);
}

static struct error *begin(struct client_dial *d)
{
        AUTO(buf) auth_name = BUF_MAX(3 * LIMIT_NAME), auth_alpn = BUF_MAX(3 * LIMIT_NAME);
        struct str host;
        int port;
        struct proxy_dial_options options = {
                .address = d->address,
                .via = &d->via,
                .server_name = routes[d->way].server_name,
                .may_upgrade = d->way != WAY_PAGE,
                .learns_ca = d->way == WAY_WEB && !d->is_insecure,
                .inner_name = d->way == WAY_AUTH ? NULL : SERVER_NAME,
                .make_outer = make_outer,
                .make_inner = make_inner,
                .done = on_dialled,
                .ctx = d,
        };

        TRY(address_split(str_of(d->address), -1, &host, &port));
        TRY(http_proxy_of_environment(host, port, &d->via));
        if (d->way == WAY_AUTH) {
                cluster_auth_names(str_of(d->profile->cluster), &auth_name, &auth_alpn);
                options.server_name = buf_c(&auth_name);
        }
        TRY(make_context(d, STR(""), &options.direct));
        d->dial = proxy_dial_start(d->loop, &options);
        return NULL;
}

static void on_failed(void *ctx)
{
        struct client_dial *d = ctx;

        fail(d, d->failed);
}

static struct client_dial *start(struct client_dial d, const char *web_addr)
{
        struct client_dial *made = NEW(struct client_dial);

        *made = d;
        made->address = str_dup(str_of(web_addr));
        made->failed = begin(made);
        if (made->failed != NULL)
                loop_defer(d.loop, on_failed, made);
        return made;
}

struct client_dial *client_dial_auth(struct loop *l, const struct profile *p,
                                     void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_AUTH, .profile = p, .done = done, .ctx = ctx }, p->web_addr);
}

struct client_dial *client_dial_auth_unauthenticated(struct loop *l, const struct profile *p,
                                                     void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_AUTH, .profile = p, .is_unauthenticated = true, .done = done, .ctx = ctx },
                     p->web_addr);
}

struct client_dial *client_dial_proxy(struct loop *l, const char *web_addr, bool is_insecure,
                                      void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_WEB, .is_insecure = is_insecure, .done = done, .ctx = ctx },
                     web_addr);
}

struct client_dial *client_dial_known_proxy(struct loop *l, const struct profile *p,
                                            void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_KNOWN, .profile = p, .done = done, .ctx = ctx }, p->web_addr);
}

struct client_dial *client_dial_page(struct loop *l, const char *web_addr, bool is_insecure,
                                     void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_PAGE, .is_insecure = is_insecure, .done = done, .ctx = ctx },
                     web_addr);
}

struct client_dial *client_dial_node(struct loop *l, const struct profile *p, const char *target, const char *login,
                                     void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_NODE, .profile = p, .target = str_dup(str_of(target)),
                                           .login = str_dup(str_of(login)), .done = done, .ctx = ctx },
                     p->web_addr);
}

struct client_dial *client_dial_app(struct loop *l, const struct profile *p, const char *app, uint32_t port, const char *tried,
                                    void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_NODE, .is_app = true, .port = port, .profile = p, .target = str_dup(str_of(app)),
                                           .login = str_dup(STR("")), .tried = str_dup(str_of(tried)), .done = done, .ctx = ctx },
                     p->web_addr);
}

void client_dial_watch(struct client_dial *d, const struct watch *w)
{
        if (d->dial != NULL)
                proxy_dial_watch(d->dial, w);
}

void client_dial_cancel(struct client_dial *d)
{
        if (d->dial != NULL)
                proxy_dial_cancel(d->dial);
        else if (d->node != NULL)
                node_tunnel_cancel(d->node);
}
