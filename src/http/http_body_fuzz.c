/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte selects the framing. Properties: a body is the same in one piece and byte by byte; a chunked body, written anew, is read
 * as the same body, with the same trailers.
 */
#include "base/bug.h"
#include "http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
        struct buf body, trailers;
        size_t used;
        int code; /* of the error */
        bool is_done;
};

static void result_release(struct result *r)
{
        buf_release(&r->body);
        buf_release(&r->trailers);
}

static void read_all(struct str bytes, struct http_framing framing, size_t step, struct result *ret)
{
        struct http_body_reader r;
        struct error *err = NULL;
        struct str piece;

        *ret = (struct result){ .body = BUF_MAX(16 * MiB), .trailers = BUF_MAX(1 * MiB) };
        http_body_start(&r, framing);
        for (size_t at = 0; at < bytes.len && err == NULL && !http_body_is_done(&r); at += step) {
                struct str rest = str_slice(bytes, at, step);
                size_t given = rest.len;

                while (rest.len > 0 && err == NULL && !http_body_is_done(&r)) {
                        err = http_body_read(&r, &rest, &piece);
                        if (err == NULL)
                                buf_put(&ret->body, piece);
                }
                ret->used += given - rest.len;
        }
        ret->code = err == NULL ? 0 : (int)err->code;
        ret->is_done = err == NULL && http_body_is_done(&r);
        if (ret->is_done)
                http_fields_put(&ret->trailers, &r.trailers);
        error_free(err);
        http_body_reader_release(&r);
}

static bool is_same(const struct result *a, const struct result *b)
{
        return a->code == b->code && a->is_done == b->is_done && str_equal(buf_str(&a->trailers), buf_str(&b->trailers)) &&
               (a->code != 0 || str_equal(buf_str(&a->body), buf_str(&b->body)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        struct str bytes = str_of_bytes(data + 1, size - 1);
        struct http_framing framing = { .kind = HTTP_BODY_CHUNKED };
        AUTO(result) whole = { 0 };
        AUTO(result) bytewise = { 0 };
        AUTO(result) again = { 0 };

        if (data[0] % 4 == 1)
                framing = (struct http_framing){ .kind = HTTP_BODY_LENGTH, .length = data[0] };
        read_all(bytes, framing, size, &whole);
        read_all(bytes, framing, 1, &bytewise);
        if (!is_same(&whole, &bytewise) || (whole.is_done && whole.used != bytewise.used))
                bug("a body depends on how it arrives");
        AUTO(buf) out = BUF_MAX(32 * MiB);
        if (whole.body.len > 0)
                http_body_put(&out, HTTP_BODY_CHUNKED, buf_str(&whole.body));
        buf_put_c(&out, "0\r\n");
        buf_put(&out, buf_str(&whole.trailers));
        buf_put_c(&out, "\r\n");
        read_all(buf_str(&out), (struct http_framing){ .kind = HTTP_BODY_CHUNKED }, out.len, &again);
        if (whole.is_done && !is_same(&whole, &again))
                bug("a body is another one when it is read again");
        return 0;
}
