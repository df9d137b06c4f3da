/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/address.h"

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"

enum { PORT_MAX = 65535 };

static struct error *wrong(struct str text, struct str host, const char *field)
{
        AUTO_MEM char *shown = escaped(text);
        const char *hint = name_dns_hint(host);
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "%s: '%s' is not an address", field, shown);

        if (hint != NULL)
                return error_hint(err, "%s", hint);
        return error_hint(err,
                          "write host:port, for example teleport.example.com:443 or [2001:db8::1]:443");
}

/* Splits text at the colon before the port; *ret_port is empty if there is none. False: malformed. */
static bool split(struct str text, struct str *ret_host, struct str *ret_port)
{
        size_t end = str_find_char(text, ']');
        size_t colon = str_find_char(text, ':');

        *ret_port = (struct str){ 0 };
        if (text.len > 0 && text.ptr[0] == '[') {
                *ret_host = str_slice(text, 1, end - 1);
                *ret_port = str_slice(text, end + 2, text.len);
                return end < text.len && name_is_ip(*ret_host) &&
                       (end + 1 == text.len || (text.ptr[end + 1] == ':' && ret_port->len > 0));
        }
        if (name_is_ip(text)) { /* a bare IPv6 address has colons, none of them before a port */
                *ret_host = text;
                return true;
        }
        *ret_host = str_slice(text, 0, colon);
        *ret_port = str_slice(text, colon + 1, text.len);
        return colon == text.len || ret_port->len > 0;
}

struct error *address_normalize(struct arena *arena, struct str text, int default_port, const char *field,
                                const char **ret)
{
        struct str host, port;
        int64_t number = default_port;

        if (!split(text, &host, &port) ||
            (host.len == 0 ? port.len == 0 : !name_is_ip(host) && (!name_is_dns(host) || name_is_any_ip(host))))
                return wrong(text, host, field);
        if (port.len == 0 && default_port == PORT_REQUIRED)
                return error_hint(wrong(text, host, field), "the port is missing");
        struct error *err = port.len == 0 ? NULL : parse_int(port, 0, PORT_MAX, "the port", &number);
        if (err != NULL)
                return error_because(wrong(text, host, field), err);
        AUTO_MEM char *joined = address_join(host, (int)number);
        *ret = str_to_c(arena, str_of(joined));
        return NULL;
}

int address_port(struct str address)
{
        int64_t port = 0;
        size_t colon = address.len;

        while (colon > 0 && address.ptr[colon - 1] != ':')
                colon--;
        struct error *err = parse_int(str_slice(address, colon, address.len), 0, PORT_MAX, "the port", &port);
        error_free(err);
        return (int)port;
}
