/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of proto/session.proto, between the SSH Service and the programs that sshd starts: u32 length (big
 * endian), message. Neither end believes the other: the one runs as a user, the other may be anybody.
 */
#ifndef SESSION_WIRE_H
#define SESSION_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "session.pb-c.h"

enum {
        SESSION_FRAME_PREFIX = 4,
        SESSION_FRAME_MAX = 128 * KiB, /* with its prefix: the first of a program, which may have a long command */
        SESSION_FRAME_LATER_MAX = 15 * KiB, /* of a program, once its session has begun: a part of one waits in the SSH Service for each session */
        SESSION_OUTPUT_MAX = 14 * KiB, /* bytes of a terminal in one message */
        SESSION_COMMAND_MAX = 32 * KiB, /* of a command, as it is reported */
        SESSION_TEXT_MAX = 4 * KiB,    /* for a user */
        SESSION_ARENA = 8 * SESSION_FRAME_MAX, /* decodes any frame */
};

/* Appends a frame; one that passes SESSION_FRAME_MAX is a bug of ours. */
void session_frame_put(struct buf *out, const ProtobufCMessage *msg);

/*
 * Takes the first frame of `in`: *ret in the arena, *ret_size its bytes with the prefix; 0 while it is not whole.
 * INVALID_ARGUMENT for a length outside of the limits or a message that is not of this type.
 */
struct error *session_frame_read(struct str in, const ProtobufCMessageDescriptor *type, struct arena *a,
                                 ProtobufCMessage **ret, size_t *ret_size) MUST_USE;

#endif
