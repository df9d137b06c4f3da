/* SPDX-License-Identifier: Apache-2.0 */
#include "client/node_tunnel.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/http_proxy.h"
#include "net/tls.h"

enum { STATUS_OK = 200 };

struct node_tunnel {
        struct loop *loop;
        struct stream *stream;
        struct timer *deadline;
        struct buf input;
        size_t head; /* length of the answer's head, once it is whole */
        size_t body; /* length of what follows a refusal's head, as far as it is read */
        int status;
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
        bool is_cancelled; /* report_cancel() comes */
};

/* ---- refusals ------------------------------------------------------------------------------------------- */

static const struct {
        int status;
        enum error_code code;
        const char *otherwise; /* said when the body says nothing */
} refusals[] = {
        { 400, ERROR_INVALID_ARGUMENT, "the proxy does not understand the request" },
        { 401, ERROR_UNAUTHENTICATED, "the proxy does not accept the certificate" },
        { 403, ERROR_PERMISSION_DENIED, "access denied" },
        { 404, ERROR_NOT_FOUND, "there is no such node" },
        { 409, ERROR_FAILED_PRECONDITION, "ambiguous host could match multiple nodes" },
        { 429, ERROR_RESOURCE_EXHAUSTED, "the proxy has too much to do" },
        { 0, ERROR_UNAVAILABLE, "the node cannot be reached" },
};

struct error *node_refusal(int status, struct str body)
{
        const struct str mark = STR("hint: ");
        struct str rest = str_slice(body, 0, NODE_REFUSAL_MAX), hint = { 0 };
        struct str what = str_trim(str_split(&rest, '\n'));
        size_t row = 0;

        while (!str_is_empty(rest) && str_is_empty(hint)) {
                struct str line = str_trim(str_split(&rest, '\n'));

                if (str_starts_with(line, mark))
                        hint = str_slice(line, mark.len, line.len);
        }
        while (refusals[row].status != 0 && refusals[row].status != status)
                row++;
        AUTO_MEM char *shown = escaped(str_is_empty(what) ? str_of(refusals[row].otherwise) : what);
        AUTO_MEM char *shown_hint = escaped(hint);
        struct error *err = error_new(refusals[row].code, "%s", shown);
        return str_is_empty(hint) ? err : error_hint(err, "%s", shown_hint);
}

/* ---- the conversation ------------------------------------------------------------------------------------ */

static void finish(struct node_tunnel *t, struct stream *s, struct error *err)
{
        if (err != NULL && t->stream != NULL)
                stream_close(t->stream);
        timer_free(t->deadline);
        t->done(t->ctx, s, err);
        buf_release(&t->input);
        free(t);
}

static void refuse(struct node_tunnel *t)
{
        struct str all = buf_str(&t->input);

        finish(t, NULL, node_refusal(t->status, str_slice(all, t->head, all.len)));
}

/* Content-Length of the head (RFC 9112 section 6.2), no more than is read of a body. */
static size_t body_length(struct str head)
{
        const struct str name = STR("content-length:");
        int64_t length = NODE_REFUSAL_MAX;

        while (!str_is_empty(head)) {
                struct str line = str_split(&head, '\n');

                if (!str_equal_nocase(str_slice(line, 0, name.len), name))
                        continue;
                error_free(parse_int(str_trim(str_slice(line, name.len, line.len)), 0, NODE_REFUSAL_MAX, "length", &length));
        }
        return (size_t)length;
}

/* Whether the head is whole; what follows it is the body of a refusal, or the node's own bytes. */
static struct error *read_head(struct node_tunnel *t)
{
        struct str reason;

        if (t->head > 0)
                return NULL;
        TRY(buf_finish(&t->input, "the answer of the proxy"));
        struct error *err = http_proxy_answer_parse(buf_str(&t->input), &t->status, &reason, &t->head);
        if (err == NULL && t->head > 0)
                t->body = body_length(str_slice(buf_str(&t->input), 0, t->head));
        if (err == NULL)
                return NULL;
        err->code = ERROR_UNAVAILABLE;
        return error_wrap(err, "the proxy's answer makes no sense");
}

static void on_read(void *ctx, struct str bytes)
{
        struct node_tunnel *t = ctx;

        if (t->is_cancelled)
                return;
        buf_put(&t->input, bytes);
        struct error *err = read_head(t);
        if (err != NULL) {
                finish(t, NULL, err);
        } else if (t->head > 0 && t->status == STATUS_OK) {
                stream_read(t->stream, false);
                buf_consume(&t->input, t->head);
                struct stream *node = stream_with_prefix(t->loop, t->stream, buf_str(&t->input));
                t->stream = NULL;
                finish(t, node, NULL);
        } else if (t->head > 0 && t->input.len - t->head >= t->body) {
                refuse(t);
        }
}

/* The end of the connection is the end of a refusal's body. */
static void on_end(void *ctx, struct error *err)
{
        struct node_tunnel *t = ctx;

        if (t->is_cancelled) {
                error_free(err);
        } else if (t->head > 0) {
                error_free(err);
                refuse(t);
        } else if (err != NULL) {
                finish(t, NULL, err);
        } else {
                finish(t, NULL, error_new(ERROR_UNAVAILABLE, "the proxy ended the connection without an answer"));
        }
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void on_deadline(void *ctx)
{
        struct node_tunnel *t = ctx;

        if (t->head > 0)
                refuse(t);
        else
                finish(t, NULL, error_new(ERROR_DEADLINE_EXCEEDED, "the proxy did not answer in time"));
}

struct node_tunnel *node_tunnel_start(struct loop *l, struct stream *proxy, const char *target, const char *login,
                                      struct duration within,
                                      void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        AUTO(buf) request = BUF_MAX(4 * KiB);
        struct node_tunnel *t = NEW(struct node_tunnel);

        *t = (struct node_tunnel){ .loop = l, .stream = proxy, .done = done, .ctx = ctx };
        t->input = BUF_MAX(LIMIT_HTTP1_HEADER + NODE_REFUSAL_MAX + LOOP_BUFFER);
        t->deadline = timer_new(l, on_deadline, t);
        timer_start(t->deadline, within);
        stream_listen(proxy, &events, t);
        buf_printf(&request, "CONNECT %s:0 HTTP/1.1\r\nHost: %s:0\r\n", target, target);
        if (*login != '\0')
                buf_printf(&request, "X-Teleport-Login: %s\r\n", login);
        buf_put_c(&request, "\r\n");
        stream_write(proxy, buf_str(&request));
        stream_read(proxy, true);
        return t;
}

static void report_cancel(void *ctx)
{
        finish(ctx, NULL, error_new(ERROR_CANCELLED, "the connection to the node was given up"));
}

void node_tunnel_cancel(struct node_tunnel *t)
{
        if (t->is_cancelled)
                return;
        t->is_cancelled = true;
        timer_stop(t->deadline);
        stream_close(t->stream); /* no event comes any more */
        t->stream = NULL;
        loop_defer(t->loop, report_cancel, t);
}
