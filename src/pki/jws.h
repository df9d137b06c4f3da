/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Web Signatures (RFC 7515): ES256 with a P-256 key (RFC 7518 section 3.4), as ACME uses them (RFC 8555 section 6.2), and
 * RS256 with an RSA key (section 3.3) in the compact form, for tokens.
 */
#ifndef PKI_JWS_H
#define PKI_JWS_H

#include "base/buf.h"
#include "pki/key.h"

/*
 * Appends the public key as a JSON Web Key with its required members in the order of their names, which is the form that
 * RFC 7638 section 3 hashes. INVALID_ARGUMENT for a key that is not P-256.
 */
struct error *jws_put_jwk(const struct key *k, struct buf *out) MUST_USE;

/* The thumbprint of the key (RFC 7638): the SHA-256 of its JWK. */
struct error *jws_thumbprint(const struct key *k, uint8_t ret[32]) MUST_USE;

/*
 * Appends a signed message in the flattened JSON serialization (RFC 7515 section 7.2.2).
 *
 * header   the protected header, a JSON object with "alg":"ES256"
 * payload  any bytes; may be empty
 */
struct error *jws_sign(const struct key *k, struct str header, struct str payload, struct buf *out) MUST_USE;

/* "ES256" of a P-256 key, "RS256" of an RSA key. */
const char *jws_algorithm(const struct key *k);

/*
 * Appends a signed message in the compact serialization (RFC 7515 section 7.1). The key is P-256 or RSA.
 *
 * header   the protected header, a JSON object whose "alg" is jws_algorithm() of the key
 */
struct error *jws_sign_compact(const struct key *k, struct str header, struct str payload, struct buf *out) MUST_USE;

#endif
