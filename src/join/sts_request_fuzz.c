/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An accepted request that is written again from its parsed fields alone must be accepted again, with
 * the same fields: no other bytes of the request affect the decision.
 */
#include "base/bug.h"
#include "base/buf.h"
#include "join/sts_request.h"

static const char challenge[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
static const char binding[] = "6f3c1b0a9d8e7f605142332415069788796a5b4c3d2e1f000102030405060708";

static struct error *parse(struct str bytes, struct sts_request *ret)
{
        struct sts_expectation expect = { .challenge = str_of(challenge), .binding = str_of(binding),
                                          .now = walltime_of_unix(1709251199) };
        const char *failed;

        return sts_request_check(bytes, &expect, ret, &failed);
}

static void write_again(const struct sts_request *r, struct buf *out)
{
        buf_printf(out, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 43\r\n", r->host.name);
        for (size_t i = 0; i < r->header_count; i++)
                buf_printf(out, "%.*s: %.*s\r\n", STR_ARG(r->headers[i].name), STR_ARG(r->headers[i].value));
        buf_put_c(out, "\r\n" STS_REQUEST_BODY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sts_request first, second;
        AUTO(buf) again = BUF_MAX(2 * LIMIT_STS_REQUEST);
        AUTO_PTR(error) refused = parse(str_of_bytes(data, size), &first);

        if (refused != NULL)
                return 0;
        write_again(&first, &again);
        AUTO_PTR(error) err = parse(buf_str(&again), &second);
        if (err != NULL)
                bug("accepted once, refused when written again: %s", err->what);
        if (strcmp(first.host.name, second.host.name) != 0 || first.header_count != second.header_count ||
            first.signed_at.ns != second.signed_at.ns)
                bug("the second reading differs");
        for (size_t i = 0; i < first.header_count; i++)
                if (!str_equal(first.headers[i].value, second.headers[i].value))
                        bug("a header changed its value");
        return 0;
}
