/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server connection that receives a valid preface and SETTINGS and then arbitrary bytes. The first byte
 * of the input selects the kind of peer and the size of the pieces in which the rest arrives.
 *
 * Properties: every call that a handler received is finished by it or reported gone, once; the
 * connection ends once; and the output of the server stays in proportion to its input.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "join.pb-c.h"
#include "loop/loop.h"
#include "rpc/rpc.h"
#include "wire_test.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWER_BASE = 8 * KiB, ANSWER_PER_BYTE = 64 };

#define insist(condition)                                                                          \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        abort();                                                                   \
        } while (0)

/* A stream that counts the bytes written and accepts all of them. */
struct sink {
        struct stream stream;
        size_t *written;
};

static void sink_read(struct stream *s UNUSED, bool wanted UNUSED)
{
}

static void sink_write(struct stream *s, struct str bytes)
{
        *((struct sink *)s)->written += bytes.len;
}

static void sink_shutdown(struct stream *s UNUSED)
{
}

static void sink_close(struct stream *s)
{
        free(s);
}

static size_t sink_pending(const struct stream *s UNUSED)
{
        return 0;
}

static const struct stream_ops sink_ops = { sink_read, sink_write, sink_shutdown, sink_close, sink_pending };

struct counts {
        size_t opened, finished, gone, closed;
};

/* The state of a call: one per handler, so that a second end of the same call is detected. */
struct handled {
        struct counts *counts;
        struct rpc_call *call;
        bool is_over;
};

static void end(struct handled *handled)
{
        insist(!handled->is_over);
        handled->is_over = true;
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct handled *handled = ctx;

        insist(!handled->is_over);
        rpc_call_send(handled->call, msg);
}

static void on_half_close(void *ctx)
{
        struct handled *handled = ctx;

        end(handled);
        handled->counts->finished++;
        rpc_call_finish(handled->call, NULL);
}

static void on_gone(void *ctx)
{
        struct handled *handled = ctx;

        end(handled);
        handled->counts->gone++;
}

static const struct rpc_call_events events = { on_message, on_half_close, on_gone };

static void open_call(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct counts *counts = rpc_call_caller(call);
        struct handled *handled = arena_alloc(rpc_call_arena(call), sizeof *handled);

        *handled = (struct handled){ .counts = counts, .call = call };
        counts->opened++;
        rpc_call_listen(call, &events, handled);
        if (first == NULL)
                return;
        end(handled);
        counts->finished++;
        rpc_call_reply(call, first);
}

static const struct rpc_method unary = {
        .path = "/t/U",
        .request = &cteleport__test__everything__descriptor,
        .request_max = 1 * KiB,
        .open = open_call,
};
static const struct rpc_method join = {
        .path = "/t/J",
        .request = &teleport__join__v1__join_request__descriptor,
        .request_max = 1 * KiB,
        .is_client_stream = true,
        .open = open_call,
};
static const struct rpc_method *const methods[] = { &unary, &join, NULL };

static void on_closed(void *caller)
{
        struct counts *counts = caller;

        counts->closed++;
}

static void turn(struct loop *l)
{
        for (int i = 0; i < 3; i++)
                uv_run(&l->uv, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        static struct loop loop;
        struct counts counts = { 0 };
        size_t written = 0;

        if (size < 1)
                return 0;
        if (loop.clock == NULL && loop_init(&loop, NULL) != NULL)
                abort();
        struct sink *sink = NEW(struct sink);
        *sink = (struct sink){ .stream.ops = &sink_ops, .written = &written };
        struct stream *s = &sink->stream;
        bool is_unauthenticated = (data[0] & 1) != 0;
        size_t piece = data[0] >> 1 == 0 ? size : (size_t)(data[0] >> 1);
        struct rpc_server_conn *conn = rpc_serve(&loop, s,
                                                 (struct rpc_server_options){
                                                         .methods = methods,
                                                         .caller = &counts,
                                                         .on_closed = on_closed,
                                                         .peer = "peer",
                                                         .is_open_to_unauthenticated = is_unauthenticated,
                                                 });
        s->events->on_read(s->ctx, str_of_bytes(preface, sizeof preface - 1));
        for (size_t at = 1; at < size && counts.closed == 0; at += piece) {
                size_t len = size - at < piece ? size - at : piece;

                s->events->on_read(s->ctx, str_of_bytes(data + at, len));
                turn(&loop);
        }
        if (counts.closed == 0)
                rpc_server_close(conn);
        turn(&loop);
        insist(counts.closed == 1);
        insist(counts.opened == counts.finished + counts.gone);
        insist(written <= ANSWER_BASE + ANSWER_PER_BYTE * size);
        return 0;
}
