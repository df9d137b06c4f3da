/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client of an ACME server makes: the request for a certificate, and the certificate of a challenge.
 */
#ifndef PKI_CERT_REQUEST_H
#define PKI_CERT_REQUEST_H

#include "base/buf.h"
#include "pki/cert.h"
#include "pki/key.h"

/*
 * Appends a certification request (RFC 2986) with an empty subject and the names in its subjectAltName, as RFC 8555
 * section 7.4 takes it. Names are host names, 1 to LIMIT_CERT_NAMES.
 */
struct error *x509_request(const struct key *key, const struct str *names, size_t count, struct buf *out_der) MUST_USE;

/*
 * Appends the self-signed certificate of the challenge tls-alpn-01 (RFC 8737 section 3): its only name, and the digest of
 * the key authorization in the critical extension acmeIdentifier.
 */
struct error *x509_acme_challenge(const struct key *key, struct str name, const uint8_t digest[32], struct cert_times times,
                                  struct buf *out_der) MUST_USE;

#endif
