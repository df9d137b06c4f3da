/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parsed and checked public key, with conversions from and to its two encodings: SubjectPublicKeyInfo (RFC 5280, RFC
 * 5480, RFC 8410) and the SSH wire form (RFC 4253, RFC 5656, RFC 8709).
 *
 * Every function that returns a struct public_key has checked it: key.h lists the checks.
 */
#ifndef PKI_PUBLIC_KEY_H
#define PKI_PUBLIC_KEY_H

#include "base/buf.h"
#include "base/error.h"
#include "base/reader.h"

enum public_key_kind { PUBLIC_KEY_P256, PUBLIC_KEY_P384, PUBLIC_KEY_ED25519, PUBLIC_KEY_RSA };

/* Larger than any key that is accepted, in any form. */
enum { PUBLIC_KEY_MAX = 2 * KiB };

struct public_key {
        enum public_key_kind kind;
        struct str point;             /* EC: 0x04, x, y; Ed25519: 32 bytes; borrowed from the input */
        struct str modulus, exponent; /* RSA, big-endian without leading zeros; borrowed */
};

/* INVALID_ARGUMENT names the failed check. */
struct error *public_key_of_spki(struct str der, struct public_key *ret) MUST_USE;
struct error *public_key_of_ssh(struct str wire, struct public_key *ret) MUST_USE;

/* The same from the fields that follow the type in the SSH wire form, as certificates hold them. */
struct error *public_key_of_ssh_fields(enum public_key_kind kind, struct reader *r, struct public_key *ret) MUST_USE;

/* Whether the algorithm's name is that of a supported key (or of a certificate with such a key). */
bool public_key_kind_of_ssh(struct str type, enum public_key_kind *ret);
bool public_key_kind_of_ssh_cert(struct str type, enum public_key_kind *ret);

void public_key_put_spki(const struct public_key *key, struct buf *out);
void public_key_put_ssh(const struct public_key *key, struct buf *out);
/* Writes the fields that follow the type. */
void public_key_put_ssh_fields(const struct public_key *key, struct buf *out);

/* "ecdsa-sha2-nistp256-cert-v01@openssh.com" and so on. */
struct str public_key_ssh_cert_type(const struct public_key *key);

bool public_key_equal(const struct public_key *a, const struct public_key *b);

/* Writes the contents of the BIT STRING in the SubjectPublicKeyInfo, the input of the hash in key identifiers. */
void public_key_put_bits(const struct public_key *key, struct buf *out);

#endif
