/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the maker (x509.c) and the reader (cert_read.c) of our certificates agree on: how a cluster
 * and its roles stand in a subject. Teleport's own numbers, so that its tools show the same.
 */
#ifndef PKI_CERT_PROFILE_H
#define PKI_CERT_PROFILE_H

#include "pki/der.h"

#define OID_COMMON_NAME OID(2, 5, 4, 3)
#define OID_SERIAL_NUMBER OID(2, 5, 4, 5)
#define OID_ORGANIZATION OID(2, 5, 4, 10)
#define OID_CLUSTER OID(1, 3, 9999, 1, 7)
#define OID_SYSTEM_ROLE OID(1, 3, 9999, 2, 11)

#endif
