/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's certificate authorities: a directory that is created once, atomically, and read at every start.
 *
 *     data_dir/ca/cluster              the cluster's name
 *                 host.tls.key.pem     one file of each kind for each type of authority ("host", "user"):
 *                 host.tls.cert.pem    P-256 key and certificate for X.509,
 *                 host.ssh.key.pem     Ed25519 key for SSH
 *                 jwt.key.pem          RSA or P-256 key that signs tokens for applications; absent until the first start of a
 *                                      release that has it
 *                 rotation             the phase and the new keys of rotations (ca_journal.h)
 *                 in-use               empty until the first certificate is signed; absent in a directory of an
 *                                      earlier release, and then it has signed some
 *
 * The directory is prepared as data_dir/ca.new and renamed: an interrupted start leaves no CA, and the next start
 * begins again. An existing CA is never replaced.
 */
#ifndef SIGNER_AUTHORITIES_H
#define SIGNER_AUTHORITIES_H

#include "base/secret.h"
#include "pki/cert.h"
#include "pki/public_key.h"

enum authority_type { AUTHORITY_HOST, AUTHORITY_USER, AUTHORITY_JWT, AUTHORITY_COUNT };

/* The private keys and the certificate of one CA, PEM, as in its files. The CA jwt has one key and no certificate. */
struct ca_keys {
        struct secret tls_key, ssh_key;
        struct buf tls_cert;
        struct secret jwt_key;
};

void ca_keys_release(struct ca_keys *k);
/* Whether there are keys: a released or zeroed struct has none. */
bool ca_keys_exist(const struct ca_keys *k);

/* How a new CA is made. */
struct ca_template {
        struct str cluster;
        struct walltime now;      /* certificates are valid for ten years from it */
        enum key_kind token_key;  /* of the CA jwt: KEY_RSA_2048 signs by RS256, KEY_ECDSA_P256 by ES256 */
};
struct error *ca_keys_generate(const struct ca_template *t, enum authority_type type, struct ca_keys *ret) MUST_USE;
struct error *ca_keys_write(const struct ca_keys *k, const char *dir, enum authority_type type) MUST_USE;

struct authority {
        struct buf tls_cert; /* DER */
        struct buf ssh_key;  /* wire form */
        struct x509_ca *x509;
        struct ssh_ca *ssh;
        struct buf tls_spki, ssh_spki; /* public keys, DER */

        /* Of the CA jwt, which has nothing of the above. */
        struct key jwt;
        struct buf jwt_spki; /* public key, DER */
        struct buf jwt_id;   /* of the key, in tokens and in the key set (jwk.h) */
};

/* Whether there is a CA: a released or zeroed struct is none. */
bool authority_exists(const struct authority *a);

/* Makes a CA of its keys. FAILED_PRECONDITION when they do not fit each other or the cluster. */
struct error *authority_of_keys(struct authority *a, const struct ca_keys *keys, struct str cluster) MUST_USE;
void authority_release(struct authority *a);

enum { OWN_KEYS_MAX = 4 * AUTHORITY_COUNT }; /* two of each CA, and of the one that replaces it */
struct authorities {
        struct buf cluster;
        struct authority all[AUTHORITY_COUNT];
        struct authority next[AUTHORITY_COUNT];   /* of a rotation in progress */
        struct public_key own_keys[OWN_KEYS_MAX]; /* of every CA; borrowed from them */
        size_t own_key_count;
};

/* Collects the public keys of all CAs; to be called after `next` or `all` was changed. */
struct error *authorities_collect_keys(struct authorities *as) MUST_USE;

void authorities_release(struct authorities *as);

/* "host", "user", "jwt": the name in file names and in messages of auth. */
const char *authority_name(enum authority_type type);
/* The type of that name. INVALID_ARGUMENT if there is none. */
struct error *authority_type_get(struct str name, enum authority_type *ret) MUST_USE;

/*
 * Reads the directory. NOT_FOUND when there is none; FAILED_PRECONDITION, naming the file, when a file is missing,
 * damaged, readable by others or does not match the others. Only the CA jwt may be missing.
 */
struct error *authorities_load(struct authorities *as, const char *data_dir) MUST_USE;
/* The same for the CA's own directory ("data_dir/ca"). */
struct error *authorities_load_from(struct authorities *as, const char *dir) MUST_USE;

/*
 * Whether the CA of "data_dir/ca" has signed certificates: it exists, and is not the rest of an interrupted first
 * start. If such a CA exists without the cluster's state, the state was lost.
 */
bool authorities_are_in_use(const char *data_dir);

/*
 * Opens the file in-use of the CA's own directory, which is written before the first certificate is sent; -1 when the
 * CA is marked as in use already. For a process that cannot open files later.
 */
int authorities_open_use(const char *dir);
/* Marks the CA as in use; durable when it returns. */
struct error *authorities_note_use(int fd) MUST_USE;

/* Creates the directory for a new cluster. ALREADY_EXISTS, without any change, when there is one. */
struct error *authorities_create(const char *data_dir, const struct ca_template *t) MUST_USE;

/* Makes the CA jwt, which is missing, writes it to the CA's own directory, and adds it to `as`, which was read from there. */
struct error *authorities_add_jwt(struct authorities *as, const char *dir, const struct ca_template *t) MUST_USE;

#endif
