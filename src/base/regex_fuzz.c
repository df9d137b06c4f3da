/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties for arbitrary patterns and texts: no crash, bounded time, and a pattern of letters only
 * matches just itself.
 */
#include <stdlib.h>

#include "base/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_word(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]))
                        return false;
        return true;
}

/* "pattern\ntext" */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str text = str_of_bytes(data, size);
        struct str pattern = str_split(&text, '\n');
        struct regex re;
        struct error *err = regex_compile(pattern, &re);

        if (err != NULL) {
                error_free(err);
                return 0;
        }
        bool is_match = regex_match(&re, str_slice(text, 0, 4096));
        if (is_word(pattern) && text.len <= 4096 && is_match != str_equal(pattern, text))
                abort();
        return 0;
}
