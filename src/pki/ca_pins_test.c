/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/ca_pins.h"

#include <string.h>

#include "base/buf.h"
#include "pki/pki_testing.h"

#define OTHER_PIN "sha256:0000000000000000000000000000000000000000000000000000000000000000"

struct ca {
        struct buf der, pin;
};

static struct ca make_ca(void)
{
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        struct ca ca = { BUF_MAX(CERT_MAX), BUF_MAX(128) };

        assert_done(x509_ca_create(&key, STR("example.com"), times_of(1800000000, 1900000000), &ca.der));
        assert_done(ca_pin_of_cert(buf_str(&ca.der), &ca.pin));
        return ca;
}

static void release(struct ca *ca)
{
        buf_release(&ca->der);
        buf_release(&ca->pin);
}

static void accepts_only_cas_that_a_pin_names(void **state)
{
        (void)state;
        struct ca ours = make_ca(), other = make_ca();
        const char *list[] = { OTHER_PIN, buf_c(&ours.pin) };
        const struct ca_pins pins = { list, 2 };
        const struct str cas[] = { buf_str(&ours.der), buf_str(&other.der) };

        assert_null(ca_pins_check(&pins, cas, 1));
        AUTO_PTR(error) err = ca_pins_check(&pins, cas, 2);
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_UNAUTHENTICATED);
        assert_non_null(strstr(err->what, buf_c(&other.pin)));
        assert_non_null(strstr(err->what, buf_c(&ours.pin)));
        assert_non_null(strstr(err->what, OTHER_PIN));
        assert_true(ca_pins_name(&pins, cas[0]));
        assert_false(ca_pins_name(&pins, cas[1]));
        release(&ours);
        release(&other);
}

static void refuses_an_invalid_certificate(void **state)
{
        (void)state;
        const char *list[] = { OTHER_PIN };
        const struct ca_pins pins = { list, 1 };
        const struct str cas[] = { STR("junk"), STR("") };

        assert_false(ca_pins_name(&pins, cas[0]));
        for (size_t i = 0; i < ARRAY_LEN(cas); i++)
                assert_code(ca_pins_check(&pins, cas + i, 1), ERROR_UNAUTHENTICATED);
}

static void names_nothing_without_pins(void **state)
{
        (void)state;
        struct ca ours = make_ca();
        const struct ca_pins none = { 0 };
        const struct str cas[] = { buf_str(&ours.der) };

        assert_false(ca_pins_name(&none, cas[0]));
        assert_null(ca_pins_check(&none, cas, 1));
        release(&ours);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_only_cas_that_a_pin_names),
                cmocka_unit_test(refuses_an_invalid_certificate),
                cmocka_unit_test(names_nothing_without_pins),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
