/* SPDX-License-Identifier: Apache-2.0 */
/* Bech32 (BIP 173) without its limit of 90 characters, as age writes keys. */
#ifndef BACKUP_BECH32_H
#define BACKUP_BECH32_H

#include "base/buf.h"
#include "base/error.h"

/* Lower case. prefix: lower case. */
void bech32_encode(struct buf *out, struct str prefix, struct str bytes);

/* Decodes text, all of it in one case, with this prefix (lower case), to exactly `len` bytes. INVALID_ARGUMENT. */
struct error *bech32_decode(struct str text, struct str prefix, uint8_t *ret, size_t len) MUST_USE;

#endif
