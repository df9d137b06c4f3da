/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ACME client keeps from start to start: the key of its account and the last certificate, in a directory for each
 * server, so that a trial at a staging server does not touch the real certificate.
 *
 *   data_dir/acme/<16 hex digits of the SHA-256 of the directory's URL>/account.pem
 *                                                                      /certificate.pem   its key, then the chain
 *                                                                      /apps/…            those of applications (apps.h)
 */
#ifndef ACME_STATE_H
#define ACME_STATE_H

#include "acme/order.h"
#include "pki/cert.h"

struct acme_state {
        char *dir;          /* path of the server's directory */
        struct key account; /* P-256 */
        struct secret pem;  /* content of certificate.pem; empty: no certificate */
        struct cert_times times; /* of the certificate */
};

/*
 * Reads the state, and makes directory and account key at the first start. A certificate that cannot be used (unreadable,
 * expired, or not for all the names) is left out, and replaced by the next acme_state_keep(). Errors: of files, and of an
 * account key that cannot be read, which is not replaced: it may own certificates.
 */
struct error *acme_state_load(const char *base, const char *directory_url, const struct str *names, size_t count, struct walltime now,
                              struct acme_state *ret) MUST_USE;

/* Writes a new certificate to the disk and keeps it; INVALID_ARGUMENT if it cannot be read, otherwise errors of files. */
struct error *acme_state_keep(struct acme_state *s, struct acme_pair pair) MUST_USE;

/* The kept certificate; PEM of both, borrowed. Both are the same text, in which readers of PEM find what they need. */
struct acme_pair acme_state_pair(const struct acme_state *s);

void acme_state_release(struct acme_state *s);

/*
 * The time to renew a certificate: two thirds of its validity after its begin, less a random part of up to a thirtieth of
 * the validity, so that hosts with certificates of the same moment do not renew them in the same moment.
 */
struct walltime acme_renewal_time(struct cert_times times, uint32_t random);

/* The shortest time from the issue of a certificate to its renewal, whatever the clock: what the renewal leaves of the validity. */
struct duration acme_renewal_rest(struct cert_times times);

#endif
