/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of streams: an owner that records the received events and checks the rules of net/stream.h.
 */
#ifndef NET_NET_TESTING_H
#define NET_NET_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "net/stream.h"
#include "net/tls.h"

struct ear {
        struct stream *stream;
        struct buf received;
        int drains, ends;
        struct error *err;     /* of on_end */
        bool close_on_read;    /* close the stream inside the callback */
        bool close_on_end;
        bool pause_on_read;
        bool in_call;          /* set by a test around calls that must not call back */
};

static inline void ear_on_read(void *ctx, struct str bytes)
{
        struct ear *e = ctx;

        assert_false(e->in_call);
        assert_non_null(e->stream);
        assert_true(bytes.len > 0 && bytes.len <= LOOP_BUFFER);
        assert_null(e->err);
        buf_put(&e->received, bytes);
        if (e->pause_on_read)
                stream_read(e->stream, false);
        if (e->close_on_read) {
                stream_close(e->stream);
                e->stream = NULL;
        }
}

static inline void ear_on_drain(void *ctx)
{
        struct ear *e = ctx;

        assert_false(e->in_call);
        assert_non_null(e->stream);
        assert_int_equal(stream_pending(e->stream), 0);
        e->drains++;
}

static inline void ear_on_end(void *ctx, struct error *err)
{
        struct ear *e = ctx;

        assert_false(e->in_call);
        assert_non_null(e->stream);
        assert_int_equal(e->ends, 0);
        e->ends++;
        e->err = err;
        if (e->close_on_end) {
                stream_close(e->stream);
                e->stream = NULL;
        }
}

static const struct stream_events ear_events = { ear_on_read, ear_on_drain, ear_on_end };

static inline void ear_listen(struct ear *e, struct stream *s)
{
        e->stream = s;
        e->received.max = 64 * MiB;
        stream_listen(s, &ear_events, e);
}

static inline void ear_release(struct ear *e)
{
        stream_close(e->stream);
        error_free(e->err);
        buf_release(&e->received);
        *e = (struct ear){ 0 };
}

/* Turns the loop until cond holds; fails the test if it has not after a thousand turns with events or one minute. */
#define RUN_UNTIL(l, cond)                                                                                            \
        do {                                                                                                          \
                struct instant begun_ = clock_now(clock_system());                                                    \
                while (!(cond)) {                                                                                     \
                        uv_run(&(l)->uv, UV_RUN_NOWAIT);                                                              \
                        assert_true(instant_since(clock_now(clock_system()), begun_).ns < MINUTES(1).ns);             \
                }                                                                                                     \
        } while (0)

/* Runs the loop until pending events are handled. */
static inline void run_a_while(struct loop *l)
{
        for (int i = 0; i < 50; i++)
                uv_run(&l->uv, UV_RUN_NOWAIT);
}

/* Two streams joined by a socketpair. */
static inline void connected_pair(struct loop *l, struct stream **ret_a, struct stream **ret_b)
{
        int a, b;

        assert_null(socket_pair(&a, &b));
        *ret_a = socket_stream(l, a);
        *ret_b = socket_stream(l, b);
}

static inline void assert_received(const struct ear *e, const char *expected)
{
        assert_int_equal(e->received.len, strlen(expected));
        assert_memory_equal(e->received.ptr, expected, e->received.len);
}

#endif
