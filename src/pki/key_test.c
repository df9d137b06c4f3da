/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/pem.h"
#include "pki/pki_testing.h"
#include "pki/public_key.h"

static const enum key_kind all_kinds[] = { KEY_ECDSA_P256, KEY_ED25519, KEY_RSA_2048 };

/* ---- private keys ----------------------------------------------------------------------------------------- */

static void writes_a_key_that_it_reads_again(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(all_kinds); i++) {
                AUTO(key) key = given_key(all_kinds[i]);
                AUTO(key) again = { 0 };
                AUTO(secret) pem = { 0 };

                assert_done(key_to_pem(&key, &pem));
                assert_true(str_starts_with(secret_str(&pem), STR("-----BEGIN PRIVATE KEY-----\n")));
                assert_done(key_from_pem(&again, secret_str(&pem)));
                assert_int_equal(EVP_PKEY_eq(key.handle, again.handle), 1);
        }
}

/* A P-256 key whose private half is 1, so that it has leading zeros; its point is the base point of the curve (SEC 2). */
static struct key given_smallest_p256(void)
{
        static const char base_point[] = "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
                                         "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5";
        long len = 0;
        unsigned char *point = OPENSSL_hexstr2buf(base_point, &len);
        BIGNUM *one = BN_new();
        OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        EVP_PKEY *pkey = NULL;

        assert_int_equal(BN_one(one), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, one), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, (size_t)len), 1);
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
        assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
        assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params), 1);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(build);
        EVP_PKEY_CTX_free(ctx);
        BN_free(one);
        OPENSSL_free(point);
        return (struct key){ .handle = pkey };
}

static struct key given_p256_with(const char *parameter, const char *value)
{
        struct key key = given_key(KEY_ECDSA_P256);

        assert_int_equal(EVP_PKEY_set_utf8_string_param(key.handle, parameter, value), 1);
        return key;
}

/* Whether both halves are written as OpenSSL's encoders write them. */
static void assert_encoded_as_openssl_does(struct key key)
{
        AUTO(secret) pem = { 0 };
        AUTO(buf) ours = BUF_MAX(4 * KiB);
        AUTO(buf) theirs = BUF_MAX(4 * KiB);
        BIO *bio = BIO_new(BIO_s_mem());
        unsigned char *spki = NULL;
        char *text = NULL;

        assert_done(key_to_pem(&key, &pem));
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key.handle, NULL, NULL, 0, NULL, NULL), 1);
        long len = BIO_get_mem_data(bio, &text);
        assert_true(str_equal(secret_str(&pem), str_of_bytes(text, (size_t)len)));
        BIO_free(bio);

        struct error *our_error = key_public_der(&key, &ours);
        int spki_len = i2d_PUBKEY(key.handle, &spki);
        assert_true(spki_len > 0);
        struct error *their_error = public_key_check_der(str_of_bytes(spki, (size_t)spki_len), &theirs);
        OPENSSL_free(spki);
        assert_int_equal(our_error == NULL, their_error == NULL);
        if (our_error != NULL)
                assert_string_equal(our_error->what, their_error->what);
        assert_true(str_equal(buf_str(&ours), buf_str(&theirs)));
        error_free(our_error);
        error_free(their_error);
        key_release(&key);
}

static void encodes_keys_as_openssl_does(void **state)
{
        enum { KEYS = 512 }; /* some of them have halves or coordinates that begin with a zero */

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(all_kinds); i++)
                for (size_t n = all_kinds[i] == KEY_RSA_2048 ? KEYS - 1 : 0; n < KEYS; n++)
                        assert_encoded_as_openssl_does(given_key(all_kinds[i]));
        assert_encoded_as_openssl_does(given_smallest_p256());
        assert_encoded_as_openssl_does((struct key){ .handle = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384") });
        assert_encoded_as_openssl_does((struct key){ .handle = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521") });
        assert_encoded_as_openssl_does((struct key){ .handle = EVP_PKEY_Q_keygen(NULL, NULL, "X25519") });
        assert_encoded_as_openssl_does(given_p256_with(OSSL_PKEY_PARAM_EC_ENCODING, "explicit"));
        assert_encoded_as_openssl_does(given_p256_with(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"));
        assert_encoded_as_openssl_does(given_p256_with(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "hybrid"));
}

static void refuses_texts_without_a_usable_private_key(void **state)
{
        AUTO(key) key = { 0 };
        AUTO(key) p521 = { .handle = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521") };
        AUTO(secret) pem = { 0 };

        (void)state;
        assert_refused(key_from_pem(&key, STR("")), ERROR_INVALID_ARGUMENT, "no private key");
        assert_refused(key_from_pem(&key, STR("hello\n")), ERROR_INVALID_ARGUMENT, "no private key");

        AUTO(key) good = given_key(KEY_ECDSA_P256);
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, good.handle, EVP_aes_128_cbc(), "password", 8, NULL, NULL),
                         1);
        long len = BIO_get_mem_data(bio, &text);
        assert_refused(key_from_pem(&key, str_of_bytes(text, (size_t)len)), ERROR_INVALID_ARGUMENT, "no private key");
        BIO_free(bio);
        assert_done(key_to_pem(&p521, &pem));
        assert_refused(key_from_pem(&key, secret_str(&pem)), ERROR_INVALID_ARGUMENT, "cannot be used");
        assert_null(key.handle);
}

static void writes_keys_that_openssh_reads(void **state)
{
        AUTO(key) key = given_key(KEY_ED25519);
        AUTO(key) other = given_key(KEY_ECDSA_P256);
        AUTO(secret) text = { 0 };
        AUTO(buf) ours = BUF_MAX(1 * KiB);
        AUTO(buf) theirs = BUF_MAX(1 * KiB);
        char path[] = "/tmp/key_test.XXXXXX", line[512] = "";
        int fd = mkstemp(path);

        (void)state;
        assert_done(key_to_openssh(&key, STR("a comment"), &text));
        assert_int_equal(write(fd, text.ptr, text.len), text.len);
        close(fd);
        AUTO_MEM char *command = mem_printf("ssh-keygen -y -f %s", path);
        FILE *keygen = popen(command, "re");
        assert_non_null(fgets(line, sizeof(line), keygen));
        assert_int_equal(pclose(keygen), 0);
        unlink(path);
        assert_true(str_ends_with(str_of(line), STR(" a comment\n")));
        assert_done(public_key_check_ssh_line(str_trim(str_of(line)), &theirs));
        assert_done(key_public_ssh(&key, &ours));
        assert_true(str_equal(buf_str(&ours), buf_str(&theirs)));
        assert_refused(key_to_openssh(&other, STR(""), &text), ERROR_INVALID_ARGUMENT, "only Ed25519");
}

static void public_halves_agree_in_all_forms(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(all_kinds); i++) {
                AUTO(key) key = given_key(all_kinds[i]);
                AUTO(buf) der = BUF_MAX(4 * KiB);
                AUTO(buf) pem = BUF_MAX(4 * KiB);
                AUTO(buf) of_pem = BUF_MAX(4 * KiB);
                AUTO(buf) ssh = BUF_MAX(4 * KiB);
                struct public_key from_der, from_ssh;

                assert_done(key_public_der(&key, &der));
                assert_done(key_public_pem(&key, &pem));
                assert_done(key_public_ssh(&key, &ssh));
                assert_done(public_key_check_pem(buf_str(&pem), &of_pem));
                assert_true(str_equal(buf_str(&der), buf_str(&of_pem)));
                assert_done(public_key_of_spki(buf_str(&der), &from_der));
                assert_done(public_key_of_ssh(buf_str(&ssh), &from_ssh));
                assert_true(public_key_equal(&from_der, &from_ssh));
        }
}

/* ---- public keys from outside --------------------------------------------------------------------------------- */

/* The base point of P-256 (SEC 2), and the first key of RFC 8032 section 7.1. */
static const char *const good_lines[] = {
        "ecdsa-sha2-nistp256 "
        "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKW"
        "T+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU= someone@example and more",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
};

static void takes_lines_as_ssh_keygen_writes_them(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good_lines); i++) {
                AUTO(buf) wire = BUF_MAX(4 * KiB);
                AUTO(buf) line = BUF_MAX(4 * KiB);

                assert_done(public_key_check_ssh_line(str_of(good_lines[i]), &wire));
                assert_done(ssh_wire_to_line(buf_str(&wire), &line));
                assert_true(str_starts_with(str_of(good_lines[i]), buf_str(&line)));
        }
}

static void refuses_lines_that_say_more_or_other_than_one_key(void **state)
{
        static const struct {
                const char *line, *why;
        } cases[] = {
                { "", "not an SSH public key line" },
                { "ssh-ed25519", "not an SSH public key line" },
                { "ssh-ed25519 ????", "not an SSH public key line" },
                { "command=\"x\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
                  "not an SSH public key line" },
                { "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea", "does not have the type" },
                { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\nx y",
                  "more than one line" },
                { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1EaAA==",
                  "bytes too many" },
                { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAHw==", "ends too early" },
                { "ssh-dss AAAAB3NzaC1kc3MAAAABAQ==", "type 'ssh-dss' are not accepted" },
                { "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t",
                  "an SSH certificate" },
                { "ecdsa-sha2-nistp256 "
                  "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAzODQAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKW"
                  "T+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=",
                  "the curve is not that" },
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(buf) wire = BUF_MAX(4 * KiB);

                assert_refused(public_key_check_ssh_line(str_of(cases[i].line), &wire), ERROR_INVALID_ARGUMENT,
                               cases[i].why);
        }
}

static void given_spki(struct buf *out, const struct public_key *key)
{
        buf_clear(out);
        public_key_put_spki(key, out);
        assert_done(buf_finish(out, "the key"));
}

/* In both outer forms. */
static void assert_key_refused(const struct public_key *key, const char *why)
{
        AUTO(buf) spki = BUF_MAX(8 * KiB);
        AUTO(buf) wire = BUF_MAX(8 * KiB);
        AUTO(buf) out = BUF_MAX(8 * KiB);

        given_spki(&spki, key);
        public_key_put_ssh(key, &wire);
        assert_refused(public_key_check_der(buf_str(&spki), &out), ERROR_INVALID_ARGUMENT, why);
        assert_refused(public_key_check_ssh(buf_str(&wire), &out), ERROR_INVALID_ARGUMENT, why);
        assert_int_equal(out.len, 0);
}

static void refuses_points_that_are_not_on_their_curve(void **state)
{
        static const struct {
                enum public_key_kind kind;
                const char *curve;
                size_t size;
        } curves[] = { { PUBLIC_KEY_P256, "P-256", 65 }, { PUBLIC_KEY_P384, "P-384", 97 } };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
                AUTO(key) key = { .handle = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[i].curve) };
                AUTO(buf) spki = BUF_MAX(4 * KiB);
                char point[97];
                struct public_key k;

                assert_done(key_public_der(&key, &spki));
                assert_done(public_key_of_spki(buf_str(&spki), &k));
                assert_int_equal(k.kind, curves[i].kind);
                memcpy(point, k.point.ptr, curves[i].size);
                k.point = str_of_bytes(point, curves[i].size);
                for (size_t byte = 1; byte < curves[i].size; byte++) { /* any change leaves the curve */
                        point[byte] ^= 1;
                        assert_key_refused(&k, "not a point on its curve");
                        point[byte] ^= 1;
                }
                memset(point + 1, 0, curves[i].size - 1);
                assert_key_refused(&k, "not a point on its curve");
                memset(point + 1, 0xff, curves[i].size - 1);
                assert_key_refused(&k, "not a point on its curve");
                point[0] = 2;
                assert_key_refused(&k, "compressed form");
                point[0] = 6; /* the hybrid form, which OpenSSL would take */
                assert_key_refused(&k, "instead of");
                k.point.len = 1;
                assert_key_refused(&k, "instead of");
        }
}

static void refuses_ed25519_keys_under_which_signatures_prove_nothing(void **state)
{
        static const char *const bad[] = {
                "0000000000000000000000000000000000000000000000000000000000000000",
                "0000000000000000000000000000000000000000000000000000000000000080",
                "0100000000000000000000000000000000000000000000000000000000000000",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
                "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                "0102",
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                AUTO(buf) bytes = BUF_MAX(64);

                assert_done(hex_decode(&bytes, str_of(bad[i])));
                assert_key_refused(&(struct public_key){ .kind = PUBLIC_KEY_ED25519, .point = buf_str(&bytes) },
                                   "the Ed25519 key");
        }
}

static void refuses_rsa_keys_that_are_weak_or_heavy(void **state)
{
        uint8_t modulus[640];
        static const struct {
                const char *exponent;
                size_t exponent_len, bytes;
                uint8_t first, last;
                const char *why;
        } cases[] = {
                { "\x01\x00\x01", 3, 255, 0x80, 0x01, "2040 bits" },
                { "\x01\x00\x01", 3, 256, 0x7f, 0x01, "2047 bits" },
                { "\x01\x00\x01", 3, 513, 0x01, 0x01, "4097 bits" },
                { "\x01\x00\x01", 3, 0, 0, 0, "0 bits" },
                { "\x01\x00\x01", 3, 256, 0x80, 0x02, "divisible by 2" },
                { "\x03", 1, 256, 0x80, 0x01, "exponent" },
                { "\x01\x00\x00", 3, 256, 0x80, 0x01, "exponent" },
                { "\x80\x00\x00\x01", 4, 256, 0x80, 0x01, "exponent" },
                { "\x01\x00\x00\x00\x01", 5, 256, 0x80, 0x01, "exponent" },
                { "", 0, 256, 0x80, 0x01, "exponent" },
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                memset(modulus, 0, sizeof modulus);
                modulus[0] = cases[i].first;
                if (cases[i].bytes > 0)
                        modulus[cases[i].bytes - 1] = cases[i].last;
                assert_key_refused(
                        &(struct public_key){ .kind = PUBLIC_KEY_RSA,
                                              .modulus = str_of_bytes(modulus, cases[i].bytes),
                                              .exponent = str_of_bytes(cases[i].exponent, cases[i].exponent_len) },
                        cases[i].why);
        }

        /*
         * 251 is the last prime that is tried: 251 * (2^2047 + k), for a k that no smaller one divides the
         * product by.
         */
        AUTO(key) key = given_key(KEY_RSA_2048);
        AUTO(buf) spki = BUF_MAX(4 * KiB);
        struct public_key k;
        assert_done(key_public_der(&key, &spki));
        assert_done(public_key_of_spki(buf_str(&spki), &k));
        unsigned carry = 0;
        for (size_t byte = 257; byte > 0; byte--) {
                unsigned product = carry + (byte > 1 ? (uint8_t)k.modulus.ptr[byte - 2] * 251U : 0);
                modulus[byte - 1] = (uint8_t)product;
                carry = product >> 8;
        }
        assert_int_equal(carry, 0);
        k.modulus = str_of_bytes(modulus, 257);
        assert_key_refused(&k, "divisible by 251");
}

static void refuses_subject_public_key_infos_in_other_forms(void **state)
{
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) good = BUF_MAX(4 * KiB);
        AUTO(buf) bad = BUF_MAX(8 * KiB);
        AUTO(buf) out = BUF_MAX(8 * KiB);

        (void)state;
        assert_done(key_public_der(&key, &good));
        for (size_t len = 0; len < good.len; len++) /* cut anywhere */
                assert_refused(public_key_check_der(str_slice(buf_str(&good), 0, len), &out), ERROR_INVALID_ARGUMENT,
                               "");
        buf_put(&bad, buf_str(&good));
        buf_put_u8(&bad, 0);
        assert_refused(public_key_check_der(buf_str(&bad), &out), ERROR_INVALID_ARGUMENT, "too many");
        while (bad.len <= PUBLIC_KEY_MAX)
                buf_put_u8(&bad, 0);
        assert_refused(public_key_check_der(buf_str(&bad), &out), ERROR_INVALID_ARGUMENT, "no key we accept");

        AUTO(key) p521 = { .handle = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521") };
        AUTO(key) x25519 = { .handle = EVP_PKEY_Q_keygen(NULL, NULL, "X25519") };
        const struct key *others[] = { &p521, &x25519 };
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                unsigned char *theirs = NULL;
                int len = i2d_PUBKEY(others[i]->handle, &theirs);

                assert_refused(public_key_check_der(str_of_bytes(theirs, (size_t)len), &out), ERROR_INVALID_ARGUMENT,
                               "of a kind that is not accepted");
                OPENSSL_free(theirs);
        }

        AUTO(buf) cert = BUF_MAX(4 * KiB);
        assert_done(x509_ca_create(&key, STR("example.com"), times_of(1700000000, 1800000000), &cert));
        assert_refused(public_key_check_der(buf_str(&cert), &out), ERROR_INVALID_ARGUMENT, "");
        assert_int_equal(out.len, 0);
}

static void takes_one_pem_block_and_nothing_around_it(void **state)
{
        AUTO(key) key = given_key(KEY_RSA_2048);
        AUTO(buf) pem = BUF_MAX(8 * KiB);
        AUTO(buf) der = BUF_MAX(4 * KiB);
        AUTO(buf) pkcs1 = BUF_MAX(8 * KiB);
        AUTO(buf) out = BUF_MAX(8 * KiB);
        struct public_key k;

        (void)state;
        assert_done(key_public_pem(&key, &pem));
        assert_done(key_public_der(&key, &der));
        assert_done(public_key_of_spki(buf_str(&der), &k));

        /* PKCS#1, as its label says, or the SPKI form that some clients send under this label. */
        AUTO(buf) numbers = BUF_MAX(4 * KiB);
        public_key_put_bits(&k, &numbers);
        pem_put(&pkcs1, "RSA PUBLIC KEY", buf_str(&numbers));
        assert_done(public_key_check_pem(buf_str(&pkcs1), &out));
        assert_true(str_equal(buf_str(&out), buf_str(&der)));
        buf_clear(&pkcs1);
        buf_clear(&out);
        pem_put(&pkcs1, "RSA PUBLIC KEY", buf_str(&der));
        assert_done(public_key_check_pem(buf_str(&pkcs1), &out));
        assert_true(str_equal(buf_str(&out), buf_str(&der)));

        AUTO(buf) twice = BUF_MAX(8 * KiB);
        buf_put(&twice, buf_str(&pem));
        buf_put(&twice, buf_str(&pem));
        assert_refused(public_key_check_pem(buf_str(&twice), &out), ERROR_INVALID_ARGUMENT, "more than one PEM block");
        buf_clear(&twice);
        buf_put(&twice, STR("hello\n"));
        buf_put(&twice, buf_str(&pem));
        assert_refused(public_key_check_pem(buf_str(&twice), &out), ERROR_INVALID_ARGUMENT, "more than one PEM block");
        assert_refused(public_key_check_pem(STR(""), &out), ERROR_INVALID_ARGUMENT, "no PEM block");
        assert_refused(public_key_check_pem(STR("-----BEGIN PUBLIC KEY-----\nAAAA\n"), &out), ERROR_INVALID_ARGUMENT,
                       "no PEM block");
        assert_refused(
                public_key_check_pem(STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &out),
                ERROR_INVALID_ARGUMENT, "a 'CERTIFICATE'");
        assert_refused(
                public_key_check_pem(STR("-----BEGIN PUBLIC KEY-----\nx: y\n\nAAAA\n-----END PUBLIC KEY-----\n"), &out),
                ERROR_INVALID_ARGUMENT, "plain base64");
}

/* ---- digests and random bytes ---------------------------------------------------------------------------------- */

static void makes_uuids_that_are_host_ids_and_differ(void **state)
{
        AUTO(buf) a = BUF_MAX(64);
        AUTO(buf) b = BUF_MAX(64);

        (void)state;
        random_uuid(&a);
        random_uuid(&b);
        assert_true(name_is_host_id(buf_str(&a)));
        assert_int_equal(a.ptr[14], '4');
        assert_false(str_equal(buf_str(&a), buf_str(&b)));
}

static void digests_as_fips_180_does(void **state)
{
        AUTO(buf) hex = BUF_MAX(128);
        uint8_t digest[32];

        (void)state;
        sha256(STR("abc"), digest);
        hex_encode(&hex, str_of_bytes(digest, sizeof digest));
        assert_str(buf_str(&hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void pins_the_key_and_not_the_certificate(void **state)
{
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) one = BUF_MAX(4 * KiB);
        AUTO(buf) other = BUF_MAX(4 * KiB);
        AUTO(buf) spki = BUF_MAX(4 * KiB);
        AUTO(buf) pin = BUF_MAX(128);
        AUTO(buf) other_pin = BUF_MAX(128);
        AUTO(buf) expected = BUF_MAX(128);
        uint8_t digest[32];

        (void)state;
        assert_done(x509_ca_create(&key, STR("example.com"), times_of(1700000000, 1800000000), &one));
        assert_done(x509_ca_create(&key, STR("example.com"), times_of(1700000000, 1900000000), &other));
        assert_done(ca_pin_of_cert(buf_str(&one), &pin));
        assert_done(ca_pin_of_cert(buf_str(&other), &other_pin));
        assert_true(str_equal(buf_str(&pin), buf_str(&other_pin)));
        assert_done(key_public_der(&key, &spki));
        sha256(buf_str(&spki), digest);
        buf_put_c(&expected, "sha256:");
        hex_encode(&expected, str_of_bytes(digest, sizeof digest));
        assert_true(str_equal(buf_str(&pin), buf_str(&expected)));
        assert_refused(ca_pin_of_cert(STR("x"), &pin), ERROR_INVALID_ARGUMENT, "not an X.509 certificate");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_a_key_that_it_reads_again),
                cmocka_unit_test(encodes_keys_as_openssl_does),
                cmocka_unit_test(refuses_texts_without_a_usable_private_key),
                cmocka_unit_test(writes_keys_that_openssh_reads),
                cmocka_unit_test(public_halves_agree_in_all_forms),
                cmocka_unit_test(takes_lines_as_ssh_keygen_writes_them),
                cmocka_unit_test(refuses_lines_that_say_more_or_other_than_one_key),
                cmocka_unit_test(refuses_points_that_are_not_on_their_curve),
                cmocka_unit_test(refuses_ed25519_keys_under_which_signatures_prove_nothing),
                cmocka_unit_test(refuses_rsa_keys_that_are_weak_or_heavy),
                cmocka_unit_test(refuses_subject_public_key_infos_in_other_forms),
                cmocka_unit_test(takes_one_pem_block_and_nothing_around_it),
                cmocka_unit_test(makes_uuids_that_are_host_ids_and_differ),
                cmocka_unit_test(digests_as_fips_180_does),
                cmocka_unit_test(pins_the_key_and_not_the_certificate),
        };

        return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
