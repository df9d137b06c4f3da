/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Issues certificates for users: requests them from the signer.
 */
#ifndef AUTH_CERTS_ISSUE_USER_H
#define AUTH_CERTS_ISSUE_USER_H

#include "auth/core/auth.h"

/* The contents of one user's certificates; all of them are validated by the caller and borrowed until issue_user() returns. */
struct issue_user_request {
        struct str user;
        const struct str *roles, *logins;
        size_t role_count, login_count;
        struct str tls_public_key; /* SubjectPublicKeyInfo DER */
        struct str ssh_public_key; /* wire form */
        struct duration ttl;
        bool permit_port_forwarding, permit_agent_forwarding;
        struct str web_session; /* its ID, and no SSH key; "": no web session */
        struct str app;         /* of a web session: good for this application only; "": no such limit */
        struct str app_secret;  /* of the session of an application, for the certificate on a user's disk; "": none */
        const char *reason; /* "login", "web", "app": for the signer's log */
};

/*
 * Requests the certificates. done is called exactly once, from the loop; certs are borrowed until it returns.
 * issue_failed() converts err to the client's error.
 */
void issue_user(struct auth *a, const struct issue_user_request *request,
                void (*done)(void *ctx, const Cteleport__Internal__V1__UserCerts *certs, struct error *err), void *ctx);

#endif
