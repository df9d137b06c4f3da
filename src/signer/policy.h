/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer's policy: decides which certificates are issued. Pure functions: from a request and the signer's own facts
 * they make an order, in which every name, time and key was checked here, independently of auth.
 */
#ifndef SIGNER_POLICY_H
#define SIGNER_POLICY_H

#include "internal.pb-c.h"
#include "pki/cert.h"
#include "pki/public_key.h"
#include "signer/app_token.h"

/* Facts that the signer does not take from the request. */
struct policy_facts {
        struct str cluster;
        struct walltime now;
        struct cert_times ca_times;        /* of the CA that would sign */
        const struct public_key *own_keys; /* of all CAs of the cluster, which are never certified */
        size_t own_key_count;
};

/* The contents of a host's certificates. Strings are valid as long as the request and the arena. */
struct policy_order {
        struct x509_subject x509;
        struct ssh_host_subject ssh;
        struct str tls_public_key;
        struct str ssh_public_key; /* "": no SSH certificate; there is none for any role but Node */
        struct cert_times times;
};

/*
 * INVALID_ARGUMENT when the request is not well formed, PERMISSION_DENIED when it requests contents that its role may
 * not have, FAILED_PRECONDITION when the CA has expired. Names that the host may not have are refused if they were
 * requested explicitly, and left out if they are the host's own node name.
 */
struct error *policy_check(struct arena *a, const struct policy_facts *facts,
                           const Cteleport__Internal__V1__HostCertRequest *request, struct policy_order *ret) MUST_USE;

/* The contents of a user's certificates. */
struct user_order {
        struct x509_user_subject x509;
        struct ssh_user_subject ssh;
        struct str tls_public_key, ssh_public_key;
        struct cert_times times;
};

/*
 * The same for a user, whose CA's times are in facts: valid name, roles and logins, both keys, LIMIT_USER_CERT_SECONDS
 * at most. A user without logins gets a principal that matches no account. A name that could be mistaken for that of a
 * host is refused.
 */
struct error *policy_check_user(struct arena *a, const struct policy_facts *facts,
                                const Cteleport__Internal__V1__UserCertRequest *request,
                                struct user_order *ret) MUST_USE;

/*
 * Checks a request for a token of an application, from the uri of which the audience is made, and returns the contents: a valid user,
 * roles and traits in UTF-8, an http or https uri, LIMIT_APP_TOKEN_SECONDS at most and never beyond the end of the user's identity.
 */
struct error *policy_check_token(struct arena *a, const struct policy_facts *facts, const Cteleport__Internal__V1__AppTokenRequest *request,
                                 struct app_token *ret) MUST_USE;

#endif
