/* SPDX-License-Identifier: Apache-2.0 */
/* Property: an accepted message is within its limits; serialized again, it is the same packet, byte for byte. */
#include <string.h>

#include "api/child_message.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct child_message m;
        AUTO_PTR(error) err = child_message_parse(str_of_bytes(data, size), &m);
        AUTO(buf) again = BUF_MAX(CHILD_MESSAGE_MAX);

        if (err != NULL)
                return 0;
        child_message_put(&again, &m);
        if (again.len != size || memcmp(again.ptr, data, size) != 0)
                bug("two packets for one message");
        return 0;
}
