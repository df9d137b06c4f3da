/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests and benchmarks: a store with its own loop and clock, and synchronous requests.
 */
#ifndef STORE_STORE_TESTING_H
#define STORE_STORE_TESTING_H

#include "loop/loop.h"
#include "store/store.h"

struct store_bench {
        struct loop loop;
        struct fake_clock clock; /* starts at 1,700,000,000 */
        struct store *store;
};

/* Each function runs the loop until the answer arrives. */
struct error *store_bench_open(struct store_bench *b, struct store_options options) MUST_USE;
void store_bench_close(struct store_bench *b);

/* *ret is the value of the key, to be freed; NULL: no such key. *ret_revision may be NULL. */
struct error *store_bench_get(struct store_bench *b, const char *key, char **ret, uint64_t *ret_revision) MUST_USE;
struct error *store_bench_put(struct store_bench *b, const char *key, struct str value, struct walltime expires,
                              uint64_t *ret_revision) MUST_USE;
struct error *store_bench_commit(struct store_bench *b, struct store_txn *t, uint64_t *ret_revision) MUST_USE;

/* A new directory below $TMPDIR or /tmp, with a path that the caller frees; and its removal with all its contents. */
char *store_bench_dir(void) MUST_USE;
void store_bench_remove(const char *dir);

#endif
