/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate of an ACME server with its key, and the check that the proxy can use it.
 */
#ifndef ACME_PAIR_H
#define ACME_PAIR_H

#include "base/error.h"
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

#endif
