/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with the identities of this host: data_dir/proc/ids/<role>.json, one for each role. `dir` is data_dir/proc.
 *
 *   {"kind": "identity", "version": "v2", "spec": {
 *     "tls_key": "<PEM>", "ssh_key": "<PEM>",
 *     "tls_cert": "<base64 of DER>", "tls_ca_certs": ["…"],
 *     "ssh_cert": "<base64 of the wire form>", "ssh_ca_keys": ["…"],          (empty but for role Node)
 *     "tls_user_ca_certs": ["…"], "ssh_user_ca_keys": ["…"],       (absent: none)
 *     "vouching_pins": ["sha256:…"],                              (absent: a pin names each host CA, or none is configured)
 *     "ca_revision": "…",                                          (absent: from a join, or the CAs were never rotated)
 *     "join_proof": "<base64 of SHA-256>"}}                        (absent: not of a join by proof)
 *
 * Files are private, written atomically, and verified as a whole when read: a truncated, inconsistent or altered file
 * is an error.
 */
#ifndef INSTANCE_IDENTITY_FILE_H
#define INSTANCE_IDENTITY_FILE_H

#include "join/host_identity.h"

/* A buffer for an identity file that never reallocates, so that wiping it once is enough. */
struct buf identity_buf(void);

/* Writes the contents of a file. `out` should be wiped after use. */
void identity_put_json(struct buf *out, const struct host_identity *id);

/* INVALID_ARGUMENT when it is malformed; other errors as host_identity_make(). */
struct error *identity_read_json(struct str json, struct host_expectation expected, struct host_identity *ret) MUST_USE;

/* NOT_FOUND when this host has no identity for that role. */
struct error *identity_load(const char *dir, const char *role, const struct ca_pins *pins,
                            struct host_identity *ret) MUST_USE;

/* The same, for `debug connect`: root may read the file of the service's user. Other callers read it as identity_load() does. */
struct error *identity_load_as_root(const char *dir, const char *role, const struct ca_pins *pins,
                                    struct host_identity *ret) MUST_USE;

/* Writes the output of identity_put_json() to the file. Uses no other state, so it may run on the thread pool. */
struct error *identity_write(const char *dir, const char *role, struct str json) MUST_USE;

#endif
