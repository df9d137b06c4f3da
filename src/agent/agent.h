/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts that all agent services of a host share: the identity, the client of the Auth Service, and a
 * reverse tunnel to each proxy.
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
#include "internal.pb-c.h"
#include "join/host_identity.h"
#include "loop/loop.h"
#include "tunnel/tunnel.h"

struct rpc_client;
struct service_row;

struct agent_events {
        /*
         * A proxy requests a connection to a resource of this service. The service answers once, with
         * tunnel_accept or tunnel_refuse, unless on_gone was called before.
         */
        void (*on_request)(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *request);
        /* A request ended before it was answered; `in` must not be used any more. */
        void (*on_gone)(void *ctx, struct tunnel_incoming *in);
        /* All tunnels are open. Called once. NULL: ignored. */
        void (*on_connected)(void *ctx);
        /*
         * The instance process has another table of what this process is to offer; borrowed until it returns. Afterwards `names` lists
         * what it offers, at most LIMIT_APPS names, borrowed until the next table. NULL: the service has no such table.
         */
        void (*on_apps)(void *ctx, const Cteleport__Internal__V1__Apps *apps);
        size_t (*names)(void *ctx, char **list);
};

/* Everything is borrowed for the agent's life. */
struct agent_options {
        struct service *service;  /* this process, as the supervisor started it */
        const char *proxy_server; /* proxy_server of the configuration; may be NULL */
        bool is_local;            /* the Auth Service runs on this machine */
        /* For HTTPS with a load balancer in front of the cluster, as in struct connect_trust. */
        struct str roots_pem;
        bool is_insecure;
        const struct agent_events *events;
        void *ctx;
};

struct agent;
struct agent *agent_new(struct loop *l, struct agent_options options) MUST_USE;
/* Closes the tunnels and aborts their streams. No callback follows. */
void agent_close_tunnels(struct agent *a);
/*
 * Frees the agent; to be called after agent_close_tunnels(). Pending requests for the Auth Service end with
 * CANCELLED, from the loop. NULL is ignored.
 */
void agent_free(struct agent *a);

/* Uses fd (owned from now on) as the link to the sibling process `name`, "auth" or "instance". */
void agent_use_link(struct agent *a, const char *name, int fd);

/* Accepts no new connections and opens no new tunnels. Open ones continue. */
void agent_drain(struct agent *a);

/* The proxies send no new connections through the open tunnels from now on. Open connections continue. */
void agent_leave(struct agent *a);

struct loop *agent_loop(struct agent *a);
/* The service's row of the table of services. */
const struct service_row *agent_row(const struct agent *a);
/* The identity of the service; empty until the instance has sent one. Borrowed until the next turn of the loop. */
const struct host_identity *agent_identity(const struct agent *a);
/* Requests a client of the Auth Service, as auth_client_request() does. */
void agent_request_auth(struct agent *a, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx);
/*
 * The number of bytes of events in all report streams that the Auth Service has not acknowledged;
 * report_stream.c maintains it.
 */
size_t *agent_pending_reports(struct agent *a);

/*
 * Whether another attempt is useless: the cluster received the request and refused it. `also` is one more code that is final for
 * this request.
 */
static inline bool agent_is_final(const struct error *err, enum error_code also)
{
        if (error_is_for(err, REASON_CONNECTION)) /* the cluster has said nothing */
                return false;
        switch (err->code) {
        case ERROR_NOT_FOUND:
        case ERROR_PERMISSION_DENIED:
        case ERROR_FAILED_PRECONDITION:
        case ERROR_INVALID_ARGUMENT:
        case ERROR_UNIMPLEMENTED:
                return true;
        default:
                return err->code == also;
        }
}

#endif
