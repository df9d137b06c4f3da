/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many agents in one process: each joins through the proxy with the code that agents run, on a TLS
 * connection of its own.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include "figures.h"
#include "join/join_client.h"
#include "loop/loop.h"

struct tls_context;

struct crowd {
        struct loop loop;
        struct tls_context *tls;
        const char *proxy; /* borrowed */
        struct join_client_options options;
        struct sample latency_ms; /* of each join: from the dial to the verified identity */
        size_t joined, wanted, started, under_way;
        /* What to do with an identity: may take it over by copying and zeroing it. NULL: nothing. */
        void (*on_joined)(void *ctx, struct host_identity *identity);
        void *ctx;
};
void crowd_init(struct crowd *c, const char *proxy, const char *token);
void crowd_release(struct crowd *c);

/* Runs the loop until `count` more have joined, at most `at_once` of them at a time. A refusal ends the program. */
void crowd_join(struct crowd *c, size_t at_once, size_t count);

#endif
