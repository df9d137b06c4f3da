/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of a recording: in one piece and byte by byte they are the same, and each that is shown has its texts. */
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "proxy/web/request_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct request_rows whole, parts;

        request_rows_begin(&whole, STR("e 2"));
        request_rows_begin(&parts, STR("e 2"));
        request_rows_put(&whole, str_of_bytes(data, size));
        for (size_t i = 0; i < size; i++)
                request_rows_put(&parts, str_of_bytes(data + i, 1));
        if (whole.seen != parts.seen || whole.matching != parts.matching || whole.note_count != parts.note_count || whole.matching > whole.seen)
                bug("the parts of a text have other requests than the whole");
        for (size_t i = 0; i < request_rows_shown(&whole); i++) {
                const struct request_row *a = request_rows_at(&whole, i), *b = request_rows_at(&parts, i);

                if (strcmp(a->path, b->path) != 0 || strcmp(a->method, b->method) != 0 || strcmp(a->query, b->query) != 0 || strcmp(a->time, b->time) != 0)
                        bug("a request differs");
        }
        request_rows_release(&whole);
        request_rows_release(&parts);
        return 0;
}
