/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a proxy's web certificate is verified by where the operator says so: the file SSL_CERT_FILE, and the directories
 * SSL_CERT_DIR with a colon between, in which files are named by a hash (openssl-rehash(1)). OpenSSL opens these itself; what
 * the user of `instance` cannot open is read before the process becomes that user.
 */
#ifndef INSTANCE_ROOTS_H
#define INSTANCE_ROOTS_H

#include "base/arena.h"
#include "base/buf.h"

/* All certificates of those places, as PEM. What cannot be read is named in the log and left out. `out` is made here. */
void roots_read(struct buf *out);

/* Empties `pem`, which roots_read made, if this process can read the same by itself, and so also what takes its place one day. */
void roots_drop_if_open(struct buf *pem);

/* The places, NULL-terminated, in the arena: for the sandbox. */
const char *const *roots_places(struct arena *a) MUST_USE;

#endif
