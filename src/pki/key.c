/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/bug.h"
#include "base/text.h"
#include "pki/openssl.h"
#include "pki/pem.h"
#include "pki/public_key.h"

enum { KEY_PEM_MAX = 64 * KiB }; /* a key, perhaps after a chain of certificates */
enum { P256_SCALAR = 32, P256_POINT = 65, ED25519_BYTES = 32 };

/* ---- encoding without OpenSSL's encoders --------------------------------------------------------------------------------- */

/*
 * The kinds of keys that hosts make are encoded here. OpenSSL 3 has a hundred encoders; the first key that one of them writes makes it
 * create them all, and they stay in the memory of the process: 60 KiB.
 */
struct plain_key {
        struct public_key public;
        uint8_t point[P256_POINT]; /* of which `public` borrows */
};

static bool parameter_is(const EVP_PKEY *k, const char *name, const char *value)
{
        char text[64];

        return EVP_PKEY_get_utf8_string_param(k, name, text, sizeof text, NULL) == 1 && strcmp(text, value) == 0;
}

/* False for another kind, and for an EC key from a file with another form of its curve or point, which OpenSSL would write again. */
static bool is_plain_p256(const EVP_PKEY *k)
{
        return EVP_PKEY_get_base_id(k) == EVP_PKEY_EC && parameter_is(k, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1) &&
               parameter_is(k, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_GROUP) &&
               parameter_is(k, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED);
}

static bool plain_key_of(const EVP_PKEY *k, struct plain_key *ret)
{
        size_t len = sizeof ret->point;

        if (EVP_PKEY_get_base_id(k) == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_public_key(k, ret->point, &len) == 1 && len == ED25519_BYTES)
                ret->public = (struct public_key){ .kind = PUBLIC_KEY_ED25519, .point = str_of_bytes(ret->point, len) };
        else if (is_plain_p256(k) && EVP_PKEY_get_octet_string_param(k, OSSL_PKEY_PARAM_PUB_KEY, ret->point, sizeof ret->point, &len) == 1 &&
                 len == P256_POINT)
                ret->public = (struct public_key){ .kind = PUBLIC_KEY_P256, .point = str_of_bytes(ret->point, len) };
        else
                return false;
        return true;
}

/* RFC 5915, as OpenSSL writes it: without the curve, which PKCS#8 has outside, with the public key. */
static bool put_p256(const EVP_PKEY *k, const struct plain_key *plain, uint8_t **at)
{
        static const uint8_t before_scalar[] = { 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, P256_SCALAR };
        static const uint8_t before_point[] = { 0xa1, 0x44, 0x03, 0x42, 0x00 };
        BIGNUM *scalar = NULL;

        if (EVP_PKEY_get_bn_param(k, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) != 1)
                return false;
        memcpy(*at, before_scalar, sizeof before_scalar);
        *at += sizeof before_scalar;
        bool fits = BN_bn2binpad(scalar, *at, P256_SCALAR) == P256_SCALAR;
        BN_clear_free(scalar);
        *at += P256_SCALAR;
        memcpy(*at, before_point, sizeof before_point);
        *at += sizeof before_point;
        memcpy(*at, plain->point, P256_POINT);
        *at += P256_POINT;
        return fits;
}

/* RFC 8410 section 7. */
static bool put_ed25519(const EVP_PKEY *k, uint8_t **at)
{
        size_t len = ED25519_BYTES;

        *(*at)++ = 0x04;
        *(*at)++ = ED25519_BYTES;
        bool is_there = EVP_PKEY_get_raw_private_key(k, *at, &len) == 1 && len == ED25519_BYTES;
        *at += ED25519_BYTES;
        return is_there;
}

/* The key for PEM_write_bio_PKCS8_PRIV_KEY_INFO(), which wipes it when it is freed. NULL if OpenSSL has to encode it. */
static PKCS8_PRIV_KEY_INFO *plain_pkcs8(const EVP_PKEY *k)
{
        enum { ROOM = 128 };
        struct plain_key plain;

        if (!plain_key_of(k, &plain))
                return NULL;
        bool is_ec = plain.public.kind == PUBLIC_KEY_P256;
        PKCS8_PRIV_KEY_INFO *info = PKCS8_PRIV_KEY_INFO_new();
        uint8_t *bytes = OPENSSL_zalloc(ROOM), *at = bytes;
        if (info == NULL || bytes == NULL)
                bug("out of memory");
        if (!(is_ec ? put_p256(k, &plain, &at) : put_ed25519(k, &at)) ||
            PKCS8_pkey_set0(info, OBJ_nid2obj(is_ec ? NID_X9_62_id_ecPublicKey : NID_ED25519), 0, is_ec ? V_ASN1_OBJECT : V_ASN1_UNDEF,
                            is_ec ? OBJ_nid2obj(NID_X9_62_prime256v1) : NULL, bytes, (int)(at - bytes)) != 1) {
                OPENSSL_clear_free(bytes, ROOM);
                PKCS8_PRIV_KEY_INFO_free(info);
                return NULL;
        }
        return info;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------- */

struct error *key_generate(struct key *k, enum key_kind kind)
{
        EVP_PKEY *pkey = NULL;

        switch (kind) {
        case KEY_ECDSA_P256:
                pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
                break;
        case KEY_ED25519:
                pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
                break;
        case KEY_RSA_2048:
                pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
                break;
        }
        if (pkey == NULL)
                return openssl_error(ERROR_INTERNAL, "cannot make a private key");
        *k = (struct key){ .handle = pkey };
        return NULL;
}

void key_release(struct key *k)
{
        EVP_PKEY_free(k->handle);
        *k = (struct key){ 0 };
}

struct error *key_to_pem(const struct key *k, struct secret *ret_pem)
{
        BIO *bio = BIO_new(BIO_s_secmem());
        char *bytes = NULL;

        if (bio == NULL)
                bug("out of memory");
        PKCS8_PRIV_KEY_INFO *plain = plain_pkcs8(k->handle);
        bool is_written = plain != NULL ? PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, plain) == 1
                                        : PEM_write_bio_PKCS8PrivateKey(bio, k->handle, NULL, NULL, 0, NULL, NULL) == 1;
        PKCS8_PRIV_KEY_INFO_free(plain);
        if (!is_written) {
                BIO_free(bio);
                return openssl_error(ERROR_INTERNAL, "cannot write a private key");
        }
        long len = BIO_get_mem_data(bio, &bytes);
        *ret_pem = secret_of(str_of_bytes(bytes, (size_t)len));
        BIO_free(bio);
        return NULL;
}

/* Refuses encrypted keys: OpenSSL's default would prompt for the password at the terminal. */
static int no_password(char *out, int size, int is_writing, void *ctx)
{
        (void)out, (void)size, (void)is_writing, (void)ctx;
        return -1;
}

struct error *key_from_pem(struct key *k, struct str pem)
{
        if (pem.len > KEY_PEM_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the private key's text has %zu bytes, more than %d", pem.len,
                                 KEY_PEM_MAX);
        BIO *bio = BIO_new_mem_buf(pem.len == 0 ? "" : pem.ptr, (int)pem.len);
        if (bio == NULL)
                bug("out of memory");
        EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
        BIO_free(bio);
        if (pkey == NULL)
                return error_hint(openssl_error(ERROR_INVALID_ARGUMENT, "there is no private key that can be read"),
                                  "it should be in PEM form, PKCS#8 for instance, and without a password");
        /* The public key must pass the same checks as a foreign one: kind, size, curve. */
        struct key key = { .handle = pkey };
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        struct error *err = key_public_der(&key, &spki);
        if (err != NULL) {
                key_release(&key);
                return error_wrap(err, "the private key cannot be used");
        }
        *k = key;
        return NULL;
}

struct error *key_public_der(const struct key *k, struct buf *out)
{
        unsigned char *spki = NULL;
        struct plain_key plain;

        if (plain_key_of(k->handle, &plain)) {
                AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX);

                public_key_put_spki(&plain.public, &der);
                return public_key_check_der(buf_str(&der), out);
        }
        int len = i2d_PUBKEY(k->handle, &spki);

        if (len <= 0)
                return openssl_error(ERROR_INTERNAL, "cannot write the public half of a key");
        struct error *err = public_key_check_der(str_of_bytes(spki, (size_t)len), out);
        OPENSSL_free(spki);
        return err;
}

struct error *key_public_pem(const struct key *k, struct buf *out)
{
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);

        TRY(key_public_der(k, &spki));
        pem_put(out, "PUBLIC KEY", buf_str(&spki));
        return buf_finish(out, "the public key");
}

struct error *key_public_ssh(const struct key *k, struct buf *out)
{
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        struct public_key public;

        TRY(key_public_der(k, &spki));
        TRY(public_key_of_spki(buf_str(&spki), &public));
        public_key_put_ssh(&public, out);
        return buf_finish(out, "the SSH public key");
}
