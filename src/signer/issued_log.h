/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer's own record of every certificate: one line of JSON each, appended before the certificate
 * leaves the process. Auth cannot reach it, so it stays true when auth does not.
 */
#ifndef SIGNER_ISSUED_LOG_H
#define SIGNER_ISSUED_LOG_H

#include "signer/policy.h"

struct issued_log {
        int fd;
        bool is_torn; /* the last line may lack its end: disk full, power cut */
};

/* Opens the file, 0600, creating it if need be. */
struct error *issued_log_open(struct issued_log *log, const char *path) MUST_USE;
void issued_log_release(struct issued_log *log);

/* One certificate of an order. */
struct issued {
        const char *kind;  /* "x509" or "ssh" */
        struct str serial; /* hex */
        struct str key;    /* the certified public key, as in the order */
        const struct str *names, *more_names;
        size_t name_count, more_name_count;
};

/* Writes a line for each; an error means that none of the certificates may be given out. */
struct error *issued_log_write(struct issued_log *log, const Cteleport__Internal__V1__HostCertRequest *request,
                               const struct policy_order *order, struct walltime now, const struct issued *issued,
                               size_t count) MUST_USE;

#endif
