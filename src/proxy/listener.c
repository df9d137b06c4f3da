/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/listener.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.pb-c.h"
#include "base/interop.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/conversation.h"
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

enum state { HELLO, ANNOUNCE, DIAL, PASS_THROUGH, HANDSHAKE, SERVE_GRPC, SERVE_HTTP, SERVE_SSH, REFUSE_SSH, CLOSING };

static const struct conversation_state states[] = {
        [HELLO] = { "hello", MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), TO(ANNOUNCE) | TO(DIAL) | TO(HANDSHAKE) | TO(REFUSE_SSH) | TO(CLOSING) },
        [ANNOUNCE] = { "announce", SECONDS(0), TO(DIAL) | TO(CLOSING) }, /* the call to auth has its own deadline */
        [DIAL] = { "dial", SECONDS(0), TO(PASS_THROUGH) | TO(CLOSING) }, /* the dial has its own deadline */
        [PASS_THROUGH] = { "pass through", SECONDS(0), TO(CLOSING) },    /* auth's limits count from here on */
        [HANDSHAKE] = { "handshake", SECONDS(0), /* so has TLS */
                        TO(SERVE_GRPC) | TO(SERVE_HTTP) | TO(SERVE_SSH) | TO(REFUSE_SSH) | TO(CLOSING) },
        [SERVE_GRPC] = { "serve gRPC", SECONDS(0), TO(CLOSING) },        /* and rpc */
        [SERVE_HTTP] = { "serve HTTP", SECONDS(0), TO(CLOSING) },         /* and http_server */
        [SERVE_SSH] = { "serve SSH", SECONDS(0), TO(CLOSING) },          /* and ssh_dial */
        [REFUSE_SSH] = { "refuse SSH", MILLISECONDS(TIMEOUT_HTTP1), TO(CLOSING) },
        [CLOSING] = { "closing", SECONDS(0), 0 },
};

struct client {
        struct listener *listener;
        struct client *next, **at;
        struct conversation talk;
        bool is_counted; /* as an unauthenticated peer, by the limits on those; then `source` is set */
        bool is_passed;  /* counted among the connections that are passed through */
        const struct source *source;
        struct instant since;
        bool is_user;  /* counted by the limits on those */
        char *user;      /* whose place it has taken, or NULL */
        char peer[ADDRESS_TEXT_MAX];

        struct stream *stream; /* TCP, then TLS; NULL while another owns it */
        struct stream *tcp;    /* below it, until the ClientHello has decided what it is; not owned */
        struct buf input;      /* the ClientHello */
        size_t unreceived;        /* bytes that came after a refusal */
        struct announcement *announcement; /* under way */
        uint8_t ticket[PASS_TICKET_SIZE];  /* of auth, for this connection */
        bool has_ticket;
        struct dial *dial;
        struct tls_handshake *handshake;
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

struct listener {
        struct proxy *proxy;
        struct listener *listener;
        struct client *clients;
        bool is_closing;
};

/* ---- the end --------------------------------------------------------------------------------------- */

static void uncount(struct client *v)
{
        if (v->is_counted)
                sources_leave(&v->listener->proxy->sources, SOURCE_CONNECTIONS, v->peer);
        v->is_counted = false;
        if (v->is_passed)
                sources_leave(&v->listener->proxy->sources, SOURCE_PASSED, v->peer);
        v->is_passed = false;
        if (v->is_user)
                sources_leave(&v->listener->proxy->sources, SOURCE_SSH, v->peer);
        v->is_user = false;
        if (v->user != NULL)
                shares_drop(&v->listener->proxy->users, str_of(v->user));
        free(v->user);
        v->user = NULL;
}

static void report_empty(void *ctx)
{
        proxy_is_empty(ctx);
}

/* Nothing runs for the client any more. */
static void client_free(struct client *v)
{
        struct listener *d = v->listener;
        *v->at = v->next;
        if (v->next != NULL)
                v->next->at = v->at;
        uncount(v);
        if (v->announcement != NULL)
                v->announcement->client = NULL;
        conversation_release(&v->talk);
        stream_close(v->stream);
        buf_release(&v->input);
        free(v);
        if (d->is_closing && d->clients == NULL)
                loop_defer(&d->proxy->loop, report_empty, d->proxy);
}

/* Ends everything that runs; the client is freed when that has answered. */
static void client_dismiss(struct client *v)
{
        if (v->dial != NULL)
                dial_cancel(v->dial);
        else if (v->handshake != NULL)
                tls_cancel(v->handshake);
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
        const struct proxy *p = v->listener->proxy;
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
        struct proxy *p = v->listener->proxy;
        struct stream *s = v->stream;
        v->stream = NULL;
        conversation_enter(&v->talk, SERVE_HTTP);
        v->web = web_serve(s, &(struct web_options){ .loop = &p->loop, .upstream = p->upstream, .facts = facts_of, .on_closed = on_web_closed,
                                                     .ctx = v, .peer = v->peer });
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

        source_of(str_of(v->peer), source);
        v->stream = NULL;
        conversation_enter(&v->talk, SERVE_GRPC);
        v->as_peer = (struct forward_peer){ .proxy = v->listener->proxy };
        v->as_peer.has_channel_binding = tls_channel_binding(s, v->as_peer.channel_binding);
        v->memory = budget_hold(&v->listener->proxy->unauthenticated_memory, str_of(source));
        v->grpc = rpc_serve(&v->listener->proxy->loop, s,
                            (struct rpc_server_options){
                                    .methods = forward_methods,
                                    .guard = forward_guard,
                                    .caller = &v->as_peer,
                                    .on_closed = on_grpc_closed,
                                    .peer = v->peer,
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
        log_debug("An agent or client of Teleport itself was refused", LOG_C("peer", v->peer), LOG_C("speaks", "SSH"), LOG_C("in", where));
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
        struct shares *users = &v->listener->proxy->users;
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
        v->is_user = sources_enter(&v->listener->proxy->sources, SOURCE_SSH, v->peer);
        if (!v->is_user) {
                log_warn("A user's connection was refused: too many are open", LOG_C("peer", v->peer));
                client_free(v);
                return;
        }
        AUTO_PTR(error) err = take_place(v, tls_peer_cert_der(s));
        if (err != NULL) {
                log_warn("A user's connection was turned away: too many are open", LOG_C("peer", v->peer), LOG_ERR(err));
                client_free(v);
                return;
        }
        sources_note_authenticated(&v->listener->proxy->sources, v->peer);
        v->stream = NULL;
        conversation_enter(&v->talk, SERVE_SSH);
        v->ssh = ssh_dial_start(v->listener->proxy, s, v->peer, on_ssh_over, v);
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
        struct proxy *p = v->listener->proxy;
        AUTO_PTR(arena) a = arena_new(2 * CERT_MAX);
        struct cert_info cert;
        struct error *err = check_node(p, a, tls_peer_cert_der(v->stream), &cert);
        if (err != NULL) {
                log_warn("A tunnel was refused", LOG_C("peer", v->peer), LOG_ERR(err));
                error_free(err);
        } else {
                sources_note_authenticated(&p->sources, v->peer);
                tls_forget_peer(v->stream); /* what was read of it is a copy */
                tunnels_add(&p->tunnels, v->stream, &cert, v->peer);
                v->stream = NULL;
        }
        client_free(v);
}

/* ---- TLS ------------------------------------------------------------------------------------------- */

static void on_handshake(void *ctx, struct stream *tls, struct error *err)
{
        struct client *v = ctx;
        v->handshake = NULL;
        if (err != NULL) {
                log_debug("A TLS handshake failed", LOG_C("peer", v->peer), LOG_ERR(err));
                error_free(err);
                client_free(v);
                return;
        }
        v->stream = tls;
        struct str protocol = tls_alpn(tls);
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

static void shake_hands(struct client *v, struct stream *s, struct tls_context *tls)
{
        struct proxy *p = v->listener->proxy;
        conversation_enter(&v->talk, HANDSHAKE);
        socket_stream_limit_reads(v->tcp, LOOP_BUFFER);
        v->handshake = tls_start(&p->loop, tls, s, NULL, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_handshake, v);
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
        struct loop *l = &v->listener->proxy->loop;
        v->dial = NULL;
        if (err != NULL) {
                log_debug("A connection could not be passed to the Auth Service", LOG_C("peer", v->peer), LOG_ERR(err));
                error_free(err);
                client_free(v);
                return;
        }
        conversation_enter(&v->talk, PASS_THROUGH);
        struct stream *outside = v->stream, *inside = socket_stream(l, fd);
        v->stream = NULL;
        socket_stream_limit_reads(v->tcp, LIMIT_PASSED_READ);
        socket_stream_limit_reads(inside, LIMIT_PASSED_READ);
        if (v->has_ticket) {
                stream_write(inside, STR(PASS_MAGIC));
                stream_write(inside, str_of_bytes(v->ticket, sizeof v->ticket));
        }
        v->splice = splice_start(l, outside, inside, PASS_WINDOW, on_passed, v);
}

static void dial_auth(struct client *v)
{
        struct proxy *p = v->listener->proxy;
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
                log_debug("A connection could not be announced to the Auth Service", LOG_C("peer", v->peer), LOG_ERR(err));
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
        request.remote_addr = v->peer;
        rpc_client_unary(auth,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.PassService/Announce",
                                                           .response = &cteleport__v1__pass_response__descriptor,
                                                           .within = MILLISECONDS(TIMEOUT_CONNECT) },
                         &request.base, on_announced, v->announcement);
}

static void pass_through(struct client *v)
{
        struct proxy *p = v->listener->proxy;
        if (p->auth_address == NULL) {
                client_free(v);
                return;
        }
        /* Agents stay connected; auth finds out whether they are authenticated, within its own limits. */
        uncount(v);
        v->is_passed = sources_enter(&p->sources, SOURCE_PASSED, v->peer);
        struct rpc_client *auth = p->upstream == NULL ? NULL : upstream_client(p->upstream);
        if (!v->is_passed) {
                log_debug("A connection was not passed to the Auth Service: too many are open", LOG_C("peer", v->peer));
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

static void refuse_hello(struct client *v, struct error *err)
{
        if (str_starts_with(buf_str(&v->input), STR("SSH-2.0-"))) {
                error_free(err);
                refuse_ssh(v, "TCP");
                return;
        }
        if (is_plain_http(buf_str(&v->input)))
                stream_write(v->stream, STR("HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n"
                                            "This port speaks TLS: use https.\n"));
        log_debug("A connection did not begin with TLS", LOG_C("peer", v->peer), LOG_ERR(err));
        error_free(err);
        client_free(v);
}

static void on_hello_read(void *ctx, struct str bytes)
{
        struct client *v = ctx;
        struct proxy *p = v->listener->proxy;
        struct client_hello hello;
        bool is_complete = false;

        buf_put(&v->input, bytes);
        struct error *err = buf_finish(&v->input, "a ClientHello");
        if (err == NULL)
                err = client_hello_parse(buf_str(&v->input), &hello, &is_complete);
        if (err != NULL) {
                refuse_hello(v, err);
                return;
        }
        if (!is_complete)
                return;
        stream_read(v->stream, false);
        struct stream *whole = stream_with_prefix(&p->loop, v->stream, buf_str(&v->input));
        v->stream = NULL;
        buf_release(&v->input);
        if (is_for_auth(&hello)) {
                v->stream = whole;
                pass_through(v);
        } else if (context_for(p, &hello) != NULL) {
                shake_hands(v, whole, context_for(p, &hello));
        } else {
                v->stream = whole;
                client_free(v);
        }
}

static const struct stream_events hello_events = { .on_read = on_hello_read, .on_end = on_unauthenticated_end };

/* As at auth: the oldest connection of the source that has most goes, unless that is the newcomer's own. */
static bool make_room(struct listener *d, const char *peer)
{
        struct source_pick pick = source_pick_begin(&d->proxy->sources, SOURCE_CONNECTIONS, peer, loop_now(&d->proxy->loop));
        for (struct client *v = d->clients; v != NULL; v = v->next) {
                if (v->is_counted)
                        source_pick_consider(&pick, v->source, v->since, v);
        }
        if (pick.who == NULL)
                return false;
        uncount(pick.who);
        client_dismiss(pick.who);
        return true;
}

static bool count_connection(struct listener *d, const char *peer)
{
        struct sources *s = &d->proxy->sources;
        if (sources_enter(s, SOURCE_CONNECTIONS, peer))
                return true;
        return sources_is_full(s, SOURCE_CONNECTIONS, peer) && make_room(d, peer) && sources_enter(s, SOURCE_CONNECTIONS, peer);
}

static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct listener *d = ctx;
        if (!count_connection(d, peer)) {
                log_debug("A connection was turned away: too many are open", LOG_C("peer", peer));
                fd_close_at(&fd);
                return;
        }
        struct client *v = NEW(struct client);
        *v = (struct client){
                .listener = d,
                .next = d->clients,
                .at = &d->clients,
                .is_counted = true,
                .source = sources_find(&d->proxy->sources, peer),
                .since = loop_now(&d->proxy->loop),
                .stream = socket_stream(&d->proxy->loop, fd),
                /* A read may bring what follows the hello, too. */
                .input = BUF_MAX(CLIENT_HELLO_MAX + HELLO_READ),
        };
        v->tcp = v->stream;
        socket_stream_limit_reads(v->tcp, HELLO_READ);
        if (v->next != NULL)
                v->next->at = &v->next;
        d->clients = v;
        snprintf(v->peer, sizeof v->peer, "%s", peer);
        conversation_init(&v->talk, &d->proxy->loop, states, HELLO, on_expired, v);
        stream_listen(v->stream, &hello_events, v);
        stream_read(v->stream, true);
}

/* ---- the listener ------------------------------------------------------------------------------------ */

struct listener *proxy_listener_open(struct proxy *p, int listen_fd)
{
        struct listener *d = NEW(struct listener);
        d->proxy = p;
        d->listener = listener_new(&p->loop, listen_fd, on_accepted, d);
        return d;
}

static void stop_accepting(struct listener *d)
{
        if (d->listener != NULL)
                listener_close(d->listener);
        d->listener = NULL;
        d->is_closing = true;
        if (d->clients == NULL)
                loop_defer(&d->proxy->loop, report_empty, d->proxy);
}

void proxy_listener_drain(struct listener *d)
{
        stop_accepting(d);
        struct client *next;
        for (struct client *v = d->clients; v != NULL; v = next) {
                next = v->next;
                if (v->grpc != NULL)
                        rpc_server_drain(v->grpc);
                else if (v->ssh != NULL)
                        ssh_dial_drain(v->ssh);
                else
                        client_dismiss(v);
        }
}

void proxy_listener_shut(struct listener *d)
{
        stop_accepting(d);
        struct client *next;
        for (struct client *v = d->clients; v != NULL; v = next) {
                next = v->next;
                client_dismiss(v);
        }
}

bool proxy_listener_is_empty(const struct listener *d)
{
        return d->clients == NULL;
}

void proxy_listener_free(struct listener *d)
{
        free(d);
}
