/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request of HTTP/2, each field as "name NUL value NUL", the first byte whether a body follows. Property: what is accepted and written as
 * HTTP/1.1 is one head, and is understood again as the same request.
 */
#include "base/bug.h"
#include "base/limits.h"
#include "http/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct http_request *r)
{
        AUTO(buf) head = BUF_MAX(1 * MiB);
        AUTO(http_request) again = { 0 };
        size_t scanned = 0, len;

        http_request_put(&head, r);
        struct error *err = http_head_find_end(buf_str(&head), &scanned, &len);
        if (err == NULL && len != head.len)
                bug("the written head has %zu bytes, of which %zu are one", head.len, len);
        if (err == NULL)
                err = http_request_parse(buf_str(&head), &again);
        if (err != NULL)
                bug("what was written is refused: %s", err->what);
        if (again.body.kind != r->body.kind || again.body.length != r->body.length || !str_equal(again.host, r->host) || !str_equal(again.method, r->method) ||
            !str_equal(again.target, r->target) || again.fields.count != r->fields.count || again.upgrade.len > 0)
                bug("the request is another one when it is read again");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str rest = str_of_bytes(data, size);
        AUTO(http2_request) head = { 0 };
        AUTO(http_request) r = { 0 };
        struct error *err = NULL;

        if (size == 0)
                return 0;
        bool is_ended = rest.ptr[0] == '0';
        rest = str_slice(rest, 1, rest.len);
        while (err == NULL && rest.len > 0) {
                struct str name = str_split(&rest, 0);

                err = http2_request_add(&head, name, str_split(&rest, 0));
        }
        if (err == NULL)
                err = http2_request_parse(&head, is_ended, &r);
        if (err == NULL && is_ended && (r.body.kind == HTTP_BODY_CHUNKED || r.body.length > 0))
                bug("a request that has ended has a body");
        if (err == NULL)
                check_again(&r);
        error_free(err);
        return 0;
}
