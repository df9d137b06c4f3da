/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH connections on nodes, from the proxy's question to their end, and what happens on them.
 *
 *      Dial ─▶ /connections/<id> ─▶ Report: begin ─▶ ask, accepted, start, exit … ─▶ closed
 *               (a minute)            │    ▲                                          │
 *                                     ▼    │ resumed                                  ▼
 *                                    lost ─┴─ TIMEOUT_CONNECTION_LOST ─────────▶ its audit is closed,
 *                                                                               the record goes
 *
 * Everything that is known of a connection is in the store, so that a restart of the Auth Service is
 * nothing but a lost stream.
 */
#ifndef AUTH_SESSIONS_SESSIONS_H
#define AUTH_SESSIONS_SESSIONS_H

#include "auth/core/auth.h"
#include "auth/hosts/nodes.h"
#include "rpc/rpc.h"
#include "state/connection.h"

struct sessions;

/* Whether s is the canonical form of a UUID, as we and nodes name connections and sessions. */
bool name_is_session(struct str s);

/*
 * Finds the connections of the last run and waits for their nodes; after directory_open, before anybody is
 * served. ready(ctx, err) once from the loop.
 */
struct sessions *sessions_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
/* After the listener is closed, before the directory and the store. NULL is silent. */
void sessions_close(struct sessions *s);

/* The names of nodes. */
const struct nodes *sessions_nodes(const struct sessions *s);

/*
 * Takes a place on the host for a connection of the user, until its record leaves the store, or sessions_leave_node().
 * RESOURCE_EXHAUSTED: the user has LIMIT_SSH_CONNECTIONS_USER there, or only the reserve is left, or nothing. Dialled
 * connections count as those that are open.
 */
struct error *sessions_enter_node(struct sessions *s, struct str connection_id, struct str host_id, struct str user) MUST_USE;
void sessions_leave_node(struct sessions *s, struct str connection_id);

/* Whether a node tells of this connection now. */
bool session_has_report_stream(const struct sessions *s, struct str connection_id);

/* Ends the audit of a connection that its node reports as lost, unless it has a report stream. NULL is silent. */
void session_give_up(struct sessions *s, struct str connection_id);

/* SessionService/Report. */
void session_report(struct rpc_call *call, const ProtobufCMessage *first);

/* DialService/Dial. */
void dial_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
