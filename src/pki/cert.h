/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 and OpenSSH certificates of hosts and users: creation (for the signer) and parsing.
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

/* The fields of a host's X.509 certificate. All names have passed the checks of names.h. */
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

/* A CA with its key, prepared for signing many certificates. */
struct x509_ca;
/*
 * Loads a CA. key is P-256; a reference to it is kept, so the caller may release its own. FAILED_PRECONDITION when the
 * certificate is not a CA certificate, or not for this key.
 */
struct error *x509_ca_load(struct str cert_der, const struct key *key, struct x509_ca **ret) MUST_USE;
void x509_ca_free(struct x509_ca *ca);
DEFINE_AUTO_PTR(x509_ca);

/* The validity of the CA, within which all its certificates must lie. */
struct cert_times x509_ca_times(const struct x509_ca *ca);

/* A self-signed CA certificate; CN and O = cluster, path length 0. key is P-256. */
struct error *x509_ca_create(const struct key *key, struct str cluster, struct cert_times times,
                             struct buf *out_der) MUST_USE;

/*
 * Size of a serial number in hex with its NUL. It has 64 bits of the time of issue (nanoseconds since 1970, strictly
 * increasing) and 64 random bits. Times in certificates have a resolution of seconds; serials also order certificates
 * of the same second.
 */
enum { CERT_SERIAL_HEX_SIZE = 33 };

/* The time of issue of a certificate, as exactly as it is known. */
struct cert_issue {
        int64_t not_before;   /* Unix seconds; 0: no certificate */
        uint64_t serial_time; /* the first half of the serial */
};
/* serial_hex: as returned by cert_read() and x509_issue_host(). */
struct cert_issue cert_issue_of(int64_t not_before, struct str serial_hex);
bool cert_issue_is_before(struct cert_issue a, struct cert_issue b);

/*
 * Issues a host certificate: digitalSignature, server and client auth, not a CA.
 *
 * public_key_der a SubjectPublicKeyInfo; checked and re-encoded (public_key_check_der) times must lie within those of
 * the CA ret_serial_hex CERT_SERIAL_HEX_SIZE bytes, lower case; may be NULL
 */
struct error *x509_issue_host(struct x509_ca *ca, const struct x509_subject *subject, struct str public_key_der,
                              struct cert_times times, struct buf *out_der, char *ret_serial_hex) MUST_USE;

/* Whether this is the ID of a web session: 32 lower-case hexadecimal digits. */
enum { WEB_SESSION_ID_LEN = 32 };
bool web_session_is_id(struct str s);

/* Whether this is the secret of an application's session: 64 lower-case hexadecimal digits. */
enum { APP_SECRET_LEN = 64 };
bool app_secret_is_one(struct str s);

/* The fields of a user's X.509 certificate. Names that are not valid by names.h are refused. */
struct x509_user_subject {
        struct str user;          /* CN */
        struct str cluster;       /* 1.3.9999.1.7 */
        const struct str *roles;  /* O, each; at most LIMIT_USER_ROLES */
        size_t role_count;
        const struct str *logins; /* L, each; at most LIMIT_CERT_NAMES */
        size_t login_count;
        struct str web_session;   /* 1.3.9999.50.1: ID of the web session that the certificate belongs to; "": to none */
        struct str app;           /* 1.3.9999.1.10: the only application that it is good for; "": for all that the user may do */
        struct str app_secret;    /* 1.3.9999.50.2: opens the key of the application's session; "": none */
};
/*
 * Issues a user certificate: digitalSignature, client auth only, no host names, not a CA. Parameters as for hosts; ca
 * is the user CA.
 */
struct error *x509_issue_user(struct x509_ca *ca, const struct x509_user_subject *subject, struct str public_key_der,
                              struct cert_times times, struct buf *out_der, char *ret_serial_hex) MUST_USE;

/*
 * Issues a list of revoked certificates (RFC 5280 section 5) without entries: certificates of this project are not revoked, they
 * expire soon. times: thisUpdate and nextUpdate, within those of the CA. number: of the list; later lists have greater ones.
 */
struct error *x509_issue_crl(struct x509_ca *ca, struct cert_times times, uint64_t number, struct buf *out_der) MUST_USE;

/*
 * Creates a self-signed server certificate, which the proxy uses for HTTPS when no other is configured.
 *
 * names  host names and IP literals, at least one, at most LIMIT_CERT_NAMES; the first becomes the CN
 * key    P-256
 */
struct error *x509_self_signed_web(const struct key *key, const struct str *names, size_t count,
                                   struct cert_times times, struct buf *out_der) MUST_USE;

/* The fields of an SSH host certificate. It has no options and no extensions. */
struct ssh_host_subject {
        struct str key_id;            /* the host ID; sshd and ssh log it */
        const struct str *principals; /* host names and IP literals, exact: never a pattern */
        size_t principal_count;       /* 1 to LIMIT_CERT_NAMES: without principals it would be valid for every host */
};
struct ssh_ca;
/* key is Ed25519; a reference to it is kept. */
struct error *ssh_ca_load(const struct key *key, struct ssh_ca **ret) MUST_USE;
void ssh_ca_free(struct ssh_ca *ca);
DEFINE_AUTO_PTR(ssh_ca);

/* Issues a host certificate. public_key_wire is checked and re-encoded (public_key_check_ssh); P-256, P-384, Ed25519 or RSA. */
struct error *ssh_issue_host(struct ssh_ca *ca, const struct ssh_host_subject *subject, struct str public_key_wire,
                             uint64_t serial, struct cert_times times, struct buf *out_wire) MUST_USE;

/*
 * The principal of a user who has no logins, "-teleport-nologin-<UUID>", as in Teleport: servers interpret a user
 * certificate without principals differently, and no account name begins with '-'.
 */
#define SSH_NOLOGIN_PREFIX STR("-teleport-nologin-")

/* The fields of an SSH user certificate. It has no critical options. */
struct ssh_user_subject {
        struct str user;              /* the key ID; sshd logs it */
        const struct str *principals; /* accounts, or one SSH_NOLOGIN_PREFIX name */
        size_t principal_count;       /* 1 to LIMIT_CERT_NAMES */
        const struct str *roles;      /* extension teleport-roles; at most LIMIT_USER_ROLES */
        size_t role_count;
        bool permit_pty, permit_port_forwarding, permit_agent_forwarding;
};
/* As ssh_issue_host(); ca is the user CA. */
struct error *ssh_issue_user(struct ssh_ca *ca, const struct ssh_user_subject *subject, struct str public_key_wire,
                             uint64_t serial, struct cert_times times, struct buf *out_wire) MUST_USE;

/* ---- reading -------------------------------------------------------------------------------------------- */

/* The largest accepted certificate: about a hundred names of 256 bytes. */
enum { CERT_MAX = 32 * KiB };
/* Arena memory that parsing a certificate needs: each string once, with padding, and the lists. */
enum { CERT_READ_ARENA = 2 * CERT_MAX };

/*
 * The fields of an X.509 certificate issued by a cluster. Strings and lists are in the arena.
 *
 * Parsing does not verify the signature: that is done by the TLS handshake or cert_check_issuer(). A user certificate
 * is valid only under the user CA, a host certificate only under the host CA.
 */
struct cert_info {
        struct str common_name, role, cluster; /* role: of hosts; a CA has the cluster in O and CN */
        struct str host_id;                    /* of hosts: the common name without ".<cluster>"; "" without that suffix */
        struct str system_roles[16];           /* of hosts */
        size_t system_role_count;
        const struct str *roles, *logins; /* of users, whose name is the common name; empty for others */
        size_t role_count, login_count;
        struct str web_session; /* of users: ID of the web session without which the certificate is void; "": it belongs to none */
        struct str app;         /* of users: the only application that it is good for; "": no such limit */
        struct str app_secret;  /* of users: opens the key of that session at the proxy (decision 42); "": none. Secret: for no log */
        struct cert_times times;
        struct str serial_hex;
        struct str issuer; /* one line, escaped, for messages */
        bool is_ca;
        bool is_user; /* for client authentication only; false: of a host or a CA */
};
/*
 * INVALID_ARGUMENT unless the bytes are exactly one certificate of a CA, host or user of a cluster. Needs up to
 * CERT_READ_ARENA of the arena.
 */
struct error *cert_read(struct arena *a, struct str der, struct cert_info *ret) MUST_USE;

enum { SSH_CERT_USER = 1, SSH_CERT_HOST = 2 };
enum { SSH_EXTENSIONS_MAX = 16 };

/* An extension; value is "" for flags such as "permit-pty". */
struct ssh_extension {
        struct str name, value;
};

/*
 * Fields of an SSH certificate; strings are in the arena. The signature is verified with ca_key; the caller must check
 * that this is the key of the expected CA.
 */
struct ssh_cert_info {
        struct str key_id; /* of users the user name, of hosts the host ID or any text: escape it for output */
        struct str principals[LIMIT_CERT_NAMES];
        size_t principal_count;
        struct ssh_extension extensions[SSH_EXTENSIONS_MAX]; /* in order of their names, each once */
        size_t extension_count;
        uint64_t serial, valid_after, valid_before; /* Unix seconds, unsigned as on the wire */
        uint32_t kind;                              /* SSH_CERT_USER or SSH_CERT_HOST */
        struct str public_key, ca_key;              /* wire form, checked */
};
/*
 * Parses host and user certificates as issued by a cluster: signed by an Ed25519 key, without critical options, with
 * valid principals; only user certificates have extensions. INVALID_ARGUMENT otherwise. Needs up to CERT_READ_ARENA of
 * the arena.
 */
struct error *ssh_cert_read(struct arena *a, struct str wire, struct ssh_cert_info *ret) MUST_USE;

/* Whether the certificate has the extension. */
bool ssh_cert_permits(const struct ssh_cert_info *info, struct str extension);

/* The authorized_keys form of a certificate or public key: "<type> <base64>", without newline. */
struct error *ssh_wire_to_line(struct str wire, struct buf *out) MUST_USE;

/* DER to PEM "CERTIFICATE". */
void cert_der_to_pem(struct str der, struct buf *out);
void crl_der_to_pem(struct str der, struct buf *out);
/* Decodes the first CERTIFICATE block; NOT_FOUND when there is none. */
struct error *cert_pem_to_der(struct str pem, struct buf *out_der) MUST_USE;
/*
 * Calls each() for every CERTIFICATE block, der borrowed until it returns; other blocks and text between are skipped.
 */
struct error *cert_pem_each(struct str pem, struct error *(*each)(void *ctx, struct str der), void *ctx) MUST_USE;

#endif
