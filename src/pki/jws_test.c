/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/jws.h"

#include <openssl/evp.h>

#include "base/mem.h"
#include "base/text.h"
#include "pki/der.h"
#include "pki/pki_testing.h"

/* The key of RFC 7515 appendix A.3.1, as PKCS#8. */
static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n"
                              "H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n"
                              "7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n"
                              "-----END PRIVATE KEY-----\n";
static const char jwk[] = "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                          "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
/* The SHA-256 of that text, by another implementation. */
static const char thumbprint[] = "a0a232c2f194a53553cb1310ddbc0821e414b9d7ebfc290b323084d7d1020fe5";
/* The protected header and the payload of appendix A.3.1, and their encodings. */
static const char header[] = "{\"alg\":\"ES256\"}";
static const char payload[] = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
static const char header_encoded[] = "eyJhbGciOiJFUzI1NiJ9";
static const char payload_encoded[] = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

static void writes_the_key_of_the_standard(void **state)
{
        AUTO(key) key = { 0 };
        AUTO(buf) out = BUF_MAX(4 * KiB);
        AUTO(buf) hex = BUF_MAX(128);
        uint8_t digest[32];

        (void)state;
        assert_done(key_from_pem(&key, str_of(key_pem)));
        assert_done(jws_put_jwk(&key, &out));
        assert_string_equal(buf_c(&out), jwk);
        assert_done(jws_thumbprint(&key, digest));
        hex_encode(&hex, str_of_bytes(digest, sizeof digest));
        assert_string_equal(buf_c(&hex), thumbprint);
}

/* The text of a member of the flattened form, which has no blanks. */
static struct str member(struct str json, const char *name)
{
        AUTO_MEM char *start = mem_printf("\"%s\":\"", name);
        size_t at = 0;

        while (!str_starts_with(str_slice(json, at, json.len), str_of(start)))
                assert_true(++at < json.len);
        struct str rest = str_slice(json, at + strlen(start), json.len);
        return str_split(&rest, '"');
}

static void put_base64url(struct buf *out, struct str text)
{
        AUTO(buf) standard = BUF_MAX(4 * KiB);

        for (size_t i = 0; i < text.len; i++)
                buf_put_char(&standard, text.ptr[i] == '-' ? '+' : text.ptr[i] == '_' ? '/' : text.ptr[i]);
        while (standard.len % 4 != 0)
                buf_put_char(&standard, '=');
        assert_done(base64_decode(out, buf_str(&standard)));
}

/* Whether OpenSSL accepts r and s, of 32 bytes each, for the text. */
static bool is_signature(const struct key *key, struct str signature, struct str text)
{
        AUTO(buf) der = BUF_MAX(256);
        struct der d = der_over(&der);
        EVP_MD_CTX *md = EVP_MD_CTX_new();

        assert_int_equal(signature.len, 64);
        der_begin(&d, DER_SEQUENCE);
        der_put_unsigned(&d, str_slice(signature, 0, 32));
        der_put_unsigned(&d, str_slice(signature, 32, 32));
        der_end(&d);
        assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key->handle), 1);
        int result = EVP_DigestVerify(md, str_bytes(buf_str(&der)), der.len, str_bytes(text), text.len);
        EVP_MD_CTX_free(md);
        return result == 1;
}

static void signs_header_and_payload(void **state)
{
        AUTO(key) key = { 0 };

        (void)state;
        assert_done(key_from_pem(&key, str_of(key_pem)));
        /* Often enough for an r or an s with a leading zero, which must keep its 32 bytes: one in 128 has one. */
        for (int i = 0; i < 1000; i++) {
                AUTO(buf) out = BUF_MAX(4 * KiB);
                AUTO(buf) signature = BUF_MAX(128);

                assert_done(jws_sign(&key, str_of(header), str_of(payload), &out));
                assert_true(str_equal(member(buf_str(&out), "protected"), str_of(header_encoded)));
                assert_true(str_equal(member(buf_str(&out), "payload"), str_of(payload_encoded)));
                put_base64url(&signature, member(buf_str(&out), "signature"));
                AUTO_MEM char *input = mem_printf("%s.%s", header_encoded, payload_encoded);
                assert_true(is_signature(&key, buf_str(&signature), str_of(input)));
                assert_false(is_signature(&key, buf_str(&signature), str_of(header_encoded)));
        }
}

static void signs_an_empty_payload(void **state)
{
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) out = BUF_MAX(4 * KiB);
        AUTO(buf) signature = BUF_MAX(128);

        (void)state;
        assert_done(jws_sign(&key, str_of(header), STR(""), &out));
        assert_int_equal(member(buf_str(&out), "payload").len, 0);
        put_base64url(&signature, member(buf_str(&out), "signature"));
        AUTO_MEM char *input = mem_printf("%s.", header_encoded);
        assert_true(is_signature(&key, buf_str(&signature), str_of(input)));
}

static void refuses_other_kinds_of_keys(void **state)
{
        static const enum key_kind kinds[] = { KEY_ED25519, KEY_RSA_2048 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTO(key) key = given_key(kinds[i]);
                AUTO(buf) out = BUF_MAX(4 * KiB);
                uint8_t digest[32];

                assert_code(jws_put_jwk(&key, &out), ERROR_INVALID_ARGUMENT);
                assert_code(jws_thumbprint(&key, digest), ERROR_INVALID_ARGUMENT);
                assert_code(jws_sign(&key, str_of(header), str_of(payload), &out), ERROR_INVALID_ARGUMENT);
        }
}

static bool verifies(const struct key *key, struct str signature, struct str text)
{
        EVP_MD_CTX *md = EVP_MD_CTX_new();

        assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key->handle), 1);
        int result = EVP_DigestVerify(md, str_bytes(signature), signature.len, str_bytes(text), text.len);
        EVP_MD_CTX_free(md);
        return result == 1;
}

static void signs_in_the_compact_form(void **state)
{
        static const enum key_kind kinds[] = { KEY_ECDSA_P256, KEY_RSA_2048 };
        AUTO_MEM char *input = mem_printf("%s.%s", header_encoded, payload_encoded);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTO(key) key = given_key(kinds[i]);
                AUTO(buf) out = BUF_MAX(4 * KiB);
                AUTO(buf) signature = BUF_MAX(1 * KiB);

                assert_string_equal(jws_algorithm(&key), kinds[i] == KEY_RSA_2048 ? "RS256" : "ES256");
                assert_done(jws_sign_compact(&key, str_of(header), str_of(payload), &out));
                assert_true(str_starts_with(buf_str(&out), str_of(input)));
                assert_int_equal(out.ptr[strlen(input)], '.');
                put_base64url(&signature, str_slice(buf_str(&out), strlen(input) + 1, out.len));
                if (kinds[i] == KEY_ECDSA_P256)
                        assert_true(is_signature(&key, buf_str(&signature), str_of(input)));
                else
                        assert_true(verifies(&key, buf_str(&signature), str_of(input)));
        }
}

static void the_compact_form_refuses_other_keys_and_sizes(void **state)
{
        AUTO(key) ed25519 = given_key(KEY_ED25519);
        AUTO(key) p256 = given_key(KEY_ECDSA_P256);
        AUTO(buf) out = BUF_MAX(4 * KiB);
        AUTO(buf) small = BUF_MAX(100);

        (void)state;
        assert_code(jws_sign_compact(&ed25519, str_of(header), str_of(payload), &out), ERROR_INVALID_ARGUMENT);
        assert_code(jws_sign_compact(&p256, str_of(header), str_of(payload), &small), ERROR_RESOURCE_EXHAUSTED);
}

static void a_message_that_does_not_fit_is_refused(void **state)
{
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) out = BUF_MAX(100);

        (void)state;
        assert_code(jws_sign(&key, str_of(header), str_of(payload), &out), ERROR_RESOURCE_EXHAUSTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_the_key_of_the_standard),
                cmocka_unit_test(signs_header_and_payload),
                cmocka_unit_test(signs_an_empty_payload),
                cmocka_unit_test(refuses_other_kinds_of_keys),
                cmocka_unit_test(signs_in_the_compact_form),
                cmocka_unit_test(the_compact_form_refuses_other_keys_and_sizes),
                cmocka_unit_test(a_message_that_does_not_fit_is_refused),
        };

        return cmocka_run_group_tests_name("jws", tests, NULL, NULL);
}
