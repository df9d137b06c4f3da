/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets fields of protobuf messages that are only read. protobuf-c declares text as char * and bytes as uint8_t *,
 * without const, but does not write to a message that it packs. Only these functions remove const for that. Nothing is
 * copied: text and bytes must be valid as long as the message.
 */
#ifndef RPC_PB_H
#define RPC_PB_H

#include <protobuf-c/protobuf-c.h>

#include "base/str.h"

static inline char *pb_text(const char *text)
{
        return (char *)(uintptr_t)text;
}

static inline char **pb_texts(const char *const *texts)
{
        return (char **)(uintptr_t)texts;
}

static inline ProtobufCBinaryData pb_bytes(struct str bytes)
{
        return (ProtobufCBinaryData){ .len = bytes.len, .data = (uint8_t *)(uintptr_t)bytes.ptr };
}

static inline struct str pb_str(ProtobufCBinaryData bytes)
{
        return str_of_bytes(bytes.data, bytes.len);
}

#endif
