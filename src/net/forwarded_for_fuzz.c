/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: an address that is parsed from X-Forwarded-For is the same when it is written with its port and parsed again,
 * and no text with a comma, a blank or a control byte is an address.
 */
#include "base/bug.h"
#include "net/ingress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str value = str_of_bytes(data, size);
        struct ip_address ip, again;
        unsigned port, port_again;
        char text[IP_PORT_TEXT_MAX];
        struct error *err = forwarded_for_parse(value, &ip, &port);

        if (err != NULL) {
                error_free(err);
                return 0;
        }
        for (size_t i = 0; i < value.len; i++)
                if (value.ptr[i] == ',' || value.ptr[i] <= ' ')
                        bug("byte %zu is none of an address", i);
        ip_text_with_port(&ip, port, text);
        if (forwarded_for_parse(str_of(text), &again, &port_again) != NULL)
                bug("'%s' is not parsed again", text);
        if (again.len != ip.len || memcmp(again.bytes, ip.bytes, ip.len) != 0 || port_again != port)
                bug("'%s' is another address", text);
        return 0;
}
