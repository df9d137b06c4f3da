/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures acknowledged writes of the store, compared to the disk's own rate, and the time of a read as the
 * store grows.
 *
 *      bench_store [--json] [DIR]      DIR: a directory on the measured disk (default: .)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "figures.h"
#include "store/store_testing.h"

enum {
        VALUE_SIZE = 500, /* a host's record */
        WRITERS = 64,
        GETS = 2000,
        FILL_STEP = 500, /* puts of one transaction while filling */
};

static const struct walltime never = { 0 };
static const struct duration measured = { 1500000000 }; /* per figure */

static char value[VALUE_SIZE];

static bool is_over(struct instant start)
{
        return instant_since(clock_now(clock_system()), start).ns >= measured.ns;
}

/* ---- the disk alone: one page appended and synced, over and over --------------------------------------- */

static double measure_disk(const char *dir)
{
        AUTO_MEM char *path = mem_printf("%s/raw", dir);
        AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        AUTO_MEM char *page = mem_alloc(4096);
        struct instant start = clock_now(clock_system());
        size_t count = 0;

        for (; !is_over(start); count++)
                if (write(fd, page, 4096) != 4096 || fdatasync(fd) != 0)
                        bug("cannot write '%s'", path);
        unlink(path);
        return (double)count / seconds_since(start);
}

/* ---- writers: each asks for its next write when the last one is acknowledged --------------------------- */

struct load {
        struct store_bench *b;
        struct instant start;
        size_t writers, in_flight, acknowledged, next_key;
};

static void write_next(struct load *c);

static void on_acknowledged(void *ctx, uint64_t revision, struct error *err)
{
        struct load *c = ctx;

        (void)revision;
        must(err);
        c->in_flight--;
        c->acknowledged++;
        if (!is_over(c->start))
                write_next(c);
        else if (c->in_flight == 0)
                loop_stop(&c->b->loop);
}

static void write_next(struct load *c)
{
        AUTO_MEM char *key = mem_printf("/nodes/%zu", c->next_key++ * 7919 % 1000003); /* scattered, as host IDs are */

        c->in_flight++;
        store_put(c->b->store, str_of(key), str_of_bytes(value, sizeof value), never, on_acknowledged, c);
}

static double measure_writers(struct store_bench *b, size_t writers)
{
        struct load c = { .b = b, .writers = writers, .start = clock_now(clock_system()) };

        for (size_t i = 0; i < writers; i++)
                write_next(&c);
        loop_run(&b->loop);
        return (double)c.acknowledged / seconds_since(c.start);
}

/* ---- reads in stores of growing size ------------------------------------------------------------------- */

static void fill(struct store_bench *b, size_t from, size_t to)
{
        while (from < to) {
                struct store_txn *t = store_txn_new(b->store);

                for (size_t i = 0; i < FILL_STEP && from < to; i++, from++) {
                        AUTO_MEM char *key = mem_printf("/hosts/%08zu", from);

                        store_txn_put(t, str_of(key), str_of_bytes(value, sizeof value), never);
                }
                must(store_bench_commit(b, t, NULL));
        }
}

struct latency {
        double p50, p99; /* microseconds, from the request to the answer on the loop */
};

static struct latency measure_gets(struct store_bench *b, size_t items)
{
        struct sample us = { 0 };

        for (size_t i = 0; i < GETS; i++) {
                AUTO_MEM char *key = mem_printf("/hosts/%08zu", i * 7919 % items);
                AUTO_MEM char *found = NULL;
                struct instant start = clock_now(clock_system());

                must(store_bench_get(b, key, &found, NULL));
                sample_add(&us, seconds_since(start) * 1e6);
                if (found == NULL)
                        bug("'%s' is not there", key);
        }
        struct latency latency = { sample_quantile(&us, 0.5), sample_quantile(&us, 0.99) };
        sample_release(&us);
        return latency;
}

/* ---- the report ---------------------------------------------------------------------------------------- */

struct report {
        double disk, one_writer, many_writers;
        struct latency get_1, get_10k, get_100k;
        double open_100k; /* seconds: every page and item is checked */
};

static struct report measure(const char *dir)
{
        struct store_options options = { .path = dir };
        struct store_bench b;
        struct report r = { .disk = measure_disk(dir) };

        must(store_bench_open(&b, options));
        r.one_writer = measure_writers(&b, 1);
        r.disk += measure_disk(dir);
        r.many_writers = measure_writers(&b, WRITERS);
        r.disk += measure_disk(dir);
        r.disk /= 3; /* the rate of a shared disk varies: measured before, between and after */
        store_bench_close(&b);
        store_bench_remove(dir);
        if (mkdir(dir, 0700) != 0)
                bug("cannot create '%s'", dir);

        must(store_bench_open(&b, options));
        fill(&b, 0, 1);
        r.get_1 = measure_gets(&b, 1);
        fill(&b, 1, 10000);
        r.get_10k = measure_gets(&b, 10000);
        fill(&b, 10000, 100000);
        r.get_100k = measure_gets(&b, 100000);
        store_bench_close(&b);
        struct instant start = clock_now(clock_system());
        must(store_bench_open(&b, options));
        r.open_100k = seconds_since(start);
        store_bench_close(&b);
        return r;
}

static void print_json(const struct report *r)
{
        printf("{\"bench\":\"store\",\"fdatasync_per_second\":%.0f,\"one_writer_per_second\":%.0f,"
               "\"writers\":%d,\"many_writers_per_second\":%.0f,\"ratio_to_fdatasync\":%.1f,"
               "\"get_us\":{\"1\":%.1f,\"10000\":%.1f,\"100000\":%.1f},"
               "\"get_p99_us\":{\"1\":%.1f,\"10000\":%.1f,\"100000\":%.1f},\"open_100000_seconds\":%.3f}\n",
               r->disk, r->one_writer, WRITERS, r->many_writers, r->many_writers / r->disk, r->get_1.p50, r->get_10k.p50,
               r->get_100k.p50, r->get_1.p99, r->get_10k.p99, r->get_100k.p99, r->open_100k);
}

static void print_table(const struct report *r)
{
        printf("the disk alone          %8.0f  fdatasync/s\n", r->disk);
        printf("1 writer                %8.0f  acknowledged writes/s   %5.1f x the disk\n", r->one_writer,
               r->one_writer / r->disk);
        printf("%d writers              %8.0f  acknowledged writes/s   %5.1f x the disk\n", WRITERS, r->many_writers,
               r->many_writers / r->disk);
        printf("get among       1 item  %8.1f  us   (p99 %.1f)\n", r->get_1.p50, r->get_1.p99);
        printf("get among  10,000 items %8.1f  us   (p99 %.1f)\n", r->get_10k.p50, r->get_10k.p99);
        printf("get among 100,000 items %8.1f  us   (p99 %.1f)\n", r->get_100k.p50, r->get_100k.p99);
        printf("open with 100,000 items %8.3f  s\n", r->open_100k);
}

int main(int argc, char **argv)
{
        bool as_json = argc > 1 && strcmp(argv[1], "--json") == 0;
        const char *base = argc > 1 + as_json ? argv[1 + as_json] : ".";
        AUTO_MEM char *dir = mem_printf("%s/bench-store.XXXXXX", base);

        if (mkdtemp(dir) == NULL)
                bug("cannot create '%s'", dir);
        memset(value, 'v', sizeof value);
        struct report r = measure(dir);
        store_bench_remove(dir);
        if (as_json)
                print_json(&r);
        else
                print_table(&r);
        return 0;
}
