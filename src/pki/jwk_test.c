/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/jwk.h"

#include <openssl/evp.h>

#include "base/mem.h"
#include "base/text.h"
#include "pki/jws.h"
#include "pki/pem.h"
#include "pki/pki_testing.h"

/* The key of RFC 7638 section 3.1, as SubjectPublicKeyInfo, and its thumbprint there. */
static const char rsa_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0vx7agoebGcQSuuPiLJX\n"
                              "ZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS\n"
                              "oc/BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ/2W+5JsGY4Hc5n9yBXArwl93lqt\n"
                              "7/RN5w6Cf0h4QyQ5v+65YGjQR0/FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0\n"
                              "zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt+bFTWhAI4vMQFh6WeZu0f\n"
                              "M4lFd2NcRwr3XPksINHaQ+G/xBniIqbw0Ls1jF44+csFCur+kEgU8awapJzKnqDK\n"
                              "gwIDAQAB\n"
                              "-----END PUBLIC KEY-----\n";
static const char rsa_n[] = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-"
                            "5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08q"
                            "NLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
static const char rsa_thumbprint[] = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

static void names_a_key_by_the_thumbprint_of_the_standard(void **state)
{
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) id = BUF_MAX(128);

        (void)state;
        assert_done(public_key_check_pem(str_of(rsa_pem), &der));
        assert_done(jwk_put_id(buf_str(&der), &id));
        assert_string_equal(buf_c(&id), rsa_thumbprint);
}

static void writes_a_set_of_both_kinds(void **state)
{
        AUTO(key) p256 = given_key(KEY_ECDSA_P256);
        AUTO(buf) rsa = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) ec = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) id = BUF_MAX(128);
        AUTO(buf) required = BUF_MAX(4 * KiB);
        AUTO(buf) out = BUF_MAX(8 * KiB);

        (void)state;
        assert_done(public_key_check_pem(str_of(rsa_pem), &rsa));
        assert_done(key_public_der(&p256, &ec));
        assert_done(jwk_put_id(buf_str(&ec), &id));
        assert_done(jws_put_jwk(&p256, &required));
        const struct str keys[] = { buf_str(&rsa), buf_str(&ec) };
        assert_done(jwk_put_set(keys, ARRAY_LEN(keys), &out));
        AUTO_MEM char *expected = mem_printf("{\"keys\":[{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"%s\",\"alg\":\"RS256\",\"use\":\"sig\",\"kid\":\"%s\"},"
                                             "%.*s,\"alg\":\"ES256\",\"use\":\"sig\",\"kid\":\"%s\"}]}",
                                             rsa_n, rsa_thumbprint, (int)required.len - 1, required.ptr, buf_c(&id));
        assert_string_equal(buf_c(&out), expected);
}

static void an_empty_set_is_a_set(void **state)
{
        AUTO(buf) out = BUF_MAX(64);

        (void)state;
        assert_done(jwk_put_set(NULL, 0, &out));
        assert_string_equal(buf_c(&out), "{\"keys\":[]}");
}

static void refuses_keys_that_sign_no_tokens(void **state)
{
        AUTO(key) ed25519 = given_key(KEY_ED25519);
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) out = BUF_MAX(4 * KiB);

        (void)state;
        assert_done(key_public_der(&ed25519, &der));
        const struct str hostile[] = { buf_str(&der), STR(""), STR("not a key"), str_slice(buf_str(&der), 0, der.len - 1) };
        for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
                assert_code(jwk_put_id(hostile[i], &out), ERROR_INVALID_ARGUMENT);
                assert_code(jwk_put_set(&hostile[i], 1, &out), ERROR_INVALID_ARGUMENT);
        }
}

static void a_set_that_does_not_fit_is_refused(void **state)
{
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) out = BUF_MAX(100);

        (void)state;
        assert_done(public_key_check_pem(str_of(rsa_pem), &der));
        const struct str key = buf_str(&der);
        assert_code(jwk_put_set(&key, 1, &out), ERROR_RESOURCE_EXHAUSTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_a_key_by_the_thumbprint_of_the_standard),
                cmocka_unit_test(writes_a_set_of_both_kinds),
                cmocka_unit_test(an_empty_set_is_a_set),
                cmocka_unit_test(refuses_keys_that_sign_no_tokens),
                cmocka_unit_test(a_set_that_does_not_fit_is_refused),
        };

        return cmocka_run_group_tests_name("jwk", tests, NULL, NULL);
}
