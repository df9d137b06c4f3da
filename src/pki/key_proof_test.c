/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/key_proof.h"

#include <openssl/evp.h>

#include "base/mem.h"
#include "pki/pki_testing.h"
#include "pki/public_key.h"

static const enum key_kind kinds[] = { KEY_ECDSA_P256, KEY_ED25519, KEY_RSA_2048 };

static void proves_a_key_of_each_kind_and_no_other(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTO(key) key = given_key(kinds[i]), other = given_key(kinds[i]);
                AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX), proof = BUF_MAX(KEY_PROOF_MAX);
                AUTO(buf) der_of_other = BUF_MAX(PUBLIC_KEY_MAX);

                assert_done(key_prove(&key, &der, &proof));
                assert_done(key_proof_check(buf_str(&der), buf_str(&proof)));
                assert_done(key_public_der(&other, &der_of_other));
                assert_refused(key_proof_check(buf_str(&der_of_other), buf_str(&proof)), ERROR_UNAUTHENTICATED, "private half");
        }
}

static void refuses_a_proof_that_was_changed(void **state)
{
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX), proof = BUF_MAX(KEY_PROOF_MAX), longer = BUF_MAX(2 * KEY_PROOF_MAX);

        (void)state;
        assert_done(key_prove(&key, &der, &proof));
        for (size_t len = 0; len < proof.len; len++)
                assert_refused(key_proof_check(buf_str(&der), str_slice(buf_str(&proof), 0, len)), ERROR_UNAUTHENTICATED, "private half");
        for (size_t i = 0; i < proof.len; i++) {
                proof.ptr[i] ^= 1;
                assert_refused(key_proof_check(buf_str(&der), buf_str(&proof)), ERROR_UNAUTHENTICATED, "private half");
                proof.ptr[i] ^= 1;
        }
        for (size_t i = 0; i <= KEY_PROOF_MAX; i++)
                buf_put_char(&longer, 'x');
        assert_refused(key_proof_check(buf_str(&der), buf_str(&longer)), ERROR_UNAUTHENTICATED, "private half");
        assert_refused(key_proof_check(STR("no key"), buf_str(&proof)), ERROR_UNAUTHENTICATED, "private half");
        assert_refused(key_proof_check(STR(""), buf_str(&proof)), ERROR_UNAUTHENTICATED, "private half");
}

static void refuses_keys_without_a_certificate(void **state)
{
        AUTO(key) p521 = { .handle = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521") };
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX), proof = BUF_MAX(KEY_PROOF_MAX);

        (void)state;
        assert_refused(key_prove(&p521, &der, &proof), ERROR_INVALID_ARGUMENT, "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(proves_a_key_of_each_kind_and_no_other),
                cmocka_unit_test(refuses_a_proof_that_was_changed),
                cmocka_unit_test(refuses_keys_without_a_certificate),
        };

        return cmocka_run_group_tests_name("key_proof", tests, NULL, NULL);
}
