/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers for tests that write and read HTTP/2 frames by hand, to send frames that no library would send. Header blocks
 * are literals without Huffman (RFC 7541 section 6.2.2), frames as in RFC 9113 section 4.1.
 */
#ifndef RPC_FRAMES_TESTING_H
#define RPC_FRAMES_TESTING_H

#include <nghttp2/nghttp2.h>

#include "base/text.h"
#include "rpc/rpc_testing.h"

enum {
        FRAME_DATA = 0,
        FRAME_HEADERS = 1,
        FRAME_RST_STREAM = 3,
        FRAME_SETTINGS = 4,
        FRAME_PING = 6,
        FRAME_GOAWAY = 7,
        FRAME_WINDOW_UPDATE = 8,
        FRAME_CONTINUATION = 9,
        FLAG_END_STREAM = 1,
        FLAG_ACK = 1,
        FLAG_END_HEADERS = 4,
        FRAME_HEADER = 9,
        FRAME_MAX = 16 * KiB,
        ENHANCE_YOUR_CALM = 11,
};

/* ---- writing ------------------------------------------------------------------------------------------- */

static inline void put_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream, struct str payload)
{
        buf_put_u8(out, (uint8_t)(payload.len >> 16));
        buf_put_u16(out, (uint16_t)payload.len);
        buf_put_u8(out, type);
        buf_put_u8(out, flags);
        buf_put_u32(out, stream);
        buf_put(out, payload);
}

/* An integer with a prefix of seven bits (RFC 7541 section 5.1). */
static inline void put_length(struct buf *out, size_t len)
{
        if (len < 127) {
                buf_put_u8(out, (uint8_t)len);
                return;
        }
        buf_put_u8(out, 127);
        for (len -= 127; len >= 128; len /= 128)
                buf_put_u8(out, (uint8_t)(len % 128 + 128));
        buf_put_u8(out, (uint8_t)len);
}

static inline void put_header(struct buf *block, const char *name, const char *value)
{
        buf_put_u8(block, 0);
        put_length(block, strlen(name));
        buf_put_c(block, name);
        put_length(block, strlen(value));
        buf_put_c(block, value);
}

/* A gRPC message with one text field. */
static inline void put_message(struct buf *out, const char *text)
{
        Everything msg = everything_of(text);
        size_t len = protobuf_c_message_get_packed_size(&msg.base);

        buf_put_u8(out, 0);
        buf_put_u32(out, (uint32_t)len);
        protobuf_c_message_pack(&msg.base, buf_extend(out, len));
}

/* ---- reading ------------------------------------------------------------------------------------------- */

struct frame {
        uint8_t type, flags;
        uint32_t stream;
        struct str payload;
};

static inline bool next_frame(struct str *rest, struct frame *ret)
{
        const uint8_t *p = str_bytes(*rest);

        if (rest->len < FRAME_HEADER)
                return false;
        size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        if (rest->len < FRAME_HEADER + len)
                return false;
        *ret = (struct frame){ .type = p[3], .flags = p[4], .payload = str_slice(*rest, FRAME_HEADER, len) };
        ret->stream = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
        *rest = str_slice(*rest, FRAME_HEADER + len, rest->len);
        return true;
}

/* The grpc-status in a header block; the server uses no dynamic table, so each block is independent. */
static inline void find_status(struct str block, int *ret_status)
{
        nghttp2_hd_inflater *inflater = NULL;
        int flags = 0;

        assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
        while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
                nghttp2_nv header;
                ssize_t used = nghttp2_hd_inflate_hd2(inflater, &header, &flags, str_bytes(block), block.len, 1);
                int64_t number = 0;

                assert_true(used >= 0);
                block = str_slice(block, (size_t)used, block.len);
                if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 ||
                    !str_equal(str_of_bytes(header.name, header.namelen), STR("grpc-status")))
                        continue;
                assert_null(parse_int(str_of_bytes(header.value, header.valuelen), 0, 16, "status", &number));
                *ret_status = (int)number;
        }
        nghttp2_hd_inflate_del(inflater);
}

#endif
