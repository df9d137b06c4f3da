/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that the result for an answer depends on its bytes only, not on the pieces in which they arrive: a short answer may
 * become that of a master, but an answer of another program never does.
 */
#include "base/bug.h"
#include "base/mem.h"
#include "client/mux_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str bytes = str_of_bytes(data, size < 2 * (size_t)MUX_ANSWER_MAX ? size : 2 * (size_t)MUX_ANSWER_MAX);
        enum mux_answer before = MUX_ANSWER_SHORT;

        for (size_t len = 0; len <= bytes.len; len++) {
                AUTO_MEM char *copy = mem_alloc(len == 0 ? 1 : len); /* on the heap: a sanitizer detects an overrun */
                memcpy(copy, bytes.ptr, len);
                enum mux_answer now = mux_answer_read(str_of_bytes(copy, len));

                if (before == MUX_ANSWER_OTHER && now != MUX_ANSWER_OTHER)
                        bug("more bytes made a master of what was none");
                if (before == MUX_ANSWER_ALIVE && now != MUX_ANSWER_OTHER)
                        bug("bytes behind the answer were taken");
                if (now == MUX_ANSWER_ALIVE && len > MUX_ANSWER_MAX)
                        bug("an answer is longer than what is read");
                if (now == MUX_ANSWER_SHORT && len >= MUX_ANSWER_MAX)
                        bug("more is wanted than is read");
                before = now;
        }
        return 0;
}
