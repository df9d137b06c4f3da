/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For fuzz targets of streams with frames over another stream: what one delivers of the bytes that its peer sends.
 */
#ifndef NET_STREAM_FUZZ_H
#define NET_STREAM_FUZZ_H

#include "base/buf.h"
#include "base/bug.h"
#include "loop/loop.h"
#include "net/memory_stream.h"

enum { FUZZ_TURNS_MAX = 100000, FUZZ_TURNS_OF_CLOSE = 10 };

struct fuzz_run {
        struct buf payload; /* what the stream delivered; the caller releases it */
        bool has_ended, is_failed;
};

static inline void fuzz_run_on_read(void *ctx, struct str bytes)
{
        struct fuzz_run *r = ctx;
        buf_put(&r->payload, bytes);
}

static inline void fuzz_run_on_end(void *ctx, struct error *err)
{
        struct fuzz_run *r = ctx;
        r->has_ended = true;
        r->is_failed = err != NULL;
        error_free(err);
}

static inline void fuzz_run_on_answer(void *ctx, struct str bytes)
{
        (void)ctx;
        (void)bytes;
}

static inline void fuzz_run_on_answer_end(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static const struct stream_events fuzz_run_events = { .on_read = fuzz_run_on_read, .on_end = fuzz_run_on_end };
static const struct stream_events fuzz_run_peer_events = { .on_read = fuzz_run_on_answer, .on_end = fuzz_run_on_answer_end };

/* Makes a stream over another, which it owns. */
typedef struct stream *fuzz_wrap(struct loop *l, struct stream *lower);

/*
 * Sends the bytes and the end of the connection to the stream that `wrap` makes, which gets at most `reads` bytes at once;
 * wrap_peer frames them, or NULL: they are sent as they are. Returns when the stream has ended; its answers are discarded.
 */
static inline void fuzz_run(struct fuzz_run *r, struct str bytes, size_t reads, fuzz_wrap *wrap, fuzz_wrap *wrap_peer)
{
        struct stream *peer, *lower;
        struct loop loop;

        *r = (struct fuzz_run){ .payload = BUF_MAX(16 * MiB) };
        error_free(loop_init(&loop, NULL));
        memory_stream_pair(&loop, &peer, &lower);
        memory_stream_limit_reads(lower, reads);
        if (wrap_peer != NULL)
                peer = wrap_peer(&loop, peer);
        stream_listen(peer, &fuzz_run_peer_events, NULL);
        stream_read(peer, true);
        struct stream *s = wrap(&loop, lower);
        stream_listen(s, &fuzz_run_events, r);
        stream_read(s, true);
        stream_write(peer, bytes);
        stream_shutdown(peer);
        for (size_t turn = 0; !r->has_ended; turn++) {
                if (turn > FUZZ_TURNS_MAX)
                        bug("a stream does not end with its connection");
                uv_run(&loop.uv, UV_RUN_NOWAIT);
        }
        stream_close(s);
        stream_close(peer);
        for (int i = 0; i < FUZZ_TURNS_OF_CLOSE; i++)
                uv_run(&loop.uv, UV_RUN_NOWAIT);
        loop_release(&loop);
}

#endif
