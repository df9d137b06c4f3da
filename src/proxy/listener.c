/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/listener.h"

#include <stdlib.h>
#include <string.h>

#include "api.pb-c.h"
#include "base/interop.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/conversation.h"
#include "net/acceptor.h"
#include "net/pass.h"
#include "pki/cert.h"
#include "proxy/forward.h"
#include "proxy/proxy.h"
#include "proxy/ssh_dial.h"
#include "proxy/web.h"

/*
 * A connection that is passed through is not read while anything of it waits to be written on: LIMIT_PASSED_READ wait in each direction
 * at most, or the ClientHello and what was read with it.
 */
enum { PASS_WINDOW = 1, HELLO_READ = 4 * KiB };
_Static_assert((int)CLIENT_HELLO_MAX + (int)HELLO_READ == (int)LIMIT_PASSED_HELLO, "the product of connections that are passed through holds");

enum state { ACCEPT, ANNOUNCE, DIAL, PASS_THROUGH, SERVE_GRPC, SERVE_HTTP, SERVE_SSH, REFUSE_SSH, CLOSING };

static const struct conversation_state states[] = {
        [ACCEPT] = { "accept", SECONDS(0), /* the acceptor has its own deadlines */
                     TO(ANNOUNCE) | TO(DIAL) | TO(SERVE_GRPC) | TO(SERVE_HTTP) | TO(SERVE_SSH) | TO(REFUSE_SSH) | TO(CLOSING) },
        [ANNOUNCE] = { "announce", SECONDS(0), TO(DIAL) | TO(CLOSING) }, /* the call to auth has its own deadline */
        [DIAL] = { "dial", SECONDS(0), TO(PASS_THROUGH) | TO(CLOSING) }, /* the dial has its own deadline */
        [PASS_THROUGH] = { "pass through", SECONDS(0), TO(CLOSING) },    /* auth's limits count from here on */
        [SERVE_GRPC] = { "serve gRPC", SECONDS(0), TO(CLOSING) },        /* and rpc */
        [SERVE_HTTP] = { "serve HTTP", SECONDS(0), TO(CLOSING) },         /* and http_server */
        [SERVE_SSH] = { "serve SSH", SECONDS(0), TO(CLOSING) },          /* and ssh_dial */
        [REFUSE_SSH] = { "refuse SSH", MILLISECONDS(TIMEOUT_HTTP1), TO(CLOSING) },
        [CLOSING] = { "closing", SECONDS(0), 0 },
};

struct client {
        struct proxy *proxy;
        struct accepted accepted;
        struct conversation talk;
        bool is_passed; /* counted among the connections that are passed through */
        bool is_user;   /* counted by the limits on those */
        char *user;     /* whose place it has taken, or NULL */

        struct stream *stream; /* NULL while another owns it */
        size_t unreceived;     /* bytes that came after a refusal */
        struct announcement *announcement; /* under way */
        uint8_t ticket[PASS_TICKET_SIZE];  /* of auth, for this connection */
        bool has_ticket;
        struct dial *dial;
        struct splice *splice;
        struct rpc_server_conn *grpc;
        struct budget_holder *memory; /* of grpc */
        struct web *web;
        struct ssh_dial *ssh;
        struct forward_peer as_peer;
};

/* Outlives a client that goes before auth has answered. */
struct announcement {
        struct client *client; /* NULL: gone */
};

struct proxy_listener {
        struct acceptor acceptor;
};

static struct client *client_of(struct accepted *a)
{
        return CONTAINER_OF(a, struct client, accepted);
}

/* ---- the end --------------------------------------------------------------------------------------- */

static void uncount(struct client *v)
{
        accepted_uncount(&v->accepted);
        if (v->is_passed)
                sources_leave(&v->proxy->sources, SOURCE_PASSED, v->accepted.peer);
        v->is_passed = false;
        if (v->is_user)
                sources_leave(&v->proxy->sources, SOURCE_SSH, v->accepted.peer);
        v->is_user = false;
        if (v->user != NULL)
                shares_drop(&v->proxy->users, str_of(v->user));
        free(v->user);
        v->user = NULL;
}

/* Nothing runs for the client any more. */
static void client_free(struct client *v)
{
        uncount(v);
        if (v->announcement != NULL)
                v->announcement->client = NULL;
        conversation_release(&v->talk);
        stream_close(v->stream);
        accepted_release(&v->accepted);
        free(v);
}

/* Ends everything that runs; the client is freed when that has answered. */
static void client_dismiss(struct client *v)
{
        if (v->dial != NULL)
                dial_cancel(v->dial);
        else if (v->splice != NULL)
                splice_cancel(v->splice);
        else if (v->grpc != NULL)
                rpc_server_close(v->grpc);
        else if (v->web != NULL)
                web_close(v->web);
        else if (v->ssh != NULL)
                ssh_dial_cancel(v->ssh);
        else
                client_free(v);
}

static void on_expired(void *ctx)
{
        client_dismiss(ctx);
}

/* ---- HTTP ------------------------------------------------------------------------------------------ */

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
        };
}

static void on_web_closed(void *ctx)
{
        struct client *v = ctx;
        v->web = NULL;
        client_free(v);
}

static void serve_http(struct client *v)
{
        struct proxy *p = v->proxy;
        struct stream *s = v->stream;
        v->stream = NULL;
        conversation_enter(&v->talk, SERVE_HTTP);
        v->web = web_serve(s, &(struct web_options){ .loop = &p->loop, .upstream = p->upstream, .facts = facts_of, .on_closed = on_web_closed,
                                                     .ctx = v, .peer = v->accepted.peer });
}

/* ---- gRPC ------------------------------------------------------------------------------------------ */

static void on_grpc_closed(void *caller)
{
        struct client *v = CONTAINER_OF(caller, struct client, as_peer);
        v->grpc = NULL;
        budget_drop(v->memory);
        v->memory = NULL;
        client_free(v);
}

static void serve_grpc(struct client *v)
{
        struct stream *s = v->stream;
        char source[SOURCE_TEXT_MAX];

        source_of(str_of(v->accepted.peer), source);
        v->stream = NULL;
        conversation_enter(&v->talk, SERVE_GRPC);
        v->as_peer = (struct forward_peer){ .proxy = v->proxy };
        v->as_peer.has_channel_binding = tls_channel_binding(s, v->as_peer.channel_binding);
        v->memory = budget_hold(&v->proxy->unauthenticated_memory, str_of(source));
        v->grpc = rpc_serve(&v->proxy->loop, s,
                            (struct rpc_server_options){
                                    .methods = forward_methods,
                                    .guard = forward_guard,
                                    .caller = &v->as_peer,
                                    .on_closed = on_grpc_closed,
                                    .peer = v->accepted.peer,
                                    .is_open_to_unauthenticated = true,
                                    .memory = v->memory,
                            });
}

/* ---- agents and clients of Teleport's -------------------------------------------------------------- */

/*
 * They speak SSH here, inside TLS or, older ones, without: a server may end that before any key exchange, with a reason
 * that the client shows (RFC 4253 sections 4.2 and 11.1).
 */
static void put_ssh_disconnect(struct buf *out)
{
        enum { SSH_MSG_DISCONNECT = 1, SERVICE_NOT_AVAILABLE = 7, BLOCK = 8, HEAD = 5, PADDING_LEAST = 4, CLOSING_MAX = 1 * KiB };
        AUTO(buf) payload = BUF_MAX(CLOSING_MAX);
        static const uint8_t zeros[2 * BLOCK];

        buf_put_u8(&payload, SSH_MSG_DISCONNECT);
        buf_put_u32(&payload, SERVICE_NOT_AVAILABLE);
        buf_put_ssh_string(&payload, STR(INTEROP_CLIENT_WHAT ": " INTEROP_CLIENT_HINT));
        buf_put_ssh_string(&payload, STR("")); /* the language */
        size_t padding = BLOCK - (HEAD + payload.len) % BLOCK;
        if (padding < PADDING_LEAST)
                padding += BLOCK;
        buf_put_c(out, "SSH-2.0-cteleport\r\n");
        buf_put_u32(out, (uint32_t)(1 + payload.len + padding));
        buf_put_u8(out, (uint8_t)padding);
        buf_put(out, buf_str(&payload));
        buf_put(out, str_of_bytes(zeros, padding));
}

/*
 * The peer hangs up once it has read why. Until then what it sends is taken and thrown away: a connection closed before
 * that would break its writing, and it would tell of that instead.
 */
static void on_unreceived(void *ctx, struct str bytes)
{
        struct client *v = ctx;

        v->unreceived += bytes.len;
        if (v->unreceived > LIMIT_HTTP1_HEADER)
                client_free(v);
}

static void on_unauthenticated_end(void *ctx, struct error *err)
{
        error_free(err); /* the client left */
        client_free(ctx);
}

static const struct stream_events refused_events = { .on_read = on_unreceived, .on_end = on_unauthenticated_end };

static void refuse_ssh(struct client *v, const char *where)
{
        AUTO(buf) closing = BUF_MAX(2 * KiB);

        put_ssh_disconnect(&closing);
        log_debug("An agent or client of Teleport itself was refused", LOG_C("peer", v->accepted.peer), LOG_C("speaks", "SSH"), LOG_C("in", where));
        conversation_enter(&v->talk, REFUSE_SSH);
        stream_listen(v->stream, &refused_events, v);
        stream_write(v->stream, buf_str(&closing));
        stream_read(v->stream, true);
}

/* ---- members of the cluster ------------------------------------------------------------------------ */

static void on_ssh_over(void *ctx)
{
        struct client *v = ctx;
        v->ssh = NULL;
        client_free(v);
}

/* A place among all connections to nodes, of which no user takes all. TLS has verified the certificate. */
static struct error *take_place(struct client *v, struct str cert)
{
        struct shares *users = &v->proxy->users;
        AUTO_PTR(arena) arena = arena_new(CERT_READ_ARENA);
        struct cert_info info;

        TRY(cert_read(arena, cert, &info));
        if (!shares_have_room(users, info.common_name))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "user '%.*s' has %zu of %zu connections through this proxy", STR_ARG(info.common_name),
                                 shares_count(users, info.common_name), users->total);
        shares_take(users, info.common_name);
        v->user = str_dup(info.common_name);
        return NULL;
}

/* A user: authenticated now, and one of those that share this proxy. */
static void serve_ssh(struct client *v)
{
        struct stream *s = v->stream;
        uncount(v);
        v->is_user = sources_enter(&v->proxy->sources, SOURCE_SSH, v->accepted.peer);
        if (!v->is_user) {
                log_warn("A user's connection was refused: too many are open", LOG_C("peer", v->accepted.peer));
                client_free(v);
                return;
        }
        AUTO_PTR(error) err = take_place(v, tls_peer_cert_der(s));
        if (err != NULL) {
                log_warn("A user's connection was turned away: too many are open", LOG_C("peer", v->accepted.peer), LOG_ERR(err));
                client_free(v);
                return;
        }
        sources_note_authenticated(&v->proxy->sources, v->accepted.peer);
        v->stream = NULL;
        conversation_enter(&v->talk, SERVE_SSH);
        v->ssh = ssh_dial_start(v->proxy, s, v->accepted.peer, on_ssh_over, v);
}

/* Every host has a certificate by the host CA; only nodes wait to be reached, each as itself. */
static struct error *check_node(const struct proxy *p, struct arena *a, struct str leaf, struct cert_info *ret)
{
        struct cert_info info;
        TRY(cert_read(a, leaf, &info));
        if (info.is_ca || !str_equal(info.role, STR("Node")) || str_is_empty(info.host_id) ||
            !str_equal(info.cluster, proxy_cluster(p)))
                return error_new(ERROR_PERMISSION_DENIED, "the certificate is not that of a node of this cluster");
        *ret = info;
        return NULL;
}

static void take_tunnel(struct client *v)
{
        struct proxy *p = v->proxy;
        AUTO_PTR(arena) a = arena_new(2 * CERT_MAX);
        struct cert_info cert;
        struct error *err = check_node(p, a, tls_peer_cert_der(v->stream), &cert);
        if (err != NULL) {
                log_warn("A tunnel was refused", LOG_C("peer", v->accepted.peer), LOG_ERR(err));
                error_free(err);
        } else {
                sources_note_authenticated(&p->sources, v->accepted.peer);
                tls_forget_peer(v->stream); /* what was read of it is a copy */
                tunnels_add(&p->tunnels, v->stream, &cert, v->accepted.peer);
                v->stream = NULL;
        }
        client_free(v);
}

/* ---- TLS ------------------------------------------------------------------------------------------- */

static void on_tls(struct accepted *a, struct stream *tls)
{
        struct client *v = client_of(a);
        struct str protocol = tls_alpn(tls);

        v->stream = tls;
        if (interop_is_ssh_alpn(protocol))
                refuse_ssh(v, "TLS");
        else if (str_equal(protocol, STR(TUNNEL_ALPN)))
                take_tunnel(v);
        else if (str_equal(protocol, STR(SSH_DIAL_ALPN)))
                serve_ssh(v);
        else if (str_is_empty(protocol) || str_equal(protocol, STR("http/1.1")))
                serve_http(v);
        else
                serve_grpc(v);
}

/* ---- passing through to auth ------------------------------------------------------------------------- */

static void on_passed(void *ctx, uint64_t a_to_b, uint64_t b_to_a)
{
        struct client *v = ctx;
        (void)a_to_b;
        (void)b_to_a;
        v->splice = NULL;
        client_free(v);
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct client *v = ctx;
        struct loop *l = &v->proxy->loop;
        v->dial = NULL;
        if (err != NULL) {
                log_debug("A connection could not be passed to the Auth Service", LOG_C("peer", v->accepted.peer), LOG_ERR(err));
                error_free(err);
                client_free(v);
                return;
        }
        conversation_enter(&v->talk, PASS_THROUGH);
        struct stream *outside = v->stream, *inside = socket_stream(l, fd);
        v->stream = NULL;
        accepted_limit_reads(&v->accepted, LIMIT_PASSED_READ);
        socket_stream_limit_reads(inside, LIMIT_PASSED_READ);
        if (v->has_ticket) {
                stream_write(inside, STR(PASS_MAGIC));
                stream_write(inside, str_of_bytes(v->ticket, sizeof v->ticket));
        }
        v->splice = splice_start(l, outside, inside, PASS_WINDOW, on_passed, v);
}

static void dial_auth(struct client *v)
{
        struct proxy *p = v->proxy;
        conversation_enter(&v->talk, DIAL);
        v->dial = dial_start(&p->loop, str_of(p->auth_address), MILLISECONDS(TIMEOUT_CONNECT), on_dialled, v);
}

/* Without auth's ticket the connection counts as one of this proxy's address, of which auth takes few. */
static void on_announced(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct announcement *a = ctx;
        const Cteleport__V1__PassResponse *answer = (const Cteleport__V1__PassResponse *)msg;
        struct client *v = a->client;
        free(a);
        if (v == NULL) {
                error_free(err);
                return;
        }
        v->announcement = NULL;
        if (err != NULL && err->code != ERROR_UNIMPLEMENTED && err->code != ERROR_UNAVAILABLE) {
                log_debug("A connection could not be announced to the Auth Service", LOG_C("peer", v->accepted.peer), LOG_ERR(err));
                error_free(err);
                client_free(v);
                return;
        }
        error_free(err);
        v->has_ticket = answer != NULL && answer->ticket.len == sizeof v->ticket;
        if (v->has_ticket)
                memcpy(v->ticket, answer->ticket.data, sizeof v->ticket);
        dial_auth(v);
}

static void announce(struct client *v, struct rpc_client *auth)
{
        Cteleport__V1__PassRequest request = CTELEPORT__V1__PASS_REQUEST__INIT;
        conversation_enter(&v->talk, ANNOUNCE);
        v->announcement = NEW(struct announcement);
        v->announcement->client = v;
        request.remote_addr = v->accepted.peer;
        rpc_client_unary(auth,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.PassService/Announce",
                                                           .response = &cteleport__v1__pass_response__descriptor,
                                                           .within = MILLISECONDS(TIMEOUT_CONNECT) },
                         &request.base, on_announced, v->announcement);
}

static void pass_through(struct client *v)
{
        struct proxy *p = v->proxy;
        if (p->auth_address == NULL) {
                client_free(v);
                return;
        }
        /* Agents stay connected; auth finds out whether they are authenticated, within its own limits. */
        uncount(v);
        v->is_passed = sources_enter(&p->sources, SOURCE_PASSED, v->accepted.peer);
        struct rpc_client *auth = p->upstream == NULL ? NULL : upstream_client(p->upstream);
        if (!v->is_passed) {
                log_debug("A connection was not passed to the Auth Service: too many are open", LOG_C("peer", v->accepted.peer));
                client_free(v);
        } else if (auth == NULL) {
                dial_auth(v);
        } else {
                announce(v, auth);
        }
}

/* ---- hello ------------------------------------------------------------------------------------------- */

/* "<hex of a cluster's name>.teleport.cluster.local": what auth is called inside TLS. */
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

/* Only members of the cluster are asked for a certificate: a browser would ask its user. */
static struct tls_context *context_for(const struct proxy *p, const struct client_hello *hello)
{
        if (offers(hello, TUNNEL_ALPN))
                return p->tls_nodes;
        return offers(hello, SSH_DIAL_ALPN) ? p->tls_users : p->tls;
}

/* What a browser or curl gets that forgot the "s" of https. */
static bool is_plain_http(struct str bytes)
{
        return str_starts_with(bytes, STR("GET ")) || str_starts_with(bytes, STR("HEAD ")) ||
               str_starts_with(bytes, STR("POST "));
}

static void refuse_hello(struct client *v, struct str bytes, struct error *err)
{
        bool is_http = is_plain_http(bytes), is_ssh = str_starts_with(bytes, STR("SSH-2.0-"));

        if (is_ssh || is_http)
                v->stream = accepted_take_stream(&v->accepted, bytes.len);
        if (is_ssh) {
                error_free(err);
                refuse_ssh(v, "TCP");
                return;
        }
        if (is_http)
                stream_write(v->stream, STR("HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n"
                                            "This port speaks TLS: use https.\n"));
        log_debug("A connection did not begin with TLS", LOG_C("peer", v->accepted.peer), LOG_ERR(err));
        error_free(err);
        client_free(v);
}

static void on_begun(struct accepted *a, struct str bytes)
{
        struct client *v = client_of(a);
        struct client_hello hello;
        bool is_complete = false;
        struct error *err = client_hello_parse(bytes, &hello, &is_complete);

        if (err != NULL) {
                refuse_hello(v, bytes, err);
                return;
        }
        if (!is_complete)
                return;
        struct tls_context *tls = context_for(v->proxy, &hello);
        if (is_for_auth(&hello)) {
                v->stream = accepted_take_stream(a, 0);
                pass_through(v);
        } else if (tls != NULL) {
                accepted_start_tls(a, tls, 0);
        } else {
                client_free(v);
        }
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
        conversation_init(&v->talk, &p->loop, states, ACCEPT, on_expired, v);
        return &v->accepted;
}

static void on_drain(struct accepted *a)
{
        struct client *v = client_of(a);

        if (v->grpc != NULL)
                rpc_server_drain(v->grpc);
        else if (v->ssh != NULL)
                ssh_dial_drain(v->ssh);
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

struct proxy_listener *proxy_listener_open(struct proxy *p, int listen_fd)
{
        struct proxy_listener *d = NEW(struct proxy_listener);

        d->acceptor = (struct acceptor){
                .loop = &p->loop,
                .sources = &p->sources,
                .events = &events,
                .ctx = p,
                .timeout = MILLISECONDS(TIMEOUT_TLS_HANDSHAKE),
                .begin_max = CLIENT_HELLO_MAX + HELLO_READ,
                .begin_read = HELLO_READ, /* may bring what follows the hello, too */
        };
        acceptor_listen(&d->acceptor, listen_fd);
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
