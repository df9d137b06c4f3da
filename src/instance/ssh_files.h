/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the Node identity for sshd, data_dir/proc/ssh/{host_key, host_key-cert.pub, user_ca.pub}, and the file
 * `authority` for ssh-authorize, by which it verifies decisions: "host <host ID>", then "ca <pin>" for each CA that
 * certifies Auth Services, a line each.
 *
 * The directory is replaced as a whole, so that the key and its certificate belong together at each time. A process that has opened it, or
 * works in it, reads the files of one identity: the former directory stays as `ssh.former` until the next replacement.
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

/* Writes the changed files below dir, data_dir/proc. Uses no other state, so it may run on the thread pool. */
struct error *ssh_files_write(const char *dir, const struct ssh_files *f) MUST_USE;

#endif
