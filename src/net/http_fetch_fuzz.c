/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of any bytes, in any pieces: the body keeps its limit, and more bytes change no decision. */
#include <stdint.h>

#include "base/bug.h"
#include "base/limits.h"
#include "net/http_fetch.h"

enum { LIMIT = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str bytes = str_of_bytes(data, size);
        AUTO(buf) first = BUF_MAX(LIMIT);
        bool is_decided = false, is_refused = false;

        for (size_t i = 0; i <= size; i = i == size || i + 7 < size ? i + 7 : size) {
                AUTO(buf) body = BUF_MAX(LIMIT);
                bool is_complete = false;
                struct error *err = http_fetch_parse(str_slice(bytes, 0, i), false, &body, &is_complete);

                if (body.overflowed || (err != NULL && is_complete))
                        bug("a body beyond its limit, or of a refused answer");
                if (is_decided && ((err != NULL) != is_refused || (!is_refused && !str_equal(buf_str(&body), buf_str(&first)))))
                        bug("more bytes change a decision");
                if (!is_decided && (err != NULL || is_complete)) {
                        is_decided = true;
                        is_refused = err != NULL;
                        buf_put(&first, buf_str(&body));
                }
                error_free(err);
        }
        AUTO(buf) body = BUF_MAX(LIMIT);
        bool is_complete = false;
        struct error *err = http_fetch_parse(bytes, true, &body, &is_complete);
        if ((err == NULL) != is_complete)
                bug("an answer that has ended is neither whole nor refused");
        error_free(err);
        return 0;
}
