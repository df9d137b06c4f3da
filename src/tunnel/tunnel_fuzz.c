/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a tunnel receives a valid beginning of HTTP/2 and then arbitrary bytes. The first byte of the
 * input selects the end, and the pieces in which the rest arrives.
 *
 * Properties: a dial is done once, an incoming stream is answered or reported gone, a stream ends once and has
 * no events afterwards, the tunnel ends once; and the bytes sent stay in proportion to the bytes received.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "loop/loop.h"
#include "tunnel/tunnel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWER_BASE = 8 * KiB, ANSWER_PER_BYTE = 64, STREAMS_MAX = 256 };

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

/* A stream of the tunnel that echoes. */
struct echo {
        struct stream *stream;
        bool has_ended;
};

struct testbed {
        struct echo echoes[STREAMS_MAX];
        size_t echo_count;
        struct tunnel_incoming *waiting;
        size_t incoming_streams, answered, gone, done, ends;
};

static void on_read(void *ctx, struct str bytes)
{
        struct echo *e = ctx;

        insist(!e->has_ended && bytes.len > 0);
        stream_write(e->stream, bytes);
}

static void on_end(void *ctx, struct error *err)
{
        struct echo *e = ctx;

        insist(!e->has_ended);
        e->has_ended = true;
        if (err == NULL)
                stream_shutdown(e->stream);
        error_free(err);
}

static const struct stream_events echo_events = { .on_read = on_read, .on_end = on_end };

static void echo(struct testbed *w, struct stream *s)
{
        if (w->echo_count == STREAMS_MAX) {
                stream_close(s);
                return;
        }
        struct echo *e = &w->echoes[w->echo_count++];

        *e = (struct echo){ .stream = s };
        stream_listen(s, &echo_events, e);
        if (w->echo_count % 4 != 0) /* some streams never read */
                stream_read(s, true);
}

static void on_connect(void *ctx, struct tunnel_incoming *v, const struct tunnel_request *request)
{
        struct testbed *w = ctx;
        char first = request->connection_id.ptr[0];

        insist(request->connection_id.len > 0);
        w->incoming_streams++;
        if (first == 'w' && w->waiting == NULL) {
                w->waiting = v;
                return;
        }
        w->answered++;
        if (first == 'r')
                tunnel_refuse(v, error_new(ERROR_NOT_FOUND, "no"));
        else
                echo(w, tunnel_accept(v));
}

static void on_gone(void *ctx, struct tunnel_incoming *v)
{
        struct testbed *w = ctx;

        insist(v == w->waiting);
        w->waiting = NULL;
        w->gone++;
}

static void on_tunnel_end(void *ctx, struct error *err)
{
        struct testbed *w = ctx;

        insist(err != NULL);
        error_free(err);
        w->ends++;
}

static const struct tunnel_server_events agent_events = { on_connect, on_gone, on_tunnel_end, NULL };

static void on_dialled(void *ctx, struct stream *s, struct error *err)
{
        struct testbed *w = ctx;

        insist((s == NULL) != (err == NULL));
        w->done++;
        error_free(err);
        if (s == NULL)
                return;
        stream_write(s, STR("hello"));
        echo(w, s);
}

static void turn(struct loop *l)
{
        for (int i = 0; i < 3; i++)
                uv_run(&l->uv, UV_RUN_NOWAIT);
}

static void receive(struct loop *l, struct testbed *w, struct stream *s, const uint8_t *data, size_t size)
{
        size_t piece = data[0] >> 1 == 0 ? size : (size_t)(data[0] >> 1);

        turn(l);
        for (size_t at = 1; at < size && w->ends == 0; at += piece) {
                size_t len = size - at < piece ? size - at : piece;

                s->events->on_read(s->ctx, str_of_bytes(data + at, len));
                turn(l);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", settings[] = "\0\0\0\x04\0\0\0\0\0";
        static struct loop loop;
        struct tunnel_request request = { .host_id = STR("7c1e"), .service = STR("ssh"), .kind = STR("node"), .connection_id = STR("conn"), .client_addr = STR("192.0.2.7:4") };
        struct testbed w = { 0 };
        size_t written = 0, dials = 0;
        struct tunnel_server *agent = NULL;
        struct tunnel *proxy = NULL;

        if (size < 1)
                return 0;
        if (loop.clock == NULL && loop_init(&loop, NULL) != NULL)
                abort();
        struct sink *sink = NEW(struct sink);
        *sink = (struct sink){ .stream.ops = &sink_ops, .written = &written };
        struct stream *s = &sink->stream;
        if ((data[0] & 1) == 0) {
                agent = tunnel_server_new(&loop, s, &agent_events, &w);
                s->events->on_read(s->ctx, str_of_bytes(preface, sizeof preface - 1));
        } else {
                proxy = tunnel_new(&loop, s, on_tunnel_end, &w);
                for (dials = 0; dials < 3; dials++)
                        (void)!tunnel_connect(proxy, &request, on_dialled, &w);
                s->events->on_read(s->ctx, str_of_bytes(settings, sizeof settings - 1));
        }
        receive(&loop, &w, s, data, size);
        size_t gone_before = w.gone + (w.waiting != NULL); /* no event follows once the tunnel is closed */
        tunnel_server_close(agent);
        tunnel_close(proxy);
        turn(&loop);
        insist(w.incoming_streams == w.answered + gone_before);
        insist(w.done == dials);
        insist(w.ends <= 1);
        for (size_t i = 0; i < w.echo_count; i++)
                stream_close(w.echoes[i].stream);
        turn(&loop);
        insist(written <= ANSWER_BASE + ANSWER_PER_BYTE * size);
        return 0;
}
