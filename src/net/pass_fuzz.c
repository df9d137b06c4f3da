/* SPDX-License-Identifier: Apache-2.0 */
/* Property: a preamble is parsed alike in one piece and in several, and its ticket lies within the input. */
#include <stdint.h>
#include <stdlib.h>

#include "net/pass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define insist(condition)                                                                                             \
        do {                                                                                                          \
                if (!(condition))                                                                                     \
                        abort();                                                                                      \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str bytes = { (const char *)data, size }, ticket = { 0 };
        enum pass_kind kind = pass_parse(bytes, &ticket);

        if (kind == PASS_WHOLE)
                insist(ticket.len == PASS_TICKET_SIZE && ticket.ptr == bytes.ptr + PASS_MAGIC_SIZE && ticket.ptr + ticket.len <= bytes.ptr + size);
        for (size_t len = 0; len < size && len < PASS_PREAMBLE_SIZE; len++) {
                enum pass_kind piece = pass_parse(str_slice(bytes, 0, len), &ticket);

                insist(piece == PASS_PARTIAL || (piece == PASS_NONE && kind == PASS_NONE));
        }
        return 0;
}
