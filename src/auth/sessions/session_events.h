/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node tells of a connection, made into the audit and the state that go with it: shared by
 * session_*.c, included by nobody else.
 *
 * Nothing here waits or decides: a message, the state before it, a transaction that gets the state after it
 * together with the events.
 */
#ifndef AUTH_SESSIONS_SESSION_EVENTS_H
#define AUTH_SESSIONS_SESSION_EVENTS_H

#include "api.pb-c.h"
#include "auth/users/decision.h"
#include "auth/sessions/sessions.h"

/* A connection and its open sessions, as the store has them or as the next transaction will leave them. */
struct connection {
        struct arena *arena; /* of everything below */
        Cteleport__State__V1__Connection *record;
        Cteleport__State__V1__Session *sessions[LIMIT_CONNECTION_SESSIONS];
        size_t session_count;
        bool is_over; /* its record goes */
};

/* Into a zeroed struct; DATA_LOSS when the stored record cannot be read. */
struct error *connection_load(struct connection *c, const struct state_record *record) MUST_USE;
struct error *connection_load_session(struct connection *c, const struct state_record *record) MUST_USE;
/* Whether a certificate was accepted on it. */
bool connection_is_accepted(const struct connection *c);
bool connection_has_session(const struct connection *c, const char *id); /* that is open */
/* A deep copy to change: what is not committed must not be believed. */
struct error *connection_copy(const struct connection *c, struct connection *ret) MUST_USE;
void connection_release(struct connection *c);

/*
 * Applies one message (not begin, not ask): changes c, adds events and session records to t. INVALID_ARGUMENT
 * for what a node may not say; then cancel the transaction and drop c. accepted: the answer that allowed it,
 * for ReportAccepted only.
 */
struct error *connection_record_report(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__V1__ReportUp *up,
                              const struct answer *accepted) MUST_USE;

/* Ends every open session and the connection, for a node that will not do it: `reason` goes to the audit. */
void connection_record_end(struct auth *a, struct connection *c, struct store_txn *t, struct str reason);

/* Adds the connection's own record, or its removal, to t; afterwards c is what the commit will make true. */
void connection_put(const struct connection *c, struct store_txn *t);

/*
 * Someone who was not let in: session.rejected. user, login, host and what is wrong may be empty. False: there were too many
 * of this user (of this address, when the user is not known), and this one is only counted (auth/refusal_log.h).
 */
struct rejection {
        struct str user, host_id, hostname, client_addr, connection_id, serial;
        struct kind_fields fields;
        const struct error *why;
};
bool session_audit_rejected(struct auth *a, const struct rejection *r);

/* So many bytes about a connection of the user to the host are written down. */
void session_charge(struct auth *a, struct str user, struct str host_id, size_t bytes);

/* RESOURCE_EXHAUSTED when a new connection of the user to the host, or an open one, has no budget (event_budget.h) or disk any more. */
struct error *session_check_new(struct auth *a, struct str user, struct str host_id) MUST_USE;
struct error *session_check_open(struct auth *a, struct str user, struct str host_id) MUST_USE;
/* The same when reports of a node are refused: it goes on with connections that it was ordered to end. */
struct error *session_check_reported(struct auth *a, struct str user, struct str host_id) MUST_USE;

#endif
