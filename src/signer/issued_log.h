/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer's own record of every certificate: one line of JSON each, appended before the certificate
 * leaves the process. Auth cannot reach it, so it stays true when auth does not.
 */
#ifndef SIGNER_ISSUED_LOG_H
#define SIGNER_ISSUED_LOG_H

#include "pki/cert.h"

struct issued_log {
        int fd;
        bool is_torn; /* the last line may lack its end: disk full, power cut */
};

/* Opens the file, 0600, creating it if need be. */
struct error *issued_log_open(struct issued_log *log, const char *path) MUST_USE;
void issued_log_release(struct issued_log *log);

/* For whom and why: what the lines about one order have in common. Texts that are "" are left out. */
struct issued_order {
        struct str host_id, node_name, role; /* of a host */
        struct str user;                     /* of a person */
        const struct str *roles;             /* a host's system roles, a person's roles */
        size_t role_count;
        const char *reason;
        struct cert_times times;
};

/* One certificate of an order. */
struct issued {
        const char *kind;  /* "x509" or "ssh" */
        struct str serial; /* hex */
        struct str key;    /* the certified public key, as in the order */
        const struct str *names, *more_names; /* of a host; of a person the logins */
        size_t name_count, more_name_count;
};

/* Writes a line for each; an error means that none of the certificates may be given out. */
struct error *issued_log_write(struct issued_log *log, const struct issued_order *order, struct walltime now,
                               const struct issued *issued, size_t count) MUST_USE;

#endif
