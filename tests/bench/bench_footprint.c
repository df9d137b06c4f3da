/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the memory of an idle agent, on its own machine and in the cluster that it is connected to. Must run as root (memory.h).
 *
 *      bench_footprint [--json] TELEPORT TCTL
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "load.h"
#include "figures.h"
#include "cluster/connect.h"
#include "instance/presence.h"
#include "memory.h"
#include "program.h"
#include "rpc/rpc.h"

enum { AGENTS = 300, AT_ONCE = 16, AT_REST_SECONDS = 5 };

/* ---- agents that are connected and idle ------------------------------------------------------------------------ */

struct idler {
        struct fleet *fleet;
        struct host_identity identity;
        struct connect_trust trust;
        struct rpc_client *client;
        struct presence *presence;
};

struct fleet {
        struct load load;
        struct connect_way way;
        struct idler idlers[AGENTS];
        size_t joined, begun, present;
};

static void on_joined(void *ctx, const Teleport__Join__V1__HostResult *result)
{
        struct fleet *f = ctx;
        struct idler *i = &f->idlers[f->joined++];

        load_take_identity(&f->load, result, &i->identity);
        i->trust = (struct connect_trust){ .stored = &i->identity };
        i->fleet = f;
}

static void connect_next(struct fleet *f);

static void on_welcome(void *ctx, struct str cluster, const struct duration *skew)
{
        struct fleet *f = ((struct idler *)ctx)->fleet;

        (void)cluster;
        (void)skew;
        f->present++;
        if (f->present == AGENTS)
                loop_stop(&f->load.loop);
        else
                connect_next(f);
}

static void on_notice(void *ctx, struct str kind, struct str text)
{
        (void)ctx;
        bug("the cluster has a notice: %.*s: %.*s", STR_ARG(kind), STR_ARG(text));
}

static void on_proxies(void *ctx, const Cteleport__V1__PresenceDown__Proxies *proxies)
{
        (void)ctx; /* the memory of tunnels is measured by bench_tunnels */
        (void)proxies;
}

static void on_end(void *ctx, struct error *err)
{
        (void)ctx;
        must(err);
}

static const struct presence_events presence_events = { .on_welcome = on_welcome, .on_notice = on_notice, .on_proxies = on_proxies,
                                                       .on_end = on_end };

static void on_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct idler *i = ctx;
        Cteleport__V1__PresenceUp__Hello hello = CTELEPORT__V1__PRESENCE_UP__HELLO__INIT;
        AUTO_MEM char *nonce = mem_printf("%td", i - i->fleet->idlers);
        char *services[] = { "Node" };

        must(err);
        hello.hostname = hello.process_nonce = nonce;
        hello.version = (char[]){ CTELEPORT_VERSION };
        hello.services = services;
        hello.n_services = ARRAY_LEN(services);
        i->client = rpc_client_new(&i->fleet->load.loop, tls, "auth", on_end, i);
        i->presence = presence_open(&i->fleet->load.loop, i->client, &hello, &presence_events, i);
}

static void connect_next(struct fleet *f)
{
        if (f->begun == AGENTS)
                return;
        struct idler *i = &f->idlers[f->begun++];
        (void)!connect_start(&f->load.loop, &f->way, &i->trust, on_connected, i);
}

static void fleet_connect(struct fleet *f)
{
        must(connect_way_of_member(str_of(f->load.proxy), STR(""), &f->way));
        for (int n = 0; n < AT_ONCE; n++)
                connect_next(f);
        loop_run(&f->load.loop);
}

static void fleet_release(struct fleet *f)
{
        for (size_t n = 0; n < AGENTS; n++) {
                presence_close(f->idlers[n].presence);
                rpc_client_close(f->idlers[n].client);
                host_identity_release(&f->idlers[n].identity);
        }
        load_release(&f->load);
        free(f);
}

/* ---- the measurement --------------------------------------------------------------------------------------------- */

struct parts {
        struct program_process processes[PROGRAM_PROCESSES_MAX];
        double kib[PROGRAM_PROCESSES_MAX];
        size_t count;
        double sum;
        double c_library; /* of parts_alone() */
};

struct report {
        struct parts agent, alone, cluster; /* alone: the memory of the agent when no other program shares its libraries */
        double auth_kib, proxy_kib;         /* for each connected idle agent, including memory that its join left allocated */
        double binary_kib;
};

static double pss_of(const struct program *p, const char *name)
{
        for (size_t i = 0; i < p->process_count; i++)
                if (strcmp(p->processes[i].name, name) == 0)
                        return process_pss_kib(p->processes[i].pid);
        bug("there is no process '%s'", name);
}

static struct parts parts_of(struct program *p)
{
        struct parts parts = { 0 };

        program_find_processes(p);
        for (; parts.count < p->process_count; parts.count++) {
                parts.processes[parts.count] = p->processes[parts.count];
                parts.kib[parts.count] = process_pss_kib(p->processes[parts.count].pid);
                parts.sum += parts.kib[parts.count];
        }
        return parts;
}

static struct parts parts_alone(struct program *p)
{
        struct parts parts = { 0 };
        pid_t pids[PROGRAM_PROCESSES_MAX];

        program_find_processes(p);
        for (; parts.count < p->process_count; parts.count++) {
                parts.processes[parts.count] = p->processes[parts.count];
                pids[parts.count] = p->processes[parts.count].pid;
        }
        struct memory memory = { .kib = parts.kib };
        memory_measure(pids, parts.count, &memory);
        parts.c_library = memory.c_library_kib;
        for (size_t i = 0; i < parts.count; i++)
                parts.sum += parts.kib[i];
        return parts;
}

/* An agent returns unused memory some seconds after its last connection: it is at rest when its memory has not become less for AT_REST_SECONDS. */
static struct parts parts_at_rest(struct program *p)
{
        struct parts best = parts_alone(p);

        for (int seconds = 0; seconds < AT_REST_SECONDS; seconds++) {
                sleep(1);
                struct parts now = parts_alone(p);

                if (now.sum < best.sum) {
                        best = now;
                        seconds = -1;
                }
        }
        return best;
}

static void measure_fleet(const struct program *cluster, const char *proxy, struct report *r)
{
        struct fleet *f = NEW(struct fleet);

        load_init(&f->load, proxy, "bench");
        f->load.on_joined = on_joined;
        f->load.ctx = f;
        double auth = pss_of(cluster, "auth"), proxies = pss_of(cluster, "proxy");
        load_join(&f->load, AT_ONCE, AGENTS);
        fleet_connect(f);
        r->auth_kib = (pss_of(cluster, "auth") - auth) / AGENTS;
        r->proxy_kib = (pss_of(cluster, "proxy") - proxies) / AGENTS;
        fleet_release(f);
}

static void measure_stripped(const char *teleport, const char *dir, struct report *r)
{
        AUTO_MEM char *path = mem_printf("%s/stripped", dir);
        struct stat st;

        run((const char *[]){ "strip", "-o", path, teleport, NULL });
        if (stat(path, &st) != 0)
                bug("'%s' is not there", path);
        r->binary_kib = (double)st.st_size / 1024;
}

/* ---- the report ------------------------------------------------------------------------------------------------------ */

static void print_json_parts(const char *name, const struct parts *p)
{
        printf("\"%s\":{\"sum\":%.0f", name, p->sum);
        for (size_t i = 0; i < p->count; i++)
                printf(",\"%s\":%.0f", p->processes[i].name, p->kib[i]);
        printf("},");
}

static void print_json(const struct report *r)
{
        printf("{\"bench\":\"footprint\",");
        print_json_parts("agent_kib", &r->agent);
        print_json_parts("agent_alone_kib", &r->alone);
        print_json_parts("cluster_kib", &r->cluster);
        printf("\"agent_c_library_kib\":%.0f,", r->alone.c_library);
        printf("\"binary_kib\":%.0f,\"agents\":%d,\"connected_agent_kib\":{\"auth\":%.1f,\"proxy\":%.1f}}\n", r->binary_kib, AGENTS,
               r->auth_kib, r->proxy_kib);
}

static void print_parts(const char *title, const struct parts *p)
{
        printf("%-36s %8.0f KiB\n", title, p->sum);
        for (size_t i = 0; i < p->count; i++)
                printf("    %-32s %8.0f KiB\n", p->processes[i].name, p->kib[i]);
}

static void print_table(const struct report *r)
{
        print_parts("an agent at rest", &r->alone);
        printf("    %-32s %8.0f KiB\n", "of these, the C library's", r->alone.c_library);
        print_parts("the same, shared with other programs", &r->agent);
        print_parts("the cluster", &r->cluster);
        printf("%-36s %8.1f KiB in auth, %.1f in the proxy\n", "a connected idle agent", r->auth_kib, r->proxy_kib);
        printf("%-36s %8.0f KiB\n", "the program, stripped", r->binary_kib);
}

int main(int argc, char **argv)
{
        bool as_json = argc > 1 && strcmp(argv[1], "--json") == 0;
        struct bench_cluster cluster;
        struct program agent;
        struct report r = { 0 };

        if (argc != 3 + as_json) {
                fprintf(stderr, "usage: bench_footprint [--json] TELEPORT TCTL\n");
                return 1;
        }
        const char *teleport = argv[1 + as_json];
        bench_cluster_open(&cluster, teleport, argv[2 + as_json]);
        measure_stripped(teleport, cluster.dir, &r);
        r.cluster = parts_of(&cluster.program);

        agent_prepare(&agent, teleport, cluster.dir, "agent", cluster.proxy);
        program_start(&agent);
        free(program_await(&agent, "This host is present in the cluster"));
        r.agent = parts_of(&agent);
        measure_fleet(&cluster.program, cluster.proxy, &r);
        r.alone = parts_at_rest(&agent);
        program_stop(&agent);
        bench_cluster_stop(&cluster);

        program_release(&agent);
        bench_cluster_close(&cluster);
        if (as_json)
                print_json(&r);
        else
                print_table(&r);
        return 0;
}
