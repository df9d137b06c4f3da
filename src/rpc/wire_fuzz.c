/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte selects a message type, the rest is decoded. An accepted message must encode, decode again
 * and encode to the same bytes, have no unknown field, and stay within its arena.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/limits.h"
#include "join.pb-c.h"
#include "rpc/wire.h"
#include "wire_test.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_CAP = 256 * KiB };

static const ProtobufCMessageDescriptor *const types[] = {
        &cteleport__test__everything__descriptor,
        &teleport__join__v1__join_request__descriptor,
        &teleport__join__v1__join_response__descriptor,
};

#define insist(condition)                                                                          \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        abort();                                                                   \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        const ProtobufCMessageDescriptor *type = types[data[0] % ARRAY_LEN(types)];
        AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
        ProtobufCMessage *first = NULL, *second = NULL;
        AUTO_PTR(error) err = wire_decode(arena, type, str_of_bytes(data + 1, size - 1), &first);

        insist(arena_used(arena) <= ARENA_CAP);
        if (err != NULL) {
                insist(err->code == ERROR_INVALID_ARGUMENT || err->code == ERROR_RESOURCE_EXHAUSTED);
                return 0;
        }
        insist(first->n_unknown_fields == 0);
        AUTO(buf) once = BUF_MAX(16 * MiB);
        AUTO(buf) twice = BUF_MAX(16 * MiB);
        AUTO_PTR(arena) another = arena_new(4 * ARENA_CAP);
        wire_encode(&once, first);
        AUTO_PTR(error) again = wire_decode(another, type, buf_str(&once), &second);
        insist(again == NULL);
        wire_encode(&twice, second);
        insist(str_equal(buf_str(&once), buf_str(&twice)));
        return 0;
}
