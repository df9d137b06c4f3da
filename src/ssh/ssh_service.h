/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the SSH Service's process, for those of its sources that make it up: ssh.c, instance_link.c,
 * auth_client.c, tunnel_keeper.c, connection.c. Helpers and recordings need no more than ssh.h.
 */
#ifndef SSH_SSH_SERVICE_H
#define SSH_SSH_SERVICE_H

#include "base/budget.h"
#include "base/shares.h"
#include "base/map.h"
#include "cluster/connect.h"
#include "ssh/ssh.h"
#include "tunnel/tunnel.h"

/* An identity that stays as it is while somebody shakes hands with it; replaced, not changed, when it is renewed. */
struct held_identity {
        struct host_identity id;
        unsigned holders;
};

struct ssh_service {
        struct loop loop;
        struct service *service;
        const Cteleport__Internal__V1__Boot *boot;
        const Cteleport__V1__TeleportConfig *config; /* never NULL */
        const Cteleport__V1__SSHConfig *ssh_config;  /* never NULL */
        bool is_local;    /* auth runs on this machine, as our neighbour */
        bool is_stopping, is_draining;
        struct budget memory;   /* of what is on its way in connections */
        size_t unreported_bytes;    /* of events that the cluster has not acknowledged, of all connections */
        struct timer *end;      /* running: all that is left is to go */
        unsigned turns_left;    /* of the loop, at the very end */

        struct held_identity *identity; /* NULL: none yet */
        struct instance_link *instance;
        struct auth_client *auth;
        struct tunnel_keeper *tunnels;
        struct shares places; /* of connections, by user */
        struct map connections; /* by ID */
        struct helper_check *checks;
        struct helpers *helpers;
        struct spool *spool;
};

/* ---- ssh.c ---------------------------------------------------------------------------------------------- */
struct held_identity *identity_hold(struct held_identity *h);
void identity_let_go(struct held_identity *h); /* NULL is silent */
/* The instance has given a first or a newer identity, owned from now on. */
void ssh_take_identity(struct ssh_service *s, struct host_identity *id, const char *auth_addr);
/* A connection is gone: while draining, the last one ends the process. */
void ssh_connection_gone(struct ssh_service *s);

/* ---- instance_link.c: identity and proxies, from the instance next door ------------------------------------- */
struct instance_link *instance_link_new(struct ssh_service *s) MUST_USE;
void instance_link_free(struct instance_link *k); /* NULL is silent */
/* The link fd (owned), from now on. */
void instance_link_use(struct instance_link *k, int fd);
/* The number of tunnels has changed: says so to the instance, for the host's status. NULL is silent. */
void instance_link_report_tunnels(struct instance_link *k);

/* ---- auth_client.c: the Auth Service, when somebody asks for it ---------------------------------------------- */
struct auth_client *auth_client_new(struct ssh_service *s) MUST_USE;
void auth_client_free(struct auth_client *a); /* those who wait are told CANCELLED, from the loop */
/* A link to auth on this machine (owned), for when it is needed. */
void auth_client_use(struct auth_client *a, int fd);
/*
 * The service's identity is new, and this is where auth is dialled directly (copied; "" when only through a proxy). What was
 * opened under another host ID is closed.
 */
void auth_client_set_identity(struct auth_client *a, const char *auth_addr);

/* ---- tunnel_keeper.c: a reverse tunnel to each proxy ------------------------------------------------------------------ */
struct tunnel_keeper *tunnel_keeper_new(struct ssh_service *s) MUST_USE;
void tunnel_keeper_free(struct tunnel_keeper *t);
/* The proxies there are; what is open to others stays until it breaks. */
void tunnel_keeper_set(struct tunnel_keeper *t, const Cteleport__Internal__V1__Proxies *proxies);
/* There is an identity: dials what waits for it. */
void tunnel_keeper_begin(struct tunnel_keeper *t);
/*
 * The identity is new: at once a tunnel with it is opened in place of each, in which what is open goes on; one that was
 * opened under another host ID is closed.
 */
void tunnel_keeper_renew(struct tunnel_keeper *t);
/* How many proxies can reach this host now. */
size_t tunnel_keeper_count(const struct tunnel_keeper *t);
/* Dials no more and takes no visits; what is open goes on. */
void tunnel_keeper_drain(struct tunnel_keeper *t);

/* ---- connection.c --------------------------------------------------------------------------------------------------- */
/* Somebody is at the door. */
void connection_begin(struct ssh_service *s, struct tunnel_incoming *v, const struct tunnel_request *request);
/* The visit of a connection that was not answered yet has ended. */
void connection_client_gone(struct ssh_service *s, struct tunnel_incoming *v);
/* What the supervisor says of its sshd: see service_events.on_sshd; fd is owned. */
void connection_on_sshd(struct ssh_service *s, const Cteleport__Internal__V1__Control *control, int fd);
/* Ends all of them, saying why on their terminals. */
void connections_end(struct ssh_service *s, const char *why);
/* What is left of them, at the very end: nobody is called back any more. After helpers_close. */
void connections_free(struct ssh_service *s);

#endif
