/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/listener.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/interop.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/acceptor.h"
#include "pki/cert.h"
#include "proxy/acme_link.h"
#include "proxy/apps/app_acme.h"
#include "proxy/apps/app_address.h"
#include "proxy/apps/app_certificate.h"
#include "proxy/apps/app_gateway.h"
#include "proxy/apps/app_h2.h"
#include "proxy/forward.h"
#include "proxy/host_switch.h"
#include "proxy/pass_through.h"
#include "proxy/proxy.h"
#include "proxy/ssh_dial.h"
#include "proxy/ssh_refusal.h"
#include "proxy/web/web.h"
#include "services/services.h"

struct client {
        struct proxy *proxy;
        struct accepted accepted;
        struct app_acme_wait wait; /* for a certificate, before the handshake */
        bool is_user; /* it is counted as a connection of a user */
        char *user;   /* user for whom it is counted, or NULL */
        char source[ADDRESS_TEXT_MAX]; /* address for which it is counted as one of a user */

        /* The handler of the connection; one of these is set when it is accepted. */
        struct pass_through *pass;
        struct ssh_refusal *refusal;
        struct rpc_server_conn *grpc;
        struct budget_holder *memory; /* used by grpc and app_h2 */
        struct web *web;
        struct host_switch *hosts;
        struct app_gateway *app;
        struct app_h2 *app_h2;
        struct app_certificate *certificate; /* used by the two */
        struct ssh_dial *ssh;
        struct forward_peer as_peer;
};

struct proxy_listener {
        struct acceptor acceptor;
};

/* The listening sockets, in the order of acceptor_listen(). */
enum { PORT_TLS, PORT_PLAIN };

static struct client *client_of(struct accepted *a)
{
        return CONTAINER_OF(a, struct client, accepted);
}

/* ---- end of a client ------------------------------------------------------------------------------- */

static void uncount(struct client *v)
{
        accepted_uncount(&v->accepted);
        if (v->is_user)
                sources_leave(&v->proxy->sources, SOURCE_SSH, v->source);
        v->is_user = false;
        if (v->user != NULL)
                shares_remove(&v->proxy->users, str_of(v->user));
        free(v->user);
        v->user = NULL;
}

/* Frees the client after its handler has ended. */
static void client_free(struct client *v)
{
        uncount(v);
        app_acme_leave(&v->wait);
        accepted_release(&v->accepted);
        app_certificate_free(v->certificate);
        budget_drop(v->memory);
        free(v);
}

static void on_over(void *ctx)
{
        client_free(ctx);
}

/* Ends the handler, whose callback frees the client. */
static void client_dismiss(struct client *v)
{
        if (v->pass != NULL)
                pass_through_cancel(v->pass);
        else if (v->refusal != NULL)
                ssh_refusal_cancel(v->refusal);
        else if (v->grpc != NULL)
                rpc_server_close(v->grpc);
        else if (v->web != NULL)
                web_close(v->web);
        else if (v->hosts != NULL)
                host_switch_close(v->hosts);
        else if (v->app != NULL)
                app_gateway_close(v->app);
        else if (v->app_h2 != NULL)
                app_h2_close(v->app_h2);
        else if (v->ssh != NULL)
                ssh_dial_cancel(v->ssh);
}

/* ---- HTTP ------------------------------------------------------------------------------------------ */

/* Whether a host, that of a handshake or of a request, is one of an application. */
static bool is_for_app(const struct proxy *p, struct str host, char ret_app[APP_NAME_MAX + 1])
{
        struct str public_addr;

        return proxy_find_app(p, host, ret_app, &public_addr);
}

static struct webapi_facts facts_of(void *ctx)
{
        const struct client *v = ctx;
        const struct proxy *p = v->proxy;
        const Cteleport__V1__Config *config = p->boot->config;
        const Cteleport__V1__ProxyConfig *section = config == NULL ? NULL : config->proxy_service;
        return (struct webapi_facts){
                .cluster = proxy_cluster(p),
                .listen_addr = str_of(service_listen_addr(p->boot, "proxy")),
                .public_addr = section == NULL || section->n_public_addr == 0 ? STR("")
                                                                              : str_of(section->public_addr[0]),
                .host_cas = buf_str(&p->host_cas),
        };
}

static bool is_of_app(void *ctx, struct str host)
{
        const struct client *v = ctx;

        return is_for_app(v->proxy, host, (char[APP_NAME_MAX + 1]){ 0 });
}

/* Accepts the stream inside an upgraded connection, in place of that connection. */
static void on_upgraded(void *ctx, struct stream *s, const char *client)
{
        struct client *v = ctx;

        /* If it is refused, it was closed and on_failed() has logged it. */
        (void)!acceptor_give(&v->proxy->listener->acceptor, s, client, &v->accepted);
}

static struct web_options web_options_of(struct client *v)
{
        struct proxy *p = v->proxy;

        return (struct web_options){ .loop = &p->loop, .upstream = p->upstream, .sessions = p->web_sessions, .token_keys = &p->token_keys, .facts = facts_of, .is_of_app = is_of_app, .on_closed = on_over,
                                     .on_upgraded = v->accepted.is_carried ? NULL : on_upgraded, .ctx = v, .peer = v->accepted.peer,
                                     .ingress = v->accepted.is_carried ? NULL : &p->ingress };
}

static void serve_http(struct client *v, struct stream *s)
{
        const struct web_options options = web_options_of(v);

        v->web = web_serve(s, &options);
}

/* ---- memory of unauthenticated peers ------------------------------------------------------------------ */

/* That of the peer's source, until client_free(). */
static struct budget_holder *hold_memory(struct client *v)
{
        char source[SOURCE_TEXT_MAX];

        source_of(str_of(v->accepted.peer), source);
        v->memory = budget_hold(&v->proxy->unauthenticated_memory, str_of(source));
        return v->memory;
}

/* ---- gRPC ------------------------------------------------------------------------------------------ */

static void on_grpc_closed(void *caller)
{
        struct client *v = CONTAINER_OF(caller, struct client, as_peer);

        client_free(v);
}

static void serve_grpc(struct client *v, struct stream *s)
{
        v->as_peer = (struct forward_peer){ .proxy = v->proxy };
        v->as_peer.has_channel_binding = tls_channel_binding(s, v->as_peer.channel_binding);
        v->grpc = rpc_serve(&v->proxy->loop, s,
                            (struct rpc_server_options){
                                    .methods = forward_methods,
                                    .guard = forward_guard,
                                    .caller = &v->as_peer,
                                    .on_closed = on_grpc_closed,
                                    .peer = v->accepted.peer,
                                    .is_open_to_unauthenticated = true,
                                    .memory = hold_memory(v),
                            });
}

/* ---- agents and clients of Teleport ---------------------------------------------------------------- */

static void refuse_ssh(struct client *v, struct stream *s, const char *where)
{
        log_debug("An agent or client of Teleport itself was refused", LOG_C("peer", v->accepted.peer), LOG_C("speaks", "SSH"), LOG_C("in", where));
        v->refusal = ssh_refusal_start(&v->proxy->loop, s, on_over, v);
}

/* ---- members of the cluster ------------------------------------------------------------------------ */

/* Counts a connection to a node for its user, within the share of a user. TLS has verified the certificate. */
static struct error *count_connection(struct client *v, struct str cert)
{
        struct shares *users = &v->proxy->users;
        AUTO_PTR(arena) arena = arena_new(CERT_READ_ARENA);
        struct cert_info info;

        TRY(cert_read(arena, cert, &info));
        if (!shares_have_room(users, info.common_name))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "user '%.*s' has %zu of %zu connections through this proxy", STR_ARG(info.common_name),
                                 shares_count(users, info.common_name), users->total);
        shares_add(users, info.common_name);
        v->user = str_dup(info.common_name);
        return NULL;
}

/* Counts it as a connection of a user at this address, not as an unauthenticated client. */
static bool count_for(struct client *v, const char *client)
{
        uncount(v);
        snprintf(v->source, sizeof v->source, "%s", client);
        v->is_user = sources_enter(&v->proxy->sources, SOURCE_SSH, v->source);
        return v->is_user;
}

/* From now on a connection of this user: it is counted by the limits of users. */
static struct error *count_as_user(struct client *v, struct str user, const char *client)
{
        struct shares *users = &v->proxy->users;
        bool is_same = v->user != NULL && str_equal(str_of(v->user), user);

        if (!is_same && !shares_have_room(users, user))
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "user '%.*s' has %zu of %zu connections through this proxy", STR_ARG(user),
                                            shares_count(users, user), users->total), "close some of them");
        if (!count_for(v, client))
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "too many connections of users come from your address"), "try again later");
        shares_add(users, user);
        v->user = str_dup(user);
        sources_note_authenticated(&v->proxy->sources, v->source);
        return NULL;
}

/* ---- browsers at applications ------------------------------------------------------------------------ */

static void on_drain(struct accepted *a);

/* A connection that cannot be counted for this user stays counted as before, or nowhere if its address has too many: it ends with its responses. */
static struct error *on_app_user(void *ctx, struct str user, const char *client)
{
        struct client *v = ctx;
        bool is_counted = v->user != NULL && str_equal(str_of(v->user), user) && strcmp(v->source, client) == 0;
        struct error *err = is_counted ? NULL : count_as_user(v, user, client);

        if (err != NULL)
                on_drain(&v->accepted);
        return err;
}

static void serve_app(struct client *v, struct stream *s, const char *app)
{
        struct str certificate = tls_peer_cert_der(s);

        if (!str_is_empty(certificate)) {
                v->certificate = app_certificate_new(certificate, buf_str(&v->proxy->user_cas), proxy_cluster(v->proxy));
                tls_forget_peer(s);
        }
        const struct app_gateway_options options = { .proxy = v->proxy, .app = app, .peer = v->accepted.peer,
                                                     .ingress = v->accepted.is_carried ? NULL : &v->proxy->ingress, .certificate = v->certificate,
                                                     .has_old_tls = !tls_hides_certificates(s), .on_user = on_app_user,
                                                     .on_closed = on_over, .ctx = v };

        if (str_equal(tls_alpn(s), STR("h2")))
                v->app_h2 = app_h2_start(s, &options, hold_memory(v));
        else
                v->app = app_gateway_start(s, &options);
}

/*
 * Whether the requests on a connection may be for any host: one without a server name, and one of a load balancer, which may use the connection
 * that it has made for one host for the others, too (nginx with keepalive). A certificate is that of a client of its own.
 */
static bool has_any_host(const struct client *v, struct stream *tls)
{
        return !v->accepted.is_carried && (str_is_empty(tls_server_name(tls)) ||
                                           (ingress_forwards(&v->proxy->ingress, v->accepted.peer) && str_is_empty(tls_peer_cert_der(tls))));
}

/* Requests for any host: those of load balancers. */
static void serve_hosts(struct client *v, struct stream *s, bool is_balancer)
{
        const struct host_switch_options options = {
                .proxy = v->proxy,
                .web = web_options_of(v),
                .app = { .proxy = v->proxy, .peer = v->accepted.peer, .ingress = &v->proxy->ingress, .on_user = on_app_user, .ctx = v },
                .is_balancer = is_balancer,
        };

        v->hosts = host_switch_start(s, &options);
}

/* ---- users of terminals ------------------------------------------------------------------------------ */

static void refuse_user(struct client *v, struct stream *s)
{
        stream_close(s);
        client_free(v);
}

/* Serves an authenticated user: from now on counted by the limits of users, not as an unauthenticated client. */
static void serve_ssh(struct client *v, struct stream *s)
{
        if (!count_for(v, v->accepted.peer)) {
                log_warn("A user's connection was refused: too many are open", LOG_C("peer", v->accepted.peer));
                refuse_user(v, s);
                return;
        }
        AUTO_PTR(error) err = count_connection(v, tls_peer_cert_der(s));
        if (err != NULL) {
                log_warn("A user's connection was turned away: too many are open", LOG_C("peer", v->accepted.peer), LOG_ERR(err));
                refuse_user(v, s);
                return;
        }
        sources_note_authenticated(&v->proxy->sources, v->accepted.peer);
        v->ssh = ssh_dial_start(v->proxy, s, v->accepted.peer, on_over, v);
}

/*
 * Every host has a certificate of the host CA, but only a service that offers resources to users may open a tunnel, and only for its
 * own host ID and role.
 */
static struct error *check_agent(const struct proxy *p, struct arena *a, struct str leaf, struct cert_info *ret)
{
        struct cert_info info;
        TRY(cert_read(a, leaf, &info));
        const struct service_row *row = services_of_role(info.role);
        if (info.is_ca || row == NULL || row->kind == NULL || str_is_empty(info.host_id) || !str_equal(info.cluster, proxy_cluster(p)))
                return error_new(ERROR_PERMISSION_DENIED, "the certificate is not that of a service of this cluster that users connect to");
        *ret = info;
        return NULL;
}

static void take_tunnel(struct client *v, struct stream *s)
{
        struct proxy *p = v->proxy;
        AUTO_PTR(arena) a = arena_new(2 * CERT_MAX);
        struct cert_info cert;
        struct error *err = check_agent(p, a, tls_peer_cert_der(s), &cert);

        if (err != NULL) {
                log_warn("A tunnel was refused", LOG_C("peer", v->accepted.peer), LOG_ERR(err));
                error_free(err);
                stream_close(s);
        } else {
                sources_note_authenticated(&p->sources, v->accepted.peer);
                tls_forget_peer(s); /* cert has copies of its fields */
                tunnels_add(&p->tunnels, s, &cert, v->accepted.peer);
        }
        client_free(v);
}

/* ---- a CA that validates a name -------------------------------------------------------------------------- */

/* The handshake has shown the certificate of the challenge; nothing follows it (RFC 8737 section 3). */
static void end_challenge(struct client *v, struct stream *s)
{
        log_info("A CA has looked at the challenge", LOG_C("peer", v->accepted.peer), LOG_STR("name", tls_server_name(s)));
        stream_close(s);
        client_free(v);
}

/* ---- TLS ------------------------------------------------------------------------------------------- */

/*
 * A load balancer announces the clients of HTTP only: other connections of unauthenticated peers count for it. False: the
 * connection was ended.
 */
static bool is_counted(struct client *v, struct stream *tls)
{
        AUTO_PTR(error) err = accepted_end_exemption(&v->accepted);

        if (err == NULL)
                return true;
        log_debug("A connection was turned away: too many are open", LOG_C("peer", v->accepted.peer));
        stream_close(tls);
        client_free(v);
        return false;
}

static void on_tls(struct accepted *a, struct stream *tls)
{
        struct client *v = client_of(a);
        struct str protocol = tls_alpn(tls);
        bool is_http1 = str_is_empty(protocol) || str_equal(protocol, STR("http/1.1"));
        char app[APP_NAME_MAX + 1];

        if (str_equal(protocol, STR(TUNNEL_ALPN))) /* TLS has verified the certificate */
                take_tunnel(v, tls);
        else if (str_equal(protocol, STR(SSH_DIAL_ALPN))) /* likewise */
                serve_ssh(v, tls);
        else if (is_http1 && has_any_host(v, tls))
                serve_hosts(v, tls, false);
        else if ((is_http1 || str_equal(protocol, STR("h2"))) && is_for_app(v->proxy, tls_server_name(tls), app))
                serve_app(v, tls, app);
        else if (is_http1)
                serve_http(v, tls);
        else if (!is_counted(v, tls))
                return;
        else if (str_equal(protocol, STR(ACME_ALPN)))
                end_challenge(v, tls);
        else if (interop_is_ssh_alpn(protocol))
                refuse_ssh(v, tls, "TLS");
        else
                serve_grpc(v, tls);
}

/* ---- the ClientHello --------------------------------------------------------------------------------- */

/* Whether it is the TLS server name of auth: "<hex of the cluster's name>.teleport.cluster.local". */
static bool is_auth_name(struct str name)
{
        struct str suffix = STR(".teleport.cluster.local");
        if (name.len <= suffix.len || !str_equal_nocase(str_slice(name, name.len - suffix.len, suffix.len), suffix))
                return false;
        for (size_t i = 0; i < name.len - suffix.len; i++) {
                char c = char_lower(name.ptr[i]);
                if (!char_is_digit(c) && (c < 'a' || c > 'f'))
                        return false;
        }
        return true;
}

static bool is_for_auth(const struct client_hello *hello)
{
        for (size_t i = 0; i < hello->alpn_count; i++) {
                if (str_starts_with(hello->alpn[i], STR("teleport-auth@")))
                        return true;
        }
        return is_auth_name(hello->server_name);
}

static bool offers(const struct client_hello *hello, const char *protocol)
{
        for (size_t i = 0; i < hello->alpn_count; i++) {
                if (str_equal(hello->alpn[i], str_of(protocol)))
                        return true;
        }
        return false;
}

/*
 * Requests a certificate only from members of the cluster, and at names of applications: a browser without one of this cluster's shows
 * no dialog to its user there. At these names h2 is HTTP, not gRPC.
 */
static struct tls_context *context_for(const struct proxy *p, const struct client_hello *hello)
{
        char app[APP_NAME_MAX + 1];

        if (offers(hello, TUNNEL_ALPN))
                return p->tls_nodes;
        if (hello->alpn_count == 1 && offers(hello, ACME_ALPN) && acme_link_challenge(p->acme) != NULL)
                return acme_link_challenge(p->acme);
        if (offers(hello, SSH_DIAL_ALPN))
                return p->tls_users;
        bool is_http = hello->alpn_count == 0 || offers(hello, "h2") || offers(hello, "http/1.1");
        return is_http && is_for_app(p, hello->server_name, app) ? p->tls_apps : p->tls;
}

/* ---- plain HTTP -------------------------------------------------------------------------------------- */

static void refuse_plain(struct client *v, const char *answer, const char *why)
{
        struct stream *s = accepted_take_stream(&v->accepted, SIZE_MAX);

        log_debug("A connection for plain HTTP was refused", LOG_C("peer", v->accepted.peer), LOG_C("reason", why));
        stream_write(s, str_of(answer));
        stream_close(s);
        client_free(v);
}

/* A load balancer that forwards HTTP without TLS; its network is trusted with the passwords in forms, others are not. */
static void serve_plain(struct client *v, struct str bytes)
{
        if (!v->accepted.is_private) {
                refuse_plain(v,
                             "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
                             "This port serves load balancers in a private network only: use https.\n",
                             "its address is not private");
                return;
        }
        if (bytes.ptr[0] == 0x16) { /* a TLS handshake record */
                refuse_plain(v, "", "it speaks TLS; load balancers that do use web_listen_addr");
                return;
        }
        serve_hosts(v, accepted_take_stream(&v->accepted, 0), true);
}

/* ---- the beginning ------------------------------------------------------------------------------------ */

/* Whether a client sent HTTP without TLS: the answer names https. */
static bool is_plain_http(struct str bytes)
{
        return str_starts_with(bytes, STR("GET ")) || str_starts_with(bytes, STR("HEAD ")) ||
               str_starts_with(bytes, STR("POST "));
}

static void refuse_hello(struct client *v, struct str bytes, struct error *err)
{
        if (str_starts_with(bytes, STR("SSH-2.0-"))) {
                error_free(err);
                refuse_ssh(v, accepted_take_stream(&v->accepted, bytes.len), "TCP");
                return;
        }
        if (is_plain_http(bytes)) {
                struct stream *s = accepted_take_stream(&v->accepted, bytes.len);

                stream_write(s, STR("HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n"
                                    "This port speaks TLS: use https.\n"));
                stream_close(s);
        }
        log_debug("A connection did not begin with TLS", LOG_C("peer", v->accepted.peer), LOG_ERR(err));
        error_free(err);
        client_free(v);
}

/* Passes the connection of an agent to auth, which authenticates it within limits of its own. */
static void pass_through(struct client *v)
{
        struct stream *s = accepted_take_stream(&v->accepted, 0);

        uncount(v);
        v->pass = pass_through_start(v->proxy, s, &v->accepted, on_over, v);
}

static void on_certificate(void *ctx)
{
        struct client *v = ctx;

        accepted_start_tls(&v->accepted, v->proxy->tls_apps, 0);
}

/* Whether a handshake at the name of an application waits for a certificate of ACME; on_certificate() then continues. */
static bool waits_for_certificate(struct client *v, const struct tls_context *tls, struct str server_name)
{
        v->wait = (struct app_acme_wait){ .over = on_certificate, .ctx = v };
        if (tls != v->proxy->tls_apps || !app_acme_wait(v->proxy->app_acme, server_name, &v->wait))
                return false;
        accepted_hold(&v->accepted);
        return true;
}

static void on_begun(struct accepted *a, struct str bytes)
{
        struct client *v = client_of(a);
        struct client_hello hello;
        bool is_complete = false;

        if (a->port == PORT_PLAIN) {
                serve_plain(v, bytes);
                return;
        }
        struct error *err = client_hello_parse(bytes, &hello, &is_complete);

        if (err != NULL) {
                refuse_hello(v, bytes, err);
                return;
        }
        if (!is_complete)
                return;
        struct tls_context *tls = context_for(v->proxy, &hello);
        if (is_for_auth(&hello))
                pass_through(v);
        else if (tls == NULL)
                client_free(v);
        else if (!waits_for_certificate(v, tls, hello.server_name))
                accepted_start_tls(a, tls, 0);
}

static void on_failed(struct accepted *a, struct error *err)
{
        if (a->step == ACCEPTED_NEW)
                log_debug("A connection was turned away: too many are open", LOG_C("peer", a->peer));
        else if (a->step == ACCEPTED_HANDSHAKE)
                log_debug("A TLS handshake failed", LOG_C("peer", a->peer), LOG_ERR(err));
        error_free(err);
        client_free(client_of(a));
}

/* ---- the listener ------------------------------------------------------------------------------------ */

static struct accepted *on_open(void *ctx)
{
        struct proxy *p = ctx;
        struct client *v = NEW(struct client);

        v->proxy = p;
        return &v->accepted;
}

static void on_drain(struct accepted *a)
{
        struct client *v = client_of(a);

        if (v->grpc != NULL)
                rpc_server_drain(v->grpc);
        else if (v->ssh != NULL)
                ssh_dial_drain(v->ssh);
        else if (v->web != NULL)
                web_drain(v->web);
        else if (v->hosts != NULL)
                host_switch_drain(v->hosts);
        else if (v->app != NULL)
                app_gateway_drain(v->app);
        else if (v->app_h2 != NULL)
                app_h2_drain(v->app_h2);
        else
                client_dismiss(v);
}

static void on_end(struct accepted *a)
{
        client_dismiss(client_of(a));
}

static void on_empty(void *ctx)
{
        proxy_is_empty(ctx);
}

static const struct acceptor_events events = {
        .open = on_open,
        .begun = on_begun,
        .served = on_tls,
        .failed = on_failed,
        .drain = on_drain,
        .end = on_end,
        .empty = on_empty,
};

struct proxy_listener *proxy_listener_open(struct proxy *p, int listen_fd, int plain_fd)
{
        struct proxy_listener *d = NEW(struct proxy_listener);

        d->acceptor = (struct acceptor){
                .loop = &p->loop,
                .sources = &p->sources,
                .events = &events,
                .ctx = p,
                .timeout = MILLISECONDS(TIMEOUT_TLS_HANDSHAKE),
                .begin_max = CLIENT_HELLO_MAX + PASS_THROUGH_HELLO_READ,
                .begin_read = PASS_THROUGH_HELLO_READ,
                .ingress = &p->ingress,
        };
        acceptor_init(&d->acceptor);
        acceptor_listen(&d->acceptor, listen_fd);
        if (plain_fd >= 0)
                acceptor_listen(&d->acceptor, plain_fd);
        return d;
}

void proxy_listener_drain(struct proxy_listener *d)
{
        acceptor_stop_listening(&d->acceptor);
        acceptor_drain(&d->acceptor);
}

void proxy_listener_shut(struct proxy_listener *d)
{
        acceptor_stop_listening(&d->acceptor);
        acceptor_stop(&d->acceptor);
}

bool proxy_listener_is_empty(const struct proxy_listener *d)
{
        return acceptor_is_empty(&d->acceptor);
}

void proxy_listener_free(struct proxy_listener *d)
{
        free(d);
}
