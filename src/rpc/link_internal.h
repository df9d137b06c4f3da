/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame format of a link, shared by both ends:
 *
 *     u32  bytes that follow
 *     u32  id, chosen by the client; an answer has the id of its request
 *     u16  request: verb; answer: 0, or the code of an error
 *     …    request or answer message; of an error its text (rpc/status.h)
 */
#ifndef RPC_LINK_INTERNAL_H
#define RPC_LINK_INTERNAL_H

#include "base/buf.h"
#include "rpc/link.h"

enum {
        LINK_PREFIX = 4,
        LINK_HEADER = LINK_PREFIX + 4 + 2,
        LINK_FRAME_MAX = LINK_HEADER + LINK_MESSAGE_MAX,
        LINK_OUT_MARK = 64 * KiB, /* frames are collected up to this size and then written together */
        LINK_OUT_MAX = LINK_OUT_MARK + LINK_FRAME_MAX,
};

struct link_frame {
        uint32_t id;
        uint16_t code; /* verb or error code */
        struct str body; /* borrowed from the input */
};

/* Parses the first frame of `in`: *ret_size is its size, 0 when more bytes are needed. INVALID_ARGUMENT: malformed. */
struct error *link_frame_read(struct str in, struct link_frame *ret, size_t *ret_size) MUST_USE;

/* Appends a frame; msg NULL: without body. RESOURCE_EXHAUSTED and nothing appended when msg is too large. */
struct error *link_frame_put(struct buf *out, uint32_t id, uint16_t code, const ProtobufCMessage *msg) MUST_USE;

/* Appends the frame of an error. */
void link_frame_put_error(struct buf *out, uint32_t id, const struct error *err);

/* Appends the frame of an answer, or of an error when the answer is too large. */
void link_frame_put_answer(struct buf *out, uint32_t id, const ProtobufCMessage *answer);

#endif
