/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the signer is willing to certify. Pure: a request and what is known go in, an order comes out,
 * in which every name, time and key has been judged here, whatever auth says about it.
 */
#ifndef SIGNER_POLICY_H
#define SIGNER_POLICY_H

#include "internal.pb-c.h"
#include "pki/cert.h"
#include "pki/public_key.h"

/* What the signer knows by itself. */
struct policy_facts {
        struct str cluster;
        struct walltime now;
        struct cert_times ca_times;        /* of the CA that would sign */
        const struct public_key *own_keys; /* of all our CAs: never subjects */
        size_t own_key_count;
};

/* What to certify of a host. Strings live as long as the request and the arena. */
struct policy_order {
        struct x509_subject x509;
        struct ssh_host_subject ssh;
        struct str tls_public_key;
        struct str ssh_public_key; /* "": no SSH certificate; there is none for any role but Node */
        struct cert_times times;
};

/*
 * INVALID_ARGUMENT when the request is not well formed, PERMISSION_DENIED when it asks for what its role
 * may not have, FAILED_PRECONDITION when the CA has ended. Names a host may not bear are refused when
 * they were asked for, and left out when they are merely the host's own node name.
 */
struct error *policy_check(struct arena *a, const struct policy_facts *facts,
                           const Cteleport__Internal__V1__HostCertRequest *request, struct policy_order *ret) MUST_USE;

/* The facts of a user's certificate. */
struct user_order {
        struct x509_user_subject x509;
        struct ssh_user_subject ssh;
        struct str tls_public_key, ssh_public_key;
        struct cert_times times;
};

/*
 * The same for a user, whose CA's times are in facts: a name, roles and logins of their alphabets, both
 * keys, LIMIT_USER_CERT_SECONDS at most. A user without logins gets a principal that fits no account. A
 * name that could be taken for a host's is refused.
 */
struct error *policy_check_user(struct arena *a, const struct policy_facts *facts,
                                const Cteleport__Internal__V1__UserCertRequest *request,
                                struct user_order *ret) MUST_USE;

#endif
