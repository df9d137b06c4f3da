/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/proxy.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/identity_message.h"
#include "os/sandbox.h"
#include "pki/cert_check.h"
#include "proxy/acme_link.h"
#include "proxy/listener.h"
#include "proxy/peer_server.h"
#include "proxy/web/qr.h"
#include "proxy/ssh_dial.h"
#include "proxy/tunnel_guard.h"
#include "proxy/apps/app_acme.h"
#include "proxy/apps/app_session.h"
#include "proxy/web/web_session.h"
#include "rpc/link.h"
#include "rpc/pb.h"

enum { CHAIN_PEM_MAX = 256 * KiB, KEYPAIRS_MEMORY_MAX = 4 * MiB };

/*
 * The ALPN protocols, preferred first. http/1.1 is before h2, as a client that offers both is a browser or curl,
 * and a gRPC client does not offer http/1.1. The last five only serve to send an error to programs of Teleport:
 * an agent whose tunnel protocol is not accepted assumes a load balancer and tries again.
 * At names of applications, where no gRPC is served, browsers get HTTP/2.
 */
static const char *const protocols[] = { "teleport-proxy-grpc", "http/1.1", "h2", "teleport-proxy-grpc-mtls", "teleport-proxy-ssh-grpc",
                                         "teleport-reversetunnel", "teleport-reversetunnelv2", "teleport-proxy-ssh", NULL };
static const char *const app_protocols[] = { "h2", "http/1.1", NULL };

/* ---- certificates ---------------------------------------------------------------------------------- */

struct sni {
        struct tls_context *tls;
        struct tls_identity identity;
        size_t count;
        struct error *err;
};

static void add_name(void *ctx, struct str name)
{
        struct sni *s = ctx;
        if (s->err != NULL || s->count++ >= LIMIT_WEB_CERT_NAMES)
                return;
        AUTO_MEM char *text = str_dup(name);
        s->err = tls_context_add(s->tls, text, s->identity);
}

/* Adds a pair for the names in its certificate; the first pair is also used for all other names. */
static struct error *add_keypair(struct tls_context *tls, const Cteleport__Internal__V1__HttpsKeyPair *pair, bool is_first)
{
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct sni s = {
                .tls = tls,
                .identity = { .cert_chain_pem = pb_str(pair->cert_pem),
                              .key_pem = pb_str(pair->key_pem) },
        };
        if (is_first)
                TRY(tls_context_add(tls, NULL, s.identity));
        TRY(cert_pem_to_der(s.identity.cert_chain_pem, &der));
        TRY(cert_each_dns_name(buf_str(&der), add_name, &s));
        return s.err;
}

/* For teleport.cluster.local and names below it the server shows the certificate of the cluster's CA. */
static struct error *add_cluster_identity(struct tls_context *tls, const struct host_identity *id, bool is_default)
{
        AUTO(buf) chain = BUF_MAX(CHAIN_PEM_MAX);
        host_identity_chain_pem(id, &chain);
        struct tls_identity identity = { .cert_chain_pem = buf_str(&chain), .key_pem = secret_str(&id->tls_key_pem) };
        if (is_default)
                TRY(tls_context_add(tls, NULL, identity));
        TRY(tls_context_add(tls, "teleport.cluster.local", identity));
        return tls_context_add(tls, "*.teleport.cluster.local", identity);
}

/* Makes a context for members of the cluster: they get its certificate, and must show one issued by `trust_pem`. */
static struct error *make_mutual(const struct host_identity *id, struct str trust_pem, const char *protocol,
                                 struct tls_context **ret)
{
        AUTO_PTR(tls_context) made = NULL;
        AUTO(buf) chain = BUF_MAX(CHAIN_PEM_MAX);
        const char *const alpn[] = { protocol, NULL };
        host_identity_chain_pem(id, &chain);
        TRY(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_REQUIRED, .trust_pem = trust_pem,
                                                  .alpn = alpn, .is_internal = true },
                            &made));
        TRY(tls_context_add(made, NULL,
                            (struct tls_identity){ .cert_chain_pem = buf_str(&chain), .key_pem = secret_str(&id->tls_key_pem) }));
        tls_context_free(*ret);
        *ret = made;
        made = NULL;
        return NULL;
}

static struct error *renew_mutual(struct proxy *p)
{
        TRY(make_mutual(&p->identity, buf_str(&p->host_cas), TUNNEL_ALPN, &p->tls_nodes));
        TRY(make_mutual(&p->identity, buf_str(&p->host_cas), PEER_ALPN, &p->tls_peers));
        if (p->user_cas.len == 0) /* without a CA every certificate would be accepted */
                return NULL;
        return make_mutual(&p->identity, buf_str(&p->user_cas), SSH_DIAL_ALPN, &p->tls_users);
}

/* A context for browsers and programs, with the web certificates. */
static struct error *make_public(const struct proxy *p, struct tls_options options, struct tls_context **ret)
{
        AUTO_PTR(tls_context) made = NULL;
        bool has_identity = !host_identity_is_empty(&p->identity);
        bool has_web_pair = p->keypair_count > 0 || p->issued != NULL;

        options.is_server = true;
        TRY(tls_context_new(options, &made));
        for (size_t n = p->keypair_count; n-- > 0;) /* the last one added has a name, and that is the first one configured */
                TRY(add_keypair(made, p->keypairs[n], n == 0));
        if (p->issued != NULL)
                TRY(add_keypair(made, p->issued, true));
        if (has_identity)
                TRY(add_cluster_identity(made, &p->identity, !has_web_pair));
        tls_context_free(*ret);
        *ret = made;
        made = NULL;
        return NULL;
}

/* Makes new contexts, and replaces the old ones only after success. */
static struct error *renew_tls(struct proxy *p)
{
        bool has_identity = !host_identity_is_empty(&p->identity);

        if (p->keypair_count == 0 && p->issued == NULL && !has_identity)
                return NULL;
        if (has_identity)
                TRY(renew_mutual(p));
        struct tls_options apps = { .alpn = app_protocols };
        if (p->user_cas.len > 0) {
                apps.peer = TLS_PEER_UNVERIFIED;
                apps.trust_pem = buf_str(&p->user_cas);
        }
        TRY(make_public(p, apps, &p->tls_apps));
        TRY(app_acme_show(p->app_acme, p->tls_apps));
        return make_public(p, (struct tls_options){ .peer = TLS_PEER_NONE, .alpn = protocols }, &p->tls);
}

static ProtobufCBinaryData copy_bytes(struct arena *a, ProtobufCBinaryData b)
{
        struct str copy = arena_str(a, pb_str(b));
        return pb_bytes(copy);
}

/* A copy that lives as long as the arena. */
static Cteleport__Internal__V1__HttpsKeyPair *copy_pair(struct arena *a, const Cteleport__Internal__V1__HttpsKeyPair *pair)
{
        Cteleport__Internal__V1__HttpsKeyPair *copy = arena_alloc(a, sizeof *copy);

        cteleport__internal__v1__https_key_pair__init(copy);
        copy->cert_pem = copy_bytes(a, pair->cert_pem);
        copy->key_pem = copy_bytes(a, pair->key_pem);
        return copy;
}

/* Reports the keys of all web certificates to auth, which certifies them for no host. */
static void report_keys(struct proxy *p)
{
        AUTO_PTR(arena) a = arena_new(KEYPAIRS_MEMORY_MAX);
        Cteleport__Internal__V1__HttpsKeyPair **all = arena_alloc(a, (p->keypair_count + 1) * sizeof *all);
        size_t count = p->keypair_count;

        memcpy(all, p->keypairs, count * sizeof *all);
        if (p->issued != NULL)
                all[count++] = p->issued;
        tunnel_guard_set_keypairs(p->tunnels.guard, all, count);
}

static void use_keypairs(struct proxy *p, Cteleport__Internal__V1__HttpsKeyPair *const *pairs, size_t count)
{
        struct arena *a = arena_new(KEYPAIRS_MEMORY_MAX);
        Cteleport__Internal__V1__HttpsKeyPair **old = p->keypairs;
        size_t old_count = p->keypair_count;

        p->keypairs = arena_alloc(a, count * sizeof(Cteleport__Internal__V1__HttpsKeyPair *));
        p->keypair_count = count;
        for (size_t n = 0; n < count; n++)
                p->keypairs[n] = copy_pair(a, pairs[n]);
        struct error *err = renew_tls(p);
        if (err != NULL) {
                log_error("The new web certificates cannot be used, the old ones stay", LOG_ERR(err));
                error_free(err);
                p->keypairs = old;
                p->keypair_count = old_count;
                arena_free(a);
                return;
        }
        log_info("The web certificates were reloaded", LOG_INT("pairs", count));
        arena_free(p->keypair_arena);
        p->keypair_arena = a;
        report_keys(p);
}

static void open_listener(void *ctx)
{
        struct proxy *p = ctx;

        timer_stop(p->open_listener);
        if (p->listener != NULL)
                return;
        int listen = service_take_fd(p->service, "listen");
        if (listen < 0)
                bug("the proxy was given no listening socket");
        p->listener = proxy_listener_open(p, listen, service_take_fd(p->service, "plain"));
}

/* A certificate by ACME is shown instead of the self-signed one. */
static struct error *use_issued(void *ctx, const Cteleport__Internal__V1__HttpsKeyPair *pair)
{
        struct proxy *p = ctx;
        struct arena *a = arena_new(KEYPAIRS_MEMORY_MAX);
        Cteleport__Internal__V1__HttpsKeyPair *old = p->issued;
        struct error *err = NULL;

        if (pair != NULL)
                p->issued = copy_pair(a, pair);
        if (pair != NULL)
                err = renew_tls(p);
        if (pair == NULL || err != NULL) {
                p->issued = old;
                arena_free(a);
        } else {
                arena_free(p->issued_arena);
                p->issued_arena = a;
                report_keys(p);
                log_info("The web certificate is one of ACME");
        }
        open_listener(p);
        return err;
}

static void on_acme_asked(void *ctx, bool is_first)
{
        struct proxy *p = ctx;

        app_acme_asked(p->app_acme, is_first);
}

static struct error *use_app_cert(void *ctx, const Cteleport__Internal__V1__AcmeApp *msg)
{
        struct proxy *p = ctx;

        return app_acme_take(p->app_acme, msg);
}

/* ---- the identity, from the process instance --------------------------------------------------------- */

static struct error *read_user_cas(const Cteleport__Internal__V1__Identity *msg, struct buf *ret)
{
        if (msg->n_tls_user_ca_certs > HOST_CAS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the identity names more than %d user CAs", HOST_CAS_MAX);
        for (size_t n = 0; n < msg->n_tls_user_ca_certs; n++)
                cert_der_to_pem(pb_str(msg->tls_user_ca_certs[n]), ret);
        return buf_finish(ret, "the user CAs");
}

/* If auth is on another machine, the proxy connects to it with its identity. */
static void use_remote_auth(struct proxy *p, const char *address)
{
        if (service_is_here(p->boot, "auth"))
                return;
        if (address == NULL || address[0] == '\0') {
                log_error("This proxy has no address of an Auth Service: set teleport.auth_server");
                return;
        }
        char *old = p->auth_address;
        p->auth_address = str_dup(str_of(address));
        upstream_use_tls(p->upstream, p->auth_address, &p->identity);
        free(old);
}

static void send_ready(struct proxy *p)
{
        if (!p->is_ready)
                service_ready(p->service);
        p->is_ready = true;
}

static void request_identity(void *ctx);

static void on_identity(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct proxy *p = ctx;
        const Cteleport__Internal__V1__Identity *msg = (const Cteleport__Internal__V1__Identity *)answer;
        struct host_identity id = { 0 };
        struct buf user_cas = BUF_MAX(CHAIN_PEM_MAX);
        p->is_request_pending = false;
        if (p->is_stopping || p->is_draining) {
                error_free(err);
                return;
        }
        if (err == NULL)
                err = read_user_cas(msg, &user_cas);
        if (err == NULL)
                err = identity_of_message(msg, "Proxy", &id);
        if (err == NULL) {
                host_identity_release(&p->identity);
                buf_release(&p->user_cas);
                p->identity = id;
                p->user_cas = user_cas;
                buf_release(&p->host_cas);
                p->host_cas = BUF_MAX(CHAIN_PEM_MAX);
                host_identity_trust_pem(&p->identity, &p->host_cas);
                p->identities++;
                peer_client_renew(&p->peer_client);
                err = renew_tls(p);
        } else {
                buf_release(&user_cas);
        }
        if (err != NULL) {
                /* DEADLINE_EXCEEDED is the normal end of the long poll. The supervisor replaces a lost link. */
                if (err->code != ERROR_DEADLINE_EXCEEDED && !error_is_for(err, REASON_SIBLING))
                        log_warn("This proxy's identity cannot be used", LOG_ERR(err));
                error_free(err);
                timer_start(p->request_again, MILLISECONDS(PACE_RETRY_FIRST));
                return;
        }
        log_info("The Proxy Service has its identity", LOG_STR("cluster", p->identity.cluster),
                 LOG_STR("serial", p->identity.serial));
        use_remote_auth(p, msg->auth_addr);
        timer_start(p->request_again, MILLISECONDS(PACE_RETRY_FIRST));
        send_ready(p);
}

/* Long poll: the answer is sent when there is a newer identity than that with have_serial. */
static void request_identity(void *ctx)
{
        struct proxy *p = ctx;
        AUTO_MEM char *serial = str_dup(p->identity.serial);
        if (p->is_request_pending || p->is_stopping || p->is_draining)
                return;
        if (p->instance == NULL) {
                service_relink(p->service, "instance");
                timer_start(p->request_again, MILLISECONDS(PACE_RELINK));
                return;
        }
        p->is_request_pending = true;
        Cteleport__Internal__V1__IdentityRequest request = CTELEPORT__INTERNAL__V1__IDENTITY_REQUEST__INIT;
        request.role = pb_text("Proxy");
        request.have_serial = serial;
        link_request(p->instance, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_IDENTITY, &request.base,
                 &cteleport__internal__v1__identity__descriptor, HOURS(1), on_identity, p);
}

static void on_instance_lost(void *ctx)
{
        struct proxy *p = ctx;
        link_close(p->instance);
        p->instance = NULL;
        timer_start(p->request_again, MILLISECONDS(PACE_RELINK));
}

static void use_instance(struct proxy *p, int fd)
{
        if (p->instance != NULL)
                link_close(p->instance);
        p->instance = link_new(&p->loop, fd, on_instance_lost, p);
        timer_start(p->request_again, MILLISECONDS(1));
}

/* ---- messages of the supervisor -------------------------------------------------------------------- */

static void stop_loop(void *ctx)
{
        loop_stop(ctx);
}

void proxy_is_empty(struct proxy *p)
{
        if (p->listener == NULL) /* the stop arrived in the last turn of a drain */
                return;
        if ((!p->is_draining && !p->is_stopping) || !proxy_listener_is_empty(p->listener) || !tunnels_are_empty(&p->tunnels) ||
            !peer_server_is_empty(p->peer_server))
                return;
        web_session_cache_shut(p->web_sessions);
        app_sessions_shut(p->app_sessions);
        if (!web_session_cache_is_empty(p->web_sessions) || !app_sessions_is_empty(p->app_sessions))
                return;
        peer_client_shut(&p->peer_client);
        tunnel_guard_free(p->tunnels.guard);
        p->tunnels.guard = NULL;
        upstream_free(p->upstream);
        p->upstream = NULL;
        if (p->instance != NULL)
                link_close(p->instance);
        p->instance = NULL;
        acme_link_close(p->acme);
        loop_defer(&p->loop, stop_loop, &p->loop);
}

static void on_stop(void *ctx)
{
        struct proxy *p = ctx;
        if (p->is_stopping)
                return;
        open_listener(p); /* if it waits for the ACME client */
        p->is_stopping = true;
        proxy_listener_shut(p->listener);
        peer_server_shut(p->peer_server);
        tunnels_shut(&p->tunnels);
}

static void on_drain(void *ctx)
{
        struct proxy *p = ctx;
        if (p->is_draining || p->is_stopping)
                return;
        open_listener(p);
        p->is_draining = true;
        proxy_listener_drain(p->listener);
        peer_server_drain(p->peer_server);
        tunnels_drain(&p->tunnels);
}

static void on_link(void *ctx, const char *name, int fd)
{
        struct proxy *p = ctx;
        if (p->is_stopping || p->upstream == NULL)
                fd_close_at(&fd);
        else if (str_equal(str_of(name), STR("instance")))
                use_instance(p, fd);
        else if (str_equal(str_of(name), STR("acme")))
                acme_link_use(p->acme, fd);
        else
                upstream_use_link(p->upstream, fd);
}

static void on_no_tunnels(void *ctx)
{
        proxy_is_empty(ctx);
}

static void request_auth_link(void *ctx)
{
        struct proxy *p = ctx;
        service_relink(p->service, "auth");
}

static void on_own(void *ctx, const Cteleport__Internal__V1__Control *control, int fd)
{
        fd_close_at(&fd);
        if (control->own_case == CTELEPORT__INTERNAL__V1__CONTROL__OWN_PROXY)
                use_keypairs(ctx, control->proxy->https_keypairs, control->proxy->n_https_keypairs);
}

static const struct service_events service_events = {
        .on_stop = on_stop, .on_drain = on_drain, .on_replace = on_drain, .on_link = on_link, .on_own = on_own,
};

/* ---- main ------------------------------------------------------------------------------------------ */

/*
 * Whether a source stands for many clients: nodes behind one router, of which some are connected, reconnect at the same time; and
 * a load balancer has no clients of its own. Only the total limits the connections that a router passes through: without a node
 * behind it a load balancer keeps the limit of a source there.
 */
static bool stands_for_many(void *ctx, enum source_counter which, struct str source)
{
        const struct proxy *p = ctx;

        if (sources_count(&p->sources, SOURCE_TUNNELS, source) > 0)
                return true;
        return which == SOURCE_CONNECTIONS && ingress_has_source(&p->ingress, source);
}

static struct error *set_up_ingress(struct proxy *p)
{
        const Cteleport__V1__Config *config = p->boot->config;
        const Cteleport__V1__ProxyConfig *section = config == NULL ? NULL : config->proxy_service;

        if (section == NULL)
                return NULL;
        return ingress_init(p->service->arena,
                            &(struct ingress_settings){ .proxy_protocol = section->proxy_protocol,
                                                        .trusts_forwarded_for = section->trust_x_forwarded_for,
                                                        .load_balancers = section->load_balancers,
                                                        .load_balancer_count = section->n_load_balancers },
                            &p->ingress);
}

/* Opens the listener; with ACME after the certificate of the last start has arrived, so that no client sees another one. */
static void use_acme(struct proxy *p)
{
        int acme = service_take_fd(p->service, "acme");

        p->open_listener = timer_new(&p->loop, open_listener, p);
        if (acme < 0) {
                open_listener(p);
                return;
        }
        p->app_acme = app_acme_new(p);
        p->acme = acme_link_new(&p->loop, (struct acme_link_events){ .issued = use_issued, .asked = on_acme_asked, .app = use_app_cert, .ctx = p });
        acme_link_use(p->acme, acme);
        timer_start(p->open_listener, MILLISECONDS(TIMEOUT_ACME_KEPT));
}

void proxy_set_limits(struct proxy *p)
{
        p->sources.limits[SOURCE_CONNECTIONS] = (struct source_limit){
                LIMIT_CONNECTIONS_UNAUTHENTICATED + LIMIT_CONNECTIONS_RESERVE, LIMIT_CONNECTIONS_PER_SOURCE, LIMIT_CONNECTIONS_PER_KNOWN,
                LIMIT_CONNECTIONS_RESERVE };
        p->sources.limits[SOURCE_JOINS] = (struct source_limit){ LIMIT_PENDING_JOINS, LIMIT_PENDING_JOINS_PER_SOURCE,
                                                                 LIMIT_PENDING_JOINS_PER_SOURCE, LIMIT_PENDING_JOINS_RESERVE };
        p->sources.limits[SOURCE_SSH] = (struct source_limit){ LIMIT_SSH_DIALS, LIMIT_SSH_DIALS_PER_SOURCE,
                                                               LIMIT_SSH_DIALS_PER_SOURCE };
        p->unauthenticated_memory = (struct budget){ .total = LIMIT_RPC_MEMORY_UNAUTHENTICATED, .share = LIMIT_RPC_MEMORY_SOURCE };
        p->memory = (struct budget){ .total = LIMIT_STREAM_MEMORY, .share = LIMIT_STREAM_MEMORY_USER };
        p->sources.limits[SOURCE_PASSED] = (struct source_limit){ LIMIT_PASSED, LIMIT_PASSED_PER_SOURCE, 0, LIMIT_PASSED_RESERVE };
        p->users.limits = (struct share_limits){ LIMIT_SSH_DIALS, LIMIT_SSH_DIALS_USER, LIMIT_SSH_DIALS_RESERVE, LIMIT_SSH_DIALS_RESERVED };
        p->relays.limits = (struct share_limits){ .total = LIMIT_SSH_DIALS, .each = LIMIT_RELAYED_PER_PROXY };
        p->sources.limits[SOURCE_TUNNELS] = (struct source_limit){ LIMIT_TUNNELS, LIMIT_TUNNELS, LIMIT_TUNNELS };
        p->sources.is_known = stands_for_many;
        p->sources.ctx = p;
}

static struct error *set_up(struct proxy *p)
{
        const Cteleport__Internal__V1__Boot *boot = p->boot;
        TRY(set_up_ingress(p));
        proxy_set_limits(p);
        p->tunnels.loop = &p->loop;
        p->tunnels.sources = &p->sources;
        p->tunnels.on_empty = on_no_tunnels;
        p->tunnels.ctx = p;
        p->peer_client.proxy = p;
        if (boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_PROXY) {
                p->keypairs = boot->proxy->https_keypairs;
                p->keypair_count = boot->proxy->n_https_keypairs;
        }
        TRY(qr_load());
        TRY(renew_tls(p));
        TRY(sandbox_become_unprivileged(&p->service->row->user));
        TRY(sandbox_enter(p->service->row->sandbox, (struct sandbox_paths){ 0 }));
        TRY(service_control(p->service, &p->loop, &service_events, p));

        bool has_local_auth = service_is_here(boot, "auth");
        p->upstream = upstream_new(&p->loop, has_local_auth ? request_auth_link : NULL, p);
        token_keys_init(&p->token_keys, &p->loop);
        p->web_sessions = web_session_cache_new(p);
        p->app_sessions = app_sessions_new(p);
        p->tunnels.guard = tunnel_guard_new(p);
        tunnel_guard_set_keypairs(p->tunnels.guard, p->keypairs, p->keypair_count);
        p->request_again = timer_new(&p->loop, request_identity, p);
        if (has_local_auth)
                p->auth_address = address_to_dial(str_of(service_listen_addr(boot, "auth")), 3025);
        int auth = service_take_fd(p->service, "auth");
        if (auth >= 0)
                upstream_use_link(p->upstream, auth);
        int instance = service_take_fd(p->service, "instance");
        if (instance >= 0)
                use_instance(p, instance);
        int peer = service_take_fd(p->service, "peer");
        if (peer >= 0)
                p->peer_server = peer_server_open(p, peer);
        use_acme(p);
        return NULL;
}

static void tear_down(struct proxy *p)
{
        proxy_listener_free(p->listener);
        p->listener = NULL;
        peer_server_free(p->peer_server);
        p->peer_server = NULL;
        timer_free(p->request_again);
        timer_free(p->open_listener);
        acme_link_free(p->acme);
        app_acme_free(p->app_acme);
        arena_free(p->issued_arena);
        tunnels_release(&p->tunnels);
        tls_context_free(p->tls);
        tls_context_free(p->tls_nodes);
        tls_context_free(p->tls_users);
        tls_context_free(p->tls_apps);
        tls_context_free(p->tls_peers);
        buf_release(&p->user_cas);
        buf_release(&p->host_cas);
        token_keys_release(&p->token_keys);
        host_identity_release(&p->identity);
        sources_release(&p->sources);
        shares_release(&p->users);
        shares_release(&p->relays);
        arena_free(p->keypair_arena);
        free(p->auth_address);
        service_end(p->service);
        loop_release(&p->loop);
        web_session_cache_free(p->web_sessions);
        app_sessions_free(p->app_sessions);
        app_addresses_release(&p->app_addresses);
        budget_release(&p->memory);
        budget_release(&p->unauthenticated_memory);
}

int proxy_main(struct service *s)
{
        static struct proxy the_proxy;
        struct proxy *p = &the_proxy;
        p->service = s;
        p->boot = s->boot;

        struct error *err = loop_init(&p->loop, NULL);
        if (err == NULL)
                err = set_up(p);
        if (err != NULL) {
                service_fatal(s, err);
                return 1;
        }
        log_info("Proxy Service is starting", LOG_C("addr", service_listen_addr(s->boot, "proxy")),
                 LOG_C("sandbox", sandbox_describe()));
        /* With a local Auth Service the identity arrives within milliseconds. Otherwise the cluster may be unreachable. */
        if (!service_is_here(s->boot, "auth"))
                send_ready(p);
        loop_run(&p->loop);
        tear_down(p);
        return 0;
}
