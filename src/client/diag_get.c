/* SPDX-License-Identifier: Apache-2.0 */
#include "client/diag_get.h"

#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/http1.h"
#include "net/socket.h"

struct get {
        struct loop loop;
        const char *path;
        struct stream *stream; /* NULL: not connected */
        struct buf answer;
        struct timer *deadline;
        struct error *err;
        bool is_done;
};

static void finish(struct get *g, struct error *err)
{
        g->err = error_also(g->err, err);
        g->is_done = true;
        timer_stop(g->deadline);
        stream_close(g->stream);
        g->stream = NULL;
}

static void on_read(void *ctx, struct str bytes)
{
        struct get *g = ctx;

        buf_put(&g->answer, bytes);
        if (g->answer.overflowed)
                finish(g, error_new(ERROR_RESOURCE_EXHAUSTED, "the answer is too long"));
}

static void on_end(void *ctx, struct error *err)
{
        finish(ctx, err);
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void on_connected(void *ctx, int fd, struct error *err)
{
        struct get *g = ctx;
        AUTO(buf) request = BUF_MAX(1 * KiB);

        if (err != NULL) {
                finish(g, err);
                return;
        }
        buf_printf(&request, "GET %s HTTP/1.1\r\nHost: diag\r\nConnection: close\r\n\r\n", g->path);
        g->stream = socket_stream(&g->loop, fd);
        stream_listen(g->stream, &events, g);
        stream_read(g->stream, true);
        stream_write(g->stream, buf_str(&request));
}

static void on_deadline(void *ctx)
{
        finish(ctx, error_new(ERROR_DEADLINE_EXCEEDED, "the answer is not complete in time"));
}

static struct error *take_body(const struct get *g, struct buf *out)
{
        struct str reason;
        size_t head = 0;
        int status = 0;

        TRY(http1_response_parse(buf_str(&g->answer), &status, &reason, &head));
        if (head == 0)
                return error_new(ERROR_UNAVAILABLE, "the answer is cut");
        if (status != 200)
                return error_new(ERROR_UNAVAILABLE, "the answer has status %d", status);
        struct str length = http1_response_field(str_slice(buf_str(&g->answer), 0, head), "content-length");
        struct str body = str_slice(buf_str(&g->answer), head, g->answer.len);
        AUTO_MEM char *actual = mem_printf("%zu", body.len);
        if (!str_equal(length, str_of(actual)))
                return error_new(ERROR_UNAVAILABLE, "the answer is cut");
        buf_put(out, body);
        return NULL;
}

struct error *diag_get(const char *address, const char *path, struct buf *out)
{
        struct get g = { .path = path, .answer = BUF_MAX(out->max + LIMIT_HTTP1_HEADER) };

        TRY(loop_init(&g.loop, NULL));
        g.deadline = timer_new(&g.loop, on_deadline, &g);
        struct dial *dial = dial_start(&g.loop, str_of(address), MILLISECONDS(TIMEOUT_CONNECT), on_connected, &g);
        (void)dial; /* it ends by itself */
        timer_start(g.deadline, MILLISECONDS(2 * TIMEOUT_CONNECT));
        while (!g.is_done)
                uv_run(&g.loop.uv, UV_RUN_ONCE);
        struct error *err = g.err == NULL ? take_body(&g, out) : g.err;
        timer_free(g.deadline);
        loop_release(&g.loop);
        buf_release(&g.answer);
        return err == NULL ? NULL : error_hint(error_wrap(err, "%s", address), "give the teleport.diag_addr of a host that runs: tctl top HOST:PORT");
}
