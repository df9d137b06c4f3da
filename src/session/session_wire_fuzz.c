/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte selects the direction; the rest is a stream of frames. An accepted frame must be consumed whole, be within
 * the limits, and be unchanged after it is written and read again.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "rpc/wire.h"
#include "session/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool holds, const char *what)
{
        if (!holds)
                bug("a frame %s", what);
}

static void check_round_trip(const ProtobufCMessageDescriptor *type, const ProtobufCMessage *msg)
{
        AUTO_PTR(arena) arena = arena_new(SESSION_ARENA);
        AUTO(buf) once = BUF_MAX(SESSION_FRAME_MAX);
        AUTO(buf) twice = BUF_MAX(SESSION_FRAME_MAX);
        ProtobufCMessage *again = NULL;
        size_t len = 0;

        if (protobuf_c_message_get_packed_size(msg) == 0) /* unknown fields only */
                return;
        session_frame_put(&once, msg);
        insist(session_frame_read(buf_str(&once), type, arena, &again, &len) == NULL, "is refused after it was written");
        insist(len == once.len, "is longer than what was written");
        session_frame_put(&twice, again);
        insist(str_equal(buf_str(&once), buf_str(&twice)), "changes when it is written");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        const ProtobufCMessageDescriptor *type = data[0] % 2 == 0 ? &cteleport__session__v1__helper_up__descriptor
                                                                  : &cteleport__session__v1__helper_down__descriptor;
        struct str rest = str_of_bytes(data + 1, size - 1);

        for (;;) {
                AUTO_PTR(arena) arena = arena_new(SESSION_ARENA);
                ProtobufCMessage *msg = NULL;
                size_t len = 0;
                AUTO_PTR(error) err = session_frame_read(rest, type, arena, &msg, &len);

                if (err != NULL || len == 0)
                        return 0;
                insist(len <= rest.len && len <= SESSION_FRAME_MAX && msg != NULL, "passes what came");
                check_round_trip(type, msg);
                rest = str_slice(rest, len, rest.len);
        }
}
