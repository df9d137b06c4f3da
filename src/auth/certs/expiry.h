/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warnings before a certificate expires. Of the CAs: in the log of the Auth Service, once for each mark of pki/cert_end.h, and in
 * `tctl status`. Of the web certificates of proxies, and of connected hosts that were not renewed: in `tctl status`; proxies and hosts
 * log them.
 */
#ifndef AUTH_CERTS_EXPIRY_H
#define AUTH_CERTS_EXPIRY_H

#include "auth/core/auth.h"

struct expiry;

/* Checks the CAs soon, and from then on. */
struct expiry *expiry_new(struct auth *a) MUST_USE;
void expiry_free(struct expiry *e);

/* The number of hosts whose connection has a certificate that is in the last quarter of its life: renewals are made at half of it. */
size_t expiry_count_hosts(const struct auth *a);

/* The warnings of this moment, in the arena; at most EXPIRY_WARNINGS. */
enum { EXPIRY_WARNINGS = 16 };
size_t expiry_warnings(const struct auth *a, struct arena *arena, char *ret[EXPIRY_WARNINGS]);

#endif
