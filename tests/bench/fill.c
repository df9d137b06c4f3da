/* SPDX-License-Identifier: Apache-2.0 */
#include "fill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "figures.h"
#include "pki/key.h"
#include "resource.pb-c.h"
#include "rpc/pb.h"
#include "state/host.h"
#include "state/name.h"
#include "state/presence.h"
#include "state/token.h"
#include "store/store_testing.h"

#define ACCOUNT "123456789012"
enum { FILL_STEP = 500 }; /* puts of one transaction */

struct filling {
        struct store_bench *b;
        struct store_txn *txn;
        size_t puts;
};

/* The transaction for the next put. */
static struct store_txn *next_put(struct filling *f)
{
        if (f->txn != NULL && ++f->puts % FILL_STEP == 0) {
                must(store_bench_commit(f->b, f->txn, NULL));
                f->txn = NULL;
        }
        if (f->txn == NULL)
                f->txn = store_txn_new(f->b->store);
        return f->txn;
}

static void fill_host(struct filling *f, size_t n)
{
        AUTO(buf) id = BUF_MAX(64);
        AUTO_MEM char *name = mem_printf("host-%06zu", n);
        char binding[] = "iam:" ACCOUNT ":arn:aws:sts::" ACCOUNT ":assumed-role/fleet";
        char arn[] = "arn:aws:sts::" ACCOUNT ":assumed-role/fleet/i-0123456789abcdef0";
        char *roles[] = { "Node" };
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        Cteleport__State__V1__Presence presence = CTELEPORT__STATE__V1__PRESENCE__INIT;

        random_uuid(&id);
        presence.host_id = host.host_id = pb_text(buf_c(&id));
        host.hostname = presence.hostname = name;
        host.join_method = presence.join_method = (char[]){ "iam" };
        host.token_name = presence.token_name = (char[]){ "bench" };
        host.aws_account = presence.aws_account = (char[]){ ACCOUNT };
        host.aws_arn = presence.aws_arn = arn;
        host.system_roles = presence.services = roles;
        host.n_system_roles = presence.n_services = 1;
        host.binding = binding;
        host_put(next_put(f), &host, (struct walltime){ 0 });
        name_put(next_put(f), str_of(name), STR(""), buf_str(&id), str_of(binding), (struct walltime){ 0 });
        state_put(next_put(f), &presence_kind, buf_str(&id), &presence.base, (struct walltime){ 0 });
}

static void fill_token(struct filling *f, size_t n)
{
        AUTO_MEM char *name = mem_printf("token-%04zu", n);
        char *roles[] = { "Node" };
        Cteleport__V1__TokenRule rule = CTELEPORT__V1__TOKEN_RULE__INIT;
        Cteleport__V1__TokenRule *rules[] = { &rule };
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__TokenSpec spec = CTELEPORT__V1__TOKEN_SPEC__INIT;
        Cteleport__V1__Token token = CTELEPORT__V1__TOKEN__INIT;

        rule.aws_account = (char[]){ ACCOUNT };
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
        token_put(next_put(f), &token);
}

/* The store belongs to the Auth Service's user; the next start changes the owner of files that root creates here. */
static void take_back(const char *dir)
{
        if (geteuid() == 0 && chown(dir, 0, 0) < 0 && errno != ENOENT) {
                perror(dir);
                exit(1);
        }
}

void fill_cluster(const char *data_dir, size_t hosts, size_t tokens)
{
        AUTO_MEM char *path = mem_printf("%s/backend", data_dir);
        struct store_bench b;
        struct filling f = { .b = &b };

        take_back(path);
        must(store_bench_open(&b, (struct store_options){ .path = path }));
        for (size_t i = 0; i < hosts; i++)
                fill_host(&f, i);
        for (size_t i = 0; i < tokens; i++)
                fill_token(&f, i);
        if (f.txn != NULL)
                must(store_bench_commit(&b, f.txn, NULL));
        store_bench_close(&b);
}
