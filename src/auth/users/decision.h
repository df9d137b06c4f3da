/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a user may have a connection: decided when it is dialled, when sshd is shown a certificate, and again whenever users,
 * roles or locks change; always from the current state.
 */
#ifndef AUTH_USERS_DECISION_H
#define AUTH_USERS_DECISION_H

#include "auth/users/directory.h"
#include "auth/hosts/nodes.h"
#include "auth/sessions/kind_fields.h"
#include "pki/cert.h"

struct resource_kind;

/* ---- certificates ------------------------------------------------------------------------------------- */

/*
 * Whose X.509 certificate this is: signed by the user CA of this cluster, of a user, and in force. Strings
 * of ret live in the arena. UNAUTHENTICATED otherwise.
 */
struct error *user_cert_check(const struct authorities *cas, struct str cluster, struct str der, struct walltime now, struct arena *arena,
                              struct cert_info *ret) MUST_USE;

/* The same for an SSH certificate, which must also name `login` among its principals and `user` as whose it is. */
struct error *ssh_user_cert_check(const struct authorities *cas, struct str wire, struct str user, struct str login, struct walltime now,
                                  struct arena *arena, struct ssh_cert_info *ret) MUST_USE;

/* ---- users on nodes ------------------------------------------------------------------------------------- */

/*
 * Whether the user exists, is not locked out, and may log in to the node; with an empty login, whether they
 * see the node at all. *ret_user (in the arena, what it points to until the next turn) is set once the
 * user is found. may is not touched without a login.
 */
struct error *decision_check(const struct directory *d, struct str user, struct str login, const struct node *node, struct arena *arena,
                           struct access_user *ret_user, struct access_session *ret_may) MUST_USE;

/* What of it does not depend on the node: whether the user exists, has their roles and is not locked out, nor the login. */
struct error *decision_check_anywhere(const struct directory *d, struct str user, struct str login, struct arena *arena,
                                    struct access_user *ret_user) MUST_USE;

/* A request for a decision on a connection: by its agent, or after a change of roles. Everything but `kind` is copied. */
struct query {
        const struct resource_kind *kind;
        struct kind_fields fields;
        struct str user, host_id;
        struct str certificate; /* SSH, wire form; empty: looked at earlier, the question is whether it still may be */
        const Cteleport__State__V1__Connection *known; /* of a node that is silent now its labels count, with what the host was attested as; may be NULL */
        bool is_beginning; /* with `known`: of a session on it; the certificate that opened the connection must not have ended */
};

struct answer {
        struct error *refusal; /* NULL: allowed; UNAVAILABLE: nobody knows now; owned by the answer */
        struct str user, hostname;
        struct kind_fields fields; /* of the query */
        const struct access_label *labels;
        size_t label_count;
        struct str *roles;
        size_t role_count;
        struct access_session may;
        bool permits_pty, permits_port_forwarding, permits_agent_forwarding; /* role and certificate say so */
        unsigned permits; /* LOGIN_PERMIT_*; not set by decide: what sshd was permitted for the connection, where that is known */
        uint64_t serial;
        int64_t ends; /* Unix seconds; of the certificate */
};

/* done exactly once from the loop; the answer is borrowed until it returns. */
void decide(struct auth *a, const struct query *q, void (*done)(void *ctx, const struct answer *answer), void *ctx);

#endif
