/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a file copy is refused, in the protocol that its client speaks: sshd passes nothing on of what a subsystem writes to its
 * standard error, so that scp and sftp would say "Connection closed".
 *
 * SFTP (draft-ietf-secsh-filexfer-02, version 3): the client gets the greeting that it asks for, and to each request SSH_FX_PERMISSION_DENIED with
 * the sentence. OpenSSH's sftp, and libraries, show the sentence; OpenSSH's scp says "Permission denied", of its own words. So that it says
 * that, and not "No such file", the answer to a request for attributes is a file before a read (LSTAT), else a directory.
 * scp's own protocol: \001, the sentence, a line feed.
 *
 * Nothing is opened, and no more is kept of a request than its head.
 */
#ifndef SESSION_REFUSAL_H
#define SESSION_REFUSAL_H

#include "base/buf.h"

enum { SFTP_REFUSAL_HEAD = 9, SFTP_REFUSAL_ANSWER_MAX = 512 }; /* bytes of the longest head: length, type, number */

/* A zeroed one with a sentence is ready. */
struct sftp_refusal {
        struct str sentence;      /* shorter than SFTP_REFUSAL_ANSWER_MAX - 64; borrowed */
        uint8_t head[SFTP_REFUSAL_HEAD];
        size_t head_len;
        uint32_t left;            /* of a request, to be dropped */
        bool has_begun, is_reading;
};

/*
 * Takes bytes of the client, at most one request of them; *ret_len: how many. Appends its answer. INVALID_ARGUMENT for what is not
 * SFTP: nothing can be said any more.
 */
struct error *sftp_refusal_feed(struct sftp_refusal *r, struct str bytes, size_t *ret_len, struct buf *answer) MUST_USE;

#endif
