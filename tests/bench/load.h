/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load generator: many agents in one process, each of which joins through the proxy, on a TLS connection and from an address
 * of its own. They only speak the protocol: keys are shared and certificates are not verified, so that the
 * CPU time goes to the cluster.
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

/* Makes the identity "Instance" of the keys and the certificates that a join brought; the caller releases it. */
void load_take_identity(struct load *c, const Teleport__Join__V1__HostResult *result, struct host_identity *ret);

#endif
