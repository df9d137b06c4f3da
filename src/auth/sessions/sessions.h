/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH connections to nodes, from the proxy's Dial request to the end of the connection, with the events reported about
 * them.
 *
 *      Dial ─▶ /connections/<id> ─▶ Report: begin ─▶ ask, accepted, start, exit … ─▶ closed
 *               (a minute)            │    ▲                                          │
 *                                     ▼    │ resumed                                  ▼
 *                                    lost ─┴─ TIMEOUT_CONNECTION_LOST ─────────▶ its last events are written,
 *                                                                               its record is removed
 *
 * The whole state of a connection is in the store, so for the nodes a restart of the Auth Service is a lost stream
 * only.
 */
#ifndef AUTH_SESSIONS_SESSIONS_H
#define AUTH_SESSIONS_SESSIONS_H

#include "auth/core/auth.h"
#include "auth/hosts/nodes.h"
#include "rpc/rpc.h"
#include "state/connection.h"

struct resource_kind;
struct sessions;

/* Whether s is the canonical form of a UUID, as we and nodes name connections and sessions. */
bool name_is_session(struct str s);

/*
 * Reads the connections of the last run and waits for their nodes. To be called after directory_open() and before any
 * client is served. ready(ctx, err) is called once from the loop.
 */
struct sessions *sessions_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
/* To be called after the listener is closed, before the directory and the store are. NULL is ignored. */
void sessions_close(struct sessions *s);

/* The names of nodes. */
const struct nodes *sessions_nodes(const struct sessions *s);

/*
 * Counts a connection of the user to a resource of the kind on the host until its record is removed from the store or
 * sessions_leave_node() is called. RESOURCE_EXHAUSTED: the user has kind->limits.each connections there, or the host has none left
 * for this user. Dialled connections count like open ones.
 */
struct error *sessions_enter_node(struct sessions *s, struct str connection_id, const struct resource_kind *kind, struct str host_id,
                                  struct str user) MUST_USE;
void sessions_leave_node(struct sessions *s, struct str connection_id);

/* Whether a host has connections that count; s may be NULL. */
bool sessions_has_connections(const struct sessions *s, struct str host_id);

/* Whether a node has a report stream for this connection now. */
bool session_has_report_stream(const struct sessions *s, struct str connection_id);

/* Writes the final audit events of a connection that its node reports as lost, unless it has a report stream. NULL is ignored. */
void session_give_up(struct sessions *s, struct str connection_id);

/* SessionService/Report. */
void session_report(struct rpc_call *call, const ProtobufCMessage *first);

/* DialService/Dial. */
void dial_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
