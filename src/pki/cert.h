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
        struct str common_name;         /* "<host id>.<cluster>" */
        struct str role;                /* O: "Instance", "Node", "Proxy" … */
        struct str cluster;             /* 1.3.9999.1.7 */
        const struct str *system_roles; /* 1.3.9999.2.11, once each; Instance only */
        size_t system_role_count;
        const struct str *dns_names; /* subjectAltName, exact names only */
        size_t dns_name_count;
        const struct str *ip_addresses; /* literals */
        size_t ip_address_count;
};

struct cert_times {
        struct walltime not_before, not_after;
};

/* A CA with its key ready for signing many certificates: nothing is fetched per certificate. */
struct x509_ca;
/*
 * key is P-256; a reference to it is kept, so the caller may release its own. FAILED_PRECONDITION when
 * the certificate is not that of a CA, or not of this key.
 */
struct error *x509_ca_load(struct str cert_der, const struct key *key, struct x509_ca **ret) MUST_USE;
void x509_ca_free(struct x509_ca *ca);
DEFINE_AUTO_PTR(x509_ca);

/* From when until when the CA itself is good: no certificate of it lies outside. */
struct cert_times x509_ca_times(const struct x509_ca *ca);

/* A self-signed CA certificate; CN and O = cluster, path length 0. key is P-256. */
struct error *x509_ca_create(const struct key *key, struct str cluster, struct cert_times times,
                             struct buf *out_der) MUST_USE;

/* Room for a serial number in hex with its NUL: 128 random bits. */
enum { CERT_SERIAL_HEX_SIZE = 33 };

/*
 * Host profile: digitalSignature, server and client auth, not a CA, 128-bit random serial.
 *
 * public_key_der  a SubjectPublicKeyInfo; checked and written anew (public_key_check_der)
 * times           refused when they leave those of the CA
 * ret_serial_hex  CERT_SERIAL_HEX_SIZE bytes, lower case; may be NULL
 */
struct error *x509_issue_host(struct x509_ca *ca, const struct x509_subject *subject, struct str public_key_der,
                              struct cert_times times, struct buf *out_der, char *ret_serial_hex) MUST_USE;

/*
 * A server certificate signed by its own key: what the proxy shows on the web while it has no other.
 *
 * names  host names and IP literals, at least one, at most LIMIT_CERT_NAMES; the first becomes the CN
 * key    P-256
 */
struct error *x509_self_signed_web(const struct key *key, const struct str *names, size_t count,
                                   struct cert_times times, struct buf *out_der) MUST_USE;

/* What an SSH host certificate says. It has no options and no extensions. */
struct ssh_host_subject {
        struct str key_id;            /* the host ID; sshd and ssh log it */
        const struct str *principals; /* host names and IP literals, exact: never a pattern */
        size_t principal_count;       /* 1 to LIMIT_CERT_NAMES: without any it would fit every host */
};
struct ssh_ca;
/* key is Ed25519; a reference to it is kept. */
struct error *ssh_ca_load(const struct key *key, struct ssh_ca **ret) MUST_USE;
void ssh_ca_free(struct ssh_ca *ca);
DEFINE_AUTO_PTR(ssh_ca);

/* public_key_wire is checked and written anew (public_key_check_ssh); P-256, P-384, Ed25519 or RSA. */
struct error *ssh_issue_host(struct ssh_ca *ca, const struct ssh_host_subject *subject, struct str public_key_wire,
                             uint64_t serial, struct cert_times times, struct buf *out_wire) MUST_USE;

/* ---- reading -------------------------------------------------------------------------------------------- */

/* The largest certificate looked at: a hundred names of 256 bytes and then some. */
enum { CERT_MAX = 32 * KiB };

/*
 * What we read from a certificate of our own making. Strings live in the arena.
 *
 * This reads; it does not verify: that the signature is our CA's is for the TLS handshake to prove.
 */
struct cert_info {
        struct str common_name, role, cluster; /* of a CA: role is "", the cluster stands in O and CN */
        struct str host_id;                    /* the common name without ".<cluster>"; "" if it does not end so */
        struct str system_roles[16];
        size_t system_role_count;
        struct cert_times times;
        struct str serial_hex;
        struct str issuer; /* one line, escaped, for messages */
        bool is_ca;
};
/*
 * INVALID_ARGUMENT for anything that is not one whole certificate with such a subject. Needs up to 16
 * KiB of the arena.
 */
struct error *cert_read(struct arena *a, struct str der, struct cert_info *ret) MUST_USE;

enum { SSH_CERT_USER = 1, SSH_CERT_HOST = 2 };

/* Fields of an SSH certificate, for tests and status. The signature is verified against ca_key. */
struct ssh_cert_info {
        struct str key_id;
        struct str principals[LIMIT_CERT_NAMES];
        size_t principal_count;
        uint64_t serial, valid_after, valid_before; /* Unix seconds, as unsigned as they are on the wire */
        uint32_t kind;                              /* SSH_CERT_USER or SSH_CERT_HOST */
        struct str public_key, ca_key;              /* wire form, checked */
};
/*
 * Host and user certificates signed by an Ed25519 key, without options: those of our own making.
 * INVALID_ARGUMENT for all else. Needs up to CERT_MAX of the arena.
 */
struct error *ssh_cert_read(struct arena *a, struct str wire, struct ssh_cert_info *ret) MUST_USE;

/* The authorized_keys form of a certificate or public key: "<type> <base64>", without newline. */
struct error *ssh_wire_to_line(struct str wire, struct buf *out) MUST_USE;

/* DER to PEM "CERTIFICATE". */
void cert_der_to_pem(struct str der, struct buf *out);
/* The first CERTIFICATE block; NOT_FOUND when there is none. */
struct error *cert_pem_to_der(struct str pem, struct buf *out_der) MUST_USE;
/*
 * Calls each for every CERTIFICATE block, der borrowed until it returns; other blocks and text between
 * are passed over.
 */
struct error *cert_pem_each(struct str pem, struct error *(*each)(void *ctx, struct str der), void *ctx) MUST_USE;

#endif
