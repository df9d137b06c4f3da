/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warnings before a CA or the web certificate of a proxy expires: in the log of the Auth Service, once for each mark of
 * pki/cert_end.h, and in `tctl status`.
 */
#ifndef AUTH_CERTS_EXPIRY_H
#define AUTH_CERTS_EXPIRY_H

#include "auth/core/auth.h"

struct expiry;

/* Checks the CAs soon, and from then on. */
struct expiry *expiry_new(struct auth *a) MUST_USE;
void expiry_free(struct expiry *e);

/* The warnings of this moment, in the arena; at most EXPIRY_WARNINGS. */
enum { EXPIRY_WARNINGS = 16 };
size_t expiry_warnings(const struct auth *a, struct arena *arena, char *ret[EXPIRY_WARNINGS]);

#endif
