/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is decided of logins and sessions, as session_service.c tells it to nodes: options, permits, and the form on the wire.
 */
#ifndef AUTH_SESSIONS_SESSION_DECISION_H
#define AUTH_SESSIONS_SESSION_DECISION_H

#include "api.pb-c.h"
#include "auth/users/decision.h"
#include "base/limits.h"
#include "pki/login_permit.h"

/* LOGIN_PERMIT_* of what sshd is permitted by the answer. */
unsigned session_permits(const struct answer *answer);
/* What the roles allow, of a certificate that permits all. */
unsigned session_permits_of_roles(const struct answer *answer);
/* Sets what the answer permits to what sshd was permitted at the login, as far as the roles of now leave it. */
void session_keep_permits(unsigned permits, struct answer *answer);
/* Why sshd, which keeps to what it was permitted at the login, must go: the answer leaves less. Static; NULL: it does not. */
const char *session_permits_taken(unsigned permits, const struct answer *answer);

#define SESSION_NO_COPY "copying files is not allowed: ssh_file_copy of your roles forbids it"

/* A session that wants to begin. */
struct session_wishes {
        bool is_copy, has_pty, is_recorded;
};
/* PERMISSION_DENIED: what the options of the answer forbid. */
struct error *session_check_options(const struct session_wishes *w, const struct answer *answer) MUST_USE;

/* Everything that d says of the answer, which it borrows from; roles, node: room for it. */
void session_decision_fill(const struct answer *answer, char *user, Cteleport__V1__ReportDecision *d, char *roles[LIMIT_AUDIT_VALUES],
                           Cteleport__V1__NodePermits *node);
/* Adds auth's signature, in the buffer, for sshd's own program, who believes nobody in between: without it that refuses. */
void session_decision_sign(const struct auth *a, const struct login_permit *permit, Cteleport__V1__ReportDecision *d, struct buf *signature);

#endif
