/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding and encoding of protobuf messages, which may come from unauthenticated peers.
 *
 * protobuf-c recurses as deep as the sender likes, does not look at UTF-8, cuts strings at NULs, keeps
 * fields it does not know, merges sub-messages that come twice and takes any integer for a bool. So a
 * scan of the wire format comes first, and protobuf-c gets only messages that passed it.
 */
#ifndef RPC_WIRE_H
#define RPC_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/*
 * Decodes foreign bytes with memory from the arena; the message lives as long as the arena.
 *
 * Refused with INVALID_ARGUMENT, naming the message and the field: truncated or overlong items, groups,
 * wire types that do not fit the field, nesting beyond LIMIT_RPC_DEPTH, more than LIMIT_RPC_FIELDS
 * fields, a singular field that comes twice, two members of one oneof, text that is not UTF-8 or holds
 * a NUL, integers outside their type, bools that are neither 0 nor 1, enum values without a name.
 * Fields that the type does not have are dropped. RESOURCE_EXHAUSTED when the arena is full.
 * (https://protobuf.dev/programming-guides/encoding/)
 */
struct error *wire_decode(struct arena *a, const ProtobufCMessageDescriptor *type, struct str bytes,
                          ProtobufCMessage **ret) MUST_USE;

/* Appends the encoded message; a message that passes the ceiling of out is dropped as a whole. */
void wire_encode(struct buf *out, const ProtobufCMessage *msg);

/* A deep copy of a message in the arena. */
struct error *wire_copy(struct arena *a, const ProtobufCMessage *msg, ProtobufCMessage **ret) MUST_USE;

/*
 * The number of the one field that the message consists of, if that is a string, bytes or a message and takes up all of it; else 0.
 * For a message that is one oneof: tells a proxy which member is set without decoding the message.
 */
unsigned wire_only_field(struct str bytes);

#endif
