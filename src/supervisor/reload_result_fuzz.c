/* SPDX-License-Identifier: Apache-2.0 */
/* Property: a text that is accepted has no control characters, and a result that is put again is the same. */
#include "base/bug.h"
#include "supervisor/reload_result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str bytes = str_of_bytes(data, size < RELOAD_RESULT_MAX ? size : RELOAD_RESULT_MAX), text;
        AUTO_PTR(error) err = reload_result_parse(bytes, &text);
        AUTO(buf) again = BUF_MAX(RELOAD_RESULT_MAX);

        for (size_t i = 0; i < text.len; i++)
                if ((unsigned char)text.ptr[i] < 0x20 && text.ptr[i] != '\n')
                        bug("a control character is shown");
        if (err != NULL && err->code == ERROR_UNAVAILABLE)
                return 0; /* not a whole result */
        reload_result_put(&again, err, text);
        if (!str_equal(buf_str(&again), bytes))
                bug("two forms of one result");
        return 0;
}
