/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: the end of a head is found at the same place in one piece and byte by byte; an accepted request, written, is accepted again
 * and is then the same request, so that the next server understands the same.
 */
#include "base/bug.h"
#include "base/limits.h"
#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct http_request *r)
{
        AUTO(buf) first = BUF_MAX(1 * MiB);
        AUTO(buf) second = BUF_MAX(1 * MiB);
        AUTO(http_request) again = { 0 };
        size_t scanned = 0, len;

        http_request_put(&first, r);
        struct error *err = http_head_find_end(buf_str(&first), &scanned, &len);
        if (err == NULL && len != first.len)
                bug("the written head has %zu bytes, of which %zu are one", first.len, len);
        if (err == NULL)
                err = http_request_parse(buf_str(&first), &again);
        if (err != NULL) {
                /* What is written may be longer: blanks after colons, the full names of the framing. */
                if (err->code != ERROR_RESOURCE_EXHAUSTED)
                        bug("what was written is refused: %s", err->what);
                error_free(err);
                return;
        }
        http_request_put(&second, &again);
        if (!str_equal(buf_str(&first), buf_str(&second)) || again.body.kind != r->body.kind || again.body.length != r->body.length || !str_equal(again.host, r->host))
                bug("the request is another one when it is read again");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str whole = str_of_bytes(data, size);
        AUTO(http_request) r = { 0 };
        size_t scanned = 0, grown_scanned = 0, len, grown_len = 0;
        struct error *err = http_head_find_end(whole, &scanned, &len), *grown = NULL;

        for (size_t n = 0; n <= size && grown == NULL && grown_len == 0; n++)
                grown = http_head_find_end(str_slice(whole, 0, n), &grown_scanned, &grown_len);
        if ((err == NULL) != (grown == NULL) || (err == NULL && len != grown_len))
                bug("the end of a head depends on how it arrives");
        error_free(grown);
        if (err == NULL && len > 0) {
                err = http_request_parse(str_slice(whole, 0, len), &r);
                if (err == NULL)
                        check_again(&r);
        }
        error_free(err);
        return 0;
}
