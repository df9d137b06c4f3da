/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of an agent, for agent.c, instance_link.c and tunnel_keeper.c. The rest of an agent service needs no more than agent.h. */
#ifndef AGENT_AGENT_INTERNAL_H
#define AGENT_AGENT_INTERNAL_H

#include "agent/agent.h"
#include "internal.pb-c.h"
#include "services/services.h"

/* An identity that stays as it is while a handshake uses it; replaced, not changed, when it is renewed. */
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
/* The instance has given a first or a newer identity, owned from now on, and the address of auth, "" when only a proxy reaches it. */
void agent_use_identity(struct agent *a, struct host_identity *id, const char *auth_addr);

/* ---- instance_link.c: identity and proxies, from the instance process ------------------------------------- */
struct instance_link *instance_link_new(struct agent *a) MUST_USE;
void instance_link_free(struct instance_link *k); /* NULL is silent */
/* The link fd (owned), from now on. */
void instance_link_use(struct instance_link *k, int fd);
/* The number of tunnels has changed: the instance is sent it, for the host's status. NULL is silent. */
void instance_link_report_tunnels(struct instance_link *k);

/* ---- tunnel_keeper.c: a reverse tunnel to each proxy ------------------------------------------------------- */
struct tunnel_keeper *tunnel_keeper_new(struct agent *a) MUST_USE;
void tunnel_keeper_free(struct tunnel_keeper *t);
/* The proxies there are; what is open to others stays until it breaks. */
void tunnel_keeper_set(struct tunnel_keeper *t, const Cteleport__Internal__V1__Proxies *proxies);
/*
 * The identity is new: at once a tunnel with it is opened in place of each, in which what is open goes on; one that was
 * opened under another host ID is closed.
 */
void tunnel_keeper_renew(struct tunnel_keeper *t);
/* How many proxies can reach this host now. */
size_t tunnel_keeper_count(const struct tunnel_keeper *t);
/* Opens no more tunnels and accepts no new streams; what is open goes on. */
void tunnel_keeper_drain(struct tunnel_keeper *t);

#endif
