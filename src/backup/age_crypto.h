/* SPDX-License-Identifier: Apache-2.0 */
/* The primitives of age, by OpenSSL. Private to age_*.c. */
#ifndef BACKUP_AGE_CRYPTO_H
#define BACKUP_AGE_CRYPTO_H

#include "backup/age.h"

enum { AGE_FILE_KEY_SIZE = 16, AGE_WRAPPED_SIZE = AGE_FILE_KEY_SIZE + AGE_TAG_SIZE, AGE_NONCE_SIZE = 16, AGE_SALT_SIZE = 16 };

/* HKDF-SHA-256 (RFC 5869) to 32 bytes. */
void age_hkdf(struct str secret, struct str salt, const char *info, uint8_t ret[32]);

/* X25519 (RFC 7748) with a public key; peer NULL: with the base point, which gives the public key. False: all bits of the result are zero. */
bool age_x25519(const uint8_t secret[AGE_KEY_SIZE], const uint8_t *peer, uint8_t ret[AGE_KEY_SIZE]) MUST_USE;

/* scrypt (RFC 7914) with r = 8 and p = 1. RESOURCE_EXHAUSTED: there is not enough memory. */
struct error *age_scrypt(struct str passphrase, const uint8_t salt[AGE_SALT_SIZE], int work, uint8_t ret[32]) MUST_USE;

/* ChaCha20-Poly1305 (RFC 8439) with the nonce of a number: 11 bytes big endian, and a last byte that is 1 for the last chunk. */
struct age_cipher;
struct age_cipher *age_cipher_new(const uint8_t key[32]) MUST_USE;
void age_cipher_free(struct age_cipher *c);
DEFINE_AUTO_PTR(age_cipher);
/* out: in.len + AGE_TAG_SIZE bytes. */
void age_cipher_seal(struct age_cipher *c, uint64_t number, bool is_last, struct str in, char *out);
/* out: in.len - AGE_TAG_SIZE bytes. False: the bytes are not authentic, and out has nothing of them. */
bool age_cipher_open(struct age_cipher *c, uint64_t number, bool is_last, struct str in, char *out) MUST_USE;

/* age_header.c: the key that wraps the file key for a public key; the MAC of a header; the file key of a parsed header. */
void age_wrap_key(const uint8_t share[AGE_KEY_SIZE], const uint8_t recipient[AGE_KEY_SIZE], const uint8_t secret[AGE_KEY_SIZE], uint8_t ret[32]);
void age_header_mac(const uint8_t file_key[AGE_FILE_KEY_SIZE], struct str header, uint8_t ret[32]);
/* PERMISSION_DENIED: it is for another key or passphrase; DATA_LOSS: the header was changed. */
struct error *age_unlock_header(const struct age_header *h, struct age_unlock with, uint8_t ret[AGE_FILE_KEY_SIZE]) MUST_USE;

#endif
