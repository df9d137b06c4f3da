/* SPDX-License-Identifier: Apache-2.0 */
/* Property: an accepted packet, serialized again, is the same packet, byte for byte. */
#include <string.h>

#include "aws/sign_message.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct str packet = str_of_bytes(data, size);
        struct aws_sign_request request;
        struct aws_sign_answer answer;
        AUTO(buf) again = BUF_MAX(AWS_SIGN_ANSWER_MAX);
        AUTO_PTR(error) no_request = aws_sign_request_parse(packet, &request);
        AUTO_PTR(error) no_answer = aws_sign_answer_parse(packet, &answer);

        if (no_request == NULL) {
                AUTO_PTR(error) err = aws_sign_request_put(&again, request.challenge, request.binding);

                if (err != NULL || again.len != size || memcmp(again.ptr, data, size) != 0)
                        bug("two packets for one request");
        }
        buf_clear(&again);
        if (no_answer == NULL) {
                aws_sign_answer_put(&again, &answer);
                if (again.len != size || memcmp(again.ptr, data, size) != 0)
                        bug("two packets for one answer");
        }
        return 0;
}
