/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides whether a user may have a connection: when it is dialled, when the user presents a certificate to sshd, and
 * again whenever users, roles or locks change. Decisions use the current state.
 */
#ifndef AUTH_USERS_DECISION_H
#define AUTH_USERS_DECISION_H

#include "auth/users/directory.h"
#include "auth/hosts/nodes.h"
#include "auth/sessions/kinds.h"
#include "pki/cert.h"

/* ---- certificates ------------------------------------------------------------------------------------- */

/*
 * Verifies a user's X.509 certificate, which must be signed by the user CA of this cluster and valid now, and returns
 * its user. Strings of ret are in the arena. UNAUTHENTICATED otherwise.
 */
struct error *user_cert_check(const struct authorities *cas, struct str cluster, struct str der, struct walltime now, struct arena *arena,
                              struct cert_info *ret) MUST_USE;

/* The same for an SSH certificate, which must also have `login` among its principals and be issued to `user`. */
struct error *ssh_user_cert_check(const struct authorities *cas, struct str wire, struct str user, struct str login, struct walltime now,
                                  struct arena *arena, struct ssh_cert_info *ret) MUST_USE;

/* PERMISSION_DENIED if the certificate is good for an application, and this is another resource. */
struct error *decision_check_cert_app(const struct cert_info *cert, const struct resource_kind *kind, const struct kind_fields *fields) MUST_USE;

/* ---- users on hosts ------------------------------------------------------------------------------------- */

/*
 * Whether the user exists, is not locked out, and may log in to the node; with an empty login, whether the node is
 * visible to the user. *ret_user (in the arena; what it points to is valid until the next turn of the loop) is set once
 * the user is found. may is not set without a login.
 */
struct error *decision_check(const struct directory *d, struct str user, struct str login, const struct node *node, struct arena *arena,
                           struct access_user *ret_user, struct access_session *ret_may) MUST_USE;

/* The same for an application that the host offers; PERMISSION_DENIED if it does not. may is set. */
struct error *decision_check_app(const struct directory *d, struct str user, struct str app, const struct node *host, struct arena *arena,
                                 struct access_user *ret_user, struct access_session *ret_may) MUST_USE;

/*
 * The part of the check that does not depend on the node: whether the user exists, all roles exist, and neither user
 * nor login is locked.
 */
struct error *decision_check_anywhere(const struct directory *d, struct str user, struct str login, struct arena *arena,
                                    struct access_user *ret_user) MUST_USE;

/* A request for a decision on a connection: by its agent, or after a change of roles. Everything but `kind` is copied. */
struct query {
        const struct resource_kind *kind;
        struct kind_fields fields;
        struct str user, host_id;
        struct str certificate; /* SSH wire form, of a node; X.509 DER, of other resources; empty: verified earlier, this checks whether the connection may continue */
        const Cteleport__State__V1__Connection *known; /* labels and attributes of a node that does not report now; may be NULL */
        bool is_beginning; /* with `known`: a session begins; the connection's certificate must not have expired */
};

struct answer {
        struct error *refusal; /* NULL: allowed; UNAVAILABLE: cannot be decided now; owned by the answer */
        struct str user, hostname;
        struct kind_fields fields; /* of the query */
        struct kind_resource resource;
        struct str *roles;
        size_t role_count;
        struct access_session may;
        bool permits_pty, permits_port_forwarding, permits_agent_forwarding; /* roles and certificate allow it */
        unsigned permits; /* LOGIN_PERMIT_* that sshd was granted at the login, if known; not set by decide */
        struct str serial; /* of the certificate; "": none was shown */
        struct str web_session; /* to which the certificate belongs; "": none */
        int64_t ends; /* end of the certificate's validity, Unix seconds */
};

/* A certificate with which a user is connected to a service. */
struct shown_certificate {
        const struct auth *auth;
        struct str bytes;
        struct str user;
        const struct kind_fields *fields;
        struct arena *arena;
};
/* UNAUTHENTICATED or PERMISSION_DENIED unless it is one of the user; sets serial, ends and what an SSH certificate permits. */
struct error *decision_check_ssh_certificate(const struct shown_certificate *c, struct answer *answer) MUST_USE;
struct error *decision_check_x509_certificate(const struct shown_certificate *c, struct answer *answer) MUST_USE;

/* done exactly once from the loop; the answer is borrowed until it returns. */
void decide(struct auth *a, const struct query *q, void (*done)(void *ctx, const struct answer *answer), void *ctx);

#endif
