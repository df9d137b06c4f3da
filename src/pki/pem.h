/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PEM encoding (RFC 7468) of data that is not secret: certificates and public keys. Private keys are encoded by
 * OpenSSL, which wipes them.
 */
#ifndef PKI_PEM_H
#define PKI_PEM_H

#include "base/buf.h"
#include "base/error.h"

/* A block: the text before it, its label and its base64 lines; borrowed from the text. */
struct pem_block {
        struct str before;
        struct str label; /* "CERTIFICATE" */
        struct str body;
};

/*
 * Reads the next block and moves *text behind its END line. Markers are recognised only at the beginning of a line.
 * False when there is no further complete block.
 */
bool pem_next(struct str *text, struct pem_block *ret);

/* Decodes a block and appends its bytes to out. Base64 and line ends only: INVALID_ARGUMENT otherwise. */
struct error *pem_decode(const struct pem_block *block, struct buf *out) MUST_USE;

/* Writes a block with lines of 64 characters. */
void pem_put(struct buf *out, const char *label, struct str bytes);

#endif
