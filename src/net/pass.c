/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pass.h"

#include <string.h>

enum pass_kind pass_parse(struct str bytes, struct str *ret_ticket)
{
        size_t len = bytes.len < PASS_MAGIC_SIZE ? bytes.len : PASS_MAGIC_SIZE;

        if (len > 0 && memcmp(bytes.ptr, PASS_MAGIC, len) != 0)
                return PASS_NONE;
        if (bytes.len < PASS_PREAMBLE_SIZE)
                return PASS_PARTIAL;
        *ret_ticket = str_slice(bytes, PASS_MAGIC_SIZE, PASS_TICKET_SIZE);
        return PASS_WHOLE;
}
