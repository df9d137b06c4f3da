/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions on logins and sessions, in the form that session_service.c sends to nodes: session options, permits, and
 * the wire message.
 */
#ifndef AUTH_SESSIONS_SESSION_DECISION_H
#define AUTH_SESSIONS_SESSION_DECISION_H

#include "api.pb-c.h"
#include "auth/users/decision.h"
#include "base/limits.h"
#include "pki/login_permit.h"

/* The LOGIN_PERMIT_* flags that the answer grants to sshd. */
unsigned session_permits(const struct answer *answer);
/* The flags that the roles allow for a certificate with all permissions. */
unsigned session_permits_of_roles(const struct answer *answer);
/* Reduces the permissions of the answer to those that sshd was granted at the login and the current roles still allow. */
void session_keep_permits(unsigned permits, struct answer *answer);
/*
 * The reason why the running sshd must be ended: its permissions, fixed at the login, exceed those of the answer.
 * Static text; NULL: they do not.
 */
const char *session_permits_taken(unsigned permits, const struct answer *answer);

#define SESSION_NO_COPY "copying files is not allowed: ssh_file_copy of your roles forbids it"

/* The features that a beginning session requests. */
struct session_options {
        bool is_copy, has_pty, is_recorded;
};
/* PERMISSION_DENIED when the options of the answer forbid a requested feature. */
struct error *session_check_options(const struct session_options *w, const struct answer *answer) MUST_USE;

/* Storage for parts of the wire message; a zeroed struct is empty. */
struct session_decision_parts {
        char *roles[LIMIT_AUDIT_VALUES];
        Cteleport__V1__NodePermits node;
        Cteleport__V1__AppPermits app;
        struct arena *arena;
};
void session_decision_parts_release(struct session_decision_parts *parts);

/*
 * Fills the wire message d from the answer and the user's record (NULL: there is none), from which it borrows. Traits of the user are for
 * applications, as far as they fit into LIMIT_APP_TRAITS.
 */
void session_decision_fill(const struct answer *answer, const Cteleport__V1__User *record, char *user, Cteleport__V1__ReportDecision *d,
                           struct session_decision_parts *parts);
/*
 * Adds the Auth Service's signature, stored in the buffer. The program that sshd runs on the node verifies it, as it
 * does not trust the processes in between, and refuses unsigned decisions.
 */
void session_decision_sign(const struct auth *a, const struct login_permit *permit, Cteleport__V1__ReportDecision *d, struct buf *signature);

#endif
