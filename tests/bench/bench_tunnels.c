/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures a cluster with ten thousand agents, simulated by one process: each has its presence at the Auth Service, through the proxy, by
 * a stream or by polls, and its reverse tunnel. Results: memory of proxy and auth, CPU time of the heartbeats, and the time until all agents
 * are connected again after the proxy died.
 *
 *     bench_tunnels [--json] TELEPORT TCTL [AGENTS]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/connect.h"
#include "load.h"
#include "instance/presence.h"
#include "program.h"
#include "rpc/rpc.h"
#include "tunnel/tunnel.h"

enum { AGENTS_DEFAULT = 10000, AT_ONCE = 32, WATCH_SECONDS = 60 };

struct fleet;

struct agent {
        struct fleet *fleet;
        struct host_identity instance, node;
        struct connect_trust instance_trust, node_trust;
        struct rpc_client *client;
        struct presence *presence;
        struct tunnel_server *tunnel;
        struct timer *again_presence, *again_tunnel;
        struct dial {
                struct dial *next;
                void (*begin)(struct agent *a);
                struct agent *agent;
        } dial_presence, dial_tunnel;
        struct backoff pause_presence, pause_tunnel;
        bool is_present, has_tunnel;
};

struct fleet {
        struct load load;
        struct connect_way member, tunnel;
        struct agent *agents;
        size_t count, joined, begun, complete, streams;
        struct timer *watch;
        struct dial *dials, **last_dial; /* that wait for their turn */
        size_t dialling;
        bool is_ending;
};

static void begin_presence(struct agent *a);
static void begin_tunnel(struct agent *a);

/*
 * This process makes the handshakes of ten thousand machines, AT_ONCE at a time: if it began all of them, none would
 * finish before the timeout of the servers.
 */
static void next_dial(struct fleet *f)
{
        struct dial *d = f->dials;

        if (d == NULL || f->is_ending || f->dialling == AT_ONCE)
                return;
        f->dials = d->next;
        if (f->dials == NULL)
                f->last_dial = &f->dials;
        f->dialling++;
        d->begin(d->agent);
}

static void queue_dial(struct agent *a, struct dial *d, void (*begin)(struct agent *a))
{
        struct fleet *f = a->fleet;

        *d = (struct dial){ .begin = begin, .agent = a };
        *f->last_dial = d;
        f->last_dial = &d->next;
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
        return a->is_present && a->has_tunnel;
}

static void gained(struct agent *a, bool *what)
{
        struct fleet *f = a->fleet;
        *what = true;
        if (!is_complete(a))
                return;
        if (++f->complete == f->count)
                loop_stop(&f->load.loop);
}

static void lost(struct agent *a, bool *what)
{
        if (is_complete(a))
                a->fleet->complete--;
        *what = false;
}

/* ---- presence ---------------------------------------------------------------------------------------------------- */

static void on_welcome(void *ctx, struct str cluster, struct duration skew)
{
        struct agent *a = ctx;
        (void)cluster;
        (void)skew;
        backoff_reset(&a->pause_presence);
        if (!a->is_present)
                gained(a, &a->is_present);
}

/* Present, until a poll fails. */
static void on_polled(void *ctx, struct duration pause)
{
        struct agent *a = ctx;
        presence_close(a->presence);
        a->presence = NULL;
        rpc_client_close(a->client);
        a->client = NULL;
        a->fleet->streams++;
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
        lost(a, &a->is_present);
        presence_close(a->presence);
        a->presence = NULL;
        rpc_client_close(a->client);
        a->client = NULL;
        timer_start(a->again_presence, backoff_next(&a->pause_presence));
}

static void on_client_closed(void *ctx, struct error *err)
{
        (void)ctx; /* the presence stream has reported it already */
        error_free(err);
}

static void on_proxies(void *ctx, const Cteleport__V1__PresenceDown__Proxies *proxies)
{
        (void)ctx; /* there is one, and it is known */
        (void)proxies;
}

static const struct presence_events presence_events = {
        .on_welcome = on_welcome, .on_polled = on_polled, .on_notice = on_notice, .on_proxies = on_proxies, .on_end = on_presence_end,
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
        (void)ctx;
        (void)request;
        tunnel_refuse(v, error_new(ERROR_UNAVAILABLE, "nobody is at home in a benchmark"));
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
        if (a->fleet->is_ending) {
                stream_close(tls);
                error_free(err);
                return;
        }
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
        (void)!connect_start(&a->fleet->load.loop, &a->fleet->tunnel, &a->node_trust, on_tunnel_connected, a);
}

/* ---- joining: the certificates of an agent and of its SSH service -------------------------------------------------------- */

static void on_joined(void *ctx, const Teleport__Join__V1__HostResult *result)
{
        struct fleet *f = ctx;
        struct agent *a = &f->agents[f->joined++];

        load_take_identity(&f->load, result, &a->instance);
        a->fleet = f;
        a->instance_trust = (struct connect_trust){ .stored = &a->instance };
        a->node_trust = (struct connect_trust){ .stored = &a->node };
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
        struct host_certificates certs;

        must(err);
        must(host_certificates_of(&certs, ((const Cteleport__V1__HostCertsResponse *)(const void *)answer)->certificates));
        must(host_identity_make(&c->agent->node, &c->agent->fleet->load.keys, &certs, (struct host_expectation){ .role = STR("Node") }));
        loop_defer(&c->agent->fleet->load.loop, certify_end, c);
}

static void on_certify_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct certify *c = ctx;
        struct load *load = &c->agent->fleet->load;
        Cteleport__V1__HostCertsRequest request = CTELEPORT__V1__HOST_CERTS_REQUEST__INIT;

        must(err);
        request.role = (char[]){ "Node" };
        request.public_tls_key = (ProtobufCBinaryData){ load->tls_public.len, (uint8_t *)load->tls_public.ptr };
        request.public_ssh_key = (ProtobufCBinaryData){ load->ssh_public.len, (uint8_t *)load->ssh_public.ptr };
        c->client = rpc_client_new(&load->loop, tls, "auth", on_client_closed, c);
        rpc_client_unary(c->client,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.HostService/GenerateHostCerts",
                                                           .response = &cteleport__v1__host_certs_response__descriptor,
                                                           .within = MILLISECONDS(TIMEOUT_RPC) },
                         &request.base, on_node_certs, c);
}

static void certify_next(struct fleet *f)
{
        if (f->begun == f->count)
                return;
        struct certify *c = NEW(struct certify);
        c->agent = &f->agents[f->begun++];
        (void)!connect_start(&f->load.loop, &f->member, &c->agent->instance_trust, on_certify_connected, c);
}

static void fleet_join(struct fleet *f)
{
        load_join(&f->load, AT_ONCE, f->count);
        must(connect_way_of_member(str_of(f->load.proxy), STR(""), &f->member));
        must(connect_way_of_tunnel(str_of(f->load.proxy), &f->tunnel));
        for (size_t n = 0; n < AT_ONCE; n++)
                certify_next(f);
        loop_run(&f->load.loop);
        f->complete = 0;
}

/* All of them dial within a few seconds, as after a restart; returns when each has both. */
static double fleet_connect(struct fleet *f)
{
        struct instant begun = loop_now(&f->load.loop);
        for (size_t n = 0; n < f->count; n++) {
                struct duration when = MILLISECONDS((int64_t)(n % 8000));
                timer_start(f->agents[n].again_presence, when);
                timer_start(f->agents[n].again_tunnel, when);
        }
        loop_run(&f->load.loop);
        return seconds_since(begun);
}

static void fleet_release(struct fleet *f)
{
        f->is_ending = true;
        if (f->dialling > 0)
                loop_run(&f->load.loop); /* pending polls */
        for (size_t n = 0; n < f->count; n++) {
                struct agent *a = &f->agents[n];
                presence_close(a->presence);
                rpc_client_close(a->client);
                tunnel_server_close(a->tunnel);
                timer_free(a->again_presence);
                timer_free(a->again_tunnel);
                host_identity_release(&a->instance);
                host_identity_release(&a->node);
        }
        timer_free(f->watch);
        load_release(&f->load);
        free(f->agents);
        free(f);
}

/* ---- the measurement --------------------------------------------------------------------------------------------------------- */

struct report {
        size_t agents;
        double auth_kib, proxy_kib;           /* each agent: tunnel, presence, and memory that its join left allocated */
        double auth_percent, proxy_percent;   /* of one CPU, all agents idle with heartbeats or polls */
        double streams;                        /* a second */
        double connect_seconds, back_seconds; /* all at once; after the proxy died */
};

static pid_t pid_of(struct program *p, const char *name)
{
        program_find_processes(p);
        for (size_t i = 0; i < p->process_count; i++)
                if (strcmp(p->processes[i].name, name) == 0)
                        return p->processes[i].pid;
        bug("there is no process '%s'", name);
}

static void on_watched(void *ctx)
{
        struct fleet *f = ctx;
        loop_stop(&f->load.loop);
}

/* A minute with heartbeats and polls only. */
static void measure_idle(struct fleet *f, struct program *cluster, struct report *r)
{
        pid_t auth = pid_of(cluster, "auth"), proxy = pid_of(cluster, "proxy");
        double auth_before = process_cpu_seconds(auth), proxy_before = process_cpu_seconds(proxy);
        struct instant begun = loop_now(&f->load.loop);
        size_t streams_before = f->streams;

        f->watch = timer_new(&f->load.loop, on_watched, f);
        timer_start(f->watch, SECONDS(WATCH_SECONDS));
        loop_run(&f->load.loop);
        double seconds = seconds_since(begun);
        if (f->complete != f->count)
                bug("%zu of %zu agents were lost while idle", f->count - f->complete, f->count);
        r->streams = (double)(f->streams - streams_before) / seconds;
        r->auth_percent = 100 * (process_cpu_seconds(auth) - auth_before) / seconds;
        r->proxy_percent = 100 * (process_cpu_seconds(proxy) - proxy_before) / seconds;
}

static void measure_restart(struct fleet *f, struct program *cluster, struct report *r)
{
        struct instant begun = loop_now(&f->load.loop);
        if (kill(pid_of(cluster, "proxy"), SIGKILL) != 0)
                bug("the proxy cannot be killed");
        loop_run(&f->load.loop); /* until the last of them has both again */
        r->back_seconds = seconds_since(begun);
}

static void measure(struct program *cluster, const char *proxy_addr, struct report *r)
{
        struct fleet *f = NEW(struct fleet);

        f->count = r->agents;
        f->last_dial = &f->dials;
        f->agents = mem_alloc(f->count * sizeof *f->agents);
        memset(f->agents, 0, f->count * sizeof *f->agents);
        load_init(&f->load, proxy_addr, "bench");
        f->load.on_joined = on_joined;
        f->load.ctx = f;
        double auth = process_pss_kib(pid_of(cluster, "auth")), proxy = process_pss_kib(pid_of(cluster, "proxy"));
        fleet_join(f);
        r->connect_seconds = fleet_connect(f);
        measure_idle(f, cluster, r);
        r->auth_kib = (process_pss_kib(pid_of(cluster, "auth")) - auth) / (double)f->count;
        r->proxy_kib = (process_pss_kib(pid_of(cluster, "proxy")) - proxy) / (double)f->count;
        measure_restart(f, cluster, r);
        fleet_release(f);
}

static void print_json(const struct report *r)
{
        printf("{\"bench\":\"tunnels\",\"agents\":%zu,\"agent_kib\":{\"auth\":%.1f,\"proxy\":%.1f},\"idle_cpu_percent\":{\"auth\":%.2f,\"proxy\":%.2f},"
               "\"polls_per_second\":%.1f,\"connect_seconds\":%.1f,\"back_seconds\":%.1f}\n",
               r->agents, r->auth_kib, r->proxy_kib, r->auth_percent, r->proxy_percent, r->streams, r->connect_seconds, r->back_seconds);
}

static void print_table(const struct report *r)
{
        printf("%zu agents, each with a tunnel and its presence\n", r->agents);
        printf("    %-40s %8.1f KiB in auth, %.1f in the proxy\n", "memory of each", r->auth_kib, r->proxy_kib);
        printf("    %-40s %8.2f %% of a CPU in auth, %.2f in the proxy\n", "all of them idle, with heartbeats", r->auth_percent, r->proxy_percent);
        printf("    %-40s %8.1f a second\n", "polls of agents without a stream", r->streams);
        printf("    %-40s %8.1f s\n", "until all were connected", r->connect_seconds);
        printf("    %-40s %8.1f s\n", "until all were back after the proxy died", r->back_seconds);
}

int main(int argc, char **argv)
{
        bool as_json = argc > 1 && strcmp(argv[1], "--json") == 0;
        const char *const *words = (const char *const *)argv + 1 + as_json;
        int count = argc - 1 - as_json;
        struct report r = { .agents = AGENTS_DEFAULT };
        struct rlimit files;
        struct bench_cluster cluster;
        int64_t agents = AGENTS_DEFAULT;

        if (count != 2 && count != 3) {
                fprintf(stderr, "usage: bench_tunnels [--json] TELEPORT TCTL [AGENTS]\n");
                return 1;
        }
        if (count == 3)
                must(parse_int(str_of(words[2]), 1, 12000, "AGENTS", &agents));
        r.agents = (size_t)agents;
        if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max < r.agents * 3 / 2)
                bug("%zu agents need more descriptors than the system lets a process have", r.agents);
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0)
                bug("the limit of descriptors cannot be raised");
        bench_cluster_open(&cluster, words[0], words[1]);
        measure(&cluster.program, cluster.proxy, &r);
        bench_cluster_stop(&cluster);
        bench_cluster_close(&cluster);
        if (as_json)
                print_json(&r);
        else
                print_table(&r);
        return 0;
}
