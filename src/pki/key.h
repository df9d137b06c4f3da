/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private and public keys: P-256, Ed25519 and RSA, in the encodings of TLS and SSH.
 */
#ifndef PKI_KEY_H
#define PKI_KEY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"

enum key_kind { KEY_ECDSA_P256, KEY_ED25519, KEY_RSA_2048 };

/* A private key. Freed and wiped with key_release; a zeroed one is empty. */
struct key {
        void *handle; /* EVP_PKEY */
};
struct error *key_generate(struct key *k, enum key_kind kind) MUST_USE;
void key_release(struct key *k);

/* PKCS#8 PEM, not encrypted. */
struct error *key_to_pem(const struct key *k, struct secret *ret_pem) MUST_USE;
/* The first private key of the text; INVALID_ARGUMENT when there is none or its kind is not supported. */
struct error *key_from_pem(struct key *k, struct str pem) MUST_USE;

/*
 * Writes the private key in OpenSSH's format ("BEGIN OPENSSH PRIVATE KEY"), not encrypted: OpenSSH before 9.6 supports
 * Ed25519 keys in this format only. The output is deterministic. INVALID_ARGUMENT for another kind of key, or a comment
 * of more than 256 bytes.
 */
struct error *key_to_openssh(const struct key *k, struct str comment, struct secret *ret_text) MUST_USE;

/* Public halves: SubjectPublicKeyInfo DER, the same as PEM, SSH wire form, authorized_keys line (without newline). */
struct error *key_public_der(const struct key *k, struct buf *out) MUST_USE;
struct error *key_public_pem(const struct key *k, struct buf *out) MUST_USE;
struct error *key_public_ssh(const struct key *k, struct buf *out) MUST_USE;

/*
 * Checks an untrusted public key: allowed kind and size (P-256, P-384, Ed25519, RSA 2048 to 4096 with a valid
 * exponent), a point on the curve, no trailing bytes, and not a certificate. Appends its canonical encoding to out.
 * INVALID_ARGUMENT names the failed check.
 */
struct error *public_key_check_der(struct str spki_der, struct buf *out_der) MUST_USE;
struct error *public_key_check_pem(struct str pem, struct buf *out_der) MUST_USE; /* legacy joins */
struct error *public_key_check_ssh(struct str wire, struct buf *out_wire) MUST_USE;
struct error *public_key_check_ssh_line(struct str line, struct buf *out_wire) MUST_USE; /* authorized_keys form */

/* "sha256:<64 lower-case hex>" of the SubjectPublicKeyInfo of a certificate (DER): a CA pin. */
struct error *ca_pin_of_cert(struct str cert_der, struct buf *out) MUST_USE;

/* 32 bytes of SHA-256. */
void sha256(struct str bytes, uint8_t out[32]);
/* 20 bytes of SHA-1: only for the WebSocket handshake, whose security does not depend on it. */
void sha1(struct str bytes, uint8_t out[20]);
/* HMAC-SHA-256 (RFC 2104). */
void hmac_sha256(struct str key, struct str bytes, uint8_t out[32]);
/* Bytes from the kernel-seeded generator; aborts on failure. */
void random_bytes(void *out, size_t len);
/* UUIDv4 text, 36 characters. */
void random_uuid(struct buf *out);
/* A UUID derived from the bytes: version 8 of RFC 9562, from their SHA-256. */
void uuid_of(struct str bytes, struct buf *out);

#endif
