/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that the output for any bytes has no characters that escape_text would change, except newlines, tabs and
 * backslashes, and that it does not depend on the pieces in which the bytes arrive.
 */
#include "base/bug.h"
#include "base/text.h"
#include "recording/plain_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(buf) whole = BUF_MAX(1 * MiB), cut = BUF_MAX(1 * MiB), plain = BUF_MAX(1 * MiB), checked = BUF_MAX(8 * MiB);
        struct str bytes = str_of_bytes(data, size < 64 * KiB ? size : 64 * KiB);
        struct plain_text p = { 0 }, q = { 0 };

        plain_text_put(&p, &whole, bytes);
        for (size_t i = 0; i < bytes.len; i += 3)
                plain_text_put(&q, &cut, str_slice(bytes, i, 3));
        if (!str_equal(buf_str(&whole), buf_str(&cut)))
                bug("the text depends on how the bytes were cut");
        for (size_t i = 0; i < whole.len; i++)
                if (strchr("\n\t\\", whole.ptr[i]) == NULL || whole.ptr[i] == '\0')
                        buf_put_char(&plain, whole.ptr[i]);
        escape_text(&checked, buf_str(&plain), checked.max);
        if (!str_equal(buf_str(&plain), buf_str(&checked)))
                bug("something was left that could steer a terminal");
        return 0;
}
