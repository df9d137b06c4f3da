/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's certificate authorities: a directory that is created once, atomically, and read at every start.
 *
 *     data_dir/ca/cluster              the cluster's name
 *                 host.tls.key.pem     one file of each kind for each type of authority ("host", "user"):
 *                 host.tls.cert.pem    P-256 key and certificate for X.509,
 *                 host.ssh.key.pem     Ed25519 key for SSH
 *                 in-use               empty until the first certificate is signed; absent in a directory of an
 *                                      earlier release, and then it has signed some
 *
 * The directory is prepared as data_dir/ca.new and renamed: an interrupted start leaves no CA, and the next start
 * begins again. An existing CA is never replaced.
 */
#ifndef SIGNER_AUTHORITIES_H
#define SIGNER_AUTHORITIES_H

#include "pki/cert.h"
#include "pki/public_key.h"

enum authority_type { AUTHORITY_HOST, AUTHORITY_USER, AUTHORITY_COUNT };

struct authority {
        struct buf tls_cert; /* DER */
        struct buf ssh_key;  /* wire form */
        struct x509_ca *x509;
        struct ssh_ca *ssh;
};

struct authorities {
        struct buf cluster;
        struct authority all[AUTHORITY_COUNT];
        struct buf own_spki[2 * AUTHORITY_COUNT];        /* storage for own_keys */
        struct public_key own_keys[2 * AUTHORITY_COUNT]; /* of every CA, TLS and SSH */
};

void authorities_release(struct authorities *as);

/* "host", "user": the name in file names and in messages of auth. */
const char *authority_name(enum authority_type type);

/*
 * Reads the directory. NOT_FOUND when there is none; FAILED_PRECONDITION, naming the file, when a file is missing,
 * damaged, readable by others or does not match the others.
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

/*
 * Creates the directory for a new cluster; the CA certificates are valid for ten years from `now`. ALREADY_EXISTS,
 * without any change, when there is one.
 */
struct error *authorities_create(const char *data_dir, struct str cluster, struct walltime now) MUST_USE;

#endif
