/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A public key taken apart and checked, between its two outer forms: SubjectPublicKeyInfo
 * (RFC 5280, RFC 5480, RFC 8410) and the SSH wire form (RFC 4253, RFC 5656, RFC 8709).
 *
 * There is no way to get a struct public_key that was not checked: see key.h for what that means.
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

/* INVALID_ARGUMENT says what is wrong with it. */
struct error *public_key_of_spki(struct str der, struct public_key *ret) MUST_USE;
struct error *public_key_of_ssh(struct str wire, struct public_key *ret) MUST_USE;

/* The same from the fields that follow the type in the SSH wire form, as certificates hold them. */
struct error *public_key_of_ssh_fields(enum public_key_kind kind, struct reader *r, struct public_key *ret) MUST_USE;

/* Whether the algorithm's name is that of a key (or of a certificate with such a key) we know. */
bool public_key_kind_of_ssh(struct str type, enum public_key_kind *ret);
bool public_key_kind_of_ssh_cert(struct str type, enum public_key_kind *ret);

void public_key_put_spki(const struct public_key *key, struct buf *out);
void public_key_put_ssh(const struct public_key *key, struct buf *out);
/* What follows the type. */
void public_key_put_ssh_fields(const struct public_key *key, struct buf *out);

/* "ecdsa-sha2-nistp256-cert-v01@openssh.com" and so on. */
struct str public_key_ssh_cert_type(const struct public_key *key);

bool public_key_equal(const struct public_key *a, const struct public_key *b);

/* The contents of the BIT STRING in the SubjectPublicKeyInfo: what a key identifier is the hash of. */
void public_key_put_bits(const struct public_key *key, struct buf *out);

#endif
