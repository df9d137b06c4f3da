/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: the stream delivers the same bytes whether the frames of a peer arrive in one piece or in small ones, and it ends
 * once the peer has ended the connection. The first byte decides the role and the size of the pieces.
 */
#include "net/websocket.h"

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

static void on_answer(void *ctx, struct str bytes)
{
        (void)ctx;
        (void)bytes;
}

static void on_answer_end(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static const struct stream_events peer_events = { .on_read = on_answer, .on_end = on_answer_end };

static void run(struct run *r, struct str bytes, size_t reads, enum websocket_role role)
{
        struct stream *peer, *lower;
        struct loop loop;

        *r = (struct run){ .payload = BUF_MAX(16 * MiB) };
        error_free(loop_init(&loop, NULL));
        memory_stream_pair(&loop, &peer, &lower);
        memory_stream_limit_reads(lower, reads);
        stream_listen(peer, &peer_events, NULL);
        stream_read(peer, true);
        struct stream *ws = websocket_stream(&loop, lower, role);
        stream_listen(ws, &events, r);
        stream_read(ws, true);
        stream_write(peer, bytes);
        stream_shutdown(peer);
        for (size_t turn = 0; !r->has_ended; turn++) {
                if (turn > 100000)
                        bug("a WebSocket does not end with its connection");
                uv_run(&loop.uv, UV_RUN_NOWAIT);
        }
        stream_close(ws);
        stream_close(peer);
        for (int i = 0; i < 10; i++)
                uv_run(&loop.uv, UV_RUN_NOWAIT);
        loop_release(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct run whole, pieces;

        if (size == 0 || size > 4 * KiB)
                return 0;
        enum websocket_role role = data[0] & 1 ? WEBSOCKET_CLIENT : WEBSOCKET_SERVER;
        run(&whole, str_of_bytes(data + 1, size - 1), LOOP_BUFFER, role);
        run(&pieces, str_of_bytes(data + 1, size - 1), data[0] / 2 % 32 + 1u, role);
        if (!str_equal(buf_str(&whole.payload), buf_str(&pieces.payload)) || whole.is_failed != pieces.is_failed)
                bug("what a WebSocket delivers depends on how it arrives");
        if (whole.payload.len > size)
                bug("a WebSocket delivers more than it got");
        buf_release(&whole.payload);
        buf_release(&pieces.payload);
        return 0;
}
