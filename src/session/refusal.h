/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports the refusal of a file copy in the client's protocol. sshd does not forward the standard error of a subsystem,
 * so scp and sftp would otherwise report "Connection closed".
 *
 * SFTP (draft-ietf-secsh-filexfer-02, version 3): the client gets a version reply, and SSH_FX_PERMISSION_DENIED with
 * the sentence for each request. OpenSSH's sftp and libraries show the sentence; OpenSSH's scp shows its own text
 * "Permission denied". For scp to show that, and not "No such file", the answer to a request for attributes is a file
 * before a read (LSTAT), otherwise a directory. scp's own protocol: \001, the sentence, a line feed.
 *
 * No file is opened, and only the head of a request is stored.
 */
#ifndef SESSION_REFUSAL_H
#define SESSION_REFUSAL_H

#include "base/buf.h"

enum { SFTP_REFUSAL_HEAD = 9, SFTP_REFUSAL_ANSWER_MAX = 512 }; /* bytes of the longest head: length, type, number */

/* A zeroed struct with a sentence is ready for use. */
struct sftp_refusal {
        struct str sentence;      /* shorter than SFTP_REFUSAL_ANSWER_MAX - 64; borrowed */
        uint8_t head[SFTP_REFUSAL_HEAD];
        size_t head_len;
        uint32_t left;            /* remaining bytes of a request, to be dropped */
        bool has_begun, is_reading;
};

/*
 * Consumes bytes of the client, at most one request; *ret_len is their number. Appends the answer. INVALID_ARGUMENT for
 * bytes that are not SFTP: no further answer is possible.
 */
struct error *sftp_refusal_feed(struct sftp_refusal *r, struct str bytes, size_t *ret_len, struct buf *answer) MUST_USE;

#endif
