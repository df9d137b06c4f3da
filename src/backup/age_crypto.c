/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/age_crypto.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/secret.h"

void age_hkdf(struct str secret, struct str salt, const char *info, uint8_t ret[32])
{
        EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
        EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
        char digest[] = "SHA256";
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, unconst(secret.ptr), secret.len),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, unconst(info), strlen(info)),
                OSSL_PARAM_construct_end(),
                OSSL_PARAM_construct_end(),
        };

        if (salt.len > 0) /* none is a salt of zeros */
                params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, unconst(salt.ptr), salt.len);
        if (ctx == NULL || EVP_KDF_derive(ctx, ret, 32, params) != 1)
                bug("OpenSSL has no HKDF");
        EVP_KDF_CTX_free(ctx);
        EVP_KDF_free(kdf);
}

bool age_x25519(const uint8_t secret[AGE_KEY_SIZE], const uint8_t *peer, uint8_t ret[AGE_KEY_SIZE])
{
        EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, AGE_KEY_SIZE);
        size_t len = AGE_KEY_SIZE;

        if (own == NULL)
                bug("OpenSSL has no X25519");
        if (peer == NULL) {
                if (EVP_PKEY_get_raw_public_key(own, ret, &len) != 1)
                        bug("OpenSSL has no X25519");
                EVP_PKEY_free(own);
                return true;
        }
        EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, AGE_KEY_SIZE);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
        bool is_done = other != NULL && ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, other) == 1 &&
                       EVP_PKEY_derive(ctx, ret, &len) == 1 && len == AGE_KEY_SIZE;
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(other);
        EVP_PKEY_free(own);
        ERR_clear_error();
        return is_done;
}

struct error *age_scrypt(struct str passphrase, const uint8_t salt[AGE_SALT_SIZE], int work, uint8_t ret[32])
{
        static const char label[] = "age-encryption.org/v1/scrypt";
        enum { BLOCK = 8, LABEL = sizeof label - 1 };
        uint8_t labelled[LABEL + AGE_SALT_SIZE];
        uint64_t rounds = (uint64_t)1 << work;

        memcpy(labelled, label, LABEL);
        memcpy(labelled + LABEL, salt, AGE_SALT_SIZE);
        int is_done = EVP_PBE_scrypt(passphrase.ptr, passphrase.len, labelled, sizeof labelled, rounds, BLOCK, 1,
                                     (128 * BLOCK) * (rounds + 64), ret, 32);
        ERR_clear_error();
        if (is_done != 1)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the passphrase needs %llu MiB of memory, which this machine does not have",
                                 (unsigned long long)(rounds * 128 * BLOCK / MiB));
        return NULL;
}

/* ---- ChaCha20-Poly1305 ------------------------------------------------------------------------------- */

struct age_cipher {
        EVP_CIPHER_CTX *ctx;
        uint8_t key[32];
};

struct age_cipher *age_cipher_new(const uint8_t key[32])
{
        struct age_cipher *c = NEW(struct age_cipher);

        memcpy(c->key, key, sizeof c->key);
        c->ctx = EVP_CIPHER_CTX_new();
        if (c->ctx == NULL)
                bug("out of memory for a cipher");
        return c;
}

void age_cipher_free(struct age_cipher *c)
{
        if (c == NULL)
                return;
        EVP_CIPHER_CTX_free(c->ctx);
        wipe(c->key, sizeof c->key);
        free(c);
}

static void start(struct age_cipher *c, uint64_t number, bool is_last, int encrypts)
{
        uint8_t nonce[12] = { 0 };

        for (int i = 0; i < 8; i++)
                nonce[10 - i] = (uint8_t)(number >> 8 * i);
        nonce[11] = is_last;
        if (EVP_CipherInit_ex(c->ctx, EVP_chacha20_poly1305(), NULL, c->key, nonce, encrypts) != 1)
                bug("OpenSSL has no ChaCha20-Poly1305");
}

void age_cipher_seal(struct age_cipher *c, uint64_t number, bool is_last, struct str in, char *out)
{
        uint8_t *to = (uint8_t *)out;
        int len = 0, end = 0;

        start(c, number, is_last, 1);
        if (EVP_EncryptUpdate(c->ctx, to, &len, str_bytes(in), (int)in.len) != 1 || EVP_EncryptFinal_ex(c->ctx, to + len, &end) != 1 ||
            EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, AGE_TAG_SIZE, to + in.len) != 1)
                bug("OpenSSL does not encrypt");
}

bool age_cipher_open(struct age_cipher *c, uint64_t number, bool is_last, struct str in, char *out)
{
        size_t size = in.len - AGE_TAG_SIZE;
        uint8_t *to = (uint8_t *)out;
        uint8_t tag[AGE_TAG_SIZE];
        int len = 0, end = 0;

        memcpy(tag, in.ptr + size, sizeof tag);
        start(c, number, is_last, 0);
        bool is_authentic = EVP_DecryptUpdate(c->ctx, to, &len, str_bytes(in), (int)size) == 1 &&
                            EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, AGE_TAG_SIZE, tag) == 1 &&
                            EVP_DecryptFinal_ex(c->ctx, to + len, &end) == 1;
        if (!is_authentic)
                wipe(out, size);
        ERR_clear_error();
        return is_authentic;
}
