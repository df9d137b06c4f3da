/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of certificates: the key, the issuer and the names in a certificate.
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

/* Calls each() for every DNS name of the certificate (borrowed until it returns); malformed ones are skipped. */
struct error *cert_each_dns_name(struct str cert_der, void (*each)(void *ctx, struct str name), void *ctx) MUST_USE;

/*
 * Whether a certificate was issued by a CA of Teleport itself, whose certificates have another form: CN and O of its
 * issuer are the cluster's name, with a serial number beside them, and it is signed with RSA, has a PrintableString as
 * the CN, or a subject with street or postal code. For the text of errors only: no certificate is accepted or refused
 * by it.
 */
bool cert_is_of_teleport(struct str cert_der);

#endif
