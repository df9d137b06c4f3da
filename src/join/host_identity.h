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
 * The two private keys of an identity: P-256 for TLS, Ed25519 for SSH. They never leave the host. Processes with
 * network access get the TLS key only.
 */
struct host_keys {
        struct key tls, ssh;
};
struct error *host_keys_generate(struct host_keys *k) MUST_USE;
void host_keys_release(struct host_keys *k);

/* Certificates as received; everything is borrowed. */
struct host_certificates {
        struct str tls_cert;                  /* DER */
        struct str tls_ca_certs[HOST_CAS_MAX]; /* DER */
        size_t tls_ca_count;
        struct str ssh_cert;                  /* wire form; "" for roles other than Node */
        struct str ssh_ca_keys[HOST_CAS_MAX]; /* wire form */
        size_t ssh_ca_count;
        /*
         * Certificates of the user CA, for roles that accept user certificates (Proxy, Node); none from a join or an
         * older cluster.
         */
        struct str tls_user_ca_certs[HOST_CAS_MAX]; /* DER */
        size_t tls_user_ca_count;
        struct str ssh_user_ca_keys[HOST_CAS_MAX]; /* wire form */
        size_t ssh_user_ca_count;
        /*
         * Configured pins that named an earlier CA of this host: an Auth Service with a certificate by that CA has named the CAs above,
         * on a connection from end to end. None: each host CA must match a configured pin itself.
         */
        struct str vouching_pins[HOST_CAS_MAX];
        size_t vouching_count;
        struct str ca_revision; /* of the cluster's CAs, with which the certificates were issued; "": from a join, or never rotated */
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
         * For an identity from a join with a proof: SHA-256 of the request that this host signed. Auth later reports,
         * on an authenticated connection, with which request the host joined. Until then a proxy may have substituted
         * the join of another host.
         */
        bool has_join_proof;
        uint8_t join_proof[JOIN_PROOF_SIZE];
        struct arena *arena; /* holds all of the above but the secrets */
};

/* The values that an identity must have; empty text: the value in the certificate is accepted. */
struct host_expectation {
        struct str role;
        struct str host_id;
        struct str cluster;
        struct ca_pins pins; /* if not empty, each host CA must match one of them, or one of them must vouch for the CAs */
};

/*
 * Verifies and copies. Refused with UNAUTHENTICATED: a certificate for another key, one that is not signed by any of
 * the CAs, of another role, host or cluster, or, for role Node, an SSH certificate that is not a host certificate for
 * our key by one of the CA keys. FAILED_PRECONDITION: a malformed host ID. An SSH certificate may be missing, and is
 * dropped for other roles; without one no SSH CA key is stored. Validity times are not checked here; see
 * host_identity_check_times().
 */
struct error *host_identity_make(struct host_identity *ret, const struct host_keys *keys,
                                 const struct host_certificates *certs, struct host_expectation expected) MUST_USE;
/*
 * Drops the SSH CA keys from an answer that was received through a proxy: pins verify only the X.509 CA, so SSH CA keys
 * are accepted from the Auth Service itself only.
 */
void host_certificates_drop_ssh(struct host_certificates *certs);

/* Releases and wipes; a zeroed one is empty. */
void host_identity_release(struct host_identity *id);
static inline bool host_identity_is_empty(const struct host_identity *id)
{
        return id->arena == NULL;
}

/*
 * Sets the pins that vouch for certificates that arrived on a connection to the Auth Service that was verified by the CAs of
 * `from`: the configured ones that named a CA of `from`, or that vouch for it. Borrowed from `pins`.
 */
void host_certificates_vouch(struct host_certificates *certs, const struct host_identity *from, const struct ca_pins *pins);

/* UNAUTHENTICATED when the certificate has expired by the host's clock. */
struct error *host_identity_check_times(const struct host_identity *id, struct walltime now) MUST_USE;

/*
 * UNAUTHENTICATED when the host was admitted with a request other than its own. said: the digest from auth, empty when
 * it has none.
 */
struct error *host_identity_check_proof(const struct host_identity *id, struct str sent) MUST_USE;

/* The time to renew the identity: the middle of its validity, plus or minus up to a tenth of it (jitter 0..1000). */
struct walltime host_identity_renew_at(const struct host_identity *id, unsigned jitter);

/*
 * Whether a certificate of these times is not valid yet by a clock that is `skew` ahead of `now`. Then the clock of its issuer was set back after the
 * issue: servers refuse it until its time comes.
 */
bool host_times_are_early(struct cert_times times, struct walltime now, struct duration skew);

/*
 * The clock of the issuer of `times` minus this host's clock: NotBefore is always LIMIT_CERT_BACKDATE_SECONDS before
 * the time of issue. Accurate to about a second.
 */
struct duration host_clock_skew(struct cert_times times, struct walltime now);

/* Writes the certificate followed by its CAs, and the CAs alone, as PEM. */
void host_identity_chain_pem(const struct host_identity *id, struct buf *out);
void host_identity_trust_pem(const struct host_identity *id, struct buf *out);

/* The user CA as PEM, with which user certificates are verified. Never mixed with the host CA. */
void host_identity_user_trust_pem(const struct host_identity *id, struct buf *out);

/* "<hex of the cluster's name>.teleport.cluster.local": the name in every certificate of an Auth Service. */
void cluster_auth_name(struct str cluster, struct buf *out);

/* Appends that name to `name`, which is empty, and the application protocol of auth behind a proxy to `alpn`. */
void cluster_auth_names(struct str cluster, struct buf *name, struct buf *alpn);

#endif
