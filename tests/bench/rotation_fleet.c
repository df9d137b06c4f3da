/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For bench_operate.py: agents that follow a rotation of the host CA, while a user dials them.
 *
 *     rotation_fleet AGENTS PROXY
 *
 * The profile of TELEPORT_HOME is that of a user who may reach all agents; it is read again every second, because the user logs in meanwhile.
 * Prints a line of JSON when all agents are connected, and one whenever all have the certificates of another revision of the CAs. After SIGTERM
 * it connects all agents again, with the certificates that they have then, and prints a last one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "fleet.h"

enum { ARGUMENTS = 2, AGENTS_MAX = 5000, AT_ONCE = 32, SPREAD = 4000 /* ms */, DIAL_PAUSE = 10 /* ms */ };

struct rotation {
        struct fleet *fleet;
        struct profile profile;
        struct instant profile_read;
        char *revision;   /* the last one that an agent has followed */
        bool *has_followed;
        size_t followed;
        size_t lost_tunnels;

        struct timer *next_dial;
        size_t target; /* the agent that is dialled */
        struct instant dial_begun;
        bool is_dialling, is_reached;
        size_t dials, failed;
        double slowest_ms;
};

static volatile sig_atomic_t is_over;

static void on_signal(int signum)
{
        (void)signum;
        is_over = 1;
}

/* ---- dials: one after the other, each of another agent ------------------------------------------------------------------ */

static void on_dialled(void *ctx, struct stream *s, struct error *err)
{
        struct rotation *x = ctx;
        double ms = 1000 * seconds_since(x->dial_begun);

        stream_close(s);
        if (!x->is_reached) {
                x->failed++;
                fprintf(stderr, "agent %zu was not reached: %s\n", x->target, err == NULL ? "its proxy did not ask it" : err->what);
        }
        error_free(err);
        x->dials++;
        if (ms > x->slowest_ms)
                x->slowest_ms = ms;
        x->is_dialling = false;
        x->target = (x->target + 1) % x->fleet->count;
        if (is_over)
                loop_stop(&x->fleet->load.loop);
        else
                timer_start(x->next_dial, MILLISECONDS(DIAL_PAUSE));
}

/* A login may be writing it at this moment: then the former one is used for another second. */
static void read_profile(struct rotation *x)
{
        struct profile read;

        if (seconds_since(x->profile_read) < 1)
                return;
        x->profile_read = loop_now(&x->fleet->load.loop);
        struct error *err = profile_load(&read, NULL, NULL);
        if (err != NULL) {
                error_free(err);
                return;
        }
        profile_release(&x->profile);
        x->profile = read;
}

static void dial(void *ctx)
{
        struct rotation *x = ctx;
        char target[LIMIT_NAME];

        read_profile(x);
        snprintf(target, sizeof target, "%.*s", STR_ARG(fleet_host_id(x->fleet, x->target)));
        x->is_reached = false;
        x->is_dialling = true;
        x->dial_begun = loop_now(&x->fleet->load.loop);
        (void)!client_dial_node(&x->fleet->load.loop, &x->profile, target, "root", on_dialled, x);
}

static void on_request(void *ctx, size_t agent)
{
        struct rotation *x = ctx;

        x->is_reached |= x->is_dialling && agent == x->target;
}

/* ---- agents ------------------------------------------------------------------------------------------------------------- */

static void on_change(void *ctx, size_t agent, enum fleet_part part, bool is_there)
{
        struct rotation *x = ctx;

        (void)agent;
        x->lost_tunnels += part == FLEET_TUNNEL && !is_there;
}

static void print_state(const struct rotation *x)
{
        printf("{\"dials\":%zu,\"refused\":%zu,\"slowest_dial_ms\":%.1f,\"tunnels_lost\":%zu,\"failed_renewals\":%zu}\n", x->dials, x->failed, x->slowest_ms,
               x->lost_tunnels, x->fleet->failed_renewals);
        fflush(stdout);
}

static void on_followed(void *ctx, size_t agent, struct str revision)
{
        struct rotation *x = ctx;

        if (!str_equal(revision, str_of(x->revision))) {
                free(x->revision);
                x->revision = str_dup(revision);
                memset(x->has_followed, 0, x->fleet->count * sizeof *x->has_followed);
                x->followed = 0;
        }
        if (x->has_followed[agent])
                return;
        x->has_followed[agent] = true;
        if (++x->followed == x->fleet->count)
                print_state(x);
}

static void rotation_begin(struct rotation *x, struct fleet *f)
{
        *x = (struct rotation){ .fleet = f, .revision = str_dup(STR("")), .has_followed = mem_alloc(f->count * sizeof *x->has_followed) };
        memset(x->has_followed, 0, f->count * sizeof *x->has_followed);
        must(profile_load(&x->profile, NULL, NULL));
        x->profile_read = loop_now(&f->load.loop);
        x->next_dial = timer_new(&f->load.loop, dial, x);
        f->on_change = on_change;
        f->on_request = on_request;
        f->on_followed = on_followed;
        f->ctx = x;
        print_state(x);
        timer_start(x->next_dial, MILLISECONDS(DIAL_PAUSE));
}

static void rotation_end(struct rotation *x)
{
        x->fleet->on_change = NULL;
        x->fleet->on_request = NULL;
        x->fleet->on_followed = NULL;
        timer_free(x->next_dial);
        profile_release(&x->profile);
        free(x->revision);
        free(x->has_followed);
}

int main(int argc, char **argv)
{
        int64_t agents;
        struct rotation x;

        if (argc != 1 + ARGUMENTS) {
                fprintf(stderr, "usage: rotation_fleet AGENTS PROXY\n");
                return 1;
        }
        must(parse_int(str_of(argv[1]), 1, AGENTS_MAX, "AGENTS", &agents));
        struct fleet *f = fleet_new(&(struct fleet_options){ .proxy = argv[2], .token = "bench", .agents = (size_t)agents, .at_once = AT_ONCE });
        fleet_connect(f, argv[2], true, MILLISECONDS(SPREAD));
        signal(SIGTERM, on_signal);
        rotation_begin(&x, f);
        while (!is_over || x.is_dialling)
                loop_run(&f->load.loop);
        rotation_end(&x);
        fleet_disconnect(f);
        printf("{\"reconnect_seconds\":%.1f}\n", fleet_connect(f, argv[2], true, MILLISECONDS(SPREAD)));
        fleet_free(f);
        return 0;
}
