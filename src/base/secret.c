/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <stdlib.h>

#include "base/mem.h"

struct secret secret_of(struct str bytes)
{
        return (struct secret){ str_dup(bytes), bytes.len };
}

void secret_release(struct secret *s)
{
        if (s->ptr != NULL)
                wipe(s->ptr, s->len);
        free(s->ptr);
        *s = (struct secret){ 0 };
}

bool secret_equal(struct str a, struct str b)
{
        unsigned char differs = 0;

        if (a.len != b.len)
                return false;
        for (size_t i = 0; i < a.len; i++)
                differs |= (unsigned char)(a.ptr[i] ^ b.ptr[i]);
        return differs == 0;
}

void wipe(void *mem, size_t len)
{
        if (len > 0)
                explicit_bzero(mem, len);
}
