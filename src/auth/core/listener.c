/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/listener.h"

#include <stdlib.h>
#include <unistd.h>

#include "auth/core/caller.h"
#include "auth/core/caller_watch.h"
#include "auth/hosts/hosts.h"
#include "auth/certs/issue.h"
#include "auth/core/methods.h"
#include "auth/core/passes.h"
#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/acceptor.h"
#include "net/sources.h"
#include "net/tls.h"
#include "pki/cert.h"

struct auth_listener {
        struct auth *auth;
        struct acceptor acceptor;
        struct listener *admin;
        struct sources sources;
        struct passes passes;
        struct caller_watch *watch;
        bool has_local_proxy;
        void (*drained)(void *ctx); /* callback of auth_listener_drain(); NULL after its call */
        void *drained_ctx;
};

/* A connection, from accept to its end. */
struct auth_connection {
        struct accepted accepted;
        struct auth_listener *listener;
        struct stream *tls; /* NULL after the peer is identified: the RPC connection owns it */
        struct arena *arena;
        struct cert_info *cert; /* in the arena */
        struct caller *caller;  /* NULL until the peer is identified */
};

static struct auth_connection *connection_of(struct accepted *a)
{
        return CONTAINER_OF(a, struct auth_connection, accepted);
}

static struct auth_connection *connection_new(struct auth_listener *d)
{
        struct auth_connection *v = NEW(struct auth_connection);

        v->listener = d;
        return v;
}

static void connection_free(struct auth_connection *v)
{
        stream_close(v->tls);
        arena_free(v->arena);
        accepted_release(&v->accepted);
        free(v);
}

static void on_closed(void *ctx)
{
        struct caller *c = ctx;
        struct auth_connection *v = c->connection;

        if (c->identity != NULL)
                shares_remove(&c->auth->identities, str_of(c->identity));
        budget_drop(c->memory);
        caller_free(c);
        connection_free(v);
}

static bool is_of(struct str source, const char *address)
{
        char other[SOURCE_TEXT_MAX];

        source_of(str_of(address), other);
        return str_equal(source, str_of(other));
}

/*
 * Whether a Proxy Service connects from this address. It passes agents' connections through: all of them come from its address
 * until each has sent its ticket (auth/core/passes.h). The list is searched only when a source has reached its limit: that
 * is rare.
 */
static bool is_proxy_source(void *ctx, enum source_counter which, struct str source)
{
        const struct auth_listener *d = ctx;

        (void)which;
        if (d->has_local_proxy && (is_of(source, service_listen_addr(d->auth->service->boot, "auth")) || is_of(source, "127.0.0.1")))
                return true;
        for (const struct caller *c = d->auth->callers; c != NULL; c = c->next)
                if ((c->groups & CALLER_PROXY) != 0 && is_of(source, c->peer))
                        return true;
        return false;
}

/* ---- serving ---------------------------------------------------------------------------------------------- */

/* Counts a connection of a host or user. Connections from this machine are not counted here. */
static struct error *count_identity(struct caller *c)
{
        struct shares *all = &c->auth->identities;

        if (c->groups == CALLER_UNAUTHENTICATED)
                return NULL;
        all->limits = (struct share_limits){ LIMIT_CONNECTIONS_AUTHENTICATED, LIMIT_CONNECTIONS_IDENTITY, LIMIT_CONNECTIONS_IDENTITY_RESERVE,
                                             LIMIT_CONNECTIONS_IDENTITY_RESERVED };
        AUTO_MEM char *identity = mem_printf("%s %s%s", c->role, c->host_id, c->user);
        if (!shares_have_room(all, str_of(identity)))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "'%s' has too many connections", identity);
        shares_add(all, str_of(identity));
        c->identity = identity;
        identity = NULL;
        return NULL;
}

/* The budget for the memory of a connection: of its identity, or of its source address if it is unauthenticated. */
static struct budget_holder *memory_of(const struct caller *c)
{
        struct auth *a = c->auth;

        a->unauthenticated_memory.total = LIMIT_RPC_MEMORY_UNAUTHENTICATED;
        a->unauthenticated_memory.share = LIMIT_RPC_MEMORY_SOURCE;
        a->peers_memory.total = LIMIT_RPC_MEMORY_AUTHENTICATED;
        a->peers_memory.share = LIMIT_RPC_MEMORY_IDENTITY;
        if (c->groups == CALLER_UNAUTHENTICATED) {
                char source[SOURCE_TEXT_MAX];

                source_of(str_of(c->peer), source);
                return budget_hold(&a->unauthenticated_memory, str_of(source));
        }
        return budget_hold(&a->peers_memory, str_of(c->identity == NULL ? c->role : c->identity));
}

/* Starts the RPC server on the stream; from now on the caller owns the connection. */
static void serve(struct auth_connection *v, struct stream *s, struct caller *c)
{
        arena_free(v->arena);
        v->arena = NULL;
        v->tls = NULL;
        v->caller = c;
        c->connection = v;
        c->memory = memory_of(c);
        struct rpc_server_options options = {
                .methods = auth_method_list(),
                .guard = auth_guard,
                .caller = c,
                .on_closed = on_closed,
                .peer = c->peer,
                .is_open_to_unauthenticated = c->groups == CALLER_UNAUTHENTICATED,
                .memory = c->memory,
        };

        c->conn = rpc_serve(&c->auth->loop, s, options);
        if (c->cert_not_after.ns != 0)
                caller_watch_expiry(v->listener->watch, c->cert_not_after);
}

/* ---- the TCP port ----------------------------------------------------------------------------------------- */

static void refuse(struct auth_connection *v, struct error *err)
{
        log_debug("Connection refused", LOG_C("remote_addr", v->accepted.peer), LOG_ERR(err));
        error_free(err);
        connection_free(v);
}

/* Authenticated peers do not count as unauthenticated sources: count_identity() counts them. */
static void note_authenticated(struct auth_connection *v)
{
        accepted_uncount(&v->accepted);
        sources_note_authenticated(&v->listener->sources, v->accepted.peer);
}

/* Serves a peer with a certificate, unless its identity has too many connections. */
static void serve_certified(struct auth_connection *v, struct caller *c)
{
        struct error *err = count_identity(c);

        if (err != NULL) {
                log_warn("Connection refused", LOG_C("host_id", c->host_id), LOG_C("user", c->user), LOG_C("remote_addr", c->peer), LOG_ERR(err));
                caller_free(c);
                refuse(v, err);
                return;
        }
        serve(v, v->tls, c);
}

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct auth_connection *v = ctx;
        struct auth *a = v->listener->auth;
        const struct cert_info *cert = v->cert;
        unsigned groups = 0;

        (void)revision;
        if (err == NULL && v->listener->acceptor.is_draining)
                err = error_new(ERROR_UNAVAILABLE, "stopping");
        if (err != NULL) {
                refuse(v, err);
                return;
        }
        if (host != NULL && host_is_later_than(host, cert_issue_of(walltime_unix(cert->times.not_before), cert->serial_hex)))
                host = NULL;
        /*
         * A host that was removed, or whose record has expired, is unauthenticated: it may only join. The same holds for a host
         * whose certificate has a role that its record does not have any more.
         */
        bool has_role = host != NULL && host_has_role(host, cert->role);
        if (has_role)
                groups = caller_groups_of(services_of_role(cert->role));
        struct caller *c = caller_new(a, groups, groups == 0 ? STR("") : cert->host_id, groups == 0 ? STR("") : cert->role, v->accepted.peer);
        c->cert_not_after = cert->times.not_after;
        c->is_forgotten = host == NULL;
        c->has_lost_role = host != NULL && !has_role;
        (void)tls_channel_binding(v->tls, c->channel_binding);
        if (groups != 0) {
                caller_set_host(c, host);
                note_authenticated(v);
        }
        v->accepted.admitted.is_fixed = false;
        serve_certified(v, c);
}

/* Serves a user. Permissions are checked at each call, as only a call can report the refusal. */
static void serve_user(struct auth_connection *v)
{
        struct caller *c = caller_new(v->listener->auth, CALLER_USER, STR(""), STR("User"), v->accepted.peer);

        free(c->user);
        c->user = str_dup(v->cert->common_name);
        free(c->web_session);
        c->web_session = str_dup(v->cert->web_session);
        free(c->app);
        c->app = str_dup(v->cert->app);
        c->cert_not_before = v->cert->times.not_before;
        c->cert_not_after = v->cert->times.not_after;
        note_authenticated(v);
        serve_certified(v, c);
}

/* Reads the record of the host, which decides. Meanwhile the connection is not closed in favour of other connections. */
static void serve_host(struct auth_connection *v)
{
        v->accepted.admitted.is_fixed = true;
        host_get(v->listener->auth->store, v->cert->host_id, on_host, v);
}

static void serve_unauthenticated(struct auth_connection *v)
{
        struct caller *c = caller_new(v->listener->auth, 0, STR(""), STR(""), v->accepted.peer);

        (void)tls_channel_binding(v->tls, c->channel_binding);
        serve(v, v->tls, c);
}

/*
 * The CA that issued the certificate must fit its kind: the user CA identifies users only, and the host CA
 * hosts only, whatever the fields of the certificate are.
 */
static struct error *read_cert(struct auth_connection *v)
{
        struct auth *a = v->listener->auth;
        const struct authorities *cas = &a->authorities;

        v->arena = arena_new(CERT_READ_ARENA + sizeof *v->cert);
        v->cert = arena_alloc(v->arena, sizeof *v->cert);
        TRY(cert_read(v->arena, tls_peer_cert_der(v->tls), v->cert));
        tls_forget_peer(v->tls); /* frees the TLS copy: the connection of an agent lasts for days */
        if (v->cert->is_user && authority_is_issuer(cas->user, v->cert) && name_is_user(v->cert->common_name))
                return NULL;
        if (!v->cert->is_user && !v->cert->is_ca && authority_is_issuer(cas->host, v->cert) && str_equal(v->cert->cluster, a->cluster) &&
            !str_is_empty(v->cert->host_id))
                return NULL;
        return error_new(ERROR_UNAUTHENTICATED, "the client certificate is not one of a host or user of this cluster");
}

static void on_tls(struct accepted *a, struct stream *tls)
{
        struct auth_connection *v = connection_of(a);

        v->tls = tls;
        if (str_is_empty(tls_peer_cert_der(tls))) {
                serve_unauthenticated(v);
                return;
        }
        struct error *err = read_cert(v);
        if (err != NULL)
                refuse(v, err);
        else if (v->cert->is_user)
                serve_user(v);
        else
                serve_host(v);
}

/* ---- connections passed through by a proxy ------------------------------------------------------------------ */

/* From now on the connection counts for the address of its client, which the ticket names. */
static struct error *move_to_client(struct auth_connection *v, struct str ticket)
{
        char client[ADDRESS_TEXT_MAX];

        if (!passes_redeem(&v->listener->passes, ticket, client))
                return error_new(ERROR_UNAUTHENTICATED, "the ticket of a connection through a proxy is none, or has expired");
        return accepted_move(&v->accepted, client);
}

static void on_begun(struct accepted *a, struct str bytes)
{
        struct auth_connection *v = connection_of(a);
        struct error *err = NULL;
        struct str ticket;
        size_t skip = 0;

        switch (pass_parse(bytes, &ticket)) {
        case PASS_PARTIAL:
                return;
        case PASS_WHOLE:
                err = move_to_client(v, ticket);
                skip = PASS_PREAMBLE_SIZE;
                break;
        case PASS_NONE:
                break;
        }
        if (err != NULL)
                accepted_end(a, err);
        else
                accepted_start_tls(a, v->listener->auth->tls, skip);
}

/* ---- the acceptor's other events ---------------------------------------------------------------------------- */

static struct accepted *on_open(void *ctx)
{
        return &connection_new(ctx)->accepted;
}

static void on_failed(struct accepted *a, struct error *err)
{
        struct auth_connection *v = connection_of(a);

        if (a->step != ACCEPTED_NEW) {
                refuse(v, err);
                return;
        }
        error_free(err);
        connection_free(v);
}

static void on_drain(struct accepted *a)
{
        const struct auth_connection *v = connection_of(a);

        if (v->caller != NULL)
                rpc_server_drain(v->caller->conn);
}

static void on_end(struct accepted *a)
{
        const struct auth_connection *v = connection_of(a);

        if (v->caller != NULL)
                rpc_server_close(v->caller->conn);
}

static void on_empty(void *ctx)
{
        struct auth_listener *d = ctx;
        void (*drained)(void *ctx) = d->drained;

        d->drained = NULL;
        if (drained != NULL)
                drained(d->drained_ctx);
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

/* ---- connections of this machine ---------------------------------------------------------------------------- */

/* The caller was identified by the kernel (socket credentials) or by the supervisor (link). */
static void serve_local(struct stream *s, struct caller *c)
{
        struct auth_connection *v = connection_new(c->auth->listener);

        acceptor_adopt(&v->listener->acceptor, &v->accepted, c->peer);
        serve(v, s, c);
}

/* ---- the administrators' socket ------------------------------------------------------------------------------ */

static struct error *check_admin(const struct auth *a, int fd, uid_t *ret_uid)
{
        gid_t gid;
        pid_t pid;

        TRY(socket_peer_cred(fd, ret_uid, &gid, &pid));
        if (*ret_uid == 0 || *ret_uid == a->started_as)
                return NULL;
        return error_new(ERROR_PERMISSION_DENIED, "user %u is neither root nor the owner of the data directory", *ret_uid);
}

static void on_admin(void *ctx, int fd, const char *peer)
{
        struct auth_listener *d = ctx;
        uid_t uid = 0;
        struct error *err = d->acceptor.is_draining ? error_new(ERROR_UNAVAILABLE, "stopping") : check_admin(d->auth, fd, &uid);

        (void)peer;
        if (err != NULL) {
                log_warn("Administrator's connection refused", LOG_ERR(err));
                error_free(err);
                close(fd);
                return;
        }
        struct caller *c = caller_new(d->auth, CALLER_ADMIN, STR(""), STR("Admin"), "auth.sock");
        c->uid = uid;
        serve_local(socket_stream(&d->auth->loop, fd), c);
}

/* ---- local services -------------------------------------------------------------------------------------------- */

void auth_listener_local(struct auth *a, const char *name, int fd)
{
        const struct service_row *row = services_find(name);
        unsigned groups = caller_groups_of(row);

        if (row == NULL)
                bug("a link from '%s', which is no service", name);
        if (a->listener->acceptor.is_draining) { /* nothing would drain a link that arrives after the drain began */
                close(fd);
                return;
        }
        a->listener->has_local_proxy = a->listener->has_local_proxy || groups == CALLER_PROXY;
        serve_local(socket_stream(&a->loop, fd), caller_new(a, groups, str_of(a->service->boot->host_id), row->role.name, "local"));
}

/* ---- open, drain, close ------------------------------------------------------------------------------------------ */

struct auth_listener *auth_listener_open(struct auth *a)
{
        struct auth_listener *d = NEW(struct auth_listener);
        int tcp = service_take_fd(a->service, "listen");
        int admin = service_take_fd(a->service, "auth.sock");

        d->auth = a;
        d->passes.loop = &a->loop;
        a->sources = &d->sources;
        d->sources.is_known = is_proxy_source;
        d->sources.ctx = d;
        d->sources.limits[SOURCE_CONNECTIONS] = (struct source_limit){
                LIMIT_CONNECTIONS_UNAUTHENTICATED + LIMIT_CONNECTIONS_RESERVE, LIMIT_CONNECTIONS_PER_SOURCE, LIMIT_CONNECTIONS_PER_KNOWN,
                LIMIT_CONNECTIONS_RESERVE };
        d->sources.limits[SOURCE_JOINS] = (struct source_limit){ LIMIT_PENDING_JOINS, LIMIT_PENDING_JOINS_PER_SOURCE, 0,
                                                                 LIMIT_PENDING_JOINS_RESERVE };
        d->watch = caller_watch_new(a);
        d->acceptor = (struct acceptor){
                .loop = &a->loop,
                .sources = &d->sources,
                .events = &events,
                .ctx = d,
                .timeout = MILLISECONDS(TIMEOUT_TLS_HANDSHAKE),
                .begin_max = PASS_PREAMBLE_SIZE,
                .ingress = &a->ingress,
        };
        acceptor_init(&d->acceptor);
        if (tcp >= 0)
                acceptor_listen(&d->acceptor, tcp);
        if (admin >= 0)
                d->admin = listener_new(&a->loop, admin, on_admin, d);
        return d;
}

struct passes *auth_listener_passes(struct auth_listener *d)
{
        return &d->passes;
}

void auth_listener_drain(struct auth_listener *d, void (*drained)(void *ctx), void *ctx)
{
        d->drained = drained;
        d->drained_ctx = ctx;
        acceptor_drain(&d->acceptor);
}

void auth_listener_close(struct auth_listener *d)
{
        if (d == NULL)
                return;
        acceptor_stop_listening(&d->acceptor);
        listener_close(d->admin);
        d->admin = NULL;
        caller_watch_free(d->watch);
        d->watch = NULL;
        passes_release(&d->passes);
        acceptor_stop(&d->acceptor);
}
