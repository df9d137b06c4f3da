/* SPDX-License-Identifier: Apache-2.0 */
#include "session/wire.h"

#include "base/bug.h"
#include "base/reader.h"
#include "rpc/wire.h"

void session_frame_put(struct buf *out, const ProtobufCMessage *msg)
{
        size_t len = protobuf_c_message_get_packed_size(msg);

        if (len > SESSION_FRAME_MAX - SESSION_FRAME_PREFIX)
                bug("a frame of %zu bytes for a session", len);
        buf_put_u32(out, (uint32_t)len);
        wire_encode(out, msg);
}

struct error *session_frame_read(struct str in, const ProtobufCMessageDescriptor *type, struct arena *a,
                                 ProtobufCMessage **ret, size_t *ret_size)
{
        struct reader r = reader_over(in);

        *ret_size = 0;
        if (in.len < SESSION_FRAME_PREFIX)
                return NULL;
        uint32_t len = reader_u32(&r);
        if (len == 0 || len > SESSION_FRAME_MAX - SESSION_FRAME_PREFIX)
                return error_new(ERROR_INVALID_ARGUMENT, "a frame of %u bytes is longer than any message of a session", len);
        if (in.len - SESSION_FRAME_PREFIX < len)
                return NULL;
        TRY(wire_decode(a, type, reader_take(&r, len), ret));
        *ret_size = SESSION_FRAME_PREFIX + len;
        return NULL;
}
