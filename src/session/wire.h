/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of proto/session.proto, between the SSH Service and the programs that sshd starts: u32 length (big endian),
 * message. Neither end trusts the other: the program may run as a user, and any process may have bound the socket.
 */
#ifndef SESSION_WIRE_H
#define SESSION_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "session.pb-c.h"

enum {
        SESSION_FRAME_PREFIX = 4,
        SESSION_FRAME_MAX = 128 * KiB, /* with its prefix: for a program's first message, which may contain a long command */
        SESSION_FRAME_LATER_MAX = 15 * KiB, /* for later messages: the SSH Service buffers part of one for each session */
        SESSION_OUTPUT_MAX = 14 * KiB, /* bytes of a terminal in one message */
        SESSION_COMMAND_MAX = 32 * KiB, /* bytes of a command in reports */
        SESSION_TEXT_MAX = 4 * KiB,    /* of messages for a user */
        SESSION_ARENA = 8 * SESSION_FRAME_MAX, /* decodes any frame */
};

/* Appends a frame; a frame beyond SESSION_FRAME_MAX is a bug. */
void session_frame_put(struct buf *out, const ProtobufCMessage *msg);

/*
 * Parses the first frame of `in`: *ret is in the arena, *ret_size is its size with the prefix, 0 while it is
 * incomplete. INVALID_ARGUMENT for a length outside of the limits or a message that is not of this type.
 */
struct error *session_frame_read(struct str in, const ProtobufCMessageDescriptor *type, struct arena *a,
                                 ProtobufCMessage **ret, size_t *ret_size) MUST_USE;

#endif
