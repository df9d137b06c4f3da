/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 and OpenSSH host certificates: made for the signer, read for everyone.
 *
 * Formats: RFC 5280; OpenSSH's PROTOCOL.certkeys. Subject attributes as in docs/protocols/join.md.
 */
#ifndef PKI_CERT_H
#define PKI_CERT_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "pki/key.h"

/* ---- making (signer only) -------------------------------------------------------------------------- */

/* What an X.509 certificate of ours says. All names have passed the checks of names.h. */
struct x509_subject {
        struct str common_name;          /* "<host id>.<cluster>" */
        struct str role;                 /* O: "Instance", "Node", "Proxy" … */
        struct str cluster;              /* 1.3.9999.1.7 */
        const struct str *system_roles;  /* 1.3.9999.2.11, once each; Instance only */
        size_t system_role_count;
        const struct str *dns_names;     /* subjectAltName, exact names only */
        size_t dns_name_count;
        const struct str *ip_addresses;  /* literals */
        size_t ip_address_count;
};

struct cert_times {
        struct walltime not_before, not_after;
};

/* A CA with its key ready for signing many certificates: nothing is fetched per certificate. */
struct x509_ca;
struct error *x509_ca_load(struct str cert_der, const struct key *key, struct x509_ca **ret) MUST_USE;
void x509_ca_free(struct x509_ca *ca);

/* A self-signed CA certificate, CN and O = cluster, ten years, DER. */
struct error *x509_ca_create(const struct key *key, struct str cluster, struct cert_times times, struct buf *out_der) MUST_USE;

/* Host profile: digitalSignature, server and client auth, not a CA, 128-bit random serial (ret_serial_hex, 33 bytes). */
struct error *x509_issue_host(struct x509_ca *ca, const struct x509_subject *subject, struct str public_key_der,
                              struct cert_times times, struct buf *out_der, char *ret_serial_hex) MUST_USE;

struct ssh_host_subject {
        struct str role;      /* extension x-teleport-role */
        struct str cluster;   /* extension x-teleport-authority */
        struct str key_id;    /* the host ID */
        const struct str *principals;
        size_t principal_count; /* never 0 */
};
struct ssh_ca;
struct error *ssh_ca_load(const struct key *key, struct ssh_ca **ret) MUST_USE;
void ssh_ca_free(struct ssh_ca *ca);
struct error *ssh_issue_host(struct ssh_ca *ca, const struct ssh_host_subject *subject, struct str public_key_wire,
                             uint64_t serial, struct cert_times times, struct buf *out_wire) MUST_USE;

/* ---- reading -------------------------------------------------------------------------------------------- */

/* What we read from a certificate of our own making. Strings live in the arena. */
struct cert_info {
        struct str common_name, role, cluster;
        struct str host_id; /* the common name without ".<cluster>"; "" if it does not end so */
        struct str system_roles[16];
        size_t system_role_count;
        struct cert_times times;
        struct str serial_hex;
        struct str issuer; /* one line, for messages */
        bool is_ca;
};
struct error *cert_read(struct arena *a, struct str der, struct cert_info *ret) MUST_USE;

/* Fields of an SSH certificate, for tests and status. */
struct ssh_cert_info {
        struct str key_id;
        struct str principals[LIMIT_CERT_NAMES];
        size_t principal_count;
        uint64_t serial, valid_after, valid_before;
        uint32_t kind; /* 1 user, 2 host */
        struct str public_key, ca_key;
};
struct error *ssh_cert_read(struct arena *a, struct str wire, struct ssh_cert_info *ret) MUST_USE;

/* DER to PEM "CERTIFICATE" and back (first block, or all of them). */
void cert_der_to_pem(struct str der, struct buf *out);
struct error *cert_pem_to_der(struct str pem, struct buf *out_der) MUST_USE;
/* Calls each for every CERTIFICATE block. */
struct error *cert_pem_each(struct str pem, struct error *(*each)(void *ctx, struct str der), void *ctx) MUST_USE;

#endif
