/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks the refusal of a copy against any data of an SFTP client: each call consumes at least one byte and at most all bytes,
 * and an answer is within its limit. The first byte of the input is the number of bytes in a call.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "session/refusal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sftp_refusal r = { .sentence = STR("copying files is not allowed") };
        struct str rest = str_slice(str_of_bytes(data, size), 1, size);
        size_t step = size == 0 || data[0] == 0 ? size : data[0];

        while (rest.len > 0) {
                AUTO(buf) answer = BUF_MAX(SFTP_REFUSAL_ANSWER_MAX);
                struct str piece = str_slice(rest, 0, step);
                size_t len = 0;
                struct error *err = sftp_refusal_feed(&r, piece, &len, &answer);

                if (len == 0 || len > piece.len)
                        bug("a refusal takes %zu of %zu bytes", len, piece.len);
                error_free(err);
                if (err != NULL)
                        break;
                rest = str_slice(rest, len, rest.len);
        }
        return 0;
}
