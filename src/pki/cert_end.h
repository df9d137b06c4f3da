/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warnings before a certificate expires: 30, 7 and 1 day ahead, but not before three quarters of its life have passed, as
 * certificates of a few months are renewed in the last third of it.
 */
#ifndef PKI_CERT_END_H
#define PKI_CERT_END_H

#include "base/buf.h"
#include "pki/cert.h"

enum { CERT_END_FAR = -1 };

/* The last mark that was passed, in days: 30, 7, 1, or 0 for an expired certificate; CERT_END_FAR: none. */
int cert_end_mark(struct cert_times times, struct walltime now);

/* The time until the next mark is passed; INT64_MAX for an expired certificate. */
struct duration cert_end_next(struct cert_times times, struct walltime now);

/* "expires in 6 days, at 2026-01-31T08:00:00Z", or "expired at …". */
void cert_end_put(struct buf *out, struct cert_times times, struct walltime now);

#endif
