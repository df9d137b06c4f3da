/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys as JSON Web Keys (RFC 7517, RFC 7518 section 6): P-256 for ES256, RSA for RS256.
 */
#ifndef PKI_JWK_H
#define PKI_JWK_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct public_key;

/*
 * Appends the key with its required members only, in the order of their names, which is the form that RFC 7638 section 3 hashes.
 * INVALID_ARGUMENT for a key that is neither P-256 nor RSA.
 */
struct error *jwk_put_required(const struct public_key *key, struct buf *out) MUST_USE;

/* Appends the ID of the key (SubjectPublicKeyInfo, DER): its thumbprint (RFC 7638) as base64url. */
struct error *jwk_put_id(struct str spki_der, struct buf *out) MUST_USE;

/* Appends a JSON Web Key Set of the keys (SubjectPublicKeyInfo, DER), each with its ID, its algorithm and "use":"sig". */
struct error *jwk_put_set(const struct str *spki_ders, size_t count, struct buf *out) MUST_USE;

#endif
