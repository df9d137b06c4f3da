/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/ca_pins.h"

#include "base/buf.h"
#include "pki/key.h"

enum { PIN_MAX = 128, WANTED_MAX = 4 * KiB };

bool ca_pins_name(const struct ca_pins *pins, struct str ca_der)
{
        AUTO(buf) pin = BUF_MAX(PIN_MAX);
        AUTO_PTR(error) err = ca_pin_of_cert(ca_der, &pin);

        for (size_t i = 0; err == NULL && i < pins->count; i++)
                if (str_equal_nocase(buf_str(&pin), str_of(pins->list[i])))
                        return true;
        return false;
}

struct error *ca_pins_refuse(const struct ca_pins *pins, struct str found_der)
{
        AUTO(buf) found = BUF_MAX(PIN_MAX);
        AUTO(buf) wanted = BUF_MAX(WANTED_MAX);
        AUTO_PTR(error) err = ca_pin_of_cert(found_der, &found);

        for (size_t i = 0; i < pins->count; i++)
                buf_printf(&wanted, "%s%s", i == 0 ? "" : " or ", pins->list[i]);
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "the cluster's CA is %s, and ca_pin names %s",
                                    err != NULL ? "no certificate" : buf_c(&found), buf_c(&wanted)),
                          "compare teleport.ca_pin with the pin that 'tctl status' prints on the Auth Service's machine");
}

struct error *ca_pins_check(const struct ca_pins *pins, const struct str *cas_der, size_t count)
{
        if (pins->count == 0)
                return NULL;
        for (size_t i = 0; i < count; i++)
                if (!ca_pins_name(pins, cas_der[i]))
                        return ca_pins_refuse(pins, cas_der[i]);
        return NULL;
}
