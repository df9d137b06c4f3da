/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CA certificates from SSL_CERT_FILE and SSL_CERT_DIR (directories separated by colons, with files named by a hash, see
 * openssl-rehash(1)), which verify the web certificate of a proxy or of a load balancer in front of it. OpenSSL opens these files
 * itself; files that the user of the process cannot open are read before the process changes to that user.
 */
#ifndef CLUSTER_ROOTS_H
#define CLUSTER_ROOTS_H

#include "base/arena.h"
#include "base/buf.h"

/* Reads all certificates of these files, as PEM. Unreadable files are logged and skipped. `out` is initialised here. */
void roots_read(struct buf *out);

/*
 * Empties `pem`, the result of roots_read(), if this process can read the files itself; it then also sees later
 * versions of them.
 */
void roots_drop_if_open(struct buf *pem);

/* The paths, NULL-terminated, in the arena: for the sandbox. */
const char *const *roots_paths(struct arena *a) MUST_USE;

#endif
