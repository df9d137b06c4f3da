/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a host in one role: its keys, the certificates for them, and the CAs that it trusts.
 *
 * An identity exists only after its verification: certificates (from a join, a renewal, a file or a sibling
 * process) are passed to host_identity_make, which checks them.
 */
#ifndef JOIN_HOST_IDENTITY_H
#define JOIN_HOST_IDENTITY_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"
#include "join/binding.h"
#include "pki/ca_pins.h"
#include "pki/cert.h"
#include "pki/key.h"

enum { HOST_CAS_MAX = 8 }; /* during a rotation there are two */

/*
 * The two private keys of an identity: P-256 for TLS, Ed25519 for SSH. They never leave the host. A process that speaks with
 * the network is given the first alone.
 */
struct host_keys {
        struct key tls, ssh;
};
struct error *host_keys_generate(struct host_keys *k) MUST_USE;
void host_keys_release(struct host_keys *k);

/* Certificates as they came; everything borrowed. */
struct host_certificates {
        struct str tls_cert;                  /* DER */
        struct str tls_ca_certs[HOST_CAS_MAX]; /* DER */
        size_t tls_ca_count;
        struct str ssh_cert;                  /* wire form; "" for roles other than Node */
        struct str ssh_ca_keys[HOST_CAS_MAX]; /* wire form */
        size_t ssh_ca_count;
        /* Of the user CA: for roles that accept user certificates (Proxy, Node); none from a join or an older cluster. */
        struct str tls_user_ca_certs[HOST_CAS_MAX]; /* DER */
        size_t tls_user_ca_count;
        struct str ssh_user_ca_keys[HOST_CAS_MAX]; /* wire form */
        size_t ssh_user_ca_count;
};

struct host_identity {
        struct str role;    /* "Instance", "Node", "Proxy" … */
        struct str host_id;
        struct str cluster;
        struct str serial;  /* of the X.509 certificate, lower-case hex */
        struct cert_times times;
        struct host_certificates certs;
        struct secret tls_key_pem, ssh_key_pem;
        /*
         * Of an identity that came with a join by proof: SHA-256 of the request that we signed. Auth says later, on a connection of
         * its own, by which request the host became a member. Until then a proxy may have answered with the join of somebody else.
         */
        bool has_join_proof;
        uint8_t join_proof[JOIN_PROOF_SIZE];
        struct arena *arena; /* holds all of the above but the secrets */
};

/* What the maker of an identity expects of it; empty text: whatever the certificate says. */
struct host_expectation {
        struct str role;
        struct str host_id;
        struct str cluster;
        struct ca_pins pins; /* if there are any, each CA of hosts must be named by one */
};

/*
 * Verifies and copies. Refused with UNAUTHENTICATED: a certificate for another key, one that none of
 * the CAs signed, of another role, host or cluster, or, for role Node, an SSH certificate that is not a
 * host certificate for our key by one of the CA keys. FAILED_PRECONDITION: a host ID of no known form.
 * An SSH certificate may be missing, and one that comes with another role is left out; without one no CA key for
 * SSH is kept. Times are not judged here; see host_identity_check_times.
 */
struct error *host_identity_make(struct host_identity *ret, const struct host_keys *keys,
                                 const struct host_certificates *certs, struct host_expectation expected) MUST_USE;
/*
 * Drops what no pin proves of an answer that came through a proxy: pins name the CA of the X.509 certificates only, so
 * the keys that sign for SSH are believed when the Auth Service itself sends them.
 */
void host_certificates_drop_ssh(struct host_certificates *certs);

/* Releases and wipes; a zeroed one is empty. */
void host_identity_release(struct host_identity *id);
static inline bool host_identity_is_empty(const struct host_identity *id)
{
        return id->arena == NULL;
}

/* UNAUTHENTICATED when it has ended, at this moment of our clock. */
struct error *host_identity_check_times(const struct host_identity *id, struct walltime now) MUST_USE;

/* UNAUTHENTICATED when the host became a member by another request than its own. said: empty when auth knows none. */
struct error *host_identity_check_proof(const struct host_identity *id, struct str sent) MUST_USE;

/* When to renew: in the middle of its life, up to a tenth of that life earlier or later (jitter 0..1000). */
struct walltime host_identity_renew_at(const struct host_identity *id, unsigned jitter);

/*
 * The difference between the clock of the issuer of `times` and ours, positive if it is ahead: NotBefore lies a fixed
 * LIMIT_CERT_BACKDATE_SECONDS before the moment of issue. Good to a second or so.
 */
struct duration host_clock_skew(struct cert_times times, struct walltime now);

/* The certificate and the CAs behind it, and the CAs alone, as PEM. */
void host_identity_chain_pem(const struct host_identity *id, struct buf *out);
void host_identity_trust_pem(const struct host_identity *id, struct buf *out);

/* The user CA as PEM, with which user certificates are verified. Never mixed with the host CA. */
void host_identity_user_trust_pem(const struct host_identity *id, struct buf *out);

/* "<hex of the cluster's name>.teleport.cluster.local": the name every Auth Service's certificate holds. */
void cluster_auth_name(struct str cluster, struct buf *out);

#endif
