/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a queue that is written in batches begins its next batch.
 *
 * A batch costs the same whatever it holds: a sync, a wake of the worker and one of the loop. While few operations come, each batch
 * begins at once. When the last batch held `busy` operations or more, others are about to come, and the next batch waits until
 * `pace` has passed since the last one began, or until `full` operations wait. (PostgreSQL's commit_delay and commit_siblings
 * serve the same purpose.)
 *
 * The owner asks batch_pace_may_begin() before each batch and reports each batch with batch_pace_began().
 */
#ifndef LOOP_BATCH_PACE_H
#define LOOP_BATCH_PACE_H

#include "loop/loop.h"

struct batch_pace_options {
        struct duration pace; /* at least this time lies between the beginnings of two batches under load */
        size_t busy;          /* operations in the last batch from which on there is load */
        size_t full;          /* waiting operations that begin a batch early; more than `busy` */
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

/* Stays where it is until released. due(ctx) is called from the loop when a batch that had to wait may begin. */
void batch_pace_init(struct batch_pace *p, struct loop *l, struct batch_pace_options options, void (*due)(void *ctx), void *ctx);

/* No `due` comes any more. Silent when it was released before or never initialised. */
void batch_pace_release(struct batch_pace *p);

/* Whether a batch may begin now that `waiting` operations wait; when not, `due` follows. */
bool batch_pace_may_begin(struct batch_pace *p, size_t waiting);

/* A batch of `count` operations has begun. */
void batch_pace_began(struct batch_pace *p, size_t count);

#endif
