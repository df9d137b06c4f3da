/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: the record of any target is one whole line of printable UTF-8 below its maximum, and each parameter of a query without values
 * ends in "=", or is "*".
 */
#include "app/request_log.h"

#include "base/bug.h"
#include "base/limits.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_query(struct str query)
{
        AUTO(buf) out = BUF_MAX(LIMIT_HTTP_HEAD);

        request_query_put(&out, query);
        for (struct str rest = buf_str(&out); !str_is_empty(rest);) {
                struct str parameter = str_split(&rest, '&');

                if (parameter.len > 0 && !str_equal(parameter, STR("*")) && str_find_char(parameter, '=') != parameter.len - 1)
                        bug("a value is recorded");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str target = str_of_bytes(data, size < LIMIT_HTTP_HEAD ? size : LIMIT_HTTP_HEAD);
        struct request_entry e = { .method = STR("GET"), .target = target, .status = 200, .received = UINT64_MAX, .sent = UINT64_MAX };
        AUTO(buf) line = BUF_MAX(REQUEST_LINE_MAX);

        request_entry_put(&line, &e);
        if (line.overflowed || !str_ends_with(buf_str(&line), STR("}\r\n")) || !text_is_utf8(buf_str(&line)))
                bug("the line is not whole");
        for (size_t i = 0; i + 2 < line.len; i++)
                if ((uint8_t)line.ptr[i] < ' ' || line.ptr[i] == 0x7f)
                        bug("a control byte is recorded");
        check_query(target);
        return 0;
}
