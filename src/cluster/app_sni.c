/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/app_sni.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define SUFFIX ".app.cteleport"

enum { DIGITS_MAX = 5 };

char *app_sni_new(const char *app, uint32_t port)
{
        return port == 0 ? mem_printf("%s" SUFFIX, app) : mem_printf("%u.%s" SUFFIX, port, app);
}

/* In the only form that app_sni_new() writes; 0: it is no port. */
static uint32_t read_port(struct str text)
{
        uint32_t port = 0;

        if (text.len == 0 || text.len > DIGITS_MAX || text.ptr[0] == '0')
                return 0;
        for (size_t i = 0; i < text.len; i++) {
                if (!char_is_digit(text.ptr[i]))
                        return 0;
                port = 10 * port + (uint32_t)(text.ptr[i] - '0');
        }
        return port > UINT16_MAX ? 0 : port;
}

bool app_sni_read(struct str sni, struct str *ret_app, uint32_t *ret_port)
{
        if (!str_ends_with(sni, STR(SUFFIX)))
                return false;
        *ret_app = str_slice(sni, 0, sni.len - strlen(SUFFIX));
        size_t dot = str_find_char(*ret_app, '.');
        *ret_port = dot < ret_app->len ? read_port(str_slice(*ret_app, 0, dot)) : 0;
        if (*ret_port != 0)
                *ret_app = str_slice(*ret_app, dot + 1, ret_app->len);
        return true;
}
