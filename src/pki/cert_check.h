/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of certificates: the key, the issuer, the names and the validity of a certificate.
 */
#ifndef PKI_CERT_CHECK_H
#define PKI_CERT_CHECK_H

#include "pki/cert.h"
#include "pki/key.h"

/* Checks that the public key in the X.509 certificate is that of k. INVALID_ARGUMENT if it does not parse. */
struct error *cert_check_key(struct str cert_der, const struct key *k) MUST_USE;

/*
 * Checks that ca_der is a CA certificate that issued cert_der, by name and signature. Validity times are not checked,
 * as the caller knows which clock to use. UNAUTHENTICATED otherwise.
 */
struct error *cert_check_issuer(struct str cert_der, struct str ca_der) MUST_USE;

/* Whether cert_check_issuer() finds nothing wrong: for the search of the issuer among several CAs. */
bool cert_is_issued_by(struct str cert_der, struct str ca_der);

/* Calls each() for every DNS name of the certificate (borrowed until it returns); malformed ones are skipped. */
struct error *cert_each_dns_name(struct str cert_der, void (*each)(void *ctx, struct str name), void *ctx) MUST_USE;

/*
 * Whether a certificate was issued by a CA of Teleport itself, whose certificates have another form: CN and O of its
 * issuer are the cluster's name, with a serial number beside them, and it is signed with RSA, has a PrintableString as
 * the CN, or a subject with street or postal code. For the text of errors only: no certificate is accepted or refused
 * by it.
 */
bool cert_is_of_teleport(struct str cert_der);

/*
 * The validity of a certificate of any issuer; an end beyond the range of walltime is its last value. INVALID_ARGUMENT if
 * the certificate is malformed.
 */
struct error *cert_validity(struct str cert_der, struct cert_times *ret) MUST_USE;

/*
 * Whether clients accept the certificate for a host name or IP literal (RFC 9525 section 6): by its subjectAltName only,
 * with wildcards that are a whole left-most label. False if it is malformed.
 */
bool cert_is_for_host(struct str cert_der, struct str host);

#endif
