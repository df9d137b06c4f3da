/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding and encoding of protobuf messages, which may come from unauthenticated peers.
 *
 * protobuf-c recurses without a limit, does not check UTF-8, truncates strings at NULs, keeps unknown fields, merges
 * duplicate sub-messages and accepts any integer as a bool. So the bytes are checked on the wire level first, and
 * protobuf-c gets only messages that passed.
 */
#ifndef RPC_WIRE_H
#define RPC_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/*
 * Decodes untrusted bytes with memory from the arena; the message is valid as long as the arena.
 *
 * Refused with INVALID_ARGUMENT, with the names of message and field: truncated or overlong items, groups, wire types
 * that do not fit the field, nesting beyond LIMIT_RPC_DEPTH, more than LIMIT_RPC_FIELDS fields, a duplicate singular
 * field, two members of one oneof, text that is not UTF-8 or contains a NUL, integers outside their type, bools that
 * are neither 0 nor 1, enum values without a name. Fields that the type does not have are dropped. RESOURCE_EXHAUSTED
 * when the arena is full. (https://protobuf.dev/programming-guides/encoding/)
 */
struct error *wire_decode(struct arena *a, const ProtobufCMessageDescriptor *type, struct str bytes,
                          ProtobufCMessage **ret) MUST_USE;

/* Appends the encoded message; a message that exceeds the maximum size of out is dropped as a whole. */
void wire_encode(struct buf *out, const ProtobufCMessage *msg);

/* A deep copy of a message in the arena. */
struct error *wire_copy(struct arena *a, const ProtobufCMessage *msg, ProtobufCMessage **ret) MUST_USE;

/*
 * The number of the message's field, if it has exactly one and this is a string, bytes or a message; otherwise 0. For a
 * message that consists of a oneof: a proxy finds the member that is set without decoding the message.
 */
unsigned wire_only_field(struct str bytes);

#endif
