/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proof that a client has the private key of a public key: a signature over KEY_PROOF_CONTEXT with its NUL (ECDSA and
 * RSA, PKCS #1 v1.5, with SHA-256; Ed25519). It depends on the key only, so disclosing or replaying it is harmless. The
 * context differs from all messages that TLS signs with the same key: it is longer than the peer's part in TLS 1.2 (32
 * bytes), and does not begin with spaces as in TLS 1.3.
 */
#ifndef PKI_KEY_PROOF_H
#define PKI_KEY_PROOF_H

#include "pki/key.h"

#define KEY_PROOF_CONTEXT "cteleport, Proxy Service to Auth Service: this key is one of mine, version 1"

enum { KEY_PROOF_MAX = 512 }; /* a signature with the largest accepted key (RSA 4096) */

/* Appends the public half (SubjectPublicKeyInfo DER) and the proof. INVALID_ARGUMENT for a key that public_key_check_der() refuses. */
struct error *key_prove(const struct key *k, struct buf *ret_public_der, struct buf *ret_proof) MUST_USE;

/* public_der: output of public_key_check_der(). UNAUTHENTICATED when the proof was not made with its private key. */
struct error *key_proof_check(struct str public_der, struct str proof) MUST_USE;

#endif
