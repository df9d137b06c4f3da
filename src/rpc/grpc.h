/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC layer above HTTP/2, independent of a connection: length-prefixed messages, status text, timeouts. Shared by
 * server and client. (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)
 */
#ifndef RPC_GRPC_H
#define RPC_GRPC_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

enum {
        GRPC_PREFIX = 5,          /* compression flag, u32 length */
        GRPC_TIMEOUT_DIGITS = 8,  /* "at most 8 digits" */
        GRPC_TIMEOUT_TEXT_MAX = 16,
};

/* Reassembles messages from DATA frames, which may split them anywhere. */
struct grpc_inbox {
        size_t max; /* bytes of one message */
        uint8_t prefix[GRPC_PREFIX];
        unsigned prefix_len;
        size_t message_len; /* announced, once the prefix is whole */
        struct buf held;    /* the received part of a message; grows with the received bytes, not the announced length */
};

void grpc_inbox_init(struct grpc_inbox *in, size_t max);
void grpc_inbox_release(struct grpc_inbox *in);

/*
 * Consumes bytes from the front of *bytes until a message is complete or none are left. If *ret_is_whole, *ret is the
 * message, borrowed from the inbox or from what *bytes pointed to, until the next call. UNIMPLEMENTED for a compressed
 * message, RESOURCE_EXHAUSTED for one that is announced larger than max.
 */
struct error *grpc_inbox_feed(struct grpc_inbox *in, struct str *bytes, bool *ret_is_whole, struct str *ret) MUST_USE;

/* Whether a message has begun and is not complete. */
bool grpc_inbox_is_midway(const struct grpc_inbox *in);

/* Appends prefix and message, or nothing when that would exceed the maximum of out. */
/* The same for a message that is encoded already. */
void grpc_put_bytes(struct buf *out, struct str message);
void grpc_put_message(struct buf *out, const ProtobufCMessage *msg);

/* Percent encoding of the grpc-message header; decoding keeps malformed escapes, as the specification requires. */
void grpc_put_percent_encoded(struct buf *out, struct str text);
void grpc_put_percent_decoded(struct buf *out, struct str text);

/* The grpc-timeout header: digits and a unit. INVALID_ARGUMENT when it is neither. */
struct error *grpc_timeout_parse(struct str text, struct duration *ret) MUST_USE;
void grpc_timeout_put(struct buf *out, struct duration d);

/* Whether a content-type is that of gRPC with protobuf. */
bool grpc_is_content_type(struct str value);

/* The code for an answer that is HTTP but not gRPC (http-grpc-status-mapping.md of the grpc project). */
enum error_code grpc_code_of_http(int64_t status);

/* The code for a stream that ended by RST_STREAM with an HTTP/2 error code. */
enum error_code grpc_code_of_reset(uint32_t h2_error);

#endif
