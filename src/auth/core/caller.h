/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the other end of a connection to the Auth Service, as far as it is proven.
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

/* Groups that a method may be open to; a caller is in exactly one or two of them. */
enum caller_group {
        CALLER_UNAUTHENTICATED = 1 << 0, /* everybody, proven or not */
        CALLER_HOST = 1 << 1,     /* a joined host with its Instance certificate, or a local service */
        CALLER_PROXY = 1 << 2,    /* a Proxy Service: may speak for the connections it forwards */
        CALLER_ADMIN = 1 << 3,    /* root or the data directory's owner on this machine */
        CALLER_NODE = 1 << 4,     /* an SSH Service, with its host's Node certificate or on this machine */
        CALLER_USER = 1 << 5,     /* a user, with a certificate of the user CA; the roles give the permissions */
};

enum { CALLER_SYSTEM_ROLES_MAX = 16 };

/* The groups of a host's certificate, or of a local process, of a service; none for NULL and for one that calls nothing. */
unsigned caller_groups_of(const struct service_row *service);

struct caller {
        struct auth *auth;
        unsigned groups;
        char *host_id;      /* hosts, nodes and proxies; owned; "" otherwise */
        char *user;         /* of a user; owned; "" otherwise */
        char *role;         /* the certificate's role, owned; "" otherwise */
        Cteleport__State__V1__Host *host; /* its record as it came in, for locks; owned; NULL: nobody's, or of this machine */
        struct walltime cert_not_before, cert_not_after; /* not_before: of users only */
        bool is_forgotten;  /* unauthenticated, with the certificate of a host that was removed */
        bool has_lost_role; /* unauthenticated, with a certificate for a role that its host has no more */
        struct instant since;
        bool is_counted;    /* unauthenticated, by the limits of its source; then `source` is set */
        const struct source *source;
        uint32_t uid;       /* admin: whose process it is */
        char peer[ADDRESS_TEXT_MAX];
        uint8_t channel_binding[TLS_CHANNEL_BINDING_SIZE]; /* of the TLS connection; all zero: there is none */
        struct rpc_server_conn *conn;
        char *identity;               /* in auth's identities; NULL: not counted there */
        struct budget_holder *memory; /* of the connection; NULL before it is served */
        struct caller *next, **at; /* list of all callers, so that deletions reach open connections */
};

/* "admin (uid 0)", "Instance 1234-…", "alice", "unauthenticated": for logs and the audit. */
void caller_describe(const struct caller *c, struct buf *out);

/* A caller on the list of auth; groups and names as given (copied). */
struct caller *caller_new(struct auth *a, unsigned groups, struct str host_id, struct str role, const char *peer) MUST_USE;
void caller_free(struct caller *c);

/* Of a user: room for pointers to as many roles and logins as there may be. */
enum { USER_ARENA = 64 * KiB };

/*
 * The user of a CALLER_USER with the current roles, in the arena (until the next turn of the
 * loop). UNAUTHENTICATED when the certificate has ended meanwhile or the user is gone or another, PERMISSION_DENIED
 * when the user or one of the roles is locked.
 */
struct error *caller_user(const struct caller *c, struct arena *arena, struct access_user *ret) MUST_USE;

/* INVALID_ARGUMENT when what a Proxy Service says where a client is cannot be an address: nothing is cut. */
struct error *client_addr_check(const char *remote_addr) MUST_USE;

/* PERMISSION_DENIED when the host at the other end is locked; NULL for everybody else. */
struct error *caller_check_host(const struct caller *c) MUST_USE;
/* Remembers the record of the host at the other end. */
void caller_set_host(struct caller *c, const Cteleport__State__V1__Host *host);

/*
 * Closes the connections of users who are removed or locked, and of hosts that are locked: the directory has changed. Those of
 * nodes only with nodes_too, because nodes first get the orders to end connections; *ret_has_nodes: there are some.
 */
void callers_drop_refused(struct auth *a, bool nodes_too, bool *ret_has_nodes);

/* Closes the connections that a host opened in a role which its record does not have (any more). */
void callers_drop_lost_roles(struct auth *a, const Cteleport__State__V1__Host *host);

/* Closes every connection of a host: its record is gone. */
void callers_drop_host(struct auth *a, struct str host_id);

#endif
