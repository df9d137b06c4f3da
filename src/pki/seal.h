/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing of short texts with a secret: AES-256-GCM (NIST SP 800-38D) under a key that HKDF-SHA256 (RFC 5869) derives from the
 * secret. A sealed text shows nothing but its length.
 */
#ifndef PKI_SEAL_H
#define PKI_SEAL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"

enum { SEAL_NONCE_SIZE = 12, SEAL_TAG_SIZE = 16, SEAL_TEXT_MAX = 4 * KiB };

/*
 * Derives 32 bytes for one purpose from a random secret: HKDF-SHA256 without salt, `purpose` as its info. The purposes of one
 * secret must differ.
 */
void key_derive(struct str secret, const char *purpose, uint8_t out[32]);

/*
 * Appends the nonce, the encrypted text and its tag. The key is derived from the secret; a text is sealed at most once with each
 * secret. context: text that is not encrypted, and without which the sealed text is not opened.
 */
struct error *seal(struct str secret, struct str context, struct str text, struct buf *out) MUST_USE;

/* UNAUTHENTICATED if the text was not sealed with this secret and context, or was changed. */
struct error *unseal(struct str secret, struct str context, struct str sealed, struct secret *ret) MUST_USE;

#endif
