/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides when a queue that is written in batches begins its next batch.
 *
 * The cost of a batch does not depend on its size: a sync, a wake-up of the worker and one of the loop. Under low load
 * each batch begins at once. When the last batch held `busy` operations or more, more are expected, and the next batch
 * waits until `pace` has passed since the last one began, or until `full` operations wait. (PostgreSQL's commit_delay
 * and commit_siblings serve the same purpose.)
 *
 * The owner asks batch_pace_may_begin() before each batch and reports each batch with batch_pace_began().
 */
#ifndef LOOP_BATCH_PACE_H
#define LOOP_BATCH_PACE_H

#include "loop/loop.h"

struct batch_pace_options {
        struct duration pace; /* minimum time between the beginnings of two batches under load */
        size_t busy;          /* number of operations in a batch that counts as load */
        size_t full;          /* number of waiting operations that begins a batch early; more than `busy` */
};

struct batch_pace {
        struct loop *loop;
        struct batch_pace_options options;
        struct timer *timer;
        void (*due)(void *ctx);
        void *ctx;
        struct instant began;
        size_t last_count;
};

/* Initialises p, which must not be moved until released. due(ctx) is called from the loop when a delayed batch may begin. */
void batch_pace_init(struct batch_pace *p, struct loop *l, struct batch_pace_options options, void (*due)(void *ctx), void *ctx);

/* Ends it; `due` is not called any more. Does nothing when it was released before or never initialised. */
void batch_pace_release(struct batch_pace *p);

/* Whether a batch may begin now, with `waiting` operations; if not, `due` is called later. */
bool batch_pace_may_begin(struct batch_pace *p, size_t waiting);

/* Reports that a batch of `count` operations has begun. */
void batch_pace_began(struct batch_pace *p, size_t count);

#endif
