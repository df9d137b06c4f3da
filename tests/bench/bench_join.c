/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the cost of a join: agents join through the proxy, each on a connection of its own, at a cluster that
 * uses a stand-in for STS. The crypto floor is measured in the same run. The measurement is repeated with a
 * large cluster's state in the store. The disk space that joins take on the auth machine is measured per file.
 *
 *      bench_join [--json] TELEPORT TCTL [JOINS]
 *      bench_join --disk JOINS TELEPORT TCTL   only the disk space of this number of joins; compression and freed space
 *                                              need a large number to be visible
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "load.h"
#include "figures.h"
#include "fill.h"
#include "floor.h"
#include "program.h"

enum {
        LOAD = 32, /* agents that join at once */
        WARM_UP = 200,
        JOINS = 2000, /* unless the command line names a number */
        MANY_HOSTS = 100000,
        MANY_TOKENS = 1000,
};

/* ---- the measurement ------------------------------------------------------------------------------------------- */

/* Measured processes: the services of the ratio, then the STS client. */
static const char *const counted[] = { "proxy", "auth", "signer", "sts" };
enum { COUNTED_STS = ARRAY_LEN(counted) - 1 };

struct figures {
        double per_second, p50_ms, p99_ms;
        double cpu_ms[ARRAY_LEN(counted)]; /* of one join */
        struct crypto_floor floor;
};

static void read_cpu(const struct program *cluster, double seconds[ARRAY_LEN(counted)])
{
        for (size_t i = 0; i < ARRAY_LEN(counted); i++) {
                seconds[i] = -1;
                for (size_t k = 0; k < cluster->process_count; k++)
                        if (strcmp(cluster->processes[k].name, counted[i]) == 0)
                                seconds[i] = process_cpu_seconds(cluster->processes[k].pid);
                if (seconds[i] < 0)
                        bug("there is no process '%s'", counted[i]);
        }
}

static struct figures measure(const struct program *cluster, const char *proxy, size_t joins)
{
        struct load load;
        struct figures f;
        double before[ARRAY_LEN(counted)], after[ARRAY_LEN(counted)];

        load_init(&load, proxy, "bench");
        load_join(&load, LOAD, WARM_UP);
        sample_release(&load.latency_ms);
        crypto_floor_start();
        read_cpu(cluster, before);
        struct instant start = clock_now(clock_system());
        load_join(&load, LOAD, joins);
        f.per_second = (double)joins / seconds_since(start);
        read_cpu(cluster, after);
        f.floor = crypto_floor_stop();
        for (size_t i = 0; i < ARRAY_LEN(counted); i++)
                f.cpu_ms[i] = (after[i] - before[i]) * 1e3 / (double)joins;
        f.p50_ms = sample_quantile(&load.latency_ms, 0.5);
        f.p99_ms = sample_quantile(&load.latency_ms, 0.99);
        load_release(&load);
        return f;
}

/* ---- the disk --------------------------------------------------------------------------------------------------- */

/* Measured files below data_dir, by the beginning of their path. */
static const char *const disk_parts[] = { "ca/", "log/events.log", "backend/" };

static double bytes_below(const char *dir, const char *prefix)
{
        AUTO_MEM char *path = mem_printf("%s/%s", dir, prefix);
        AUTO_MEM char *pattern = mem_printf("%s*", path);
        glob_t found = { 0 };
        double sum = 0;

        if (glob(pattern, 0, NULL, &found) == 0)
                for (size_t i = 0; i < found.gl_pathc; i++) {
                        struct stat st;

                        if (lstat(found.gl_pathv[i], &st) == 0 && S_ISREG(st.st_mode))
                                sum += (double)st.st_size;
                }
        globfree(&found);
        return sum;
}

static void read_disk(const struct program *cluster, double bytes[ARRAY_LEN(disk_parts)])
{
        AUTO_MEM char *data_dir = mem_printf("%s/data", cluster->dir);

        for (size_t i = 0; i < ARRAY_LEN(disk_parts); i++)
                bytes[i] = bytes_below(data_dir, disk_parts[i]);
}

/* ---- the report --------------------------------------------------------------------------------------------------- */

static double sum_of(const struct figures *f, bool with_sts)
{
        double sum = 0;

        for (size_t i = 0; i < (with_sts ? ARRAY_LEN(counted) : (size_t)COUNTED_STS); i++)
                sum += f->cpu_ms[i];
        return sum;
}

static double ratio_of(const struct figures *f)
{
        return crypto_floor_sum(&f->floor) * 1e3 / sum_of(f, false);
}

static void print_json_figures(const char *name, const struct figures *f)
{
        printf("\"%s\":{\"joins_per_second\":%.0f,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"cpu_ms\":{", name, f->per_second, f->p50_ms, f->p99_ms);
        for (size_t i = 0; i < ARRAY_LEN(counted); i++)
                printf("%s\"%s\":%.3f", i == 0 ? "" : ",", counted[i], f->cpu_ms[i]);
        printf("},\"floor_ms\":{\"handshake\":%.3f,\"x509\":%.3f,\"ssh\":%.3f}", f->floor.handshake * 1e3, f->floor.x509 * 1e3,
               f->floor.ssh * 1e3);
        printf(",\"joins_per_cpu_second\":%.0f,\"joins_per_cpu_second_with_sts\":%.0f,\"ratio_to_floor\":%.3f}", 1e3 / sum_of(f, false),
               1e3 / sum_of(f, true), ratio_of(f));
}

static void print_json(const struct figures *empty, const struct figures *full, const double disk[ARRAY_LEN(disk_parts)], size_t joins)
{
        printf("{\"bench\":\"join\",\"agents\":%d,\"joins\":%zu,\"hosts\":%d,\"tokens\":%d,", LOAD, joins, MANY_HOSTS, MANY_TOKENS);
        print_json_figures("empty", empty);
        printf(",");
        print_json_figures("full", full);
        printf(",\"disk_bytes_per_join\":{");
        for (size_t i = 0; i < ARRAY_LEN(disk_parts); i++)
                printf("%s\"%s\":%.0f", i == 0 ? "" : ",", disk_parts[i], disk[i]);
        printf("}}\n");
}

static void print_row(const char *what, const char *unit, double empty, double full)
{
        printf("%-28s %10.3f %10.3f  %s\n", what, empty, full, unit);
}

static void print_table(const struct figures *empty, const struct figures *full, const double disk[ARRAY_LEN(disk_parts)])
{
        printf("%-28s %10s %10s\n", "hosts in the store", "none", "100,000");
        print_row("joins", "1/s", empty->per_second, full->per_second);
        print_row("a join, median", "ms", empty->p50_ms, full->p50_ms);
        print_row("a join, 99 %", "ms", empty->p99_ms, full->p99_ms);
        for (size_t i = 0; i < ARRAY_LEN(counted); i++)
                print_row(counted[i], "ms of CPU per join", empty->cpu_ms[i], full->cpu_ms[i]);
        print_row("proxy + auth + signer", "ms of CPU per join", sum_of(empty, false), sum_of(full, false));
        print_row("the same with sts", "ms of CPU per join", sum_of(empty, true), sum_of(full, true));
        print_row("joins per CPU-second", "1/s", 1e3 / sum_of(empty, false), 1e3 / sum_of(full, false));
        print_row("crypto floor", "ms of CPU", crypto_floor_sum(&empty->floor) * 1e3, crypto_floor_sum(&full->floor) * 1e3);
        print_row("share of the floor", "", ratio_of(empty), ratio_of(full));
        for (size_t i = 0; i < ARRAY_LEN(disk_parts); i++)
                printf("%-28s %10.0f %10s  bytes on the disk per join\n", disk_parts[i], disk[i], "");
}

static int print_disk(int joins, const char *teleport, const char *tctl)
{
        double before[ARRAY_LEN(disk_parts)], after[ARRAY_LEN(disk_parts)], sum = 0;
        struct bench_cluster cluster;
        struct load load;

        bench_cluster_open(&cluster, teleport, tctl);
        bench_cluster_stop(&cluster);
        read_disk(&cluster.program, before);
        bench_cluster_start_again(&cluster);
        load_init(&load, cluster.proxy, "bench");
        load_join(&load, LOAD, (size_t)joins);
        load_release(&load);
        bench_cluster_stop(&cluster);
        read_disk(&cluster.program, after);
        bench_cluster_close(&cluster);
        for (size_t i = 0; i < ARRAY_LEN(disk_parts); i++) {
                printf("%-16s %10.0f KiB %10.0f bytes per join\n", disk_parts[i], (after[i] - before[i]) / KiB, (after[i] - before[i]) / joins);
                sum += after[i] - before[i];
        }
        printf("%-16s %10.0f KiB %10.0f bytes per join\n", "all", sum / KiB, sum / joins);
        return 0;
}

int main(int argc, char **argv)
{
        bool as_json = argc > 1 && strcmp(argv[1], "--json") == 0;
        double disk_before[ARRAY_LEN(disk_parts)], disk[ARRAY_LEN(disk_parts)];
        struct bench_cluster cluster;

        if (argc == 5 && strcmp(argv[1], "--disk") == 0 && atoi(argv[2]) > 0)
                return print_disk(atoi(argv[2]), argv[3], argv[4]);
        size_t joins = argc > 3 + as_json ? (size_t)atoi(argv[3 + as_json]) : JOINS;
        if (argc < 3 + as_json || argc > 4 + as_json || joins == 0) {
                fprintf(stderr, "usage: bench_join [--json] TELEPORT TCTL [JOINS]\n       bench_join --disk JOINS TELEPORT TCTL\n");
                return 1;
        }
        bench_cluster_open(&cluster, argv[1 + as_json], argv[2 + as_json]);
        bench_cluster_stop(&cluster);
        read_disk(&cluster.program, disk_before);
        bench_cluster_start_again(&cluster);
        struct figures empty = measure(&cluster.program, cluster.proxy, joins);
        bench_cluster_stop(&cluster);
        read_disk(&cluster.program, disk);
        for (size_t i = 0; i < ARRAY_LEN(disk_parts); i++)
                disk[i] = (disk[i] - disk_before[i]) / (double)(WARM_UP + joins);

        AUTO_MEM char *data_dir = mem_printf("%s/data", cluster.program.dir);
        fill_cluster(data_dir, MANY_HOSTS, MANY_TOKENS);
        bench_cluster_start_again(&cluster);
        struct figures full = measure(&cluster.program, cluster.proxy, joins);
        bench_cluster_stop(&cluster);

        bench_cluster_close(&cluster);
        if (as_json)
                print_json(&empty, &full, disk, joins);
        else
                print_table(&empty, &full, disk);
        return 0;
}
