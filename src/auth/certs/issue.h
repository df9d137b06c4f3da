/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for hosts: asks the signer, and shapes what it gives as the join services carry it.
 */
#ifndef AUTH_CERTS_ISSUE_H
#define AUTH_CERTS_ISSUE_H

#include "auth/core/auth.h"
#include "join.pb-c.h"
#include "pki/cert.h"

/* What one host shall have certified; all texts are checked already and borrowed until issue() returns. */
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

/* done exactly once from the loop; certs borrowed until it returns. */
void issue(struct auth *a, const struct issue_request *request,
           void (*done)(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err), void *ctx);

/* The error for the client: a refusal stays a refusal; any other error may pass with a later try. */
struct error *issue_failed(struct error *err) MUST_USE;

/* Asks the signer for the CAs (creating them at the very first start) and keeps them in a->authorities. */
void issue_load_authorities(struct auth *a, bool may_create, void (*done)(void *ctx, struct error *err), void *ctx);

/* The certificates of a CA (a->authorities.host or .user) as PEM, for TLS contexts. */
void authority_pem(const Cteleport__Internal__V1__Authority *authority, struct buf *out);

/*
 * Whether a certificate that TLS has verified was issued by this CA, by the issuer it names: each CA has a
 * random serial number in its name, and TLS has checked the signature with the CA of that name.
 */
bool authority_is_issuer(const Cteleport__Internal__V1__Authority *authority, const struct cert_info *cert);

/*
 * Certificates as join.proto carries them: certs' bytes and the CAs, all borrowed from certs and from
 * a->authorities, arrays in the arena.
 */
void issue_fill_certificates(const struct auth *a, const Cteleport__Internal__V1__HostCerts *certs, struct arena *arena,
                             Teleport__Join__V1__Certificates *ret);

/*
 * Whether a host called host_name with host_id, seen at remote_ip, may ask for this additional name:
 * its own name or ID in any spelling, and the address it is seen at.
 */
bool issue_name_is_own(struct str name, struct str host_id, struct str host_name, struct str cluster, struct str remote_ip);

/* Whether a joining host may be called by this well-formed name: no address in any spelling, not reserved, short enough. */
struct error *issue_check_host_name(struct str name, struct str cluster) MUST_USE;

#endif
