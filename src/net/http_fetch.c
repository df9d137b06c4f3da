/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_fetch.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/http1.h"
#include "net/http_answer.h"

enum { REQUEST_MAX = 2 * KiB, SHOWN_MAX = 64, STATUS_OK = 200, CHUNK_LINE_MAX = 1 * KiB, CHUNK_DIGITS_MAX = 7 };

struct http_fetch {
        struct loop *loop;
        struct stream *stream;
        struct timer *deadline;
        struct buf input;
        size_t limit;
        struct error *(*refusal)(int status, struct str reason, struct str head, struct str body);
        void (*done)(void *ctx, struct str body, struct error *err);
        void *ctx;
        bool is_cancelled; /* report_cancel() is due */
};

/* ---- the answer -------------------------------------------------------------------------------------------- */

char *http_fetch_server(struct str head)
{
        struct str server = http1_response_field(head, "server");

        if (str_is_empty(server))
                return str_dup(STR("the server there"));
        AUTO_MEM char *shown = escaped(str_slice(server, 0, SHOWN_MAX));
        return mem_printf("the server there ('%s')", shown);
}

static struct error *refusal(int status, struct str reason, struct str head, struct str body)
{
        AUTO_MEM char *server = http_fetch_server(head);
        AUTO_MEM char *shown = escaped(str_slice(reason, 0, SHOWN_MAX));

        AUTO_MEM char *said = http_answer_reason(reason, body);
        struct error *err = said[0] == '\0' ? error_new(ERROR_UNAVAILABLE, "%s answered %d %s", server, status, shown)
                                            : error_new(ERROR_UNAVAILABLE, "%s answered %d %s, and says '%s'", server, status, shown, said);
        return http1_status_is_gateway(status) ? error_for(err, REASON_GATEWAY) : err;
}

static struct error *malformed(const char *why)
{
        return error_new(ERROR_UNAVAILABLE, "the answer is not valid HTTP: %s", why);
}

/* The line before CRLF; false while it is incomplete. */
static bool take_line(struct str *rest, struct str *ret)
{
        for (size_t i = 0; i + 1 < rest->len; i++)
                if (rest->ptr[i] == '\r' && rest->ptr[i + 1] == '\n') {
                        *ret = str_slice(*rest, 0, i);
                        *rest = str_slice(*rest, i + 2, rest->len);
                        return true;
                }
        return false;
}

static struct error *read_chunk_size(struct str line, size_t *ret)
{
        struct str digits = str_trim(str_slice(line, 0, str_find_char(line, ';')));

        *ret = 0;
        if (str_is_empty(digits) || digits.len > CHUNK_DIGITS_MAX)
                return malformed("the size of a chunk");
        for (size_t i = 0; i < digits.len; i++) {
                int digit = hex_digit(digits.ptr[i]);

                if (digit < 0)
                        return malformed("the size of a chunk");
                *ret = *ret * 16 + (size_t)digit;
        }
        return NULL;
}

/* RFC 9112 section 7.1. */
static struct error *read_chunks(struct str rest, struct buf *body, bool *ret_complete)
{
        struct str line;

        for (;;) {
                size_t size;

                if (!take_line(&rest, &line))
                        return rest.len > CHUNK_LINE_MAX ? malformed("a chunk without a size") : NULL;
                if (line.len >= CHUNK_LINE_MAX)
                        return malformed("a chunk without a size");
                TRY(read_chunk_size(line, &size));
                if (size == 0)
                        break;
                if (size > body->max - body->len)
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "the answer is longer than %zu bytes", body->max);
                if (rest.len < size + 2)
                        return NULL;
                buf_put(body, str_slice(rest, 0, size));
                if (rest.ptr[size] != '\r' || rest.ptr[size + 1] != '\n')
                        return malformed("a chunk is longer than its size");
                rest = str_slice(rest, size + 2, rest.len);
        }
        while (take_line(&rest, &line)) { /* trailer fields */
                if (line.len >= CHUNK_LINE_MAX)
                        return malformed("the trailer");
                if (str_is_empty(line)) {
                        *ret_complete = true;
                        return NULL;
                }
        }
        return rest.len > CHUNK_LINE_MAX ? malformed("the trailer") : NULL;
}

static struct error *read_body(struct str head, struct str rest, bool is_ended, struct buf *body, bool *ret_complete)
{
        struct str length = http1_response_field(head, "content-length"), coding = http1_response_field(head, "transfer-encoding");
        int64_t size = (int64_t)rest.len;

        if (coding.ptr != NULL && (length.ptr != NULL || !str_equal_nocase(coding, STR("chunked"))))
                return malformed("the length of the body");
        if (coding.ptr != NULL)
                return read_chunks(rest, body, ret_complete);
        if (length.ptr != NULL) {
                struct error *err = parse_int(length, 0, INT32_MAX, "length", &size);

                if (err != NULL) {
                        error_free(err);
                        return malformed("the length of the body");
                }
        }
        if ((size_t)size > body->max)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the answer is longer than %zu bytes", body->max);
        *ret_complete = length.ptr != NULL ? rest.len >= (size_t)size : is_ended;
        if (*ret_complete)
                buf_put(body, str_slice(rest, 0, (size_t)size));
        return NULL;
}

/* Of a refusal's body only what came with the head counts: no more is awaited. */
static struct error *refuse_with_body(struct error *(*refuse)(int status, struct str reason, struct str head, struct str body), int status,
                                      struct str reason, struct str head, struct str rest)
{
        AUTO(buf) body = BUF_MAX(HTTP_ANSWER_BODY_MAX);
        bool is_whole = http_answer_body(head, rest, &body);

        (void)is_whole;
        return refuse(status, reason, head, buf_str(&body));
}

static struct error *parse_answer(struct str bytes, bool is_ended,
                                  struct error *(*refuse)(int status, struct str reason, struct str head, struct str body), struct buf *body,
                                  bool *ret_complete)
{
        struct str reason;
        size_t head;
        int status;

        *ret_complete = false;
        for (;;) {
                struct error *err = http1_response_parse(bytes, &status, &reason, &head);

                if (err != NULL) {
                        err->code = ERROR_UNAVAILABLE;
                        return err;
                }
                if (head == 0 && is_ended)
                        return error_for(error_new(ERROR_UNAVAILABLE, "the server ended the connection without an answer"), REASON_GATEWAY);
                if (head == 0)
                        return NULL;
                if (status / 100 != 1)
                        break;
                bytes = str_slice(bytes, head, bytes.len);
        }
        if (status != STATUS_OK)
                return refuse_with_body(refuse, status, reason, str_slice(bytes, 0, head), str_slice(bytes, head, bytes.len));
        buf_clear(body);
        TRY(read_body(str_slice(bytes, 0, head), str_slice(bytes, head, bytes.len), is_ended, body, ret_complete));
        if (!*ret_complete && is_ended)
                return error_new(ERROR_UNAVAILABLE, "the server ended the connection within its answer");
        return NULL;
}

struct error *http_fetch_parse(struct str bytes, bool is_ended, struct buf *body, bool *ret_complete)
{
        return parse_answer(bytes, is_ended, refusal, body, ret_complete);
}

char *http_fetch_answerer(const struct http_fetch *f)
{
        struct str bytes = buf_str(&f->input), reason, head = STR("");
        size_t length = 0;
        int status = 0;

        do {
                struct error *err = http1_response_parse(bytes, &status, &reason, &length);

                if (err != NULL || length == 0) {
                        error_free(err);
                        break;
                }
                head = str_slice(bytes, 0, length);
                bytes = str_slice(bytes, length, bytes.len);
        } while (status / 100 == 1);
        return http_fetch_server(head);
}

/* ---- the request --------------------------------------------------------------------------------------------- */

static void finish(struct http_fetch *f, struct str body, struct error *err)
{
        stream_close(f->stream);
        timer_free(f->deadline);
        f->done(f->ctx, body, err);
        buf_release(&f->input);
        free(f);
}

static void parse(struct http_fetch *f, bool is_ended)
{
        AUTO(buf) body = BUF_MAX(f->limit);
        bool is_complete = false;
        struct error *err = buf_finish(&f->input, "the answer");

        if (err == NULL)
                err = parse_answer(buf_str(&f->input), is_ended, f->refusal, &body, &is_complete);
        if (err != NULL)
                finish(f, STR(""), err);
        else if (is_complete)
                finish(f, buf_str(&body), NULL);
}

static void on_read(void *ctx, struct str bytes)
{
        struct http_fetch *f = ctx;

        if (f->is_cancelled)
                return;
        buf_put(&f->input, bytes);
        parse(f, false);
}

/* Only an orderly end may be the end of a body: otherwise it may have been cut. */
static void on_end(void *ctx, struct error *err)
{
        struct http_fetch *f = ctx;

        if (f->is_cancelled)
                error_free(err);
        else if (err != NULL)
                finish(f, STR(""), error_because(error_new(ERROR_UNAVAILABLE, "the server ended the connection within its answer"), err));
        else
                parse(f, true);
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void on_deadline(void *ctx)
{
        finish(ctx, STR(""), error_new(ERROR_DEADLINE_EXCEEDED, "the server did not answer in time"));
}

struct http_fetch *http_fetch_start(struct loop *l, struct stream *s, const struct http_fetch_request *request,
                                    void (*done)(void *ctx, struct str body, struct error *err), void *ctx)
{
        struct http_fetch *f = NEW(struct http_fetch);
        AUTO(buf) text = BUF_MAX(REQUEST_MAX);

        *f = (struct http_fetch){ .loop = l, .stream = s, .limit = request->limit, .done = done, .ctx = ctx };
        f->refusal = request->refusal == NULL ? refusal : request->refusal;
        f->input = BUF_MAX(2 * request->limit + LIMIT_HTTP1_HEADER + LOOP_BUFFER); /* with the sizes of small chunks */
        f->deadline = timer_new(l, on_deadline, f);
        timer_start(f->deadline, request->within);
        stream_listen(s, &events, f);
        buf_printf(&text, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", request->path, request->host);
        stream_write(s, buf_str(&text));
        stream_read(s, true);
        return f;
}

static void report_cancel(void *ctx)
{
        finish(ctx, STR(""), error_new(ERROR_CANCELLED, "the request was given up"));
}

void http_fetch_cancel(struct http_fetch *f)
{
        if (f->is_cancelled)
                return;
        f->is_cancelled = true;
        timer_stop(f->deadline);
        loop_defer(f->loop, report_cancel, f);
}
