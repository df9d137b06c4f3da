/* SPDX-License-Identifier: Apache-2.0 */
/* Private declarations of an agent, shared by agent.c, instance_link.c and tunnel_keeper.c. Other code includes agent.h only. */
#ifndef AGENT_AGENT_INTERNAL_H
#define AGENT_AGENT_INTERNAL_H

#include "agent/agent.h"
#include "internal.pb-c.h"
#include "services/services.h"

/* A reference-counted, immutable identity: a renewal replaces it, while running handshakes use the one they began with. */
struct held_identity {
        struct host_identity id;
        unsigned holders;
};

struct agent {
        struct loop *loop;
        struct agent_options options;
        const struct service_row *row;
        struct held_identity *identity; /* NULL: none yet */
        struct instance_link *instance;
        struct auth_client *auth;
        struct tunnel_keeper *tunnels; /* NULL: closed */
        size_t pending_reports;        /* see agent_pending_reports() */
};

/* ---- agent.c ---------------------------------------------------------------------------------------------- */
struct held_identity *identity_hold(struct held_identity *h);
void identity_release(struct held_identity *h); /* NULL is silent */
/*
 * Uses an identity received from the instance (owned from now on) and the address of the Auth Service, "" when
 * it is reached through a proxy only.
 */
void agent_use_identity(struct agent *a, struct host_identity *id, const char *auth_addr);

/* ---- instance_link.c: identity and proxies, from the instance process ------------------------------------- */
struct instance_link *instance_link_new(struct agent *a) MUST_USE;
void instance_link_free(struct instance_link *k); /* NULL is silent */
/* Uses fd (owned from now on) as the link to the instance. */
void instance_link_use(struct instance_link *k, int fd);
/* Sends the changed number of tunnels to the instance, for the host's status. NULL is ignored. */
void instance_link_report_tunnels(struct instance_link *k);

/* ---- tunnel_keeper.c: a reverse tunnel to each proxy, or to as many as the cluster requests ---------------- */
struct tunnel_keeper *tunnel_keeper_new(struct agent *a) MUST_USE;
void tunnel_keeper_free(struct tunnel_keeper *t);
/* Sets the list of proxies. A tunnel to a proxy that is no longer listed gets no new streams and ends with its last one. */
void tunnel_keeper_set(struct tunnel_keeper *t, const Cteleport__Internal__V1__Proxies *proxies);
/*
 * The identity was renewed: opens a new tunnel with it in place of each tunnel. Open streams continue in the
 * old tunnel. A tunnel that was opened under another host ID is closed.
 */
void tunnel_keeper_renew(struct tunnel_keeper *t);
/* The number of proxies that can reach this host now. */
size_t tunnel_keeper_count(const struct tunnel_keeper *t);
/* Opens no more tunnels and accepts no new streams. Open streams continue. */
void tunnel_keeper_drain(struct tunnel_keeper *t);
/* The proxies send no new streams through the open tunnels from now on. */
void tunnel_keeper_leave(struct tunnel_keeper *t);

#endif
