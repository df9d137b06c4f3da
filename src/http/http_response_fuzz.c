/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: an accepted response, written, is accepted again and is then the same response with the same framing; a response without
 * body has none.
 */
#include "base/bug.h"
#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct http_response *r, bool is_head)
{
        AUTO(buf) first = BUF_MAX(1 * MiB);
        AUTO(buf) second = BUF_MAX(1 * MiB);
        AUTO(http_response) again = { 0 };

        http_response_put(&first, r, (struct http_send){ .body = r->body });
        struct error *err = http_response_parse(buf_str(&first), is_head, &again);
        if (err != NULL && err->code != ERROR_RESOURCE_EXHAUSTED)
                bug("what was written is refused: %s", err->what);
        if (err == NULL) {
                http_response_put(&second, &again, (struct http_send){ .body = again.body });
                if (!str_equal(buf_str(&first), buf_str(&second)) || again.body.kind != r->body.kind || again.body.length != r->body.length)
                        bug("the response is another one when it is read again");
        }
        error_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str whole = str_of_bytes(data, size);
        size_t scanned = 0, len;
        struct error *err = http_head_find_end(whole, &scanned, &len);

        for (int is_head = 0; err == NULL && len > 0 && is_head <= 1; is_head++) {
                AUTO(http_response) r = { 0 };

                err = http_response_parse(str_slice(whole, 0, len), is_head == 1, &r);
                if (err != NULL)
                        break;
                if (http_has_no_body(r.status, is_head == 1) && r.body.kind != HTTP_BODY_NONE)
                        bug("a body where none can be");
                check_again(&r, is_head == 1);
        }
        error_free(err);
        return 0;
}
