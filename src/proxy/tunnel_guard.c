/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tunnel_guard.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/cert_watch.h"
#include "pki/cert_check.h"
#include "pki/key_proof.h"
#include "pki/public_key.h"
#include "proxy/apps/app_names.h"
#include "proxy/peer_server.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"

enum { IDS_PER_MESSAGE = 500, KEYS_ARENA = 64 * KiB };

struct tunnel_guard {
        struct proxy *proxy;
        struct rpc_client_call *call; /* NULL: the stream to auth has ended */
        struct timer *again;
        struct arena *arena; /* holds keys; NULL: no keys were set */
        Cteleport__V1__TunnelsUp keys;
        struct web_cert {
                struct cert_times times;
                bool is_of_acme;
        } certs[CERT_WATCH_MAX]; /* further ones are not watched */
        size_t cert_count;
        struct cert_watch *watch; /* of certs */
        bool is_freed;
};

static void guard_free(struct tunnel_guard *g)
{
        arena_free(g->arena);
        free(g);
}

void tunnel_guard_end_host(struct proxy *p, const Cteleport__V1__TunnelsDown *down)
{
        struct str host_id = str_of(down->host_id), role = str_of(down->role);
        struct cert_issue before = { down->before, down->before_serial_time };

        if (!str_equal(role, STR("Proxy")))
                tunnels_end_host(&p->tunnels, host_id, role, before, down->reason);
        if (!str_is_empty(role) && !str_equal(role, STR("Proxy")))
                return;
        peer_server_end_host(p->peer_server, host_id, before, down->reason);
        peer_client_end_host(&p->peer_client, host_id, before);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct tunnel_guard *g = ctx;

        const Cteleport__V1__TunnelsDown *down = (const Cteleport__V1__TunnelsDown *)msg;

        if (g->is_freed)
                return;
        if (down->app_addresses != NULL) {
                app_names_check(g->proxy, down->app_addresses);
                app_addresses_set(&g->proxy->app_addresses, down->app_addresses);
        } else {
                tunnel_guard_end_host(g->proxy, down);
        }
}

static void on_done(void *ctx, struct error *err)
{
        struct tunnel_guard *g = ctx;

        error_free(err); /* upstream.c reports that auth is unreachable */
        g->call = NULL;
        if (g->is_freed)
                guard_free(g);
        else
                timer_start(g->again, MILLISECONDS(PACE_RETRY_FIRST));
}

static const struct rpc_client_events events = { .on_message = on_message, .on_done = on_done };

static void send_keys(struct tunnel_guard *g)
{
        if (g->call != NULL && (g->keys.n_web_keys > 0 || g->keys.web_not_after > 0))
                rpc_client_send(g->call, &g->keys.base);
}

static struct error *add_key(struct tunnel_guard *g, struct str key_pem)
{
        AUTO(key) key = { 0 };
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX), proof = BUF_MAX(KEY_PROOF_MAX);
        Cteleport__V1__WebKey *reported = arena_alloc(g->arena, sizeof *reported);

        TRY(key_from_pem(&key, key_pem));
        TRY(key_prove(&key, &der, &proof));
        cteleport__v1__web_key__init(reported);
        reported->public_key = pb_bytes(arena_str(g->arena, buf_str(&der)));
        reported->proof = pb_bytes(arena_str(g->arena, buf_str(&proof)));
        g->keys.web_keys[g->keys.n_web_keys++] = reported;
        return NULL;
}

static bool times_of_cert(void *ctx, size_t n, struct cert_times *ret)
{
        const struct tunnel_guard *g = ctx;

        *ret = n < g->cert_count ? g->certs[n].times : (struct cert_times){ 0 };
        return n < g->cert_count;
}

static void on_mark_passed(void *ctx, size_t n, int mark, struct cert_times times)
{
        const struct tunnel_guard *g = ctx;
        AUTO(buf) end = BUF_MAX(256);

        if (mark == CERT_END_FAR)
                return;
        cert_end_put(&end, times, loop_wall(&g->proxy->loop));
        log_warn("A web certificate is near its end", LOG_INT("pair", n + 1), LOG_C("end", buf_c(&end)),
                 LOG_C("hint", g->certs[n].is_of_acme ? "it was not renewed by ACME: the lines of the component acme have the reason"
                                                      : "replace its files, and let this proxy load them by SIGHUP"));
}

/* Notes the times of a certificate, and of that which ends first. */
static void note_end(struct tunnel_guard *g, const Cteleport__Internal__V1__HttpsKeyPair *pair)
{
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct cert_times times = { 0 };
        struct error *err = cert_pem_to_der(pb_str(pair->cert_pem), &der);

        if (err == NULL)
                err = cert_validity(buf_str(&der), &times);
        if (err == NULL && g->cert_count < CERT_WATCH_MAX)
                g->certs[g->cert_count++] = (struct web_cert){ times, pair == g->proxy->issued };
        int64_t ends = err == NULL ? walltime_unix(times.not_after) : 0;
        if (ends > 0 && (g->keys.web_not_after == 0 || ends < g->keys.web_not_after)) {
                g->keys.web_not_before = walltime_unix(times.not_before);
                g->keys.web_not_after = ends;
        }
        error_free(err);
}

void tunnel_guard_set_keypairs(struct tunnel_guard *g, Cteleport__Internal__V1__HttpsKeyPair *const *pairs, size_t count)
{
        if (g == NULL)
                return;
        arena_free(g->arena);
        g->arena = arena_new(KEYS_ARENA);
        cteleport__v1__tunnels_up__init(&g->keys);
        g->keys.web_keys = arena_alloc(g->arena, (count + 1) * sizeof *g->keys.web_keys);
        g->cert_count = 0;
        for (size_t i = 0; i < count; i++)
                note_end(g, pairs[i]);
        cert_watch_changed(g->watch);
        for (size_t i = 0; i < count; i++) {
                /* A key of another kind need not be reported: the cluster certifies no keys of that kind. */
                AUTO_PTR(error) err = add_key(g, pb_str(pairs[i]->key_pem));

                if (err != NULL)
                        log_debug("The key of a web certificate is not reported", LOG_ERR(err));
        }
        send_keys(g);
}

/* ---- other proxies ------------------------------------------------------------------------------------- */

static void send_peer(void *ctx, const char *host_id, struct cert_issue cert)
{
        struct tunnel_guard *g = ctx;
        Cteleport__V1__TunnelsUp up = CTELEPORT__V1__TUNNELS_UP__INIT;
        char *id = pb_text(host_id);

        up.peer_ids = &id;
        up.peer_not_before = &cert.not_before;
        up.peer_serial_time = &cert.serial_time;
        up.n_peer_ids = up.n_peer_not_before = up.n_peer_serial_time = 1;
        rpc_client_send(g->call, &up.base);
}

void tunnel_guard_name_peer(struct tunnel_guard *g, struct str host_id, struct cert_issue cert)
{
        AUTO_MEM char *id = str_dup(host_id);

        if (g != NULL && g->call != NULL) /* begin() reports all of them */
                send_peer(g, id, cert);
}

/* The address at which other proxies reach this one: as configured, or that of the listener. */
static char *peer_address(const struct proxy *p)
{
        const Cteleport__V1__Config *config = p->boot->config;
        const Cteleport__V1__ProxyConfig *section = config == NULL ? NULL : config->proxy_service;
        const char *bound = service_listener_addr(p->boot, "proxy", "peer");
        struct str host;
        int port;

        if (bound[0] == '\0')
                return str_dup(STR(""));
        if (section != NULL && section->n_peer_public_addr > 0)
                return str_dup(str_of(section->peer_public_addr[0]));
        AUTO_PTR(error) err = address_split(str_of(bound), 0, &host, &port);
        bool is_any = err == NULL && (str_equal(host, STR("0.0.0.0")) || str_equal(host, STR("::")));
        if (!is_any)
                return str_dup(str_of(bound));
        if (config != NULL && config->teleport != NULL && config->teleport->advertise_ip != NULL)
                return mem_printf("%s:%d", config->teleport->advertise_ip, port);
        if (service_is_here(p->boot, "auth")) /* it does not see an address of this proxy */
                return mem_printf("%s:%d", p->boot->nodename, port);
        return mem_printf("0.0.0.0:%d", port);
}

static void send_peers(struct tunnel_guard *g)
{
        Cteleport__V1__TunnelsUp up = CTELEPORT__V1__TUNNELS_UP__INIT;
        AUTO_MEM char *address = peer_address(g->proxy);

        up.peer_addr = address;
        if (address[0] != '\0')
                rpc_client_send(g->call, &up.base);
        peer_server_each(g->proxy->peer_server, send_peer, g);
        peer_client_each(&g->proxy->peer_client, send_peer, g);
}

/* ---- tunnels ----------------------------------------------------------------------------------------------- */

struct naming {
        struct tunnel_guard *guard;
        char *ids[IDS_PER_MESSAGE], *roles[IDS_PER_MESSAGE];
        int64_t not_before[IDS_PER_MESSAGE];
        uint64_t serial_times[IDS_PER_MESSAGE];
        size_t count;
};

static void send_names(struct naming *n)
{
        Cteleport__V1__TunnelsUp up = CTELEPORT__V1__TUNNELS_UP__INIT;

        up.host_ids = n->ids;
        up.roles = n->roles;
        up.n_host_ids = up.n_roles = up.n_cert_not_before = up.n_cert_serial_time = n->count;
        up.cert_not_before = n->not_before;
        up.cert_serial_time = n->serial_times;
        if (n->count > 0)
                rpc_client_send(n->guard->call, &up.base);
        n->count = 0;
}

static void add_name(void *ctx, const char *host_id, const char *role, struct cert_issue cert)
{
        struct naming *n = ctx;

        n->not_before[n->count] = cert.not_before;
        n->serial_times[n->count] = cert.serial_time;
        n->roles[n->count] = pb_text(role);
        n->ids[n->count++] = pb_text(host_id);
        if (n->count == IDS_PER_MESSAGE)
                send_names(n);
}

static void begin(void *ctx)
{
        struct tunnel_guard *g = ctx;
        struct rpc_client *client = upstream_client(g->proxy->upstream);
        struct naming all = { .guard = g };

        if (g->call != NULL)
                return;
        if (client == NULL) {
                timer_start(g->again, MILLISECONDS(PACE_RETRY_FIRST));
                return;
        }
        g->call = rpc_client_call(client,
                                  (struct rpc_client_call_options){
                                          .path = "/cteleport.v1.DialService/Tunnels",
                                          .response = &cteleport__v1__tunnels_down__descriptor,
                                  },
                                  &events, g);
        send_keys(g);
        send_peers(g);
        tunnels_each(&g->proxy->tunnels, add_name, &all);
        send_names(&all);
}

void tunnel_guard_name(struct tunnel_guard *g, struct str host_id, const char *role, struct cert_issue cert)
{
        if (g == NULL || g->call == NULL) /* begin() reports all tunnels */
                return;
        AUTO_MEM char *id = str_dup(host_id);
        struct naming one = { .guard = g };
        add_name(&one, id, role, cert);
        send_names(&one);
}

void tunnel_guard_gone(struct tunnel_guard *g, struct str host_id, const char *role)
{
        Cteleport__V1__TunnelsUp up = CTELEPORT__V1__TUNNELS_UP__INIT;

        if (g == NULL || g->call == NULL)
                return;
        AUTO_MEM char *id = str_dup(host_id);
        char *closed_role = pb_text(role);
        up.closed_host_ids = &id;
        up.closed_roles = &closed_role;
        up.n_closed_host_ids = up.n_closed_roles = 1;
        rpc_client_send(g->call, &up.base);
}

struct tunnel_guard *tunnel_guard_new(struct proxy *p)
{
        struct tunnel_guard *g = NEW(struct tunnel_guard);

        *g = (struct tunnel_guard){ .proxy = p };
        g->again = timer_new(&p->loop, begin, g);
        timer_start(g->again, MILLISECONDS(1));
        g->watch = cert_watch_new(&p->loop, (struct cert_watch_options){
                .count = CERT_WATCH_MAX, .times = times_of_cert, .passed = on_mark_passed, .ctx = g });
        return g;
}

void tunnel_guard_free(struct tunnel_guard *g)
{
        if (g == NULL)
                return;
        timer_free(g->again);
        cert_watch_free(g->watch);
        g->is_freed = true;
        if (g->call != NULL)
                rpc_client_cancel(g->call); /* on_done() frees g */
        else
                guard_free(g);
}
