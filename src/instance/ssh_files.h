/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Node identity as sshd reads it: data_dir/proc/ssh/{host_key, host_key-cert.pub, user_ca.pub}; and whose word counts for
 * ssh-authorize, in authority: "host <host ID>", then "ca <pin>" for each CA that certifies Auth Services, a line each.
 *
 * Each file is replaced as a whole; an sshd that starts between two of them shows a key without a certificate,
 * which its caller refuses, and the next one is right.
 */
#ifndef INSTANCE_SSH_FILES_H
#define INSTANCE_SSH_FILES_H

#include "join/host_identity.h"

/* Their contents. Empty (zeroed): none. */
struct ssh_files {
        struct secret host_key;
        char *host_cert, *user_ca; /* lines as of authorized_keys; owned */
        char *authority;           /* owned */
};

/* FAILED_PRECONDITION when the identity has no user CA: no user could log in. */
struct error *ssh_files_make(const struct host_identity *id, struct ssh_files *ret) MUST_USE;
void ssh_files_release(struct ssh_files *f);

/* Writes those that differ from what is there, below dir: data_dir/proc. Touches nothing but the files: may run on the pool. */
struct error *ssh_files_write(const char *dir, const struct ssh_files *f) MUST_USE;

#endif
