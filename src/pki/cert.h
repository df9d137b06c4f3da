/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 and OpenSSH certificates of hosts and users: made for the signer, read for everyone.
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

/* What an X.509 certificate of a host says. All names have passed the checks of names.h. */
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

/*
 * Room for a serial number in hex with its NUL: 64 bits of the time of issue, in nanoseconds since 1970 and later than that of
 * the certificate before, and 64 random bits. Times in certificates count seconds; by their serials those of one second have an order.
 */
enum { CERT_SERIAL_HEX_SIZE = 33 };

/* The begin of a certificate as exactly as it is known. */
struct cert_issue {
        int64_t not_before;   /* Unix seconds; 0: of no certificate */
        uint64_t serial_time; /* the first half of the serial */
};
/* serial_hex: as cert_read and x509_issue_host give it. */
struct cert_issue cert_issue_of(int64_t not_before, struct str serial_hex);
bool cert_issue_is_before(struct cert_issue a, struct cert_issue b);

/*
 * Host profile: digitalSignature, server and client auth, not a CA.
 *
 * public_key_der  a SubjectPublicKeyInfo; checked and written anew (public_key_check_der)
 * times           refused when they leave those of the CA
 * ret_serial_hex  CERT_SERIAL_HEX_SIZE bytes, lower case; may be NULL
 */
struct error *x509_issue_host(struct x509_ca *ca, const struct x509_subject *subject, struct str public_key_der,
                              struct cert_times times, struct buf *out_der, char *ret_serial_hex) MUST_USE;

/* The fields of a user's X.509 certificate. Names outside the alphabets of names.h are refused. */
struct x509_user_subject {
        struct str user;          /* CN */
        struct str cluster;       /* 1.3.9999.1.7 */
        const struct str *roles;  /* O, each; at most LIMIT_USER_ROLES */
        size_t role_count;
        const struct str *logins; /* L, each; at most LIMIT_CERT_NAMES */
        size_t login_count;
};
/*
 * User profile: digitalSignature, client auth only, no names of hosts, not a CA. The rest as for hosts;
 * the CA is another: that of users.
 */
struct error *x509_issue_user(struct x509_ca *ca, const struct x509_user_subject *subject, struct str public_key_der,
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

/*
 * The principal of a user who has no logins, "-teleport-nologin-<UUID>", as Teleport writes it: a user
 * certificate without principals would be for servers to interpret, and no account begins with '-'.
 */
#define SSH_NOLOGIN_PREFIX STR("-teleport-nologin-")

/* What an SSH user certificate says. It has no critical options. */
struct ssh_user_subject {
        struct str user;              /* the key ID; sshd logs it */
        const struct str *principals; /* accounts, or one SSH_NOLOGIN_PREFIX name */
        size_t principal_count;       /* 1 to LIMIT_CERT_NAMES */
        const struct str *roles;      /* extension teleport-roles; at most LIMIT_USER_ROLES */
        size_t role_count;
        bool permit_pty, permit_port_forwarding, permit_agent_forwarding;
};
/* As ssh_issue_host; the CA is that of users. */
struct error *ssh_issue_user(struct ssh_ca *ca, const struct ssh_user_subject *subject, struct str public_key_wire,
                             uint64_t serial, struct cert_times times, struct buf *out_wire) MUST_USE;

/* ---- reading -------------------------------------------------------------------------------------------- */

/* The largest certificate looked at: a hundred names of 256 bytes and then some. */
enum { CERT_MAX = 32 * KiB };
/* What reading one takes of an arena: each string once, with its padding, and the lists. */
enum { CERT_READ_ARENA = 2 * CERT_MAX };

/*
 * What we read from a certificate of our own making. Strings and lists live in the arena.
 *
 * This reads; it does not verify: that the signature is our CA's is for the TLS handshake or
 * cert_check_issuer() to prove. Which CA signed decides who may be whom: a certificate of a user is one
 * only under the user CA, one of a host only under the host CA.
 */
struct cert_info {
        struct str common_name, role, cluster; /* role: of hosts; of a CA the cluster stands in O and CN */
        struct str host_id;                    /* of hosts: the common name without ".<cluster>"; "" if it does not end so */
        struct str system_roles[16];           /* of hosts */
        size_t system_role_count;
        const struct str *roles, *logins; /* of users, whose name is the common name; the rest has none */
        size_t role_count, login_count;
        struct cert_times times;
        struct str serial_hex;
        struct str issuer; /* one line, escaped, for messages */
        bool is_ca;
        bool is_user; /* good for client authentication only; false: of a host, or a CA */
};
/*
 * INVALID_ARGUMENT for anything that is not one whole certificate of a CA, host or user of ours. Needs up
 * to CERT_READ_ARENA of the arena.
 */
struct error *cert_read(struct arena *a, struct str der, struct cert_info *ret) MUST_USE;

enum { SSH_CERT_USER = 1, SSH_CERT_HOST = 2 };
enum { SSH_EXTENSIONS_MAX = 16 };

/* An extension; value is "" for those that only are there ("permit-pty"). */
struct ssh_extension {
        struct str name, value;
};

/*
 * Fields of an SSH certificate; strings live in the arena. The signature is verified against ca_key; whether
 * that is a key of our CA, and which, the caller must look.
 */
struct ssh_cert_info {
        struct str key_id; /* of users a user name, of hosts a host ID or anything: escape it before showing */
        struct str principals[LIMIT_CERT_NAMES];
        size_t principal_count;
        struct ssh_extension extensions[SSH_EXTENSIONS_MAX]; /* in order of their names, each once */
        size_t extension_count;
        uint64_t serial, valid_after, valid_before; /* Unix seconds, as unsigned as they are on the wire */
        uint32_t kind;                              /* SSH_CERT_USER or SSH_CERT_HOST */
        struct str public_key, ca_key;              /* wire form, checked */
};
/*
 * Host and user certificates of our own making: signed by an Ed25519 key, without critical options, with
 * principals of the right alphabet; only users' have extensions. INVALID_ARGUMENT for all else. Needs up to
 * CERT_READ_ARENA of the arena.
 */
struct error *ssh_cert_read(struct arena *a, struct str wire, struct ssh_cert_info *ret) MUST_USE;

/* Whether the certificate has the extension. */
bool ssh_cert_permits(const struct ssh_cert_info *info, struct str extension);

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
