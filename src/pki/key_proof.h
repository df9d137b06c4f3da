/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof that a client holds the private half of a public key that it names: a signature over KEY_PROOF_CONTEXT with its
 * NUL (ECDSA and RSA, PKCS #1 v1.5, with SHA-256; Ed25519). It tells of the key and of nothing else, so that it may be seen and
 * repeated. The context is unlike what TLS signs with the same key: longer than what a peer chooses in TLS 1.2 (32 bytes),
 * and without the spaces that TLS 1.3 begins with.
 */
#ifndef PKI_KEY_PROOF_H
#define PKI_KEY_PROOF_H

#include "pki/key.h"

#define KEY_PROOF_CONTEXT "cteleport, Proxy Service to Auth Service: this key is one of mine, version 1"

enum { KEY_PROOF_MAX = 512 }; /* a signature with the largest key that is accepted (RSA 4096) */

/* Appends the public half (SubjectPublicKeyInfo DER) and the proof. INVALID_ARGUMENT for a key that public_key_check_der() refuses. */
struct error *key_prove(const struct key *k, struct buf *ret_public_der, struct buf *ret_proof) MUST_USE;

/* public_der: as public_key_check_der() has written it. UNAUTHENTICATED when the proof is not by its private half. */
struct error *key_proof_check(struct str public_der, struct str proof) MUST_USE;

#endif
