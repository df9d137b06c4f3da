/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error_testing.h"
#include "base/text.h"
#include "pki/seal.h"

#define KEY STR("-----BEGIN PRIVATE KEY-----")
#define ID STR("0123456789abcdef0123456789abcdef")

static void derives_keys_as_rfc_5869(void **state)
{
        /* RFC 5869 A.3: no salt, no info, SHA-256; the first 32 bytes of its output. */
        uint8_t secret[22], out[32];
        AUTO(buf) hex = BUF_MAX(128);

        (void)state;
        memset(secret, 0x0b, sizeof secret);
        key_derive(str_of_bytes(secret, sizeof secret), "", out);
        hex_encode(&hex, str_of_bytes(out, sizeof out));
        assert_string_equal(buf_c(&hex), "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

static void opens_a_text_with_the_secret_that_sealed_it(void **state)
{
        AUTO(buf) sealed = BUF_MAX(1 * KiB);
        AUTO(buf) again = BUF_MAX(1 * KiB);
        AUTO(secret) text = { 0 };

        (void)state;
        assert_done(seal(STR("secret"), ID, KEY, &sealed));
        assert_done(seal(STR("secret"), ID, KEY, &again));
        assert_int_equal(sealed.len, KEY.len + SEAL_NONCE_SIZE + SEAL_TAG_SIZE);
        assert_false(str_equal(buf_str(&sealed), buf_str(&again)));
        assert_done(unseal(STR("secret"), ID, buf_str(&sealed), &text));
        assert_true(str_equal(secret_str(&text), KEY));
}

static void refuses_other_secrets_contexts_and_changed_bytes(void **state)
{
        AUTO(buf) sealed = BUF_MAX(1 * KiB);
        AUTO(secret) text = { 0 };

        (void)state;
        assert_done(seal(STR("secret"), ID, KEY, &sealed));
        assert_code(unseal(STR("Secret"), ID, buf_str(&sealed), &text), ERROR_UNAUTHENTICATED);
        assert_code(unseal(STR("secret"), STR("another"), buf_str(&sealed), &text), ERROR_UNAUTHENTICATED);
        for (size_t i = 0; i < sealed.len; i++) {
                sealed.ptr[i] ^= 1;
                assert_code(unseal(STR("secret"), ID, buf_str(&sealed), &text), ERROR_UNAUTHENTICATED);
                assert_code(unseal(STR("secret"), ID, str_slice(buf_str(&sealed), 0, i), &text), ERROR_UNAUTHENTICATED);
                sealed.ptr[i] ^= 1;
        }
        assert_null(text.ptr);
}

static void refuses_a_text_that_is_too_long(void **state)
{
        static char text[SEAL_TEXT_MAX + 1];
        AUTO(buf) sealed = BUF_MAX(16 * KiB);

        (void)state;
        assert_code(seal(STR("secret"), ID, str_of_bytes(text, sizeof text), &sealed), ERROR_INVALID_ARGUMENT);
        assert_done(seal(STR("secret"), ID, str_of_bytes(text, sizeof text - 1), &sealed));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(derives_keys_as_rfc_5869),
                cmocka_unit_test(opens_a_text_with_the_secret_that_sealed_it),
                cmocka_unit_test(refuses_other_secrets_contexts_and_changed_bytes),
                cmocka_unit_test(refuses_a_text_that_is_too_long),
        };

        return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
