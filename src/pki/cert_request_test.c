/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/cert_request.h"

#include <openssl/x509v3.h>

#include "base/mem.h"
#include "pki/cert_check.h"
#include "pki/pki_testing.h"

static void asks_for_all_names_with_the_key(void **state)
{
        const struct str names[] = { STR("a.example.com"), STR("b.example.com") };
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) der = BUF_MAX(CERT_MAX);

        (void)state;
        assert_done(x509_request(&key, names, ARRAY_LEN(names), &der));
        const unsigned char *at = str_bytes(buf_str(&der));
        X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)der.len);
        assert_non_null(request);
        assert_ptr_equal(at, str_bytes(buf_str(&der)) + der.len);
        assert_int_equal(X509_REQ_verify(request, key.handle), 1);
        assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
        STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
        assert_int_equal(sk_X509_EXTENSION_num(extensions), 1);
        GENERAL_NAMES *list = X509V3_EXT_d2i(sk_X509_EXTENSION_value(extensions, 0));
        assert_int_equal(sk_GENERAL_NAME_num(list), ARRAY_LEN(names));
        for (int i = 0; i < (int)ARRAY_LEN(names); i++) {
                const ASN1_IA5STRING *name = sk_GENERAL_NAME_value(list, i)->d.dNSName;

                assert_true(str_equal(names[i], str_of_bytes(ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name))));
        }
        GENERAL_NAMES_free(list);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
        X509_REQ_free(request);
}

static void refuses_anything_but_a_list_of_host_names(void **state)
{
        static const struct str wrong[] = { STR_INIT(""), STR_INIT("a b"), STR_INIT("*.example.com"), STR_INIT("a\0b") };
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        struct str many[LIMIT_CERT_NAMES + 1];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
                AUTO(buf) der = BUF_MAX(CERT_MAX);

                assert_code(x509_request(&key, &wrong[i], 1, &der), ERROR_INVALID_ARGUMENT);
                assert_int_equal(der.len, 0);
        }
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        for (size_t i = 0; i < ARRAY_LEN(many); i++)
                many[i] = STR("a.example.com");
        assert_code(x509_request(&key, many, ARRAY_LEN(many), &der), ERROR_INVALID_ARGUMENT);
        assert_code(x509_request(&key, many, 0, &der), ERROR_INVALID_ARGUMENT);
}

static void a_challenge_has_one_name_and_the_digest(void **state)
{
        const uint8_t digest[32] = { 1, 2, 3, [31] = 0xff };
        /* RFC 8737 section 3: OCTET STRING of 32 bytes. */
        const uint8_t value[34] = { 0x04, 0x20, 1, 2, 3, [33] = 0xff };
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct cert_times times;

        (void)state;
        assert_done(x509_acme_challenge(&key, STR("a.example.com"), digest, times_of(1700000000, 1700100000), &der));
        assert_done(cert_check_key(buf_str(&der), &key));
        assert_true(cert_is_for_host(buf_str(&der), STR("a.example.com")));
        assert_done(cert_validity(buf_str(&der), &times));
        assert_int_equal(walltime_unix(times.not_before), 1700000000);
        assert_int_equal(walltime_unix(times.not_after), 1700100000);
        const unsigned char *at = str_bytes(buf_str(&der));
        X509 *cert = d2i_X509(NULL, &at, (long)der.len);
        ASN1_OBJECT *type = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
        int index = X509_get_ext_by_OBJ(cert, type, -1);
        assert_true(index >= 0);
        X509_EXTENSION *extension = X509_get_ext(cert, index);
        assert_int_equal(X509_EXTENSION_get_critical(extension), 1);
        const ASN1_OCTET_STRING *data = X509_EXTENSION_get_data(extension);
        assert_int_equal(ASN1_STRING_length(data), sizeof value);
        assert_memory_equal(ASN1_STRING_get0_data(data), value, sizeof value);
        assert_int_equal(X509_get_ext_count(cert), 2);
        ASN1_OBJECT_free(type);
        X509_free(cert);
}

static void reads_the_validity_of_any_certificate(void **state)
{
        static const struct {
                const char *text; /* of notAfter, as ASN.1 */
                int64_t unix_seconds;
        } cases[] = {
                { "491231235959Z", 2524607999 },       /* UTCTime ends here (RFC 5280 section 4.1.2.5.1) */
                { "20500101000000Z", 2524608000 },
                { "99991231235959Z", INT64_MAX / 1000000000 }, /* no end */
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(key) key = given_key(KEY_ECDSA_P256);
                X509 *cert = X509_new();
                unsigned char *der = NULL;
                struct cert_times times;

                X509_set_pubkey(cert, key.handle);
                assert_int_equal(ASN1_TIME_set_string(X509_getm_notBefore(cert), "700101000000Z"), 1);
                assert_int_equal(ASN1_TIME_set_string(X509_getm_notAfter(cert), cases[i].text), 1);
                assert_true(X509_sign(cert, key.handle, EVP_sha256()) > 0);
                int len = i2d_X509(cert, &der);
                assert_done(cert_validity(str_of_bytes(der, (size_t)len), &times));
                assert_int_equal(times.not_before.ns, 0);
                assert_int_equal(walltime_unix(times.not_after), cases[i].unix_seconds);
                assert_code(cert_validity(str_of_bytes(der, (size_t)len - 1), &times), ERROR_INVALID_ARGUMENT);
                assert_false(cert_is_for_host(str_of_bytes(der, (size_t)len - 1), STR("a")));
                OPENSSL_free(der);
                X509_free(cert);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(asks_for_all_names_with_the_key),
                cmocka_unit_test(refuses_anything_but_a_list_of_host_names),
                cmocka_unit_test(a_challenge_has_one_name_and_the_digest),
                cmocka_unit_test(reads_the_validity_of_any_certificate),
        };

        return cmocka_run_group_tests_name("cert_request", tests, NULL, NULL);
}
