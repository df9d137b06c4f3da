/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that a service process sends to the supervisor over the control socket: packets of one fixed layout.
 * The supervisor runs as root, so its parser handles no allocation, nesting or repetition: it borrows from the
 * packet and copies nothing.
 *
 *   offset  size
 *   0       1     kind, one of enum child_message_kind
 *   1       1     length of name
 *   2       2     length of text, little-endian
 *   4       2     length of hint, little-endian
 *   6       2     zero
 *   8       8     number, little-endian
 *   16      …     name, text, hint, each followed by a NUL byte and without one in it; then the packet ends
 *
 * (Messages from the supervisor to its services are protobuf, message Control, as the services are
 * unprivileged.)
 */
#ifndef API_CHILD_MESSAGE_H
#define API_CHILD_MESSAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum child_message_kind {
        /* of every service */
        CHILD_SENT_READY = 1,    /* serving */
        CHILD_SENT_FATAL,        /* cannot go on, and starting it again would not help; text says why, hint what to do */
        CHILD_SENT_RELINK,       /* the link to the sibling process `name` is lost: both processes are to get a new one */

        /* of processes with SERVICE_REQUEST_SSHD */
        CHILD_SENT_SSHD_START,   /* start an sshd for the connection `name` */
        CHILD_SENT_SSHD_STOP,    /* end it */
        CHILD_SENT_HELPER_CHECK, /* is process `number` a helper of the connection `name`? Its pidfd comes with it */

        /* of a process with SERVICE_REQUEST_AWS_SIGN: start a process that signs for one join; number comes back with its socket */
        CHILD_SENT_AWS_SIGN,

        /* of a process with SERVICE_REQUEST_HOST_ID: this host joined with host ID `name`, to be written to data_dir/host_uuid */
        CHILD_SENT_HOST_ID,

        /* of a process with SERVICE_REQUEST_STATUS: text is the membership of this host, a line for the service manager */
        CHILD_SENT_STATUS,

        CHILD_SENT_ALIVE, /* of every service that polls the control socket: answers Control.PING */
        CHILD_SENT_CONNECTED, /* of a process with tunnels, once: all of them are open, so that a former process need not accept connections */
        CHILD_MESSAGE_KINDS
};

/* The right (enum service_request) that the row of a process must have to send this kind; 0: every process may. */
unsigned child_message_right(enum child_message_kind kind);

enum {
        CHILD_MESSAGE_HEAD = 16,
        CHILD_MESSAGE_NAME = 64, /* a service, a connection ID or a host ID */
        CHILD_MESSAGE_TEXT = 4 * KiB,
        CHILD_MESSAGE_HINT = 1 * KiB,
        CHILD_MESSAGE_MAX = CHILD_MESSAGE_HEAD + CHILD_MESSAGE_NAME + CHILD_MESSAGE_TEXT + CHILD_MESSAGE_HINT + 3,
};

struct child_message {
        enum child_message_kind kind;
        int64_t number;
        const char *name, *text, *hint; /* NUL-terminated; "" when absent, never NULL after parsing; borrowed from the packet */
};

/* Appends the packet; longer texts are cut to their limits. out: at least CHILD_MESSAGE_MAX. */
void child_message_put(struct buf *out, const struct child_message *m);

/* INVALID_ARGUMENT unless the packet is exactly one message. */
struct error *child_message_parse(struct str packet, struct child_message *ret) MUST_USE;

#endif
