/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of sshd's log that are events for the cluster: accepted and refused logins, and forwarded ports.
 *
 * The client chooses parts of these lines: names, key IDs, addresses. So a line comes as one packet (sshd writes
 * it at once) and is taken for what it is only as a whole: sshd's own words are looked for from both ends, and
 * what lies between is an opaque text. What its unprivileged half says before the login ends in " [preauth]".
 */
#ifndef SSH_SSHD_LOG_H
#define SSH_SSHD_LOG_H

#include "base/str.h"

enum sshd_log_kind {
        SSHD_LOG_OTHER,
        SSHD_LOG_ACCEPTED,       /* login, key_id, serial, ca: the session is that of this certificate */
        SSHD_LOG_REFUSED,        /* login, reason; of a certificate also key_id, serial, ca */
        SSHD_LOG_FORWARD_LOCAL,  /* host, port: ssh -L, -D */
        SSHD_LOG_FORWARD_REMOTE, /* host, port: ssh -R */
        SSHD_LOG_SESSION,        /* it starts a shell, a command or a subsystem */
};

/* Texts are borrowed from the packet, reason from the log, until the next packet. */
struct sshd_log_event {
        enum sshd_log_kind kind;
        struct str login;
        struct str key_id, ca; /* ca: "SHA256:…" */
        uint64_t serial;
        struct str reason;
        struct str host;
        int port;
};

/* A zeroed one begins. */
struct sshd_log {
        char reason[512]; /* sshd says why before it says whom */
};

/* One packet. Whatever it holds, *ret is something. */
void sshd_log_read(struct sshd_log *log, struct str packet, struct sshd_log_event *ret);

#endif
