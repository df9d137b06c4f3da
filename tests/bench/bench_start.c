/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the time from `teleport start` to the presence in the cluster on a new machine: keys generated, AWS
 * identity proven, certificates obtained and stored, presence announced.
 *
 *      bench_start [--json] TELEPORT TCTL
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "figures.h"
#include "program.h"

enum { STARTS = 15 };

/* The log text that ends the measurement. */
#define PRESENT "This host is present in the cluster"

static double measure(const char *teleport, const char *dir, const char *proxy, int n)
{
        AUTO_MEM char *name = mem_printf("agent-%d", n);
        struct program agent;

        agent_prepare(&agent, teleport, dir, name, proxy);
        struct instant start = clock_now(clock_system());
        program_start(&agent);
        free(program_await(&agent, PRESENT));
        double took = seconds_since(start);
        program_stop(&agent);
        program_release(&agent);
        return took;
}

int main(int argc, char **argv)
{
        bool as_json = argc > 1 && strcmp(argv[1], "--json") == 0;
        struct bench_cluster cluster;
        struct sample ms = { 0 };

        if (argc != 3 + as_json) {
                fprintf(stderr, "usage: bench_start [--json] TELEPORT TCTL\n");
                return 1;
        }
        bench_cluster_open(&cluster, argv[1 + as_json], argv[2 + as_json]);
        for (int n = 0; n < STARTS; n++)
                sample_add(&ms, measure(argv[1 + as_json], cluster.dir, cluster.proxy, n) * 1e3);
        bench_cluster_stop(&cluster);
        bench_cluster_close(&cluster);

        double median = sample_quantile(&ms, 0.5), best = sample_quantile(&ms, 0), worst = sample_quantile(&ms, 1);
        if (as_json)
                printf("{\"bench\":\"start\",\"starts\":%d,\"median_ms\":%.1f,\"best_ms\":%.1f,\"worst_ms\":%.1f}\n", STARTS, median, best, worst);
        else
                printf("start to joined: median %.1f ms, best %.1f, worst %.1f, of %d\n", median, best, worst, STARTS);
        sample_release(&ms);
        return 0;
}
