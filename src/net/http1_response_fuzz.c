/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: the head of a response gives the same result in one piece and byte by byte; an accepted head
 * ends in a blank line and has a status of three digits.
 */
#include "base/bug.h"
#include "net/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str whole = str_of_bytes(data, size), reason;
        int status, grown_status = 0;
        size_t head, grown_head = 0;
        struct error *err = http1_response_parse(whole, &status, &reason, &head);

        if (size <= 4 * KiB) { /* the byte-by-byte run is quadratic */
                struct error *grown = NULL;
                for (size_t n = 0; n <= size && grown == NULL && grown_head == 0; n++)
                        grown = http1_response_parse(str_slice(whole, 0, n), &grown_status, &reason, &grown_head);
                if ((grown == NULL) != (err == NULL) || grown_head != head)
                        bug("an answer is judged by how it arrives");
                if (head > 0 && grown_status != status)
                        bug("a status depends on how it arrives");
                error_free(grown);
        }
        if (head > 0 && (head > LIMIT_HTTP1_HEADER || status < 100 || status > 599 ||
                         !str_ends_with(str_slice(whole, 0, head), STR("\r\n\r\n"))))
                bug("a head of %zu bytes with status %d", head, status);
        if (err != NULL && head != 0)
                bug("a refused answer has a head");
        error_free(err);
        return 0;
}
