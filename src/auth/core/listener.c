/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/listener.h"

#include <stdlib.h>
#include <unistd.h>

#include "auth/core/caller.h"
#include "auth/users/directory.h"
#include "auth/hosts/hosts.h"
#include "auth/certs/issue.h"
#include "auth/core/methods.h"
#include "auth/core/passes.h"
#include "auth/hosts/tunnels_service.h"
#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/socket.h"
#include "net/sources.h"
#include "net/tls.h"
#include "pki/cert.h"

struct auth_listener {
        struct auth *auth;
        struct listener *tcp;
        struct listener *admin;
        struct sources sources;
        struct passes passes;
        struct arrival *arrivals; /* newest first */
        struct directory_watch *watch;
        struct timer *locked_nodes; /* until they are cut off */
        struct timer *locked_tunnels; /* the same for their tunnels */
        struct instant locked_tunnels_since;
        struct timer *expiry;       /* until a certificate that opened a connection ends, or sooner */
        struct walltime next_expiry;
        bool is_draining;
        bool has_local_proxy;
        void (*drained)(void *ctx); /* auth_listener_drain's; NULL once it was called */
        void *drained_ctx;
};

/* A connection on its way from accept to a known caller. */
struct arrival {
        struct auth_listener *listener;
        struct arrival *next, **at;
        struct instant since;
        bool is_counted; /* by the limits of its source; then `source` is there */
        const struct source *source;
        struct stream *tcp; /* until it is known whether a proxy passes it through */
        struct timer *silence; /* the same */
        struct buf begin;
        struct tls_handshake *handshake;
        struct stream *tls;
        struct arena *arena;
        struct cert_info cert;
        char peer[ADDRESS_TEXT_MAX];
};

static void check_drained(struct auth_listener *d)
{
        void (*drained)(void *ctx) = d->drained;

        if (drained == NULL || d->auth->callers != NULL)
                return;
        d->drained = NULL;
        loop_defer(&d->auth->loop, drained, d->drained_ctx);
}

static void on_closed(void *ctx)
{
        struct caller *c = ctx;
        struct auth_listener *d = c->auth->listener;

        if (c->is_counted && d != NULL)
                sources_leave(&d->sources, SOURCE_CONNECTIONS, c->peer);
        if (c->identity != NULL)
                shares_drop(&c->auth->identities, str_of(c->identity));
        budget_drop(c->memory);
        caller_free(c);
        if (d != NULL)
                check_drained(d);
}

static bool is_of(struct str source, const char *address)
{
        char other[SOURCE_TEXT_MAX];

        source_of(str_of(address), other);
        return str_equal(source, str_of(other));
}

/*
 * A Proxy Service passes its agents' connections through, so that many come from its address until they have said which
 * ticket they have (auth/passes.h). Proxies are few: their connections are looked through only when somebody is at the limit
 * of a source.
 */
static bool is_proxy_source(void *ctx, struct str source)
{
        const struct auth_listener *d = ctx;

        if (d->has_local_proxy && (is_of(source, service_listen_addr(d->auth->service->boot, "auth")) || is_of(source, "127.0.0.1")))
                return true;
        for (const struct caller *c = d->auth->callers; c != NULL; c = c->next)
                if ((c->groups & CALLER_PROXY) != 0 && is_of(source, c->peer))
                        return true;
        return false;
}

/* ---- certificates that end ------------------------------------------------------------------------------- */

/* Clocks are set: what is far away is looked at again before. */
static void plan_expiry(struct auth_listener *d, struct walltime end)
{
        struct duration wait = walltime_since(end, loop_wall(&d->auth->loop));

        if (timer_is_running(d->expiry) && end.ns >= d->next_expiry.ns)
                return;
        d->next_expiry = end;
        if (wait.ns > MILLISECONDS(PACE_EXPIRY_CHECK).ns)
                wait = MILLISECONDS(PACE_EXPIRY_CHECK);
        timer_start(d->expiry, wait.ns < MILLISECONDS(1).ns ? MILLISECONDS(1) : wait);
}

/* A connection lasts as long as the certificate that opened it: a client with a newer one connects again. */
static void on_expiry(void *ctx)
{
        struct auth_listener *d = ctx;
        struct walltime now = loop_wall(&d->auth->loop), next = { 0 };

        for (struct caller *c = d->auth->callers; c != NULL; c = c->next) {
                if (c->conn == NULL || c->cert_not_after.ns == 0)
                        continue;
                if (c->cert_not_after.ns > now.ns) {
                        if (next.ns == 0 || c->cert_not_after.ns < next.ns)
                                next = c->cert_not_after;
                        continue;
                }
                log_info("The certificate that opened a connection has ended, the connection is closed", LOG_C("host_id", c->host_id),
                         LOG_C("user", c->user), LOG_C("role", c->role), LOG_C("remote_addr", c->peer));
                rpc_server_close(c->conn);
                c->cert_not_after.ns = 0; /* once is enough */
        }
        if (next.ns != 0)
                plan_expiry(d, next);
}

/* Counts a connection of a host or user; those of this machine have no limit. */
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
        shares_take(all, str_of(identity));
        c->identity = identity;
        identity = NULL;
        return NULL;
}

/* The memory of a connection is counted for who is at its other end, as far as that is known. */
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

static void serve(struct stream *s, struct caller *c)
{
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
                plan_expiry(c->auth->listener, c->cert_not_after);
}

/* ---- the TCP port ----------------------------------------------------------------------------------------- */

static void arrival_free(struct arrival *v)
{
        *v->at = v->next;
        if (v->next != NULL)
                v->next->at = v->at;
        timer_free(v->silence);
        buf_release(&v->begin);
        arena_free(v->arena);
        free(v);
}

/* Takes it off the counts; the places of authenticated peers are counted elsewhere. */
static void uncount(struct arrival *v)
{
        if (v->is_counted)
                sources_leave(&v->listener->sources, SOURCE_CONNECTIONS, v->peer);
        v->is_counted = false;
}

/* Somebody who has proven who they are. */
static void note_authenticated(struct arrival *v)
{
        uncount(v);
        sources_note_authenticated(&v->listener->sources, v->peer);
}

/* The caller is counted instead of the arrival. */
static void hand_over_count(struct arrival *v, struct caller *c)
{
        c->is_counted = v->is_counted;
        c->source = v->source;
        v->is_counted = false;
}

static void arrival_refuse(struct arrival *v, struct error *err)
{
        log_debug("Connection refused", LOG_C("remote_addr", v->peer), LOG_ERR(err));
        uncount(v);
        stream_close(v->tcp);
        stream_close(v->tls);
        error_free(err);
        arrival_free(v);
}

/* Serves somebody who has proven who they are, unless they have too many connections. */
static void welcome(struct arrival *v, struct caller *c)
{
        struct error *err = count_identity(c);

        if (err != NULL) {
                log_warn("Connection refused", LOG_C("host_id", c->host_id), LOG_C("user", c->user), LOG_C("remote_addr", v->peer), LOG_ERR(err));
                caller_free(c);
                arrival_refuse(v, err);
                return;
        }
        serve(v->tls, c);
        arrival_free(v);
}

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct arrival *v = ctx;
        struct auth *a = v->listener->auth;
        unsigned groups = 0;

        (void)revision;
        if (err != NULL) {
                arrival_refuse(v, err);
                return;
        }
        if (host != NULL && host_is_later_than(host, cert_issue_of(walltime_unix(v->cert.times.not_before), v->cert.serial_hex)))
                host = NULL;
        /*
         * A removed or forgotten host is unauthenticated again: it may join, nothing else. So is one in a role that its record
         * has no more, whatever the certificate of then says.
         */
        bool has_role = host != NULL && host_has_role(host, v->cert.role);
        if (has_role)
                groups = caller_groups_of(services_of_role(v->cert.role));
        struct caller *c = caller_new(a, groups, groups == 0 ? STR("") : v->cert.host_id, groups == 0 ? STR("") : v->cert.role, v->peer);
        c->cert_not_after = v->cert.times.not_after;
        c->is_forgotten = host == NULL;
        c->has_lost_role = host != NULL && !has_role;
        (void)tls_channel_binding(v->tls, c->channel_binding);
        if (groups != 0)
                caller_set_host(c, host);
        if (groups != 0)
                note_authenticated(v);
        hand_over_count(v, c);
        welcome(v, c);
}

/* A user. Permissions are checked at each call, which can report the refusal. */
static void welcome_user(struct arrival *v)
{
        struct caller *c = caller_new(v->listener->auth, CALLER_USER, STR(""), STR("User"), v->peer);

        free(c->user);
        c->user = str_dup(v->cert.common_name);
        c->cert_not_before = v->cert.times.not_before;
        c->cert_not_after = v->cert.times.not_after;
        note_authenticated(v);
        welcome(v, c);
}

/*
 * The CA that issued a certificate decides what it may be: one of the user CA is a user and never a host,
 * whatever else it says, nor the other way round.
 */
static struct error *read_cert(struct arrival *v)
{
        struct auth *a = v->listener->auth;
        const struct authorities *cas = &a->authorities;

        v->arena = arena_new(CERT_READ_ARENA);
        TRY(cert_read(v->arena, tls_peer_cert_der(v->tls), &v->cert));
        tls_forget_peer(v->tls); /* an agent stays for days */
        if (v->cert.is_user && authority_is_issuer(cas->user, &v->cert) && name_is_user(v->cert.common_name))
                return NULL;
        if (!v->cert.is_user && !v->cert.is_ca && authority_is_issuer(cas->host, &v->cert) && str_equal(v->cert.cluster, a->cluster) &&
            !str_is_empty(v->cert.host_id))
                return NULL;
        return error_new(ERROR_UNAUTHENTICATED, "the client certificate is not one of a host or user of this cluster");
}

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct arrival *v = ctx;

        v->handshake = NULL;
        v->tls = tls;
        if (err != NULL) {
                arrival_refuse(v, err);
                return;
        }
        if (str_is_empty(tls_peer_cert_der(tls))) {
                struct caller *c = caller_new(v->listener->auth, 0, STR(""), STR(""), v->peer);
                (void)tls_channel_binding(tls, c->channel_binding);
                hand_over_count(v, c);
                serve(tls, c);
                arrival_free(v);
                return;
        }
        err = read_cert(v);
        if (err != NULL)
                arrival_refuse(v, err);
        else if (v->cert.is_user)
                welcome_user(v);
        else
                host_get(v->listener->auth->store, v->cert.host_id, on_host, v);
}

/*
 * Unauthenticated peers must not keep out clients that are about to authenticate: when all places are taken, the oldest
 * connection of the source that has most goes, unless that is the newcomer's own. True: there is room now.
 */
static bool make_room(struct auth_listener *d, const char *peer)
{
        struct source_pick pick = source_pick_begin(&d->sources, SOURCE_CONNECTIONS, peer, loop_now(&d->auth->loop));
        struct arrival *arrival;
        struct caller *caller;

        for (struct arrival *v = d->arrivals; v != NULL; v = v->next)
                if ((v->tcp != NULL || v->handshake != NULL) && v->is_counted)
                        source_pick_consider(&pick, v->source, v->since, v);
        arrival = pick.who;
        for (struct caller *c = d->auth->callers; c != NULL; c = c->next)
                if (c->is_counted)
                        source_pick_consider(&pick, c->source, c->since, c);
        if (pick.who == NULL)
                return false;
        if (pick.who != arrival) {
                caller = pick.who;
                sources_leave(&d->sources, SOURCE_CONNECTIONS, caller->peer);
                caller->is_counted = false;
                rpc_server_close(caller->conn);
        } else if (arrival->handshake != NULL) {
                uncount(arrival);
                tls_cancel(arrival->handshake);
        } else {
                arrival_refuse(arrival, error_new(ERROR_RESOURCE_EXHAUSTED, "it made room for another"));
        }
        return true;
}

static bool count_connection(struct auth_listener *d, const char *peer)
{
        if (sources_enter(&d->sources, SOURCE_CONNECTIONS, peer))
                return true;
        return sources_is_full(&d->sources, SOURCE_CONNECTIONS, peer) && make_room(d, peer) &&
               sources_enter(&d->sources, SOURCE_CONNECTIONS, peer);
}

/* ---- who comes through a proxy ------------------------------------------------------------------------------ */

static void shake_hands(struct arrival *v)
{
        struct auth *a = v->listener->auth;
        struct stream *tcp = v->tcp;

        v->tcp = NULL;
        timer_free(v->silence);
        v->silence = NULL;
        if (v->begin.len > 0)
                tcp = stream_with_prefix(&a->loop, tcp, buf_str(&v->begin));
        buf_release(&v->begin);
        v->handshake = tls_start(&a->loop, a->tls, tcp, NULL, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_tls, v);
}

/* It counts where its client is from now on. */
static struct error *move_to_client(struct arrival *v, struct str ticket)
{
        struct auth_listener *d = v->listener;
        char client[ADDRESS_TEXT_MAX];

        if (!passes_redeem(&d->passes, ticket, client))
                return error_new(ERROR_UNAUTHENTICATED, "the ticket of a connection through a proxy is none, or has expired");
        uncount(v);
        memcpy(v->peer, client, sizeof v->peer);
        v->is_counted = count_connection(d, v->peer);
        if (!v->is_counted)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "too many connections are open");
        v->source = sources_find(&d->sources, v->peer);
        return NULL;
}

static void on_begin(void *ctx, struct str bytes)
{
        struct arrival *v = ctx;
        struct str ticket;

        buf_put(&v->begin, bytes);
        stream_read(v->tcp, false);
        switch (pass_parse(buf_str(&v->begin), &ticket)) {
        case PASS_PARTIAL:
                stream_read(v->tcp, true);
                return;
        case PASS_WHOLE: {
                struct error *err = move_to_client(v, ticket);
                if (err != NULL) {
                        arrival_refuse(v, err);
                        return;
                }
                buf_consume(&v->begin, PASS_PREAMBLE_SIZE);
                break;
        }
        case PASS_NONE:
                break;
        }
        shake_hands(v);
}

static void on_begin_end(void *ctx, struct error *err)
{
        arrival_refuse(ctx, err == NULL ? error_new(ERROR_UNAVAILABLE, "the connection ended") : err);
}

static void on_silence(void *ctx)
{
        arrival_refuse(ctx, error_new(ERROR_DEADLINE_EXCEEDED, "nothing came"));
}

static const struct stream_events begin_events = { .on_read = on_begin, .on_end = on_begin_end };

static void on_accept(void *ctx, int fd, const char *peer)
{
        struct auth_listener *d = ctx;
        struct auth *a = d->auth;

        if (d->is_draining || !count_connection(d, peer)) {
                close(fd);
                return;
        }
        struct arrival *v = NEW(struct arrival);
        v->listener = d;
        v->since = loop_now(&a->loop);
        v->is_counted = true;
        v->source = sources_find(&d->sources, peer);
        v->next = d->arrivals;
        v->at = &d->arrivals;
        if (v->next != NULL)
                v->next->at = &v->next;
        d->arrivals = v;
        memcpy(v->peer, peer, strlen(peer) + 1);
        v->begin = BUF_MAX(LOOP_BUFFER + PASS_PREAMBLE_SIZE);
        v->silence = timer_new(&a->loop, on_silence, v);
        timer_start(v->silence, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE));
        v->tcp = socket_stream(&a->loop, fd);
        stream_listen(v->tcp, &begin_events, v);
        stream_read(v->tcp, true);
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
        struct error *err = d->is_draining ? error_new(ERROR_UNAVAILABLE, "stopping") : check_admin(d->auth, fd, &uid);

        (void)peer;
        if (err != NULL) {
                log_warn("Administrator's connection refused", LOG_ERR(err));
                error_free(err);
                close(fd);
                return;
        }
        struct caller *c = caller_new(d->auth, CALLER_ADMIN, STR(""), STR("Admin"), "auth.sock");
        c->uid = uid;
        serve(socket_stream(&d->auth->loop, fd), c);
}

/* ---- local services -------------------------------------------------------------------------------------------- */

void auth_listener_local(struct auth *a, const char *name, int fd)
{
        const struct service_row *row = services_find(name);
        unsigned groups = caller_groups_of(row);

        if (row == NULL)
                bug("a link from '%s', which is no service", name);
        a->listener->has_local_proxy = a->listener->has_local_proxy || groups == CALLER_PROXY;
        serve(socket_stream(&a->loop, fd), caller_new(a, groups, str_of(a->service->boot->host_id), row->role.name, "local"));
}

/* ---- users without permission --------------------------------------------------------------------------------------- */

static void on_locked_nodes(void *ctx)
{
        bool has_nodes;

        callers_drop_refused(((struct auth_listener *)ctx)->auth, true, &has_nodes);
}

/* Messages for users' terminals come through the tunnel, and a lock by mistake is removed soon. */
static void on_locked_tunnels(void *ctx)
{
        tunnels_recheck(((struct auth_listener *)ctx)->auth);
}

static void on_directory_changed(void *ctx)
{
        struct auth_listener *d = ctx;
        bool has_nodes = false;

        callers_drop_refused(d->auth, false, &has_nodes);
        if (has_nodes && !timer_is_running(d->locked_nodes))
                timer_start(d->locked_nodes, MILLISECONDS(PACE_LOCKED_NODE));
        struct instant now = loop_now(&d->auth->loop);
        if (!timer_is_running(d->locked_tunnels))
                d->locked_tunnels_since = now;
        if (instant_since(now, d->locked_tunnels_since).ns < MILLISECONDS(PACE_LOCKED_TUNNEL_MOST).ns)
                timer_start(d->locked_tunnels, MILLISECONDS(PACE_LOCKED_TUNNEL));
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

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
        d->expiry = timer_new(&a->loop, on_expiry, d);
        d->locked_tunnels = timer_new(&a->loop, on_locked_tunnels, d);
        d->locked_nodes = timer_new(&a->loop, on_locked_nodes, d);
        d->watch = directory_watch(a->directory, on_directory_changed, d);
        if (tcp >= 0)
                d->tcp = listener_new(&a->loop, tcp, on_accept, d);
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
        d->is_draining = true;
        d->drained = drained;
        d->drained_ctx = ctx;
        for (struct caller *c = d->auth->callers; c != NULL; c = c->next)
                if (c->conn != NULL)
                        rpc_server_drain(c->conn);
        check_drained(d);
}

void auth_listener_close(struct auth_listener *d)
{
        if (d == NULL)
                return;
        listener_close(d->tcp);
        listener_close(d->admin);
        d->tcp = d->admin = NULL;
        d->is_draining = true;
        directory_unwatch(d->watch);
        d->watch = NULL;
        timer_free(d->locked_nodes);
        d->locked_nodes = NULL;
        timer_free(d->locked_tunnels);
        d->locked_tunnels = NULL;
        timer_free(d->expiry);
        d->expiry = NULL;
        struct arrival *next;
        for (struct arrival *v = d->arrivals; v != NULL; v = next) {
                next = v->next;
                if (v->tcp != NULL)
                        arrival_refuse(v, error_new(ERROR_UNAVAILABLE, "stopping"));
        }
        passes_release(&d->passes);
        for (struct caller *c = d->auth->callers; c != NULL; c = c->next)
                if (c->conn != NULL)
                        rpc_server_close(c->conn);
}
