/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/tunnels_service.h"

#include <stdlib.h>

#include "auth/core/caller.h"
#include "auth/users/directory.h"
#include "auth/hosts/app_addresses.h"
#include "auth/hosts/hosts.h"
#include "auth/hosts/servers.h"
#include "auth/sessions/sessions.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/names.h"
#include "net/socket.h"
#include "net/sources.h"
#include "rpc/pb.h"
#include "services/services.h"

enum { HOST_ARENA = 64 * KiB };

struct tunnels_stream {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the proxy is gone; answers of the store are due */
        struct tunnels_stream *next, **at;
        struct map hosts; /* IDs of the hosts with a tunnel -> the roles of their tunnels, role_bit() of each */
        char *proxy;      /* host ID of the proxy */
        struct cert_times web; /* life of its web certificate that ends first; 0: not known */
        char *peer_addr;  /* at which other proxies reach it; NULL: they do not */
        unsigned pending;
};

/* A host whose connection the proxy has reported, while its record is read. */
struct named {
        struct tunnels_stream *stream;
        const char *role;       /* of the tunnel, or "Proxy": another proxy; in the table of services */
        struct cert_issue cert; /* of the connection; zero: not reported */
        char host_id[];
};

static void free_if_idle(struct tunnels_stream *s)
{
        if (s->call != NULL || s->pending > 0)
                return;
        free(s->proxy);
        free(s->peer_addr);
        free(s);
}

/* ---- the tunnels of a proxy ------------------------------------------------------------------------------------- */

/* The service whose certificates open tunnels of a role; NULL: there is none. "" is the role of older proxies, which know no other. */
static const struct service_row *tunnel_service(const char *role)
{
        const struct service_row *row = services_of_role(role[0] == '\0' ? STR("Node") : str_of(role));

        return row == NULL || row->kind == NULL ? NULL : row;
}

static uintptr_t role_bit(const struct service_row *service)
{
        size_t i = 0;

        while (services_at(i) != service)
                i++;
        return (uintptr_t)1 << i;
}

static uintptr_t roles_of(const struct tunnels_stream *s, struct str host_id)
{
        return (uintptr_t)map_get(&s->hosts, host_id);
}

static void set_roles(struct tunnels_stream *s, struct str host_id, uintptr_t roles)
{
        if (roles == 0)
                (void)map_remove(&s->hosts, host_id);
        else
                (void)map_put(&s->hosts, host_id, (void *)roles); /* never followed */
}

static bool has_tunnel(const struct tunnels_stream *s, struct str host_id, struct str role)
{
        const struct service_row *service = services_of_role(role);

        return service != NULL && (roles_of(s, host_id) & role_bit(service)) != 0;
}

bool tunnels_reach(const struct auth *a, struct str host_id, struct str role)
{
        for (const struct tunnels_stream *s = a->tunnels; s != NULL; s = s->next)
                if (has_tunnel(s, host_id, role))
                        return true;
        return false;
}

static void detach(struct tunnels_stream *s)
{
        map_release(&s->hosts);
        *s->at = s->next;
        if (s->next != NULL)
                s->next->at = s->at;
        s->call = NULL;
        free_if_idle(s);
}

/* Ends the connections of a host in a role ("": in each) whose certificate is earlier than `before`; zero: all of them. */
static void send_refusal(struct tunnels_stream *s, struct str host_id, const char *role, struct cert_issue before, const char *reason)
{
        Cteleport__V1__TunnelsDown down = CTELEPORT__V1__TUNNELS_DOWN__INIT;
        AUTO_MEM char *id = str_dup(host_id);

        down.host_id = id;
        down.role = pb_text(role);
        down.reason = pb_text(reason);
        down.before = before.not_before;
        down.before_serial_time = before.serial_time;
        rpc_call_send(s->call, &down.base);
}

void tunnels_refuse_earlier(struct auth *a, struct str host_id, struct cert_issue before, const char *reason)
{
        for (struct tunnels_stream *s = a->tunnels; s != NULL; s = s->next)
                send_refusal(s, host_id, "", before, reason);
}

void tunnels_refuse(struct auth *a, struct str host_id, const char *role, const char *reason)
{
        for (struct tunnels_stream *s = a->tunnels; s != NULL; s = s->next)
                send_refusal(s, host_id, role, (struct cert_issue){ 0 }, reason);
}

static void send_addresses(struct tunnels_stream *s, Cteleport__V1__AppAddresses *addresses)
{
        Cteleport__V1__TunnelsDown down = CTELEPORT__V1__TUNNELS_DOWN__INIT;

        down.app_addresses = addresses;
        rpc_call_send(s->call, &down.base);
}

void tunnels_send_addresses(struct auth *a, Cteleport__V1__AppAddresses *addresses)
{
        for (struct tunnels_stream *s = a->tunnels; s != NULL; s = s->next)
                send_addresses(s, addresses);
}

/* ---- proxies that relay -------------------------------------------------------------------------------------------- */

/* A proxy waits for another one that has the tunnel of the host. */
struct locate {
        struct auth *auth;
        struct rpc_call *call;
        struct locate *next, **at; /* of auth->locates */
        struct timer *deadline;
        const struct service_row *service; /* whose tunnel it is */
        char *host_id;
};

void tunnels_find_peers(const struct auth *a, struct str host_id, struct str role, struct str except, struct tunnels_peers *ret)
{
        ret->count = 0;
        if (a->agent_connections == 0)
                return;
        for (const struct tunnels_stream *s = a->tunnels; s != NULL && ret->count < LIMIT_DIAL_PEERS; s = s->next) {
                Cteleport__V1__PeerProxy *row = &ret->rows[ret->count];

                if (s->peer_addr == NULL || str_equal(str_of(s->proxy), except) || !has_tunnel(s, host_id, role))
                        continue;
                cteleport__v1__peer_proxy__init(row);
                row->host_id = s->proxy;
                row->addr = s->peer_addr;
                ret->list[ret->count++] = row;
        }
}

static void locate_free(struct locate *l)
{
        *l->at = l->next;
        if (l->next != NULL)
                l->next->at = l->at;
        l->auth->locate_count--;
        timer_free(l->deadline);
        free(l->host_id);
        free(l);
}

static void on_locate_gone(void *ctx)
{
        locate_free(ctx);
}

static const struct rpc_call_events locate_events = { .on_gone = on_locate_gone };

static void reply_location(struct rpc_call *call, const struct auth *a, struct str host_id, struct str role)
{
        const struct caller *caller = rpc_call_caller(call);
        Cteleport__V1__LocateResponse response = CTELEPORT__V1__LOCATE_RESPONSE__INIT;
        struct tunnels_peers peers;

        tunnels_find_peers(a, host_id, role, str_of(caller->host_id), &peers);
        response.peers = peers.list;
        response.n_peers = peers.count;
        rpc_call_reply(call, &response.base);
}

static void on_located(void *ctx)
{
        struct locate *l = ctx;

        reply_location(l->call, l->auth, str_of(l->host_id), l->service->role.name);
        locate_free(l);
}

/* A proxy has got this tunnel of a host. */
static void answer_located(struct auth *a, struct str host_id, const struct service_row *service)
{
        for (struct locate *l = a->locates; l != NULL; l = l->next)
                if (l->service == service && str_equal(str_of(l->host_id), host_id))
                        timer_start(l->deadline, MILLISECONDS(1));
}

void locate_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__LocateRequest *m = (const Cteleport__V1__LocateRequest *)first;
        const struct caller *caller = rpc_call_caller(call);
        struct auth *a = caller->auth;
        const struct service_row *service = tunnel_service(m->role);
        struct str host_id = str_of(m->host_id), role = service == NULL ? STR("") : service->role.name;
        struct tunnels_peers peers;

        tunnels_find_peers(a, host_id, role, str_of(caller->host_id), &peers);
        if (service == NULL || !name_is_host_id(host_id) || peers.count > 0 || a->agent_connections == 0 || a->locate_count >= LIMIT_DIALS ||
            a->is_stopping) {
                reply_location(call, a, host_id, role);
                return;
        }
        struct locate *l = NEW(struct locate);
        *l = (struct locate){ .auth = a, .call = call, .next = a->locates, .at = &a->locates, .service = service, .host_id = str_dup(host_id) };
        if (l->next != NULL)
                l->next->at = &l->next;
        a->locates = l;
        a->locate_count++;
        l->deadline = timer_new(&a->loop, on_located, l);
        timer_start(l->deadline, MILLISECONDS(TIMEOUT_TUNNEL_AWAITED));
        rpc_call_listen(call, &locate_events, l);
}

/* ---- reported hosts ------------------------------------------------------------------------------------------------- */

static struct error *check_host(const struct auth *a, const Cteleport__State__V1__Host *host, struct str role)
{
        if (host == NULL)
                return error_new(ERROR_UNAUTHENTICATED, "the cluster no longer knows this host");
        if (!host_has_role(host, role))
                return error_new(ERROR_PERMISSION_DENIED, "this host does not have role %.*s any more", STR_ARG(role));
        return directory_check_host(a->directory, host);
}

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct named *n = ctx;
        struct tunnels_stream *s = n->stream;
        bool is_known = err == NULL; /* an error of the store ends no tunnel */

        (void)revision;
        s->pending--;
        error_free(err);
        if (s->call != NULL && is_known) {
                AUTO_PTR(error) refusal = check_host(s->auth, host, str_of(n->role));

                if (refusal != NULL) /* it is not reached through this proxy in this role, whatever that reports */
                        set_roles(s, str_of(n->host_id), roles_of(s, str_of(n->host_id)) & ~role_bit(services_of_role(str_of(n->role))));
                if (refusal != NULL)
                        send_refusal(s, str_of(n->host_id), n->role, (struct cert_issue){ 0 }, refusal->what);
                else if (n->cert.not_before != 0 && host_is_later_than(host, n->cert))
                        send_refusal(s, str_of(n->host_id), n->role, (struct cert_issue){ host->member_since, host->member_serial_time },
                                     "the ID of this host belongs to another one now");
        }
        free(n);
        free_if_idle(s);
}

/* Reads the record of a reported host; on_host() orders its end if it may not be connected. */
static void check(struct tunnels_stream *s, const char *host_id, const char *role, struct cert_issue cert)
{
        size_t len = strlen(host_id);
        struct named *n = mem_alloc(sizeof *n + len + 1);

        n->stream = s;
        n->cert = cert;
        n->role = role;
        memcpy(n->host_id, host_id, len + 1);
        s->pending++;
        host_get(s->auth->store, str_of(n->host_id), on_host, n);
}

/*
 * The address without a host is completed by the address from which the proxy is connected. The first one of a stream counts: a
 * captured proxy cannot lead the others from one address to the next.
 */
static void note_peer_addr(struct tunnels_stream *s, const char *addr)
{
        const struct caller *caller = rpc_call_caller(s->call);
        struct str host, ip = address_ip(caller->peer);
        int port;
        AUTO_PTR(error) err = address_split(str_of(addr), 0, &host, &port);

        if (s->peer_addr != NULL || err != NULL || port == 0 || strlen(addr) >= LIMIT_NAME)
                return;
        bool is_any = str_equal(host, STR("0.0.0.0")) || str_equal(host, STR("::"));
        if (is_any && str_is_empty(ip))
                return;
        s->peer_addr = is_any ? address_join(ip, port) : str_dup(str_of(addr));
        log_info("A proxy relays for other proxies", LOG_C("proxy", s->proxy), LOG_C("addr", s->peer_addr));
}

static void note_closed(struct tunnels_stream *s, const Cteleport__V1__TunnelsUp *up)
{
        for (size_t i = 0; i < up->n_closed_host_ids; i++) {
                const struct service_row *service = tunnel_service(up->n_closed_roles == up->n_closed_host_ids ? up->closed_roles[i] : "");
                struct str host_id = str_of(up->closed_host_ids[i]);

                if (service != NULL)
                        set_roles(s, host_id, roles_of(s, host_id) & ~role_bit(service));
        }
}

static void note_opened(struct tunnels_stream *s, const Cteleport__V1__TunnelsUp *up)
{
        bool has_certs = up->n_cert_not_before == up->n_host_ids && up->n_cert_serial_time == up->n_host_ids;

        for (size_t i = 0; i < up->n_host_ids; i++) {
                const struct service_row *service = tunnel_service(up->n_roles == up->n_host_ids ? up->roles[i] : "");
                struct str host_id = str_of(up->host_ids[i]);

                if (service == NULL || !name_is_host_id(host_id))
                        continue;
                if (s->hosts.count < LIMIT_TUNNELS || roles_of(s, host_id) != 0) /* no proxy has more tunnels */
                        set_roles(s, host_id, roles_of(s, host_id) | role_bit(service));
                check(s, up->host_ids[i], service->role.name.ptr,
                      has_certs ? (struct cert_issue){ up->cert_not_before[i], up->cert_serial_time[i] } : (struct cert_issue){ 0 });
                answer_located(s->auth, host_id, service);
        }
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct tunnels_stream *s = ctx;
        const Cteleport__V1__TunnelsUp *up = (const Cteleport__V1__TunnelsUp *)msg;

        if (up->peer_addr[0] != '\0')
                note_peer_addr(s, up->peer_addr);
        bool has_peer_certs = up->n_peer_not_before == up->n_peer_ids && up->n_peer_serial_time == up->n_peer_ids;
        for (size_t i = 0; i < up->n_peer_ids; i++)
                if (name_is_host_id(str_of(up->peer_ids[i])))
                        check(s, up->peer_ids[i], "Proxy",
                              has_peer_certs ? (struct cert_issue){ up->peer_not_before[i], up->peer_serial_time[i] } : (struct cert_issue){ 0 });
        if (up->web_not_after > 0)
                s->web = (struct cert_times){ walltime_of_unix(up->web_not_before), walltime_of_unix(up->web_not_after) };
        if (up->n_web_keys > 0)
                servers_note_web_keys(s->auth, str_of(s->proxy), up->web_keys, up->n_web_keys);
        note_closed(s, up);
        note_opened(s, up);
}

static void on_half_close(void *ctx)
{
        struct tunnels_stream *s = ctx;
        struct rpc_call *call = s->call;

        detach(s);
        rpc_call_finish(call, NULL);
}

static void on_gone(void *ctx)
{
        detach(ctx);
}

static const struct rpc_call_events call_events = { on_message, on_half_close, on_gone };

void tunnels_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        struct tunnels_stream *s = NEW(struct tunnels_stream);
        AUTO_PTR(arena) arena = arena_new(APP_ADDRESSES_ARENA);
        Cteleport__V1__AppAddresses addresses;

        (void)first;
        *s = (struct tunnels_stream){ .auth = caller->auth, .call = call, .next = caller->auth->tunnels, .at = &caller->auth->tunnels };
        if (s->next != NULL)
                s->next->at = &s->next;
        s->auth->tunnels = s;
        s->proxy = str_dup(str_of(caller->host_id));
        rpc_call_listen(call, &call_events, s);
        app_addresses_read(s->auth, arena, &addresses);
        send_addresses(s, &addresses);
}

/* ---- locked hosts with open connections ----------------------------------------------------------------------------------- */

/* Its users get the reason through its tunnels, which end with their connections, or at the deadline. */
struct locked_host {
        struct auth *auth;
        struct locked_host *next, **at; /* of auth->locked_hosts */
        struct timer *deadline;
        char *host_id;
        bool is_asked;     /* its record is being read */
        bool is_forgotten; /* and no longer on the list */
};

/* Takes it off the list; while its record is read, the answer frees it. */
static void locked_host_forget(struct locked_host *l)
{
        *l->at = l->next;
        if (l->next != NULL)
                l->next->at = l->at;
        timer_free(l->deadline);
        free(l->host_id);
        l->is_forgotten = true;
        if (!l->is_asked)
                free(l);
}

/* As long as the record cannot be read, it is tried again: only this check ends the tunnels. */
static void on_locked_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct locked_host *l = ctx;
        AUTO_PTR(error) failure = err;

        (void)revision;
        l->is_asked = false;
        if (l->is_forgotten) {
                free(l);
                return;
        }
        if (failure != NULL) {
                log_warn("The tunnels of a locked host are not ended yet, because its record cannot be read", LOG_C("host_id", l->host_id),
                         LOG_ERR(failure));
                timer_start(l->deadline, MILLISECONDS(TIMEOUT_LOCKED_TUNNEL));
                return;
        }
        AUTO_PTR(error) refusal = host != NULL ? directory_check_host(l->auth->directory, host) : NULL;
        if (refusal != NULL)
                tunnels_refuse(l->auth, str_of(host->host_id), "", refusal->what);
        locked_host_forget(l);
}

/* The lock may have ended meanwhile. */
static void end_locked_host(void *ctx)
{
        struct locked_host *l = ctx;

        if (l->auth->is_stopping) {
                locked_host_forget(l);
                return;
        }
        l->is_asked = true;
        host_get(l->auth->store, str_of(l->host_id), on_locked_host, l);
}

static struct locked_host *find_locked_host(const struct auth *a, struct str host_id)
{
        struct locked_host *l = a->locked_hosts;

        while (l != NULL && !str_equal(str_of(l->host_id), host_id))
                l = l->next;
        return l;
}

static void hold_locked_host(struct auth *a, struct str host_id)
{
        if (a->is_stopping || find_locked_host(a, host_id) != NULL)
                return;
        struct locked_host *l = NEW(struct locked_host);
        *l = (struct locked_host){ .auth = a, .next = a->locked_hosts, .at = &a->locked_hosts, .host_id = str_dup(host_id) };
        if (l->next != NULL)
                l->next->at = &l->next;
        a->locked_hosts = l;
        l->deadline = timer_new(&a->loop, end_locked_host, l);
        timer_start(l->deadline, MILLISECONDS(TIMEOUT_LOCKED_TUNNEL));
}

void tunnels_note_unused(struct auth *a, struct str host_id)
{
        struct locked_host *l = find_locked_host(a, host_id);

        if (l != NULL && !l->is_asked)
                timer_start(l->deadline, MILLISECONDS(1));
}

void tunnels_forget_locked(struct auth *a)
{
        while (a->locked_hosts != NULL)
                locked_host_forget(a->locked_hosts);
        timer_free(a->tunnels_recheck);
        a->tunnels_recheck = NULL;
}

/* ---- changes of locks ---------------------------------------------------------------------------------------------------- */

static struct error *recheck_host(void *ctx, const struct state_record *record)
{
        struct auth *a = ctx;
        AUTO_PTR(arena) arena = arena_new(HOST_ARENA);
        Cteleport__State__V1__Host *host = NULL;

        TRY(host_read(arena, record, &host));
        AUTO_PTR(error) refusal = directory_check_host(a->directory, host);
        if (refusal != NULL && sessions_has_connections(a->sessions, str_of(host->host_id)))
                hold_locked_host(a, str_of(host->host_id));
        else if (refusal != NULL)
                tunnels_refuse(a, str_of(host->host_id), "", refusal->what);
        return NULL;
}

static void recheck_again(void *ctx)
{
        tunnels_recheck(ctx);
}

/* Without the next lock nothing else would check the hosts that were not read. */
static void on_rechecked(void *ctx, struct error *err)
{
        struct auth *a = ctx;
        AUTO_PTR(error) failure = err;

        a->is_rechecking_tunnels = false;
        if (a->is_stopping)
                return;
        if (failure != NULL) {
                log_warn("The tunnels of locked hosts are not ended yet, because the hosts cannot be read", LOG_ERR(failure));
                if (a->tunnels_recheck == NULL)
                        a->tunnels_recheck = timer_new(&a->loop, recheck_again, a);
                timer_start(a->tunnels_recheck, MILLISECONDS(TIMEOUT_LOCKED_TUNNEL));
        } else if (a->recheck_tunnels_again) {
                tunnels_recheck(a);
        }
}

void tunnels_recheck(struct auth *a)
{
        a->recheck_tunnels_again = a->is_rechecking_tunnels;
        if (a->is_rechecking_tunnels || a->tunnels == NULL || !directory_has_locks(a->directory))
                return;
        a->is_rechecking_tunnels = true;
        state_scan(a->store, &host_kind, &a->is_stopping, recheck_host, on_rechecked, a);
}

void tunnels_each_web_end(const struct auth *a, void (*each)(void *ctx, const char *proxy, struct cert_times times), void *ctx)
{
        for (const struct tunnels_stream *s = a->tunnels; s != NULL; s = s->next)
                if (s->web.not_after.ns != 0)
                        each(ctx, s->proxy, s->web);
}
