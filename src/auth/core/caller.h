/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authenticated identity of a client of the Auth Service, one struct caller for each connection.
 */
#ifndef AUTH_CORE_CALLER_H
#define AUTH_CORE_CALLER_H

#include "access/access.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/socket.h"
#include "net/tls.h"
#include "services/services.h"
#include "state.pb-c.h"

struct auth;
struct budget_holder;

/* Groups of callers. The table of methods lists the groups that may call a method; a caller belongs to one or two groups. */
enum caller_group {
        CALLER_UNAUTHENTICATED = 1 << 0, /* all clients, authenticated or not */
        CALLER_HOST = 1 << 1,     /* a joined host with its Instance certificate, or a local service */
        CALLER_PROXY = 1 << 2,    /* a Proxy Service, which states the client addresses of connections it forwards */
        CALLER_ADMIN = 1 << 3,    /* root or the data directory's owner on this machine */
        CALLER_NODE = 1 << 4,     /* an SSH Service, with its host's Node certificate or on this machine */
        CALLER_USER = 1 << 5,     /* a user, with a certificate of the user CA; the roles give the permissions */
};

enum { CALLER_SYSTEM_ROLES_MAX = 16 };

/*
 * The groups of callers with a certificate of this service, or of its local process; 0 for NULL and for services that
 * call no methods.
 */
unsigned caller_groups_of(const struct service_row *service);

struct caller {
        struct auth *auth;
        unsigned groups;
        char *host_id;      /* hosts, nodes and proxies; owned; "" otherwise */
        char *user;         /* user name; owned; "" for other callers */
        char *app;          /* users: the only application that the certificate is good for; owned; "" for other certificates */
        char *web_session;  /* users: ID of the web session of the certificate; owned; "" for other certificates */
        char *role;         /* the certificate's role, owned; "" otherwise */
        Cteleport__State__V1__Host *host; /* the host's record when it connected, for locks; owned; NULL: none */
        struct walltime cert_not_before, cert_not_after; /* not_before: of users only */
        bool is_forgotten;  /* unauthenticated, with the certificate of a host that was removed */
        bool has_lost_role; /* unauthenticated, with a certificate for a role that its host has no more */
        uint32_t uid;       /* admin: the user ID of the client's process */
        char peer[ADDRESS_TEXT_MAX];
        uint8_t channel_binding[TLS_CHANNEL_BINDING_SIZE]; /* of the TLS connection; all zero: there is none */
        struct auth_connection *connection; /* the listener's; NULL: served without it */
        struct rpc_server_conn *conn;
        char *identity;               /* key in auth->identities; NULL: not counted there */
        struct budget_holder *memory; /* memory of the connection; NULL before it is served */
        struct caller *next, **at; /* list of all callers, to close their connections after a removal */
};

/* "admin (uid 0)", "Instance 1234-…", "alice", "unauthenticated": for logs and the audit. */
void caller_describe(const struct caller *c, struct buf *out);

/* Creates a caller and adds it to the list of auth; the texts are copied. */
struct caller *caller_new(struct auth *a, unsigned groups, struct str host_id, struct str role, const char *peer) MUST_USE;
void caller_free(struct caller *c);

/* Size of the arena of caller_user(): pointers to the maximum number of roles and logins. */
enum { USER_ARENA = 64 * KiB };

/*
 * The user of a CALLER_USER with the current roles, in the arena (until the next turn of the loop). UNAUTHENTICATED
 * when the certificate has expired meanwhile, its web session has ended, or the user was removed or replaced, PERMISSION_DENIED when the user or
 * one of the roles is locked.
 */
struct error *caller_user(const struct caller *c, struct arena *arena, struct access_user *ret) MUST_USE;

/* INVALID_ARGUMENT when the client address sent by a Proxy Service is too long to be an address; it is never cut. */
struct error *client_addr_check(const char *remote_addr) MUST_USE;

/* PERMISSION_DENIED when the caller is a locked host; NULL for all other callers. */
struct error *caller_check_host(const struct caller *c) MUST_USE;
/* Stores a copy of the record of the calling host. */
void caller_set_host(struct caller *c, const Cteleport__State__V1__Host *host);

/*
 * Closes the connections of removed or locked users and of locked hosts; called after a change of the directory.
 * Connections of nodes are closed only with nodes_too, because nodes first receive the orders to end connections;
 * *ret_has_nodes: there are such nodes.
 */
void callers_drop_refused(struct auth *a, bool nodes_too, bool *ret_has_nodes);

/* Closes the connections that a host opened in a role which its record does not have (any more). */
void callers_drop_lost_roles(struct auth *a, const Cteleport__State__V1__Host *host);

/* Closes every connection of a host whose record was removed. */
void callers_drop_host(struct auth *a, struct str host_id);

#endif
