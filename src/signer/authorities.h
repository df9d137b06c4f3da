/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's certificate authorities: a directory that comes into being once, whole, and is read at
 * every start.
 *
 *     data_dir/ca/cluster              the cluster's name
 *                 host.tls.key.pem     one file of each kind for each type of authority ("host", "user"):
 *                 host.tls.cert.pem    P-256 key and certificate for X.509,
 *                 host.ssh.key.pem     Ed25519 key for SSH
 *                 in-use               empty until the first certificate is signed; absent in a directory of an
 *                                      earlier release, and then it has signed some
 *
 * The directory is prepared as data_dir/ca.new and renamed: a start that was cut short leaves no CA,
 * and the next one begins anew. Where there was a CA none is ever made in its place.
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
        struct buf own_spki[2 * AUTHORITY_COUNT];        /* what own_keys borrows */
        struct public_key own_keys[2 * AUTHORITY_COUNT]; /* of every CA, TLS and SSH */
};

void authorities_release(struct authorities *as);

/* "host", "user": the names auth and the files know them by. */
const char *authority_name(enum authority_type type);

/*
 * Reads the directory. NOT_FOUND when there is none; FAILED_PRECONDITION, naming the file, when
 * anything in it is missing, damaged, readable by others or does not belong together.
 */
struct error *authorities_load(struct authorities *as, const char *data_dir) MUST_USE;
/* The same, of the CA's own directory ("data_dir/ca"). */
struct error *authorities_load_from(struct authorities *as, const char *dir) MUST_USE;

/*
 * Whether "data_dir/ca" is that of a cluster with members: it is there, and not what a first start has left that was cut short
 * before it signed anything. Such a CA without the cluster's state belongs to a cluster that has lost it.
 */
bool authorities_are_in_use(const char *data_dir);

/*
 * The file in-use of the CA's own directory, to write into before the first certificate leaves; -1 when it says already that
 * the CA is in use. For a process that opens no file later.
 */
int authorities_open_use(const char *dir);
/* Writes it; durable when it returns. */
struct error *authorities_note_use(int fd) MUST_USE;

/*
 * Makes the directory for a new cluster; `now` begins the ten years of its certificates. ALREADY_EXISTS
 * when there is one: it is not touched.
 */
struct error *authorities_create(const char *data_dir, struct str cluster, struct walltime now) MUST_USE;

#endif
