/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many agents in one process: each joins through the proxy, on a TLS connection and from an address of
 * its own. They speak the protocol and no more: keys are shared and certificates taken on trust, so that
 * the machine's time goes to the cluster.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "aws/credentials.h"
#include "figures.h"
#include "join.pb-c.h"
#include "join/host_identity.h"
#include "loop/loop.h"

struct tls_context;

struct load {
        struct loop loop;
        struct tls_context *tls;
        const char *proxy, *token; /* borrowed */
        struct aws_resolution aws;
        struct host_keys keys;
        struct buf tls_public, ssh_public;
        struct sample latency_ms; /* of each join: from the dial to the certificates */
        size_t joined, wanted, started, under_way;
        /* What to do with the certificates of a join; NULL: nothing. */
        void (*on_joined)(void *ctx, const Teleport__Join__V1__HostResult *result);
        void *ctx;
};
void load_init(struct load *c, const char *proxy, const char *token);
void load_release(struct load *c);

/* Runs the loop until `count` more have joined, at most `at_once` of them at a time. A refusal ends the program. */
void load_join(struct load *c, size_t at_once, size_t count);

#endif
