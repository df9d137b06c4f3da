/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of sshd's log: finds the lines that are events for the cluster, such as accepted and refused logins and
 * forwarded ports.
 *
 * The client chooses parts of these lines: names, key IDs, addresses. So each line is received as one packet (sshd
 * writes it at once) and matched as a whole: sshd's fixed text is matched from both ends, and the part between is
 * opaque. Lines of the unprivileged process before the login end in " [preauth]".
 */
#ifndef SSH_SSHD_LOG_H
#define SSH_SSHD_LOG_H

#include "base/str.h"

enum sshd_log_kind {
        SSHD_LOG_OTHER,
        SSHD_LOG_ACCEPTED,       /* login, key_id, serial, ca of the accepted certificate */
        SSHD_LOG_REFUSED,        /* login, reason; for a certificate also key_id, serial, ca */
        SSHD_LOG_FORWARD_LOCAL,  /* host, port: ssh -L, -D */
        SSHD_LOG_FORWARD_REMOTE, /* host, port: ssh -R */
        SSHD_LOG_SESSION,        /* sshd starts a shell, a command or a subsystem */
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

/* State of the parser, initially zeroed. */
struct sshd_log {
        char reason[512]; /* from an earlier line: sshd logs the reason before the login name */
};

/* Parses one packet; *ret is always set. */
void sshd_log_read(struct sshd_log *log, struct str packet, struct sshd_log_event *ret);

#endif
