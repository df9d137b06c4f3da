/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate of an ACME server with its key, and the check that the proxy can use it.
 */
#ifndef ACME_PAIR_H
#define ACME_PAIR_H

#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"
#include "pki/cert.h"

/* Both in PEM. */
struct acme_pair {
        struct str cert_pem; /* the certificate, then its intermediates */
        struct str key_pem;
};

/*
 * Checks that TLS accepts the pair, and that its certificate is for each of the names. INVALID_ARGUMENT for a pair that
 * is malformed, has certificates or a key that are too weak, or are of different keys; FAILED_PRECONDITION for a name that is missing.
 */
struct error *acme_pair_check(struct acme_pair pair, const struct str *names, size_t count, struct cert_times *ret_times) MUST_USE;

/* Reads a pair from a file that acme_pair_write() has written, and checks it as above. */
struct error *acme_pair_read(const char *path, const struct str *names, size_t count, struct secret *ret_pem, struct cert_times *ret_times) MUST_USE;

/*
 * Writes key and certificates into one file. INVALID_ARGUMENT if the pair cannot be used; *ret_pem (an earlier one is released) and *ret_times
 * are set otherwise, also if the file cannot be written, which is an error of files then.
 */
struct error *acme_pair_write(const char *path, struct acme_pair pair, struct secret *ret_pem, struct cert_times *ret_times) MUST_USE;

#endif
