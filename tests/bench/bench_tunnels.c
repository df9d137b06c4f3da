/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures a cluster with ten thousand agents (fleet.h): each has its presence at the Auth Service, through the proxy, and its
 * reverse tunnel. Results: memory of proxy and auth, CPU time of the heartbeats, and the time until all agents are connected again after
 * the proxy died.
 *
 *     bench_tunnels [--json] TELEPORT TCTL [AGENTS]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/text.h"
#include "fleet.h"
#include "program.h"

enum { AGENTS_DEFAULT = 10000, AT_ONCE = 32, WATCH_SECONDS = 60, SPREAD = 8000 /* ms */ };

/* ---- the measurement --------------------------------------------------------------------------------------------------------- */

struct report {
        size_t agents;
        double auth_kib, proxy_kib;           /* each agent: tunnel, presence, and memory that its join left allocated */
        double auth_percent, proxy_percent;   /* of one CPU, all agents idle with heartbeats or polls */
        double polls;                         /* a second */
        double connect_seconds, back_seconds; /* all at once; after the proxy died */
};

/* A minute with heartbeats and polls only. */
static void measure_idle(struct fleet *f, struct program *cluster, struct report *r)
{
        pid_t auth = program_pid(cluster, "auth"), proxy = program_pid(cluster, "proxy");
        double auth_before = process_cpu_seconds(auth), proxy_before = process_cpu_seconds(proxy);
        struct instant begun = loop_now(&f->load.loop);
        size_t polls_before = f->polls;

        fleet_idle(f, SECONDS(WATCH_SECONDS));
        double seconds = seconds_since(begun);
        r->polls = (double)(f->polls - polls_before) / seconds;
        r->auth_percent = 100 * (process_cpu_seconds(auth) - auth_before) / seconds;
        r->proxy_percent = 100 * (process_cpu_seconds(proxy) - proxy_before) / seconds;
}

static void measure_restart(struct fleet *f, struct program *cluster, struct report *r)
{
        struct instant begun = loop_now(&f->load.loop);
        if (kill(program_pid(cluster, "proxy"), SIGKILL) != 0)
                bug("the proxy cannot be killed");
        loop_run(&f->load.loop); /* until the last of them has both again */
        r->back_seconds = seconds_since(begun);
}

static void measure(struct program *cluster, const char *proxy_addr, struct report *r)
{
        double auth = process_pss_kib(program_pid(cluster, "auth")), proxy = process_pss_kib(program_pid(cluster, "proxy"));
        struct fleet *f = fleet_new(&(struct fleet_options){ .proxy = proxy_addr, .token = "bench", .agents = r->agents, .at_once = AT_ONCE });

        r->connect_seconds = fleet_connect(f, proxy_addr, true, MILLISECONDS(SPREAD));
        measure_idle(f, cluster, r);
        r->auth_kib = (process_pss_kib(program_pid(cluster, "auth")) - auth) / (double)f->count;
        r->proxy_kib = (process_pss_kib(program_pid(cluster, "proxy")) - proxy) / (double)f->count;
        measure_restart(f, cluster, r);
        fleet_free(f);
}

static void print_json(const struct report *r)
{
        printf("{\"bench\":\"tunnels\",\"agents\":%zu,\"agent_kib\":{\"auth\":%.1f,\"proxy\":%.1f},\"idle_cpu_percent\":{\"auth\":%.2f,\"proxy\":%.2f},"
               "\"polls_per_second\":%.1f,\"connect_seconds\":%.1f,\"back_seconds\":%.1f}\n",
               r->agents, r->auth_kib, r->proxy_kib, r->auth_percent, r->proxy_percent, r->polls, r->connect_seconds, r->back_seconds);
}

static void print_table(const struct report *r)
{
        printf("%zu agents, each with a tunnel and its presence\n", r->agents);
        printf("    %-40s %8.1f KiB in auth, %.1f in the proxy\n", "memory of each", r->auth_kib, r->proxy_kib);
        printf("    %-40s %8.2f %% of a CPU in auth, %.2f in the proxy\n", "all of them idle, with heartbeats", r->auth_percent, r->proxy_percent);
        printf("    %-40s %8.1f a second\n", "polls of agents without a stream", r->polls);
        printf("    %-40s %8.1f s\n", "until all were connected", r->connect_seconds);
        printf("    %-40s %8.1f s\n", "until all were back after the proxy died", r->back_seconds);
}

int main(int argc, char **argv)
{
        struct agents_arguments given = agents_arguments(argc, argv, "bench_tunnels", AGENTS_DEFAULT);
        struct report r = { .agents = given.agents };
        struct bench_cluster cluster;

        bench_cluster_open(&cluster, given.teleport, given.tctl);
        measure(&cluster.program, cluster.proxy, &r);
        bench_cluster_stop(&cluster);
        bench_cluster_close(&cluster);
        if (given.as_json)
                print_json(&r);
        else
                print_table(&r);
        return 0;
}
