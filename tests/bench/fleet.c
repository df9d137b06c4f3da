/* SPDX-License-Identifier: Apache-2.0 */
#include "fleet.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cluster/identity_message.h"
#include "instance/presence.h"
#include "rpc/rpc.h"
#include "tunnel/tunnel.h"

enum { JOINS_AT_ONCE = 32 };

/* The identities of an agent: the host's, with which it has its presence, and that of its SSH service, with which it has its tunnel. */
enum { INSTANCE, NODE, ROLES };
static const char *const roles[ROLES] = { "Instance", "Node" };

struct agent {
        struct fleet *fleet;
        struct host_identity identities[ROLES], renewed[ROLES];
        char *revision;  /* of the CAs of its certificates; owned; NULL: they are from a join */
        struct connect_trust instance_trust, node_trust;
        struct rpc_client *client;
        struct presence *presence;
        struct tunnel_server *tunnel;
        struct timer *again_presence, *again_tunnel;
        struct dial_turn {
                struct dial_turn *next;
                void (*begin)(struct agent *a);
                struct agent *agent;
        } dial_presence, dial_tunnel;
        struct backoff pause_presence, pause_tunnel;
        bool is_present, has_tunnel;
        bool is_renewing, has_renewed; /* requests certificates; has them, and begins to use them after a dial of its tunnel */
        bool is_dialling_tunnel;       /* which borrows the identity */
};

static void begin_presence(struct agent *a);
static void begin_tunnel(struct agent *a);

/* ---- dials ------------------------------------------------------------------------------------------------------- */

static void next_dial(struct fleet *f)
{
        struct dial_turn *d = f->turns;

        if (d == NULL || f->is_ending || f->dialling == f->at_once)
                return;
        f->turns = d->next;
        if (f->turns == NULL)
                f->last_turn = &f->turns;
        f->dialling++;
        d->begin(d->agent);
}

static void queue_dial(struct agent *a, struct dial_turn *d, void (*begin)(struct agent *a))
{
        struct fleet *f = a->fleet;

        *d = (struct dial_turn){ .begin = begin, .agent = a };
        *f->last_turn = d;
        f->last_turn = &d->next;
        next_dial(f);
}

static void dial_done(struct fleet *f)
{
        f->dialling--;
        next_dial(f);
        if (f->is_ending && f->dialling == 0)
                loop_stop(&f->load.loop);
}

static void open_presence(void *ctx)
{
        struct agent *a = ctx;
        queue_dial(a, &a->dial_presence, begin_presence);
}

static void open_tunnel(void *ctx)
{
        struct agent *a = ctx;
        queue_dial(a, &a->dial_tunnel, begin_tunnel);
}

/* ---- what an agent has, and has lost --------------------------------------------------------------------------- */

static bool is_complete(const struct agent *a)
{
        return (a->is_present || !a->fleet->has_presence) && a->has_tunnel;
}

static void report(struct agent *a, const bool *what)
{
        struct fleet *f = a->fleet;
        if (f->on_change != NULL)
                f->on_change(f->ctx, (size_t)(a - f->agents), what == &a->has_tunnel ? FLEET_TUNNEL : FLEET_PRESENCE, *what);
}

static void gained(struct agent *a, bool *what)
{
        struct fleet *f = a->fleet;
        *what = true;
        report(a, what);
        if (!is_complete(a))
                return;
        if (++f->complete == f->count)
                loop_stop(&f->load.loop);
}

static void lost(struct agent *a, bool *what)
{
        if (is_complete(a))
                a->fleet->complete--;
        if (!*what)
                return;
        *what = false;
        report(a, what);
}

/* ---- certificates ------------------------------------------------------------------------------------------------ */

static void request_certificates(struct agent *a, struct rpc_client *client, size_t role,
                                 void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        const struct load *load = &a->fleet->load;
        Cteleport__V1__HostCertsRequest request = CTELEPORT__V1__HOST_CERTS_REQUEST__INIT;
        AUTO_MEM char *name = str_dup(str_of(roles[role]));

        request.role = name;
        request.public_tls_key = (ProtobufCBinaryData){ load->tls_public.len, (uint8_t *)load->tls_public.ptr };
        request.public_ssh_key = (ProtobufCBinaryData){ load->ssh_public.len, (uint8_t *)load->ssh_public.ptr };
        rpc_client_unary(client,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.HostService/GenerateHostCerts",
                                                           .response = &cteleport__v1__host_certs_response__descriptor,
                                                           .within = MILLISECONDS(TIMEOUT_RPC) },
                         &request.base, done, ctx);
}

static struct error *take_certificates(const struct agent *a, const ProtobufCMessage *message, size_t role, struct host_identity *ret)
{
        const Cteleport__V1__HostCertsResponse *answer = (const void *)message;
        struct host_certificates certs;

        TRY(host_certificates_of(&certs, answer->certificates));
        TRY(identity_add_user_cas(&certs, answer));
        return host_identity_make(ret, &a->fleet->load.keys, &certs, (struct host_expectation){ .role = str_of(roles[role]) });
}

static void drop_renewed(struct agent *a)
{
        for (size_t role = 0; role < ROLES; role++)
                host_identity_release(&a->renewed[role]);
        a->is_renewing = a->has_renewed = false;
}

/* Begins to use the renewed certificates, and connects with them. */
static void use_renewed(struct agent *a)
{
        if (!a->has_renewed || a->is_dialling_tunnel)
                return;
        for (size_t role = 0; role < ROLES; role++) {
                host_identity_release(&a->identities[role]);
                a->identities[role] = a->renewed[role];
                a->renewed[role] = (struct host_identity){ 0 };
        }
        free(a->revision);
        a->revision = str_dup(a->identities[INSTANCE].certs.ca_revision);
        a->is_renewing = a->has_renewed = false;
        open_presence(a);
}

static void hang_up(struct agent *a)
{
        presence_close(a->presence);
        a->presence = NULL;
        rpc_client_close(a->client);
        a->client = NULL;
        lost(a, &a->is_present);
}

static void end_renewal(void *ctx)
{
        struct agent *a = ctx;

        if (!a->is_renewing)
                return; /* the connection was lost meanwhile */
        a->has_renewed = !host_identity_is_empty(&a->renewed[NODE]);
        hang_up(a);
        if (a->has_renewed) {
                use_renewed(a);
                return;
        }
        a->fleet->failed_renewals++;
        drop_renewed(a);
        timer_start(a->again_presence, backoff_next(&a->pause_presence));
}

static void on_renewed(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct agent *a = ctx;
        size_t role = host_identity_is_empty(&a->renewed[INSTANCE]) ? INSTANCE : NODE;

        if (!a->is_renewing) {
                error_free(err);
                return;
        }
        if (err == NULL)
                err = take_certificates(a, answer, role, &a->renewed[role]);
        if (err == NULL && role == INSTANCE)
                request_certificates(a, a->client, NODE, on_renewed, a);
        else
                loop_defer(&a->fleet->load.loop, end_renewal, a);
        error_free(err);
}

static void begin_renewal(void *ctx)
{
        struct agent *a = ctx;

        if (a->is_renewing && a->client != NULL)
                request_certificates(a, a->client, INSTANCE, on_renewed, a);
}

static void on_authorities(void *ctx, struct str revision)
{
        struct agent *a = ctx;

        if (a->is_renewing || str_equal(revision, str_of(a->revision == NULL ? "" : a->revision)))
                return;
        a->is_renewing = true;
        loop_defer(&a->fleet->load.loop, begin_renewal, a); /* in a later turn: this stream is closed by it */
}

/* ---- presence ---------------------------------------------------------------------------------------------------- */

static void on_welcome(void *ctx, struct str cluster, const struct duration *skew)
{
        struct agent *a = ctx;
        (void)cluster;
        (void)skew;
        backoff_reset(&a->pause_presence);
        if (!a->is_present)
                gained(a, &a->is_present);
        if (a->fleet->on_followed != NULL && !a->is_renewing)
                a->fleet->on_followed(a->fleet->ctx, (size_t)(a - a->fleet->agents), str_of(a->revision == NULL ? "" : a->revision));
}

/* Present, until a poll fails. */
static void on_polled(void *ctx, struct duration pause)
{
        struct agent *a = ctx;
        a->fleet->polls++;
        presence_close(a->presence);
        a->presence = NULL;
        if (a->is_renewing)
                return; /* on this connection */
        rpc_client_close(a->client);
        a->client = NULL;
        timer_start(a->again_presence, pause);
}

static void on_notice(void *ctx, struct str kind, struct str text)
{
        (void)ctx;
        if (str_equal(kind, STR("clock_skew")))
                return; /* on a busy machine a hello of thousands is old when it is read */
        bug("the cluster has a notice: %.*s: %.*s", STR_ARG(kind), STR_ARG(text));
}

static void on_presence_end(void *ctx, struct error *err)
{
        struct agent *a = ctx;
        error_free(err);
        a->presence = NULL; /* it has ended by itself */
        hang_up(a);
        drop_renewed(a);
        timer_start(a->again_presence, backoff_next(&a->pause_presence));
}

static void on_client_closed(void *ctx, struct error *err)
{
        (void)ctx; /* the presence stream has reported it already */
        error_free(err);
}

static void on_proxies(void *ctx, const Cteleport__V1__PresenceDown__Proxies *proxies)
{
        (void)ctx; /* their address is known */
        (void)proxies;
}

static const struct presence_events presence_events = {
        .on_welcome = on_welcome, .on_polled = on_polled, .on_notice = on_notice, .on_proxies = on_proxies, .on_authorities = on_authorities,
        .on_end = on_presence_end,
};

static void on_member(void *ctx, struct stream *tls, struct error *err)
{
        struct agent *a = ctx;
        Cteleport__V1__PresenceUp__Hello hello = CTELEPORT__V1__PRESENCE_UP__HELLO__INIT;
        AUTO_MEM char *nonce = mem_printf("%td", a - a->fleet->agents);
        char *services[] = { "Node" };

        dial_done(a->fleet);
        if (a->fleet->is_ending) {
                stream_close(tls);
                error_free(err);
                return;
        }
        if (err != NULL) {
                error_free(err);
                lost(a, &a->is_present);
                timer_start(a->again_presence, backoff_next(&a->pause_presence));
                return;
        }
        hello.hostname = hello.process_nonce = nonce;
        hello.version = (char[]){ CTELEPORT_VERSION };
        hello.services = services;
        hello.n_services = ARRAY_LEN(services);
        hello.use_tunnel = hello.may_poll = true;
        if (a->revision != NULL)
                hello.ca_revision = a->revision;
        a->client = rpc_client_new(&a->fleet->load.loop, tls, "auth", on_client_closed, a);
        a->presence = presence_open(&a->fleet->load.loop, a->client, &hello, &presence_events, a);
}

static void begin_presence(struct agent *a)
{
        (void)!connect_start(&a->fleet->load.loop, &a->fleet->member, &a->instance_trust, on_member, a);
}

/* ---- tunnels ------------------------------------------------------------------------------------------------------- */

static void on_connect(void *ctx, struct tunnel_incoming *v, const struct tunnel_request *request)
{
        struct agent *a = ctx;
        struct fleet *f = a->fleet;

        (void)request;
        if (f->on_request != NULL)
                f->on_request(f->ctx, (size_t)(a - f->agents));
        tunnel_refuse(v, error_new(ERROR_UNAVAILABLE, "this agent is part of a benchmark and serves no sessions"));
}

static void on_gone(void *ctx, struct tunnel_incoming *v)
{
        (void)ctx;
        (void)v;
}

static void on_tunnel_end(void *ctx, struct error *err)
{
        struct agent *a = ctx;
        error_free(err);
        lost(a, &a->has_tunnel);
        tunnel_server_close(a->tunnel);
        a->tunnel = NULL;
        timer_start(a->again_tunnel, backoff_next(&a->pause_tunnel));
}

static const struct tunnel_server_events tunnel_events = { .on_connect = on_connect, .on_gone = on_gone, .on_end = on_tunnel_end };

static void on_tunnel_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct agent *a = ctx;

        dial_done(a->fleet);
        a->is_dialling_tunnel = false;
        if (a->fleet->is_ending) {
                stream_close(tls);
                error_free(err);
                return;
        }
        use_renewed(a);
        if (err != NULL) {
                error_free(err);
                timer_start(a->again_tunnel, backoff_next(&a->pause_tunnel));
                return;
        }
        backoff_reset(&a->pause_tunnel);
        a->tunnel = tunnel_server_new(&a->fleet->load.loop, tls, &tunnel_events, a);
        gained(a, &a->has_tunnel);
}

static void begin_tunnel(struct agent *a)
{
        a->is_dialling_tunnel = true;
        (void)!connect_start(&a->fleet->load.loop, &a->fleet->tunnel, &a->node_trust, on_tunnel_connected, a);
}

/* ---- joining: the certificates of an agent and of its SSH service -------------------------------------------------------- */

static void on_joined(void *ctx, const Teleport__Join__V1__HostResult *result)
{
        struct fleet *f = ctx;
        struct agent *a = &f->agents[f->joined++];

        load_take_identity(&f->load, result, &a->identities[INSTANCE]);
        a->fleet = f;
        /* the HTTPS of a load balancer in between is not verified, the cluster behind it is */
        a->instance_trust = (struct connect_trust){ .stored = &a->identities[INSTANCE], .is_insecure = true };
        a->node_trust = (struct connect_trust){ .stored = &a->identities[NODE], .is_insecure = true };
        a->again_presence = timer_new(&f->load.loop, open_presence, a);
        a->again_tunnel = timer_new(&f->load.loop, open_tunnel, a);
        a->pause_presence = a->pause_tunnel =
                (struct backoff){ .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_RETRY_MAX) };
}

struct certify {
        struct agent *agent;
        struct rpc_client *client;
};

static void certify_next(struct fleet *f);

static void certify_end(void *ctx)
{
        struct certify *c = ctx;
        struct fleet *f = c->agent->fleet;
        rpc_client_close(c->client);
        free(c);
        if (++f->complete == f->count)
                loop_stop(&f->load.loop);
        else
                certify_next(f);
}

static void on_node_certs(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct certify *c = ctx;

        must(err);
        must(take_certificates(c->agent, answer, NODE, &c->agent->identities[NODE]));
        loop_defer(&c->agent->fleet->load.loop, certify_end, c);
}

static void on_certify_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct certify *c = ctx;

        must(err);
        c->client = rpc_client_new(&c->agent->fleet->load.loop, tls, "auth", on_client_closed, c);
        request_certificates(c->agent, c->client, NODE, on_node_certs, c);
}

static void certify_next(struct fleet *f)
{
        if (f->begun == f->count)
                return;
        struct certify *c = NEW(struct certify);
        c->agent = &f->agents[f->begun++];
        (void)!connect_start(&f->load.loop, &f->member, &c->agent->instance_trust, on_certify_connected, c);
}

static void raise_descriptor_limit(size_t agents)
{
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max < agents * 3 / 2)
                bug("%zu agents need more descriptors than the system lets a process have", agents);
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0)
                bug("the limit of descriptors cannot be raised");
}

struct fleet *fleet_new(const struct fleet_options *options)
{
        struct fleet *f = NEW(struct fleet);

        raise_descriptor_limit(options->agents);
        f->count = options->agents;
        f->at_once = options->at_once;
        f->last_turn = &f->turns;
        f->agents = mem_alloc(f->count * sizeof *f->agents);
        memset(f->agents, 0, f->count * sizeof *f->agents);
        load_init(&f->load, options->proxy, options->token);
        f->load.on_joined = on_joined;
        f->load.ctx = f;
        load_join(&f->load, JOINS_AT_ONCE, f->count);
        must(connect_way_of_member(str_of(options->proxy), STR(""), &f->member));
        for (size_t n = 0; n < JOINS_AT_ONCE; n++)
                certify_next(f);
        loop_run(&f->load.loop);
        f->complete = 0;
        return f;
}

struct str fleet_host_id(const struct fleet *f, size_t agent)
{
        return f->agents[agent].identities[NODE].host_id;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

void fleet_await(struct fleet *f)
{
        if (f->complete < f->count)
                loop_run(&f->load.loop);
}

static void on_idle_end(void *ctx)
{
        struct fleet *f = ctx;
        loop_stop(&f->load.loop);
}

void fleet_idle(struct fleet *f, struct duration time)
{
        struct timer *end = timer_new(&f->load.loop, on_idle_end, f);

        timer_start(end, time);
        while (timer_is_running(end))
                loop_run(&f->load.loop);
        timer_free(end);
        if (f->complete != f->count)
                bug("%zu of %zu agents were lost while idle", f->count - f->complete, f->count);
}

double fleet_connect(struct fleet *f, const char *address, bool has_presence, struct duration spread)
{
        struct instant begun = loop_now(&f->load.loop);
        size_t milliseconds = (size_t)duration_ms(spread) + 1;

        must(connect_way_of_member(str_of(address), STR(""), &f->member));
        must(connect_way_of_tunnel(str_of(address), &f->tunnel));
        f->has_presence = has_presence;
        f->is_ending = false;
        for (size_t n = 0; n < f->count; n++) {
                struct duration when = MILLISECONDS((int64_t)(n % milliseconds));
                if (has_presence)
                        timer_start(f->agents[n].again_presence, when);
                timer_start(f->agents[n].again_tunnel, when);
        }
        fleet_await(f);
        return seconds_since(begun);
}

static void disconnect(struct agent *a)
{
        presence_close(a->presence);
        a->presence = NULL;
        rpc_client_close(a->client);
        a->client = NULL;
        tunnel_server_close(a->tunnel);
        a->tunnel = NULL;
        timer_stop(a->again_presence);
        timer_stop(a->again_tunnel);
        a->is_present = a->has_tunnel = false;
}

void fleet_disconnect(struct fleet *f)
{
        f->is_ending = true;
        if (f->dialling > 0)
                loop_run(&f->load.loop); /* pending polls */
        f->turns = NULL;
        f->last_turn = &f->turns;
        for (size_t n = 0; n < f->count; n++)
                disconnect(&f->agents[n]);
        f->complete = 0;
}

void fleet_free(struct fleet *f)
{
        fleet_disconnect(f);
        for (size_t n = 0; n < f->count; n++) {
                struct agent *a = &f->agents[n];
                timer_free(a->again_presence);
                timer_free(a->again_tunnel);
                drop_renewed(a);
                for (size_t role = 0; role < ROLES; role++)
                        host_identity_release(&a->identities[role]);
                free(a->revision);
        }
        load_release(&f->load);
        free(f->agents);
        free(f);
}
