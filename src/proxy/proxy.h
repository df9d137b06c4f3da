/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of the Proxy Service process, which serves the public port. Private to src/proxy.
 *
 *   accept ─► listener: counts the source, reads the ClientHello
 *               ├─ acme-tls/1 ───────────────► the certificate of a challenge, nothing else (acme_link)
 *               ├─ teleport-auth@…  ─────────► passes the bytes through to auth, TLS untouched
 *               ├─ cteleport-reversetunnel ──► mutual TLS (host CA): tunnels, the nodes that can be reached
 *               ├─ cteleport-ssh ────────────► mutual TLS (user CA): ssh_dial, a user's connection to a node
 *               └─ else: TLS here, which asks for no certificate
 *                    ├─ teleport-proxy-grpc, h2 ─► forward: the join services and Ping, nothing else
 *                    └─ http/1.1, none ─┬────────► web: pages, /webapi/…
 *                                       └────────► app_gateway: the name is one of an application
 *                         └─ /webapi/connectionupgrade ─► the listener again: a stream through a load balancer
 *   accept for plain HTTP ─► web
 *
 * A second port (peer_listen_addr) serves other proxies: peer_server relays their connections into the tunnels of this one.
 *
 * It runs unprivileged in a sandbox and has no secret but its own identity.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include "base/budget.h"
#include "base/shares.h"
#include "api/service.h"
#include "join/host_identity.h"
#include "loop/loop.h"
#include "net/admission.h"
#include "net/ingress.h"
#include "net/socket.h"
#include "net/sources.h"
#include "net/tls.h"
#include "proxy/apps/app_address.h"
#include "proxy/peer_client.h"
#include "proxy/tunnels.h"
#include "proxy/upstream.h"
#include "proxy/web/token_keys.h"

struct peer_server;
struct acme_link;
struct app_acme;
struct proxy_listener;
struct app_sessions;
struct web_session_cache;

struct proxy {
        struct loop loop;
        struct service *service;
        const Cteleport__Internal__V1__Boot *boot;
        struct sources sources;
        struct ingress ingress; /* load balancers that may announce clients */
        struct admission joins; /* joins and logins being forwarded to auth */
        struct shares users; /* connections to nodes, by user */
        struct shares relays; /* those of them that other proxies relay, by proxy */
        struct budget memory; /* of their buffered bytes, by user */
        struct budget unauthenticated_memory; /* of gRPC connections and HTTP/2 requests of unauthenticated peers, by source */
        struct upstream *upstream;
        struct token_keys token_keys; /* of tokens for applications */
        struct proxy_listener *listener;
        struct web_session_cache *web_sessions; /* of browsers */
        struct app_sessions *app_sessions;      /* the same, of applications */
        struct app_addresses app_addresses;     /* public_addr of applications, as auth has sent them last */
        struct tunnels tunnels;
        struct tls_context *tls;       /* NULL until there is a certificate */
        struct tls_context *tls_nodes, *tls_users; /* NULL until there is an identity, and a user CA */
        struct tls_context *tls_apps;  /* for names of applications: the same identities as tls, HTTP/2, and certificates of users once there is a user CA */
        struct tls_context *tls_peers;             /* NULL until there is an identity */
        struct peer_server *peer_server;           /* NULL: no peer_listen_addr */
        struct peer_client peer_client;
        struct buf user_cas, host_cas; /* PEM; empty until there is an identity */
        unsigned identities;           /* number of identities so far: host_cas may differ with each */
        struct host_identity identity; /* of role Proxy; empty until the instance has it */
        char *auth_address;            /* address to which connections are passed through; NULL: not known yet */
        struct link *instance;
        struct timer *request_again;       /* repeats the request for the identity after the instance was not reachable */
        Cteleport__Internal__V1__HttpsKeyPair **keypairs; /* the latest; owned copies after a reload */
        size_t keypair_count;
        struct arena *keypair_arena;   /* NULL while the keypairs are Boot's */
        struct acme_link *acme;        /* to the ACME client; NULL when there is none on this host */
        struct app_acme *app_acme;     /* its certificates for names of applications; NULL as well */
        Cteleport__Internal__V1__HttpsKeyPair *issued; /* by its CA, in issued_arena; NULL: none yet */
        struct arena *issued_arena;
        struct timer *open_listener;   /* waits for the first message of the ACME client; then it is stopped */
        bool is_request_pending;       /* a request to the instance is pending */
        bool is_ready; /* readiness was reported to the supervisor */
        bool is_draining, is_stopping;
};

/* Name of the cluster, "" while unknown. */
static inline struct str proxy_cluster(const struct proxy *p)
{
        return p->identity.cluster;
}

/* Its section of the configuration; NULL: it has none. */
static inline const Cteleport__V1__ProxyConfig *proxy_config(const struct proxy *p)
{
        return p->boot->config == NULL ? NULL : p->boot->config->proxy_service;
}

/* app_addresses_find() with the proxy's public names and addresses of now. */
static inline bool proxy_find_app(const struct proxy *p, struct str host, char ret_app[APP_NAME_MAX + 1], struct str *ret_public)
{
        const Cteleport__V1__ProxyConfig *config = proxy_config(p);

        return config != NULL && app_addresses_find(&p->app_addresses, host, config->public_addr, config->n_public_addr, ret_app, ret_public);
}

/* Sets the limits of sources, users and other proxies; to be called before the first connection. */
void proxy_set_limits(struct proxy *p);

/* Called while draining or stopping when the listener or the tunnels have no connection any more. */
void proxy_is_empty(struct proxy *p);

#endif
