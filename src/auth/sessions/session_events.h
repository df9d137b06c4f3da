/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converts reports of a node about a connection to audit events and to changes of the stored state. Private to
 * session_*.c.
 *
 * The functions neither wait nor decide: from a message and the state before it they add the new state and the events
 * to a transaction.
 */
#ifndef AUTH_SESSIONS_SESSION_EVENTS_H
#define AUTH_SESSIONS_SESSION_EVENTS_H

#include "api.pb-c.h"
#include "auth/users/decision.h"
#include "auth/sessions/session_repeats.h"
#include "auth/sessions/sessions.h"

/* A connection and its open sessions, as stored or as changed for the next transaction. */
struct connection {
        struct arena *arena; /* of everything below */
        Cteleport__State__V1__Connection *record;
        Cteleport__State__V1__Session *sessions[LIMIT_CONNECTION_SESSIONS];
        size_t session_count;
        bool is_over; /* its record is to be deleted */
};

/* Into a zeroed struct; DATA_LOSS when the stored record cannot be read. */
struct error *connection_load(struct connection *c, const struct state_record *record) MUST_USE;
struct error *connection_load_session(struct connection *c, const struct state_record *record) MUST_USE;
/* Whether a certificate was accepted on it. */
bool connection_is_accepted(const struct connection *c);
bool connection_has_session(const struct connection *c, const char *id); /* that is open */
/* Makes a deep copy to change, so that the original has committed state only. */
struct error *connection_copy(const struct connection *c, struct connection *ret) MUST_USE;
void connection_release(struct connection *c);

/*
 * Applies one message other than begin and ask: changes c and adds events and session records to t. INVALID_ARGUMENT
 * for an invalid message; the caller then cancels the transaction and drops c. accepted: the answer that allowed it,
 * for ReportAccepted only.
 */
struct error *connection_record_report(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__V1__ReportUp *up,
                              const struct answer *accepted) MUST_USE;

/*
 * Ends every open session and the connection on behalf of a node that does not report any more; the audit events
 * contain `reason`.
 */
void connection_record_end(struct auth *a, struct connection *c, struct store_txn *t, struct str reason);

/* Reports the events of the connection that were counted only, since the last report; none: nothing. They are zero afterwards. */
void connection_report_left_out(struct auth *a, const struct connection *c, uint64_t left_out[REPEAT_COUNT]);

/* Adds the connection's record, or its removal, to t. */
void connection_put(const struct connection *c, struct store_txn *t);

/*
 * A refused login, for the event session.rejected. Texts may be empty. False: the user (or the address, when the user
 * is not known) has too many refusals, and this one is only counted (refusal_log.h).
 */
struct rejection {
        struct str user, host_id, hostname, client_addr, connection_id, serial;
        struct kind_fields fields;
        const struct error *why;
};
bool session_audit_rejected(struct auth *a, const struct rejection *r);

/* Charges `bytes` of events about the connection `id` of the user to the host. */
void session_charge(struct auth *a, struct str id, struct str user, struct str host_id, size_t bytes);

/*
 * RESOURCE_EXHAUSTED when no budget (event_budget.h) or disk space is left for a new or an open connection of the user
 * to the host.
 */
struct error *session_check_new(struct auth *a, struct str user, struct str host_id) MUST_USE;
struct error *session_check_open(struct auth *a, struct str id, struct str user, struct str host_id) MUST_USE;
/* The same for reports of a node that continues connections which it was ordered to end: they are refused. */
struct error *session_check_reported(struct auth *a, struct str id, struct str user, struct str host_id) MUST_USE;

#endif
