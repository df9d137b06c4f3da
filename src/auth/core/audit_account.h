/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits the disk space of the audit log. No completed action is left out of the log: an action is refused beforehand
 * when its events would exceed a limit. There are two limits:
 *
 * - each peer has a budget of bytes a day (event_budget.h), in accounts of its own for what it does. Removals are not
 *   charged: the removed was made before, by somebody who had a budget for it;
 * - below LIMIT_EVENTS_FREE_MIB of free disk (LIMIT_EVENTS_FREE_PERCENT of a small one) no host joins and no SSH connection
 *   begins, and refusals are only counted; below half of that, open connections end with their next event. What is left is
 *   for administrators, for renewals and logins, and for events that tell how things ended.
 */
#ifndef AUTH_CORE_AUDIT_ACCOUNT_H
#define AUTH_CORE_AUDIT_ACCOUNT_H

#include "audit/audit.h"
#include "auth/core/event_budget.h"
#include "store/store.h"

struct auth;
struct refusal_log;

enum audit_account {
        ACCOUNT_LOGIN,      /* successful logins of a user; name: the user */
        ACCOUNT_ADMIN,      /* changes by an administrator; name: as the audit has it */
        ACCOUNT_LOCK,       /* locks by an administrator, so that changes in a loop leave room for them; name: the same */
        ACCOUNT_JOIN,       /* successful joins; name: the binding of the host, which a fleet shares */
        ACCOUNT_RENEWAL,    /* certificates of one host; name: its ID */
        ACCOUNT_COUNT,
};

/* Sets the limits of all budgets of the Auth Service, including those of connections and recordings, and the paces of hosts. */
void audit_budgets_init(struct auth *a);
void audit_budgets_release(struct auth *a);

/* RESOURCE_EXHAUSTED when the account is spent. To be called before any step that cannot be undone. */
struct error *audit_account_check(struct auth *a, enum audit_account account, struct str name) MUST_USE;
void audit_account_charge(struct auth *a, enum audit_account account, struct str name, size_t bytes);

/*
 * Adds an audit event as outbox_add() does and charges it to an account. When the account is spent, the transaction
 * writes nothing and its commit reports that.
 */
void audit_account_add(struct auth *a, enum audit_account account, struct str name, struct store_txn *t, struct audit_record *r);

/*
 * RESOURCE_EXHAUSTED while the disk of the audit log has too little free space for new connections and joins
 * (ROOM_FOR_NEW) or for open connections (ROOM_FOR_OPEN).
 */
enum audit_room { ROOM_FOR_NEW, ROOM_FOR_OPEN };
struct error *audit_check_room(struct auth *a, enum audit_room what) MUST_USE;

/*
 * Works as refusal_log_may_report(), but only counts the refusal while there is too little free space (ROOM_FOR_NEW).
 * False when log is NULL.
 */
bool audit_may_report(struct auth *a, struct refusal_log *log, struct str source) MUST_USE;

#endif
