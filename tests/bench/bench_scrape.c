/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures a scrape of /metrics of a cluster with ten thousand agents (fleet.h): the CPU time that it takes of the processes that
 * have a part in it, its size, and its time. The supervisor measures the processes every few seconds, whether there are scrapes or
 * not: its CPU time is that of a minute.
 *
 *     bench_scrape [--json] TELEPORT TCTL [AGENTS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "fleet.h"
#include "net/socket.h"
#include "program.h"

enum { AGENTS_DEFAULT = 10000, AT_ONCE = 32, SPREAD = 8000 /* ms */, SCRAPES = 2000, WATCH_SECONDS = 60 };

struct report {
        size_t agents, bytes, series;
        double diag_ms;            /* CPU time of each scrape */
        double ms;                 /* until it was read */
        double supervisor_percent; /* of one CPU, without scrapes */
};

/* ---- one scrape ------------------------------------------------------------------------------------------------------------- */

struct scrape {
        struct loop *loop;
        struct stream *stream;
        struct buf text;
};

static void on_read(void *ctx, struct str bytes)
{
        buf_put(&((struct scrape *)ctx)->text, bytes);
}

static void on_end(void *ctx, struct error *err)
{
        struct scrape *s = ctx;

        must(err);
        stream_close(s->stream);
        loop_stop(s->loop);
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void on_connected(void *ctx, int fd, struct error *err)
{
        struct scrape *s = ctx;

        must(err);
        s->stream = socket_stream(s->loop, fd);
        stream_listen(s->stream, &events, s);
        stream_read(s->stream, true);
        stream_write(s->stream, STR("GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"));
}

static void scrape(struct loop *l, const char *address, struct report *r)
{
        struct scrape s = { .loop = l, .text = BUF_MAX(1 * MiB) };
        struct dial *dial = dial_start(l, str_of(address), SECONDS(10), on_connected, &s);

        (void)dial;
        loop_run(l);
        const char *body = strstr(buf_c(&s.text), "\r\n\r\n");
        if (body == NULL || strstr(body, "teleport_reverse_tunnels_connected") == NULL)
                bug("the answer has no metrics");
        r->bytes = strlen(body + 4);
        r->series = 0;
        for (const char *line = body + 4; *line != '\0'; line = strchr(line, '\n') + 1)
                r->series += *line != '#';
        buf_release(&s.text);
}

/* ---- the measurement ---------------------------------------------------------------------------------------------------------- */

static void measure(struct bench_cluster *cluster, const char *address, struct report *r)
{
        struct fleet *f = fleet_new(&(struct fleet_options){ .proxy = cluster->proxy, .token = "bench", .agents = r->agents, .at_once = AT_ONCE });
        pid_t diag = program_pid(&cluster->program, "diag"), supervisor = program_pid(&cluster->program, "supervisor");

        fleet_connect(f, cluster->proxy, true, MILLISECONDS(SPREAD));
        double before = process_cpu_seconds(supervisor);
        fleet_idle(f, SECONDS(WATCH_SECONDS));
        r->supervisor_percent = 100 * (process_cpu_seconds(supervisor) - before) / WATCH_SECONDS;
        struct loop l;
        must(loop_init(&l, NULL));
        struct instant begun = loop_now(&l);
        before = process_cpu_seconds(diag);
        for (size_t i = 0; i < SCRAPES; i++)
                scrape(&l, address, r);
        r->ms = 1000 * seconds_since(begun) / SCRAPES;
        r->diag_ms = 1000 * (process_cpu_seconds(diag) - before) / SCRAPES;
        loop_release(&l);
        fleet_idle(f, SECONDS(1)); /* nothing was lost meanwhile */
        fleet_free(f);
}

int main(int argc, char **argv)
{
        struct agents_arguments given = agents_arguments(argc, argv, "bench_scrape", AGENTS_DEFAULT);
        struct report r = { .agents = given.agents };
        struct bench_cluster cluster;

        bench_cluster_open_with(&cluster, given.teleport, given.tctl, "  diag_addr: 127.0.0.1:0\n");
        AUTO_MEM char *address = program_await(&cluster.program, "Diagnostic service listening addr:");
        measure(&cluster, address, &r);
        bench_cluster_stop(&cluster);
        bench_cluster_close(&cluster);
        if (given.as_json)
                printf("{\"bench\":\"scrape\",\"agents\":%zu,\"cpu_ms\":%.3f,\"ms\":%.3f,\"bytes\":%zu,\"series\":%zu,\"supervisor_percent\":%.3f}\n", r.agents,
                       r.diag_ms, r.ms, r.bytes, r.series, r.supervisor_percent);
        else
                printf("%zu agents, each with a tunnel and its presence\n"
                       "    CPU time of a scrape                     %8.3f ms\n"
                       "    time of a scrape                         %8.3f ms\n"
                       "    its size                                 %8zu bytes, %zu series\n"
                       "    CPU time of the supervisor               %8.3f %% of a CPU\n",
                       r.agents, r.diag_ms, r.ms, r.bytes, r.series, r.supervisor_percent);
        return 0;
}
