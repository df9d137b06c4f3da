/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every agent service of a host is made of: its identity, its client of the Auth Service, and a reverse tunnel to each proxy.
 *
 *      instance ── identity, list of proxies ──▶ instance_link.c
 *                                                     │
 *      auth     ◀── cluster/auth_client ──────── agent.c ──── tunnel_keeper.c ──▶ proxies
 *         ▲                                                        │ CONNECT
 *         ├── Report ── report_stream.c    of a connection         ▼
 *         └── Record ── spool.c, upload.c  of a recording     the service
 *
 * The service itself (src/ssh) decides which requests it accepts and speaks the protocol of its resources.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "api/service.h"
#include "join/host_identity.h"
#include "loop/loop.h"
#include "tunnel/tunnel.h"

struct rpc_client;
struct service_row;

struct agent_events {
        /* A proxy requests a connection to a resource of this service. Answer once, by tunnel_accept or tunnel_refuse, unless gone before. */
        void (*on_request)(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *request);
        /* A request that was not answered has ended: the pointer is dead. */
        void (*on_gone)(void *ctx, struct tunnel_incoming *in);
};

/* Everything is borrowed for the agent's life. */
struct agent_options {
        struct service *service;  /* this process, as the supervisor started it */
        const char *proxy_server; /* by the configuration; may be NULL */
        bool is_local;            /* the Auth Service runs on this machine */
        const struct agent_events *events;
        void *ctx;
};

struct agent;
struct agent *agent_new(struct loop *l, struct agent_options options) MUST_USE;
/* Closes the tunnels: their streams break, and no event comes any more. */
void agent_close_tunnels(struct agent *a);
/* After agent_close_tunnels(). Requests for the Auth Service that wait are answered CANCELLED, from the loop. NULL is silent. */
void agent_free(struct agent *a);

/* A link (owned) to the sibling process `name`, "auth" or "instance". */
void agent_use_link(struct agent *a, const char *name, int fd);

/* No new connection is accepted and no tunnel opened; what is open goes on. */
void agent_drain(struct agent *a);

struct loop *agent_loop(struct agent *a);
/* The service's row of the table of services. */
const struct service_row *agent_row(const struct agent *a);
/* Of the service, empty until the instance has given one; borrowed until the next turn. */
const struct host_identity *agent_identity(const struct agent *a);
/* A client of the Auth Service, see auth_client_request(). */
void agent_request_auth(struct agent *a, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx);
/* Bytes of events in all report streams that auth has not acknowledged; counted by report_stream.c. */
size_t *agent_pending_reports(struct agent *a);

#endif
