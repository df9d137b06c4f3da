/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/cookie.h"

#include "pki/cert.h"

struct str cookie_find(struct str field, const char *name)
{
        while (!str_is_empty(field)) {
                struct str value = str_trim(str_split(&field, ';'));
                struct str key = str_split(&value, '=');

                if (str_equal(key, str_of(name)))
                        return value;
        }
        return STR("");
}

bool is_hex_of(struct str s, size_t len)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_digit(s.ptr[i]) && (s.ptr[i] < 'a' || s.ptr[i] > 'f'))
                        return false;
        return s.len == len;
}

bool session_cookie_split(struct str value, struct str *ret_id, struct str *ret_secret)
{
        struct str id = str_slice(value, 0, WEB_SESSION_ID_LEN);
        struct str secret = str_slice(value, WEB_SESSION_ID_LEN + 1, value.len);

        if (value.len != WEB_SESSION_ID_LEN + 1 + COOKIE_SECRET_LEN || value.ptr[WEB_SESSION_ID_LEN] != '.' || !web_session_is_id(id) ||
            !is_hex_of(secret, COOKIE_SECRET_LEN))
                return false;
        *ret_id = id;
        *ret_secret = secret;
        return true;
}
