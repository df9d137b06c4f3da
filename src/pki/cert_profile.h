/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Object identifiers of algorithms, subject attributes and extensions, shared by the encoder (x509.c) and the parser
 * (cert_read.c) of certificates.
 */
#ifndef PKI_CERT_PROFILE_H
#define PKI_CERT_PROFILE_H

#include "pki/der.h"

/* RFC 5758 section 3.2; without parameters. */
#define OID_ECDSA_SHA256 OID(1, 2, 840, 10045, 4, 3, 2)

/* RFC 5280 appendix A; the last two are defined by Teleport, so that its tools show the same. */
#define OID_COMMON_NAME   OID(2, 5, 4, 3)
#define OID_SERIAL_NUMBER OID(2, 5, 4, 5)
#define OID_LOCALITY      OID(2, 5, 4, 7)
#define OID_ORGANIZATION  OID(2, 5, 4, 10)
#define OID_CLUSTER       OID(1, 3, 9999, 1, 7)
#define OID_APP_NAME      OID(1, 3, 9999, 1, 10)
#define OID_SYSTEM_ROLE   OID(1, 3, 9999, 2, 11)

/* Of this project: not among Teleport's, which are below 1, 2 and 3. */
#define OID_WEB_SESSION OID(1, 3, 9999, 50, 1)
#define OID_APP_SECRET  OID(1, 3, 9999, 50, 2)

/* RFC 5280 section 4.2.1. */
#define OID_SUBJECT_KEY_ID     OID(2, 5, 29, 14)
#define OID_KEY_USAGE          OID(2, 5, 29, 15)
#define OID_SUBJECT_ALT_NAME   OID(2, 5, 29, 17)
#define OID_BASIC_CONSTRAINTS  OID(2, 5, 29, 19)
#define OID_CRL_NUMBER         OID(2, 5, 29, 20)
#define OID_AUTHORITY_KEY_ID   OID(2, 5, 29, 35)
#define OID_EXTENDED_KEY_USAGE OID(2, 5, 29, 37)

/* Purposes in an extended key usage (section 4.2.1.12). */
#define OID_SERVER_AUTH OID(1, 3, 6, 1, 5, 5, 7, 3, 1)
#define OID_CLIENT_AUTH OID(1, 3, 6, 1, 5, 5, 7, 3, 2)

#endif
