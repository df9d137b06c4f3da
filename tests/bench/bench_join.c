/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a join costs: agents join through the proxy, each on a connection of its own, at a cluster that
 * asks a stand-in for STS; beside it the crypto floor, measured in the same run. Then once more with a
 * large cluster's state in the store.
 *
 *      bench_join [--json] TELEPORT TCTL
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/hosts.h"
#include "auth/tokens.h"
#include "base/bug.h"
#include "base/mem.h"
#include "crowd.h"
#include "figures.h"
#include "floor.h"
#include "program.h"
#include "resource.pb-c.h"
#include "state.pb-c.h"
#include "store/store_testing.h"

enum {
        CROWD = 32, /* agents that join at once */
        WARM_UP = 200,
        JOINS = 2000,
        MANY_HOSTS = 100000,
        MANY_TOKENS = 1000,
        FILL_STEP = 500, /* puts of one transaction */
};

/* ---- a large cluster's state ------------------------------------------------------------------------------ */

struct filling {
        struct store_bench *b;
        struct store_txn *txn;
        size_t puts;
};

static void fill_put(struct filling *f, struct str key, const ProtobufCMessage *msg)
{
        if (f->txn == NULL)
                f->txn = store_txn_new(f->b->store);
        store_txn_put_message(f->txn, key, msg, (struct walltime){ 0 });
        if (++f->puts % FILL_STEP == 0) {
                must(store_bench_commit(f->b, f->txn, NULL));
                f->txn = NULL;
        }
}

static void fill_host(struct filling *f, size_t n)
{
        AUTO(buf) id = BUF_MAX(64), key = BUF_MAX(LIMIT_STORE_KEY);
        AUTO_MEM char *name = mem_printf("host-%06zu", n);
        char binding[] = "iam:" STUB_ACCOUNT ":arn:aws:sts::" STUB_ACCOUNT ":assumed-role/fleet";
        char arn[] = "arn:aws:sts::" STUB_ACCOUNT ":assumed-role/fleet/i-0123456789abcdef0";
        char *roles[] = { "Node" };
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        Cteleport__State__V1__Name taken = CTELEPORT__STATE__V1__NAME__INIT;
        Cteleport__State__V1__Presence presence = CTELEPORT__STATE__V1__PRESENCE__INIT;

        random_uuid(&id);
        taken.host_id = presence.host_id = host.host_id = (char *)(uintptr_t)buf_c(&id);
        host.hostname = presence.hostname = name;
        host.join_method = presence.join_method = (char[]){ "iam" };
        host.token_name = presence.token_name = (char[]){ "bench" };
        host.aws_account = presence.aws_account = (char[]){ STUB_ACCOUNT };
        host.aws_arn = presence.aws_arn = arn;
        host.system_roles = presence.services = roles;
        host.n_system_roles = presence.n_services = 1;
        host.binding = taken.binding = binding;
        host_key(buf_str(&id), &key);
        fill_put(f, buf_str(&key), &host.base);
        buf_clear(&key);
        name_key(str_of(name), &key);
        fill_put(f, buf_str(&key), &taken.base);
        buf_clear(&key);
        presence_key(buf_str(&id), &key);
        fill_put(f, buf_str(&key), &presence.base);
}

static void fill_token(struct filling *f, size_t n)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);
        AUTO_MEM char *name = mem_printf("token-%04zu", n);
        char *roles[] = { "Node" };
        Cteleport__V1__TokenRule rule = CTELEPORT__V1__TOKEN_RULE__INIT;
        Cteleport__V1__TokenRule *rules[] = { &rule };
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__TokenSpec spec = CTELEPORT__V1__TOKEN_SPEC__INIT;
        Cteleport__V1__Token token = CTELEPORT__V1__TOKEN__INIT;

        rule.aws_account = (char[]){ STUB_ACCOUNT };
        metadata.name = name;
        spec.roles = roles;
        spec.n_roles = 1;
        spec.join_method = (char[]){ "iam" };
        spec.allow = rules;
        spec.n_allow = 1;
        token.kind = (char[]){ "token" };
        token.version = (char[]){ "v2" };
        token.metadata = &metadata;
        token.spec = &spec;
        token_key(str_of(name), &key);
        fill_put(f, buf_str(&key), &token.base);
}

/* Into the stopped cluster's own store. */
static void fill_cluster(const struct program *cluster)
{
        AUTO_MEM char *path = mem_printf("%s/data/backend", cluster->dir);
        struct store_bench b;
        struct filling f = { .b = &b };

        must(store_bench_open(&b, (struct store_options){ .path = path }));
        for (size_t i = 0; i < MANY_HOSTS; i++)
                fill_host(&f, i);
        for (size_t i = 0; i < MANY_TOKENS; i++)
                fill_token(&f, i);
        if (f.txn != NULL)
                must(store_bench_commit(&b, f.txn, NULL));
        store_bench_close(&b);
}

/* ---- the measurement ------------------------------------------------------------------------------------------- */

/* What is counted: of the services that the ratio is about, then of the questioner of AWS. */
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

static struct figures measure(const struct program *cluster, const char *proxy)
{
        struct crowd crowd;
        struct figures f;
        double before[ARRAY_LEN(counted)], after[ARRAY_LEN(counted)];

        crowd_init(&crowd, proxy, "bench");
        crowd_join(&crowd, CROWD, WARM_UP);
        sample_release(&crowd.latency_ms);
        crypto_floor_start();
        read_cpu(cluster, before);
        struct instant start = clock_now(clock_system());
        crowd_join(&crowd, CROWD, JOINS);
        f.per_second = JOINS / seconds_since(start);
        read_cpu(cluster, after);
        f.floor = crypto_floor_stop();
        for (size_t i = 0; i < ARRAY_LEN(counted); i++)
                f.cpu_ms[i] = (after[i] - before[i]) * 1e3 / JOINS;
        f.p50_ms = sample_quantile(&crowd.latency_ms, 0.5);
        f.p99_ms = sample_quantile(&crowd.latency_ms, 0.99);
        crowd_release(&crowd);
        return f;
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

static void print_json(const struct figures *empty, const struct figures *full)
{
        printf("{\"bench\":\"join\",\"agents\":%d,\"joins\":%d,\"hosts\":%d,\"tokens\":%d,", CROWD, JOINS, MANY_HOSTS, MANY_TOKENS);
        print_json_figures("empty", empty);
        printf(",");
        print_json_figures("full", full);
        printf("}\n");
}

static void print_row(const char *what, const char *unit, double empty, double full)
{
        printf("%-28s %10.3f %10.3f  %s\n", what, empty, full, unit);
}

static void print_table(const struct figures *empty, const struct figures *full)
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
}

int main(int argc, char **argv)
{
        bool as_json = argc > 1 && strcmp(argv[1], "--json") == 0;
        struct sts_stub sts;
        struct program cluster;

        if (argc != 3 + as_json) {
                fprintf(stderr, "usage: bench_join [--json] TELEPORT TCTL\n");
                return 1;
        }
        AUTO_MEM char *dir = bench_dir_make();
        sts_stub_start(&sts, dir);
        aws_credentials_in_environment();
        cluster_prepare(&cluster, argv[1 + as_json], dir, &sts);
        AUTO_MEM char *proxy = cluster_start(&cluster);
        cluster_create_token(&cluster, argv[2 + as_json]);
        struct figures empty = measure(&cluster, proxy);
        program_stop(&cluster);

        fill_cluster(&cluster);
        AUTO_MEM char *proxy_again = cluster_start(&cluster);
        struct figures full = measure(&cluster, proxy_again);
        program_stop(&cluster);

        program_release(&cluster);
        sts_stub_stop(&sts);
        bench_dir_remove(dir);
        if (as_json)
                print_json(&empty, &full);
        else
                print_table(&empty, &full);
        return 0;
}
