/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: a request gives the same result in one piece and byte by byte; the parsed fields lie
 * inside the head; and the head alone parses as a request again.
 */
#include "base/bug.h"
#include "net/http1.h"

enum { BODY_MAX = 8 * KiB };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct str part, struct str head)
{
        if (part.len > 0 && (part.ptr < head.ptr || part.ptr + part.len > head.ptr + head.len))
                bug("a part of the request lies outside of its head");
}

static void inside_all(const struct http1_lines *lines, struct str head)
{
        if (lines->count > HTTP1_LINES_MAX)
                bug("a list has %zu lines", lines->count);
        for (size_t i = 0; i < lines->count; i++)
                inside(lines->values[i], head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str whole = str_of_bytes(data, size);
        struct http1_request request, again;
        size_t head, grown_head = 0;
        struct error *err = http1_parse(whole, BODY_MAX, &request, &head);

        if (size <= 4 * KiB) { /* the byte-by-byte run is quadratic */
                struct error *grown = NULL;
                for (size_t n = 0; n <= size && grown == NULL && grown_head == 0; n++)
                        grown = http1_parse(str_slice(whole, 0, n), BODY_MAX, &again, &grown_head);
                if ((grown == NULL) != (err == NULL) || (grown != NULL && grown->code != err->code))
                        bug("a request is judged by how it arrives");
                if (grown_head != head)
                        bug("the head's length depends on how it arrives");
                error_free(grown);
        }
        if (err == NULL && head > 0) {
                struct str alone = str_slice(whole, 0, head);
                size_t length;
                inside(request.method, alone);
                inside(request.path, alone);
                inside(request.query, alone);
                inside(request.host, alone);
                inside(request.authority, alone);
                inside(request.login, alone);
                inside(request.content_type, alone);
                inside(request.origin, alone);
                inside(request.fetch_site, alone);
                inside_all(&request.upgrade, alone);
                inside(request.websocket_key, alone);
                inside(request.websocket_version, alone);
                inside_all(&request.websocket_protocol, alone);
                inside_all(&request.forwarded_for, alone);
                if (request.body > BODY_MAX || (request.body > 0 && !str_equal(request.method, STR("POST"))))
                        bug("a body of %zu bytes", request.body);
                struct error *twice = http1_parse(alone, BODY_MAX, &again, &length);
                if (twice != NULL || length != head || !str_equal(again.path, request.path))
                        bug("a head alone is judged otherwise");
        }
        if (head > LIMIT_HTTP1_HEADER || (err != NULL && head != 0))
                bug("a head of %zu bytes", head);
        error_free(err);
        return 0;
}
