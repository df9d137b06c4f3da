/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Cookie field: a value that is found stands in the field after the name and '='; the parts of a session's cookie make it up again.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/buf.h"
#include "proxy/web/cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str field = str_of_bytes(data, size), id, secret;
        struct str value = cookie_find(field, SESSION_COOKIE);
        AUTO(buf) again = BUF_MAX(1 * KiB);

        if (!str_is_empty(value)) {
                size_t name = sizeof SESSION_COOKIE; /* with '=' */
                size_t at = (size_t)(value.ptr - field.ptr);

                if (value.ptr < field.ptr || at + value.len > field.len || at < name ||
                    !str_equal(str_slice(field, at - name, name), STR(SESSION_COOKIE "=")))
                        bug("a value that is not in the field");
                if (str_contains(value, STR(";")))
                        bug("a value with the end of a cookie");
        }
        if (session_cookie_split(value, &id, &secret)) {
                buf_put(&again, id);
                buf_put_char(&again, '.');
                buf_put(&again, secret);
                if (!str_equal(buf_str(&again), value) || !is_hex_of(secret, COOKIE_SECRET_LEN))
                        bug("the parts of a cookie are not the cookie");
        }
        return 0;
}
