/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For bench_proxy.py: the agents of a cluster with three proxies, reached directly and through a load balancer. Measures the memory of
 * idle tunnels, and what the death of one proxy means for agents and users. Prints one line of JSON.
 *
 *     proxy_fleet AGENTS JOIN DIRECT PROXY_PID BALANCED PROXY_PID BALANCER_PID ALL VICTIM_PID
 *
 *     JOIN      address of a proxy, to join
 *     DIRECT    address of another proxy, and its process
 *     BALANCED  address of the load balancer that leads to a third proxy, the process of that, and the load balancer's
 *     ALL       address of the load balancer that leads to all of them, and the proxy that is killed
 *
 * The profile of TELEPORT_HOME is that of a user who may reach all agents, by the address ALL.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "fleet.h"
#include "program.h"

enum { ARGUMENTS = 9, AGENTS_MAX = 1500, AT_ONCE = 32, SETTLE_SECONDS = 15, DIALS_AT_ONCE = 16, DIAL_AGAIN = 100 /* ms */, SPREAD = 4000 /* ms */ };

/* ---- the memory of idle tunnels -------------------------------------------------------------------------------------- */

static double connect_idle(struct fleet *f, const char *address, pid_t proxy)
{
        double before = process_pss_kib(proxy);

        fleet_connect(f, address, false, MILLISECONDS(SPREAD));
        fleet_idle(f, SECONDS(SETTLE_SECONDS));
        return (process_pss_kib(proxy) - before) / (double)f->count;
}

/* ---- failover ---------------------------------------------------------------------------------------------------------- */

/* A user's connection to an agent that has lost its tunnel or its presence: dialled until the agent receives it. */
struct watched {
        struct failover *failover;
        size_t agent;
        struct watched *next;
        bool is_affected, is_reached;
};

struct failover {
        struct fleet *fleet;
        struct profile profile;
        struct watched *agents, *waiting, **last_waiting;
        struct timer *again;
        size_t affected, reached, dialling;
        struct instant begun;
        struct sample tunnel_seconds, dial_seconds;
};

static void on_dialled(void *ctx, struct stream *s, struct error *err);

static void dial_next(struct failover *x)
{
        while (x->waiting != NULL && x->dialling < DIALS_AT_ONCE) {
                struct watched *w = x->waiting;
                char target[LIMIT_NAME];

                x->waiting = w->next;
                if (x->waiting == NULL)
                        x->last_waiting = &x->waiting;
                x->dialling++;
                snprintf(target, sizeof target, "%.*s", STR_ARG(fleet_host_id(x->fleet, w->agent)));
                (void)!client_dial_node(&x->fleet->load.loop, &x->profile, target, "root", on_dialled, w);
        }
}

static void queue(struct watched *w)
{
        struct failover *x = w->failover;

        w->next = NULL;
        *x->last_waiting = w;
        x->last_waiting = &w->next;
}

static void on_dialled(void *ctx, struct stream *s, struct error *err)
{
        struct watched *w = ctx;
        struct failover *x = w->failover;

        stream_close(s);
        error_free(err);
        x->dialling--;
        if (!w->is_reached) {
                queue(w);
                if (!timer_is_running(x->again))
                        timer_start(x->again, MILLISECONDS(DIAL_AGAIN));
                return;
        }
        dial_next(x);
        loop_stop(&x->fleet->load.loop);
}

static void on_again(void *ctx)
{
        dial_next(ctx);
}

static void on_change(void *ctx, size_t agent, enum fleet_part part, bool is_there)
{
        struct failover *x = ctx;
        struct watched *w = &x->agents[agent];

        if (is_there) {
                if (part == FLEET_TUNNEL)
                        sample_add(&x->tunnel_seconds, seconds_since(x->begun));
                return;
        }
        if (w->is_affected)
                return;
        w->is_affected = true;
        x->affected++;
        queue(w);
        dial_next(x);
}

static void on_request(void *ctx, size_t agent)
{
        struct failover *x = ctx;
        struct watched *w = &x->agents[agent];

        if (!w->is_affected || w->is_reached)
                return;
        w->is_reached = true;
        x->reached++;
        sample_add(&x->dial_seconds, seconds_since(x->begun));
}

static void measure_failover(struct failover *x, struct fleet *f, pid_t victim)
{
        *x = (struct failover){ .fleet = f, .agents = mem_resize(NULL, f->count, sizeof *x->agents) };
        x->last_waiting = &x->waiting;
        for (size_t n = 0; n < f->count; n++)
                x->agents[n] = (struct watched){ .failover = x, .agent = n };
        must(profile_load(&x->profile, NULL, NULL));
        x->again = timer_new(&f->load.loop, on_again, x);
        f->on_change = on_change;
        f->on_request = on_request;
        f->ctx = x;
        x->begun = loop_now(&f->load.loop);
        if (kill(victim, SIGKILL) != 0)
                bug("the proxy cannot be killed");
        while (x->affected == 0 || f->complete < f->count || x->reached < x->affected || x->dialling > 0)
                loop_run(&f->load.loop);
        f->on_change = NULL;
        f->on_request = NULL;
}

static void failover_release(struct failover *x)
{
        timer_free(x->again);
        profile_release(&x->profile);
        sample_release(&x->tunnel_seconds);
        sample_release(&x->dial_seconds);
        free(x->agents);
}

/* ---- the program --------------------------------------------------------------------------------------------------------- */

static pid_t pid_of(const char *word)
{
        int64_t pid;

        must(parse_int(str_of(word), 2, INT32_MAX, "PID", &pid));
        return (pid_t)pid;
}

static void print_quantiles(const char *name, struct sample *s)
{
        printf("\"%s\":{\"count\":%zu,\"median\":%.2f,\"p99\":%.2f,\"max\":%.2f}", name, s->count, sample_quantile(s, 0.5), sample_quantile(s, 0.99),
               sample_quantile(s, 1));
}

int main(int argc, char **argv)
{
        int64_t agents;
        struct failover x;

        if (argc != 1 + ARGUMENTS) {
                fprintf(stderr, "usage: proxy_fleet AGENTS JOIN DIRECT PROXY_PID BALANCED PROXY_PID BALANCER_PID ALL VICTIM_PID\n");
                return 1;
        }
        must(parse_int(str_of(argv[1]), 1, AGENTS_MAX, "AGENTS", &agents));
        pid_t balancer = pid_of(argv[7]);
        struct fleet *f = fleet_new(&(struct fleet_options){ .proxy = argv[2], .token = "bench", .agents = (size_t)agents, .at_once = AT_ONCE });
        double direct = connect_idle(f, argv[3], pid_of(argv[4]));
        fleet_disconnect(f);
        double balancer_before = process_pss_kib(balancer);
        double balanced = connect_idle(f, argv[5], pid_of(argv[6]));
        double balancer_kib = (process_pss_kib(balancer) - balancer_before) / (double)f->count;
        fleet_disconnect(f);
        double connect_seconds = fleet_connect(f, argv[8], true, MILLISECONDS(SPREAD));
        measure_failover(&x, f, pid_of(argv[9]));
        printf("{\"agents\":%zu,\"idle_tunnel_kib\":{\"direct\":%.1f,\"balanced\":%.1f,\"balancer\":%.1f},\"connect_seconds\":%.1f,", f->count, direct,
               balanced, balancer_kib, connect_seconds);
        print_quantiles("tunnel_seconds", &x.tunnel_seconds);
        printf(",");
        print_quantiles("dial_seconds", &x.dial_seconds);
        printf("}\n");
        failover_release(&x);
        fleet_free(f);
        return 0;
}
