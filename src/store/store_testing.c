/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_testing.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"

struct answer {
        struct loop *loop;
        struct error *err;
        char *value;
        uint64_t revision;
        bool is_there;
};

static void wait_for(struct answer *a)
{
        while (!a->is_there)
                loop_run(a->loop);
}

static void arrived(struct answer *a)
{
        a->is_there = true;
        loop_stop(a->loop);
}

static void on_item(void *ctx, const struct store_item *item, struct error *err)
{
        struct answer *a = ctx;

        a->err = err;
        a->value = item == NULL ? NULL : str_dup(item->value);
        a->revision = item == NULL ? 0 : item->revision;
        arrived(a);
}

static void on_committed(void *ctx, uint64_t revision, struct error *err)
{
        struct answer *a = ctx;

        a->err = err;
        a->revision = revision;
        arrived(a);
}

static void on_closed(void *ctx)
{
        arrived(ctx);
}

struct error *store_bench_open(struct store_bench *b, struct store_options options)
{
        fake_clock_init(&b->clock, 1700000000);
        b->store = NULL;
        TRY(loop_init(&b->loop, &b->clock.clock));
        struct error *err = store_open(&b->loop, options, &b->store);
        if (err != NULL)
                loop_release(&b->loop);
        return err;
}

void store_bench_close(struct store_bench *b)
{
        struct answer a = { .loop = &b->loop };

        if (b->store == NULL)
                return;
        store_close(b->store, on_closed, &a);
        wait_for(&a);
        b->store = NULL;
        loop_release(&b->loop);
}

struct error *store_bench_get(struct store_bench *b, const char *key, char **ret, uint64_t *ret_revision)
{
        struct answer a = { .loop = &b->loop };

        store_get(b->store, str_of(key), on_item, &a);
        wait_for(&a);
        *ret = a.value;
        if (ret_revision != NULL)
                *ret_revision = a.revision;
        return a.err;
}

struct error *store_bench_commit(struct store_bench *b, struct store_txn *t, uint64_t *ret_revision)
{
        struct answer a = { .loop = &b->loop };

        store_txn_commit(t, on_committed, &a);
        wait_for(&a);
        if (ret_revision != NULL)
                *ret_revision = a.revision;
        return a.err;
}

struct error *store_bench_put(struct store_bench *b, const char *key, struct str value, struct walltime expires,
                              uint64_t *ret_revision)
{
        struct store_txn *t = store_txn_new(b->store);

        store_txn_put(t, str_of(key), value, expires);
        return store_bench_commit(b, t, ret_revision);
}

char *store_bench_dir(void)
{
        const char *base = getenv("TMPDIR");
        char *dir = mem_printf("%s/store.XXXXXX", base == NULL ? "/tmp" : base);

        if (mkdtemp(dir) == NULL)
                bug("cannot create '%s'", dir);
        return dir;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
        (void)st;
        (void)type;
        (void)at;
        return remove(path);
}

void store_bench_remove(const char *dir)
{
        nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
