/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PEM (RFC 7468) around bytes that are no secret: certificates and public keys. Private keys go
 * through OpenSSL, which keeps them out of ordinary memory.
 */
#ifndef PKI_PEM_H
#define PKI_PEM_H

#include "base/buf.h"
#include "base/error.h"

/* A block: what stands before it, its label and its base64 lines; borrowed from the text. */
struct pem_block {
        struct str before;
        struct str label; /* "CERTIFICATE" */
        struct str body;
};

/*
 * Cuts the next block off the front of *text, which is left behind its END line. Markers count only
 * at the beginning of a line. false when there is no further whole block.
 */
bool pem_next(struct str *text, struct pem_block *ret);

/* The bytes of a block, added to out. Base64 and line ends only: INVALID_ARGUMENT otherwise. */
struct error *pem_decode(const struct pem_block *block, struct buf *out) MUST_USE;

/* A block with lines of 64 characters. */
void pem_put(struct buf *out, const char *label, struct str bytes);

#endif
