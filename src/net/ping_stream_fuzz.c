/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: the stream delivers the same bytes, and ends alike, whether frames arrive in one piece or in small ones; it delivers
 * no more than it got; and what one end sends the other delivers. The first byte decides the size of the pieces.
 */
#include "net/ping_stream.h"

#include "net/stream_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_run whole, pieces, framed;

        if (size == 0 || size > 4 * KiB)
                return 0;
        struct str bytes = str_of_bytes(data + 1, size - 1);
        fuzz_run(&whole, bytes, LOOP_BUFFER, ping_stream, NULL);
        fuzz_run(&pieces, bytes, data[0] % 32 + 1u, ping_stream, NULL);
        fuzz_run(&framed, bytes, data[0] % 32 + 1u, ping_stream, ping_stream);
        if (!str_equal(buf_str(&whole.payload), buf_str(&pieces.payload)) || whole.is_failed != pieces.is_failed)
                bug("what a stream of frames delivers depends on how it arrives");
        if (whole.payload.len > bytes.len)
                bug("a stream of frames delivers more than it got");
        if (framed.is_failed || !str_equal(buf_str(&framed.payload), bytes))
                bug("a stream of frames delivers other bytes than were sent");
        buf_release(&whole.payload);
        buf_release(&pieces.payload);
        buf_release(&framed.payload);
        return 0;
}
