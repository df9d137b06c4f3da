/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/peer_server.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/acceptor.h"
#include "pki/cert.h"
#include "proxy/proxy.h"
#include "proxy/tunnel_guard.h"
#include "tunnel/tunnel_memory.h"

/* The connection of another proxy. */
struct peer {
        struct peer_server *all;
        struct accepted accepted;
        struct tunnel_server *tunnel; /* NULL: not authenticated yet */
        char *host_id;
        struct cert_issue cert;
        struct walltime not_after; /* of its certificate */
};

/* A connection of a user that another proxy relays to a node of this one. */
struct relay {
        struct peer_server *all;
        struct relay *next, **at;
        struct peer *peer;          /* while `in` waits for its answer */
        struct tunnel_incoming *in; /* NULL: answered, or gone */
        struct tunnel_dial *dial;
        struct splice *splice; /* NULL: not connected yet, or over */
        struct tunnel_memory memory[2]; /* of the streams to the node and to the peer */
        char source[ADDRESS_TEXT_MAX];  /* of the user's client */
        bool is_counted;                /* under its source */
        char *user, *proxy;             /* NULL: not counted */
};

struct peer_server {
        struct proxy *proxy;
        struct acceptor acceptor;
        struct relay *relays;
        struct timer *expiry;
        bool is_draining;
};

static struct peer *peer_of(struct accepted *a)
{
        return CONTAINER_OF(a, struct peer, accepted);
}

bool peer_server_is_empty(const struct peer_server *s)
{
        return s == NULL || (acceptor_is_empty(&s->acceptor) && s->relays == NULL);
}

static void report_empty(void *ctx)
{
        struct peer_server *s = ctx;

        if (peer_server_is_empty(s))
                proxy_is_empty(s->proxy);
}

/* ---- a relayed connection --------------------------------------------------------------------------- */

static void relay_free(struct relay *r)
{
        struct peer_server *s = r->all;
        struct proxy *p = s->proxy;

        *r->at = r->next;
        if (r->next != NULL)
                r->next->at = r->at;
        for (size_t i = 0; i < ARRAY_LEN(r->memory); i++)
                tunnel_memory_close(&r->memory[i]);
        if (r->is_counted)
                sources_leave(&p->sources, SOURCE_SSH, r->source);
        if (r->user != NULL)
                shares_remove(&p->users, str_of(r->user));
        if (r->proxy != NULL)
                shares_remove(&p->relays, str_of(r->proxy));
        free(r->user);
        free(r->proxy);
        free(r);
        if (s->is_draining && s->relays == NULL)
                loop_defer(&p->loop, report_empty, s);
}

static void on_relayed(void *ctx, uint64_t from_node, uint64_t to_node)
{
        (void)from_node;
        (void)to_node;
        relay_free(ctx);
}

static void refuse(struct relay *r, struct error *err)
{
        log_debug("A connection of another proxy was refused", LOG_C("proxy", r->peer->host_id), LOG_ERR(err));
        tunnel_refuse(r->in, err);
        relay_free(r);
}

/* ABORTED and NOT_FOUND permit the other proxy to try another route. That is right only if the node has not got the request. */
static struct error *error_of_node(struct error *err)
{
        if (error_is_for(err, REASON_CONNECTION))
                return error_because(error_new(ERROR_ABORTED, "the node leaves its tunnel"), err);
        if (err->code == ERROR_ABORTED || err->code == ERROR_NOT_FOUND)
                err->code = ERROR_UNAVAILABLE;
        return err;
}

static void on_node(void *ctx, struct stream *node, struct error *err)
{
        struct relay *r = ctx;

        r->dial = NULL;
        if (r->in == NULL) {
                stream_close(node);
                error_free(err);
                relay_free(r);
        } else if (err != NULL) {
                refuse(r, error_of_node(err));
        } else {
                struct stream *peer = tunnel_accept(r->in);

                r->in = NULL;
                r->splice = tunnel_relay(r->memory, &r->all->proxy->loop, node, peer, on_relayed, r);
        }
}

/*
 * The limits of a user's connection, as if it had arrived here, and those of the other proxy. With NOT_FOUND and ABORTED it tries the
 * next one.
 */
static struct error *admit(struct relay *r, const struct tunnel_request *request)
{
        struct proxy *p = r->all->proxy;
        struct str proxy = str_of(r->peer->host_id);

        if (r->all->is_draining)
                return error_new(ERROR_NOT_FOUND, "this proxy is stopping");
        if (!shares_have_room(&p->relays, proxy))
                return error_new(ERROR_ABORTED, "too many connections of one other proxy are relayed here");
        shares_add(&p->relays, proxy);
        r->proxy = str_dup(proxy);
        if (str_is_empty(request->user) || str_is_empty(request->client_addr) || request->client_addr.len >= sizeof r->source)
                return error_new(ERROR_INVALID_ARGUMENT, "the request names no user, or no address of a client");
        if (!shares_have_room(&p->users, request->user))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the user has %zu connections through this proxy, of %zu of all users",
                                 shares_count(&p->users, request->user), p->users.total);
        memcpy(r->source, request->client_addr.ptr, request->client_addr.len);
        r->source[request->client_addr.len] = '\0';
        r->is_counted = sources_enter(&p->sources, SOURCE_SSH, r->source);
        if (!r->is_counted)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "too many connections to nodes are open through this proxy");
        shares_add(&p->users, request->user);
        r->user = str_dup(request->user);
        for (size_t i = 0; i < ARRAY_LEN(r->memory); i++)
                TRY(tunnel_memory_open(&r->memory[i], &p->memory, request->user));
        return NULL;
}

static void on_connect(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *request)
{
        struct peer *peer = ctx;
        struct peer_server *s = peer->all;
        struct relay *r = NEW(struct relay);

        *r = (struct relay){ .all = s, .peer = peer, .in = in, .next = s->relays, .at = &s->relays };
        if (r->next != NULL)
                r->next->at = &r->next;
        s->relays = r;
        struct error *err = admit(r, request);
        if (err == NULL) {
                r->dial = tunnels_connect(&s->proxy->tunnels, request, on_node, r);
                if (r->dial == NULL)
                        err = error_new(ERROR_NOT_FOUND, "the node has no tunnel to this proxy");
        }
        if (err != NULL)
                refuse(r, err);
}

/* The request is gone: its dial is cancelled, and on_node() frees the relay. */
static void abandon(struct relay *r)
{
        r->in = NULL;
        tunnel_connect_cancel(r->dial);
}

static void on_gone(void *ctx, struct tunnel_incoming *in)
{
        struct peer *peer = ctx;

        for (struct relay *r = peer->all->relays; r != NULL; r = r->next)
                if (r->in == in) {
                        abandon(r);
                        return;
                }
}

/* ---- a peer ------------------------------------------------------------------------------------------ */

static void peer_free(struct peer *peer)
{
        for (struct relay *r = peer->all->relays; r != NULL; r = r->next)
                if (r->peer == peer && r->in != NULL)
                        abandon(r);
        tunnel_server_close(peer->tunnel);
        accepted_release(&peer->accepted);
        free(peer->host_id);
        free(peer);
}

static void on_end(void *ctx, struct error *err)
{
        struct peer *peer = ctx;

        log_info("The connection of another proxy has ended", LOG_C("proxy", peer->host_id), LOG_ERR(err));
        error_free(err);
        peer_free(peer);
}

static const struct tunnel_server_events tunnel_events = { .on_connect = on_connect, .on_gone = on_gone, .on_end = on_end };

static struct error *check_peer(const struct proxy *p, struct arena *a, struct str leaf, struct cert_info *ret)
{
        struct cert_info info;

        TRY(cert_read(a, leaf, &info));
        if (info.is_ca || !str_equal(info.role, STR("Proxy")) || str_is_empty(info.host_id) || !str_equal(info.cluster, proxy_cluster(p)))
                return error_new(ERROR_PERMISSION_DENIED, "the certificate is not that of a proxy of this cluster");
        *ret = info;
        return NULL;
}

static struct accepted *on_open(void *ctx)
{
        struct peer *peer = NEW(struct peer);

        peer->all = ctx;
        return &peer->accepted;
}

static void on_begun(struct accepted *a, struct str bytes)
{
        struct peer *peer = peer_of(a);

        (void)bytes;
        if (peer->all->proxy->tls_peers != NULL)
                accepted_start_tls(a, peer->all->proxy->tls_peers, 0);
        else /* this proxy has no identity yet */
                peer_free(peer);
}

/* Ends the oldest connections of a proxy that has more than LIMIT_PEER_LINKS. */
static void end_surplus(const struct peer_server *s, const char *host_id)
{
        size_t count = 0;

        for (struct accepted *a = s->acceptor.newest, *next; a != NULL; a = next) {
                struct peer *peer = peer_of(a);

                next = a->next;
                if (peer->tunnel == NULL || strcmp(peer->host_id, host_id) != 0 || ++count <= LIMIT_PEER_LINKS)
                        continue;
                log_warn("A connection of another proxy is closed: it has too many", LOG_C("proxy", host_id), LOG_C("peer", a->peer));
                peer_free(peer);
        }
}

static void on_served(struct accepted *a, struct stream *tls)
{
        struct peer *peer = peer_of(a);
        struct proxy *p = peer->all->proxy;
        AUTO_PTR(arena) arena = arena_new(2 * CERT_MAX);
        struct cert_info cert;
        AUTO_PTR(error) err = check_peer(p, arena, tls_peer_cert_der(tls), &cert);

        if (err != NULL) {
                log_warn("A connection of another proxy was refused", LOG_C("peer", a->peer), LOG_ERR(err));
                stream_close(tls);
                peer_free(peer);
                return;
        }
        accepted_uncount(a);
        sources_note_authenticated(&p->sources, a->peer);
        peer->host_id = str_dup(cert.host_id);
        peer->cert = cert_issue_of(walltime_unix(cert.times.not_before), cert.serial_hex);
        peer->not_after = cert.times.not_after;
        tls_forget_peer(tls);
        log_info("Another proxy is connected", LOG_C("proxy", peer->host_id), LOG_C("peer", a->peer));
        peer->tunnel = tunnel_server_new(&p->loop, tls, &tunnel_events, peer);
        tunnel_guard_name_peer(p->tunnels.guard, str_of(peer->host_id), peer->cert);
        end_surplus(peer->all, peer->host_id);
}

static void on_failed(struct accepted *a, struct error *err)
{
        log_debug("The TLS handshake of another proxy failed", LOG_C("peer", a->peer), LOG_ERR(err));
        error_free(err);
        peer_free(peer_of(a));
}

static void on_drain(struct accepted *a)
{
        struct peer *peer = peer_of(a);

        if (peer->tunnel != NULL)
                tunnel_server_drain(peer->tunnel);
        else
                peer_free(peer);
}

static void on_accepted_end(struct accepted *a)
{
        peer_free(peer_of(a));
}

static void on_empty(void *ctx)
{
        report_empty(ctx);
}

static const struct acceptor_events events = {
        .open = on_open, .begun = on_begun, .served = on_served, .failed = on_failed, .drain = on_drain, .end = on_accepted_end, .empty = on_empty,
};

/* ---- expired and removed peers ------------------------------------------------------------------------ */

/* The latest expiry among the certificates of a proxy's connections: after a renewal it has two for a while. */
static struct walltime proven_until(const struct peer_server *s, const struct peer *of)
{
        struct walltime latest = of->not_after;

        for (struct accepted *a = s->acceptor.newest; a != NULL; a = a->next) {
                const struct peer *peer = peer_of(a);

                if (peer->host_id != NULL && strcmp(peer->host_id, of->host_id) == 0 && peer->not_after.ns > latest.ns)
                        latest = peer->not_after;
        }
        return latest;
}

static void on_expiry(void *ctx)
{
        struct peer_server *s = ctx;
        struct walltime now = loop_wall(&s->proxy->loop);

        for (struct accepted *a = s->acceptor.newest, *next; a != NULL; a = next) {
                struct peer *peer = peer_of(a);

                next = a->next;
                if (peer->tunnel == NULL || proven_until(s, peer).ns > now.ns)
                        continue;
                log_info("The certificate of another proxy has expired, its connection is closed", LOG_C("proxy", peer->host_id));
                peer_free(peer);
        }
        timer_start(s->expiry, MILLISECONDS(PACE_EXPIRY_CHECK));
}

void peer_server_end_host(struct peer_server *s, struct str host_id, struct cert_issue before, const char *reason)
{
        for (struct accepted *a = s == NULL ? NULL : s->acceptor.newest, *next; a != NULL; a = next) {
                struct peer *peer = peer_of(a);

                next = a->next;
                if (peer->tunnel == NULL || !str_equal(str_of(peer->host_id), host_id))
                        continue;
                if (before.not_before != 0 && !cert_issue_is_before(peer->cert, before))
                        continue;
                log_warn("The connection of another proxy is ended by the cluster", LOG_C("proxy", peer->host_id), LOG_C("reason", reason));
                peer_free(peer);
        }
}

void peer_server_each(const struct peer_server *s, void (*each)(void *ctx, const char *host_id, struct cert_issue cert), void *ctx)
{
        for (struct accepted *a = s == NULL ? NULL : s->acceptor.newest; a != NULL; a = a->next)
                if (peer_of(a)->tunnel != NULL)
                        each(ctx, peer_of(a)->host_id, peer_of(a)->cert);
}

/* ---- the server ---------------------------------------------------------------------------------------- */

struct peer_server *peer_server_open(struct proxy *p, int listen_fd)
{
        struct peer_server *s = NEW(struct peer_server);

        s->proxy = p;
        s->acceptor = (struct acceptor){
                .loop = &p->loop,
                .sources = &p->sources,
                .events = &events,
                .ctx = s,
                .timeout = MILLISECONDS(TIMEOUT_TLS_HANDSHAKE),
                .begin_max = LOOP_BUFFER,
        };
        acceptor_init(&s->acceptor);
        s->expiry = timer_new(&p->loop, on_expiry, s);
        timer_start(s->expiry, MILLISECONDS(PACE_EXPIRY_CHECK));
        acceptor_listen(&s->acceptor, listen_fd);
        return s;
}

static void stop_listening(struct peer_server *s)
{
        s->is_draining = true;
        timer_stop(s->expiry);
        acceptor_stop_listening(&s->acceptor);
}

void peer_server_drain(struct peer_server *s)
{
        if (s == NULL)
                return;
        stop_listening(s);
        acceptor_drain(&s->acceptor);
}

void peer_server_shut(struct peer_server *s)
{
        if (s == NULL)
                return;
        stop_listening(s);
        acceptor_stop(&s->acceptor);
}

void peer_server_free(struct peer_server *s)
{
        if (s == NULL)
                return;
        timer_free(s->expiry);
        free(s);
}
