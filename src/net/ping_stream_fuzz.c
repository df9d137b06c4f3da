/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: the stream delivers the same bytes, and ends alike, whether frames arrive in one piece or in small ones; it delivers
 * no more than it got; and what one end sends the other delivers. The first byte decides the size of the pieces.
 */
#include "net/ping_stream.h"

#include "base/buf.h"
#include "base/bug.h"
#include "loop/loop.h"
#include "net/memory_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
        struct buf payload;
        bool has_ended, is_failed;
};

static void on_read(void *ctx, struct str bytes)
{
        struct run *r = ctx;
        buf_put(&r->payload, bytes);
}

static void on_end(void *ctx, struct error *err)
{
        struct run *r = ctx;
        r->has_ended = true;
        r->is_failed = err != NULL;
        error_free(err);
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

/* Sends the bytes as they are, or framed by another such stream. */
static void run(struct run *r, struct str bytes, size_t reads, bool is_framed)
{
        struct stream *peer, *lower;
        struct loop loop;

        *r = (struct run){ .payload = BUF_MAX(1 * MiB) };
        error_free(loop_init(&loop, NULL));
        memory_stream_pair(&loop, &peer, &lower);
        memory_stream_limit_reads(lower, reads);
        if (is_framed)
                peer = ping_stream(&loop, peer);
        struct stream *s = ping_stream(&loop, lower);
        stream_listen(s, &events, r);
        stream_read(s, true);
        stream_write(peer, bytes);
        stream_shutdown(peer);
        for (size_t turn = 0; !r->has_ended; turn++) {
                if (turn > 100000)
                        bug("a stream of frames does not end with its connection");
                uv_run(&loop.uv, UV_RUN_NOWAIT);
        }
        stream_close(s);
        stream_close(peer);
        for (int i = 0; i < 10; i++)
                uv_run(&loop.uv, UV_RUN_NOWAIT);
        loop_release(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct run whole, pieces, framed;

        if (size == 0 || size > 4 * KiB)
                return 0;
        struct str bytes = str_of_bytes(data + 1, size - 1);
        run(&whole, bytes, LOOP_BUFFER, false);
        run(&pieces, bytes, data[0] % 32 + 1u, false);
        run(&framed, bytes, data[0] % 32 + 1u, true);
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
