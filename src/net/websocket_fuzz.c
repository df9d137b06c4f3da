/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: the stream delivers the same bytes whether the frames of a peer arrive in one piece or in small ones, and it ends
 * once the peer has ended the connection. The first byte decides the role and the size of the pieces.
 */
#include "net/websocket.h"

#include "net/stream_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stream *as_client(struct loop *l, struct stream *lower)
{
        return websocket_stream(l, lower, WEBSOCKET_CLIENT);
}

static struct stream *as_server(struct loop *l, struct stream *lower)
{
        return websocket_stream(l, lower, WEBSOCKET_SERVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_run whole, pieces;

        if (size == 0 || size > 4 * KiB)
                return 0;
        fuzz_wrap *wrap = data[0] & 1 ? as_client : as_server;
        fuzz_run(&whole, str_of_bytes(data + 1, size - 1), LOOP_BUFFER, wrap, NULL);
        fuzz_run(&pieces, str_of_bytes(data + 1, size - 1), data[0] / 2 % 32 + 1u, wrap, NULL);
        if (!str_equal(buf_str(&whole.payload), buf_str(&pieces.payload)) || whole.is_failed != pieces.is_failed)
                bug("what a WebSocket delivers depends on how it arrives");
        if (whole.payload.len > size)
                bug("a WebSocket delivers more than it got");
        buf_release(&whole.payload);
        buf_release(&pieces.payload);
        return 0;
}
