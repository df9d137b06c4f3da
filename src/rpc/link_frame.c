/* SPDX-License-Identifier: Apache-2.0 */
#include "base/reader.h"
#include "rpc/link_internal.h"
#include "rpc/status.h"
#include "rpc/wire.h"

struct error *link_frame_read(struct str in, struct link_frame *ret, size_t *ret_size)
{
        struct reader r = reader_over(in);

        *ret_size = 0;
        if (in.len < LINK_PREFIX)
                return NULL;
        uint32_t len = reader_u32(&r);
        if (len < LINK_HEADER - LINK_PREFIX || len > LINK_FRAME_MAX - LINK_PREFIX)
                return error_new(ERROR_INVALID_ARGUMENT, "a frame of %u bytes is outside the limits of a link", len);
        if (in.len - LINK_PREFIX < len)
                return NULL;
        ret->id = reader_u32(&r);
        ret->code = reader_u16(&r);
        ret->body = reader_take(&r, len - (LINK_HEADER - LINK_PREFIX));
        *ret_size = LINK_PREFIX + len;
        return NULL;
}

static void put_header(struct buf *out, uint32_t id, uint16_t code, size_t body_len)
{
        buf_put_u32(out, (uint32_t)(LINK_HEADER - LINK_PREFIX + body_len));
        buf_put_u32(out, id);
        buf_put_u16(out, code);
}

struct error *link_frame_put(struct buf *out, uint32_t id, uint16_t code, const ProtobufCMessage *msg)
{
        size_t len = msg == NULL ? 0 : protobuf_c_message_get_packed_size(msg);

        if (len > LINK_MESSAGE_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "a message of %zu bytes is more than a link carries", len);
        put_header(out, id, code, len);
        if (msg != NULL)
                wire_encode(out, msg);
        return NULL;
}

void link_frame_put_error(struct buf *out, uint32_t id, const struct error *err)
{
        AUTO(buf) text = BUF_MAX(STATUS_TEXT_MAX);

        status_put_text(&text, err);
        put_header(out, id, (uint16_t)err->code, text.len);
        buf_put(out, buf_str(&text));
}

void link_frame_put_answer(struct buf *out, uint32_t id, const ProtobufCMessage *answer)
{
        AUTO_PTR(error) too_large = link_frame_put(out, id, 0, answer);

        if (too_large != NULL)
                link_frame_put_error(out, id, too_large);
}
