/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Issues certificates for hosts: requests them from the signer and converts them to the messages of the join services.
 */
#ifndef AUTH_CERTS_ISSUE_H
#define AUTH_CERTS_ISSUE_H

#include "auth/core/auth.h"
#include "join.pb-c.h"
#include "pki/cert.h"

/* The contents of one host's certificates; all texts are validated by the caller and borrowed until issue() returns. */
struct issue_request {
        struct str host_id, host_name, role;
        char *const *system_roles; /* Instance only */
        size_t system_role_count;
        const struct str *principals;
        size_t principal_count;
        const struct str *dns_names;
        size_t dns_name_count;
        struct str tls_public_key; /* SubjectPublicKeyInfo DER */
        struct str ssh_public_key; /* wire form; empty: none wanted */
        const char *reason;        /* "join", "renew", "local": for the signer's log */
};

/* Requests the certificates. done is called exactly once, from the loop; certs are borrowed until it returns. */
void issue(struct auth *a, const struct issue_request *request,
           void (*done)(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err), void *ctx);

/*
 * Converts an error of the signer to the client's error: a refusal stays a refusal; any other error becomes one that
 * may be retried.
 */
struct error *issue_failed(struct error *err) MUST_USE;

/* Requests the CAs from the signer, which creates them at the first start, and stores them in a->authorities. */
void issue_load_authorities(struct auth *a, bool may_create, void (*done)(void *ctx, struct error *err), void *ctx);

/* Keeps the CAs of an answer of the signer in a->authorities. */
struct error *issue_keep_authorities(struct auth *a, const ProtobufCMessage *answer) MUST_USE;

/* The certificates of a CA (a->authorities.host or .user) as PEM, for TLS contexts. */
void authority_pem(const Cteleport__Internal__V1__Authority *authority, struct buf *out);

/*
 * Whether a certificate that TLS has verified was issued by this CA. Comparing the issuer's name suffices: each CA has
 * a random serial number in its name, and TLS has verified the signature with the CA of that name.
 */
bool authority_is_issuer(const Cteleport__Internal__V1__Authority *authority, const struct cert_info *cert);

/*
 * Fills the Certificates message of join.proto. The bytes are borrowed from certs and a->authorities, the arrays are in
 * the arena.
 */
void issue_fill_certificates(const struct auth *a, const Cteleport__Internal__V1__HostCerts *certs, struct arena *arena,
                             Teleport__Join__V1__Certificates *ret);

/*
 * Removes the host CAs that did not issue the certificate, from the answer to a join: during a rotation a host with ca_pin would
 * refuse the CA that its pin does not name. It learns that one from auth, on a connection that its CA verifies.
 */
void issue_keep_issuer(Teleport__Join__V1__Certificates *certificates);

/*
 * Whether a host called host_name with host_id, seen at remote_ip, may request this additional name: only its own name
 * or ID in any spelling, or its own address.
 */
bool issue_name_is_own(struct str name, struct str host_id, struct str host_name, struct str cluster, struct str remote_ip);

/* Whether a joining host may have this well-formed name: it must not be an address in any spelling, reserved, or too long. */
struct error *issue_check_host_name(struct str name, struct str cluster) MUST_USE;

#endif
