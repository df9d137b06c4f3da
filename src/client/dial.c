/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections from a workstation to the cluster: TCP (through an HTTP proxy, if the environment names one), TLS,
 * and for a node the proxy's CONNECT. All of them use the proxy's one public port.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "client/node_tunnel.h"
#include "cluster/connect.h"
#include "join/host_identity.h"
#include "loop/loop.h"
#include "net/http_proxy.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/transport.h"
#include "os/file.h"
#include "pki/cert.h"

enum { PORT_PROXY = 3080, CHAIN_PEM_MAX = 256 * KiB };

enum way { WAY_AUTH, WAY_WEB, WAY_PAGE, WAY_NODE };

/* The handshake of each kind of connection: names offered, and the role required of the server. */
static const struct route {
        const char *name;
        const char *server_name; /* NULL: made from the cluster's name, or the host of the address */
        const char *role;        /* of the server's certificate; NULL: it is the proxy's for the web */
        const char *alpn[3];
} routes[] = {
        [WAY_AUTH] = { "Auth Service behind the proxy", NULL, "Auth", { NULL } },
        [WAY_WEB] = { "proxy", NULL, NULL, { "teleport-proxy-grpc", "h2" } },
        [WAY_PAGE] = { "proxy", NULL, NULL, { "http/1.1" } },
        [WAY_NODE] = { "proxy", "teleport.cluster.local", "Proxy", { "cteleport-ssh" } },
};

struct client_dial {
        struct loop *loop;
        enum way way;
        const struct profile *profile; /* NULL: without authentication */
        bool is_insecure;
        char *address, *target, *login;
        struct http_proxy via; /* the HTTP proxy in between, if any */
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
        /* the current step */
        struct transport *transport;
        struct tls_handshake *handshake;
        struct node_tunnel *node;
        struct error *failed; /* a failure before the dial */
};

static void finish(struct client_dial *d, struct stream *s, struct error *err)
{
        d->done(d->ctx, s, err);
        free(d->address);
        free(d->target);
        free(d->login);
        free(d);
}

static void fail(struct client_dial *d, struct error *err)
{
        if (err->code != ERROR_CANCELLED)
                err = error_wrap(err, "cannot reach the %s at %s", routes[d->way].name, d->address);
        finish(d, NULL, err);
}

/* ---- proof ------------------------------------------------------------------------------------------------ */

/* Every host has a certificate by the cluster's CA; only some roles are valid for a server. */
static struct error *check_role(const struct client_dial *d, const struct stream *tls)
{
        const char *role = routes[d->way].role;
        struct str leaf = tls_peer_cert_der(tls);

        if (role != NULL)
                return connect_check_role(leaf, role, loop_wall(d->loop));
        return d->is_insecure ? NULL : connect_check_web_certificate(leaf, loop_wall(d->loop));
}

static struct error *add_certificate(struct tls_context *c, const struct profile *p)
{
        AUTO(buf) cert = BUF_MAX(CHAIN_PEM_MAX);
        AUTO(secret) key = { 0 };

        TRY(file_read(p->tls_cert, &cert));
        TRY(profile_tls_key(p, &key));
        return tls_context_add(c, NULL, (struct tls_identity){ .cert_chain_pem = buf_str(&cert), .key_pem = secret_str(&key) });
}

static struct error *make_context(const struct client_dial *d, const char *const *alpn, struct tls_context **ret)
{
        AUTO_PTR(tls_context) c = NULL;
        AUTO(buf) trust = BUF_MAX(CHAIN_PEM_MAX);
        struct tls_options options = { .peer = TLS_PEER_REQUIRED, .alpn = alpn };

        if (d->profile != NULL) {
                TRY(file_read(d->profile->host_cas, &trust));
                options.trust_pem = buf_str(&trust);
                options.is_internal = true;
        } else if (d->is_insecure) {
                options.peer = TLS_PEER_INSECURE;
        }
        TRY(tls_context_new(options, &c));
        if (d->profile != NULL)
                TRY(add_certificate(c, d->profile));
        *ret = c;
        c = NULL;
        return NULL;
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

static void on_node(void *ctx, struct stream *s, struct error *err)
{
        struct client_dial *d = ctx;

        d->node = NULL;
        finish(d, s, err);
}

static struct error *web_certificate_hint(struct error *err)
{
        if (err->code != ERROR_UNAUTHENTICATED)
                return err;
        return error_hint(err, "if the proxy's certificate was issued by a private CA, name that in SSL_CERT_FILE or "
                               "SSL_CERT_DIR; to accept whatever answers: --insecure");
}

static void on_handshake(void *ctx, struct stream *tls, struct error *err)
{
        struct client_dial *d = ctx;

        d->handshake = NULL;
        if (err != NULL && (d->way == WAY_WEB || d->way == WAY_PAGE))
                err = web_certificate_hint(err);
        if (err == NULL) {
                err = check_role(d, tls);
                if (err != NULL)
                        stream_close(tls);
        }
        if (err != NULL)
                fail(d, err);
        else if (d->way == WAY_NODE)
                d->node = node_tunnel_start(d->loop, tls, d->target, d->login, MILLISECONDS(TIMEOUT_DIAL_NODE), on_node, d);
        else
                finish(d, tls, NULL);
}

static void shake_hands(struct client_dial *d, struct stream *lower)
{
        const struct route *route = &routes[d->way];
        AUTO_PTR(tls_context) tls = NULL;
        AUTO(buf) cluster_name = BUF_MAX(3 * LIMIT_NAME), cluster_alpn = BUF_MAX(3 * LIMIT_NAME);
        AUTO_MEM char *host_name = NULL;
        const char *server_name = route->server_name;
        const char *const *alpn = route->alpn;
        const char *auth_alpn[] = { NULL, "h2", NULL };
        struct str host;
        int port;

        struct error *err = address_split(str_of(d->address), PORT_PROXY, &host, &port);
        if (err == NULL && d->way == WAY_AUTH) {
                cluster_auth_name(str_of(d->profile->cluster), &cluster_name);
                buf_put_c(&cluster_alpn, "teleport-auth@");
                buf_put(&cluster_alpn, buf_str(&cluster_name));
                auth_alpn[0] = buf_c(&cluster_alpn);
                alpn = auth_alpn;
                server_name = buf_c(&cluster_name);
        } else if (err == NULL && server_name == NULL) {
                server_name = host_name = str_dup(host);
        }
        if (err == NULL)
                err = make_context(d, alpn, &tls);
        if (err != NULL) {
                stream_close(lower);
                fail(d, err);
                return;
        }
        d->handshake = tls_start(d->loop, tls, lower, server_name, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_handshake, d);
}

static void on_transport(void *ctx, struct stream *lower, struct error *err)
{
        struct client_dial *d = ctx;

        d->transport = NULL;
        if (err != NULL)
                fail(d, err);
        else
                shake_hands(d, lower);
}

static void on_failed(void *ctx)
{
        struct client_dial *d = ctx;

        fail(d, d->failed);
}

static struct client_dial *start(struct client_dial d, const char *web_addr)
{
        struct client_dial *made = NEW(struct client_dial);
        struct str host;
        int port;

        *made = d;
        made->address = str_dup(str_of(web_addr));
        made->failed = address_split(str_of(web_addr), -1, &host, &port);
        if (made->failed == NULL)
                made->failed = http_proxy_of_environment(host, port, &made->via);
        if (made->failed != NULL) {
                loop_defer(d.loop, on_failed, made);
                return made;
        }
        made->transport = transport_start(d.loop, &(struct transport_target){ .address = made->address, .via = &made->via }, on_transport, made);
        return made;
}

struct client_dial *client_dial_auth(struct loop *l, const struct profile *p,
                                     void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_AUTH, .profile = p, .done = done, .ctx = ctx }, p->web_addr);
}

struct client_dial *client_dial_proxy(struct loop *l, const char *web_addr, bool is_insecure,
                                      void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        return start((struct client_dial){ .loop = l, .way = WAY_WEB, .is_insecure = is_insecure, .done = done, .ctx = ctx },
                     web_addr);
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

void client_dial_cancel(struct client_dial *d)
{
        if (d->transport != NULL)
                transport_cancel(d->transport);
        else if (d->handshake != NULL)
                tls_cancel(d->handshake);
        else if (d->node != NULL)
                node_tunnel_cancel(d->node);
}
