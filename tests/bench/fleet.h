/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of agents, simulated by one process: each has joined, and keeps a reverse tunnel to a proxy and its presence at the
 * Auth Service, by a stream or by polls. An agent that loses one of them restores it, with the pauses of a host. When the CAs are rotated, it
 * renews the certificates of both, and connects to the Auth Service with the new ones, as a host does.
 */
#ifndef BENCH_FLEET_H
#define BENCH_FLEET_H

#include "cluster/connect.h"
#include "load.h"

struct agent;

enum fleet_part { FLEET_TUNNEL, FLEET_PRESENCE };

struct fleet_options {
        const char *proxy, *token; /* to join; borrowed */
        size_t agents;
        /*
         * The number of handshakes that may be pending: one process makes those of all machines, and if it began too many, none would
         * finish before the timeout of the servers.
         */
        size_t at_once;
};

/* The owner sets the fields up to `ctx` and reads those before `member`. */
struct fleet {
        /* Each may be NULL. `agent` is the position of the agent. */
        void (*on_change)(void *ctx, size_t agent, enum fleet_part part, bool is_there); /* it has this now, or has lost it */
        void (*on_request)(void *ctx, size_t agent); /* a proxy requests a connection, which is refused afterwards */
        void (*on_followed)(void *ctx, size_t agent, struct str revision); /* auth has accepted it with the certificates of this revision of the CAs */
        void *ctx;

        struct load load;
        size_t count, complete; /* agents; those that have all that they are to have */
        size_t polls;           /* of all agents so far */
        size_t failed_renewals;

        struct connect_way member, tunnel;
        struct agent *agents;
        size_t joined, begun, at_once, dialling;
        struct dial_turn *turns, **last_turn; /* dials that wait */
        bool has_presence, is_ending;
};

/* Joins all agents, by the address of the options; each gets the certificates of the SSH service. Raises the limit of descriptors. */
struct fleet *fleet_new(const struct fleet_options *options) MUST_USE;
void fleet_free(struct fleet *f);

/* The ID of the host of an agent; borrowed. */
struct str fleet_host_id(const struct fleet *f, size_t agent);

/*
 * All dial `address` within some seconds, as after a restart. Returns the seconds until each has its tunnel and, if that is
 * wanted, its presence. From then on they restore what they lose.
 */
double fleet_connect(struct fleet *f, const char *address, bool has_presence, struct duration spread);

/* Runs the loop until all are complete. */
void fleet_await(struct fleet *f);

/* Runs the loop for this time. All are complete afterwards, or it is a bug. */
void fleet_idle(struct fleet *f, struct duration time);

/* Closes the tunnels and ends the presence of all. */
void fleet_disconnect(struct fleet *f);

#endif
