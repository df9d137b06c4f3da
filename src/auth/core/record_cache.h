/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a kind that were read last, so that a record that is read often (the token of many joins) is not read from
 * the store each time. A change drops the record before the answer to its transaction; a transaction that depends on a record
 * requires its revision, as without a cache.
 */
#ifndef AUTH_CORE_RECORD_CACHE_H
#define AUTH_CORE_RECORD_CACHE_H

#include "loop/loop.h"
#include "state/state.h"

struct record_cache;

/* The loop is the store's. */
struct record_cache *record_cache_new(struct loop *l, struct store *s, const struct state_kind *kind) MUST_USE;

/* As state_get(), from memory if the record is there. */
void record_cache_get(struct record_cache *c, struct str id, void (*done)(void *ctx, const struct state_record *record, struct error *err),
                      void *ctx);

/* Before the store is closed: nothing is kept any more. NULL is silent. */
void record_cache_stop(struct record_cache *c);
/* After the store was closed. NULL is silent. */
void record_cache_free(struct record_cache *c);

#endif
