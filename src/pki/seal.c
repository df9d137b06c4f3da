/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/seal.h"

#include <openssl/evp.h>

#include "base/bug.h"
#include "pki/key.h"
#include "pki/openssl.h"

#define PURPOSE "cteleport seal"

void key_derive(struct str secret, const char *purpose, uint8_t out[32])
{
        static const uint8_t no_salt[32];
        uint8_t extracted[32];
        AUTO(buf) info = BUF_MAX(256);

        /* One block suffices for 32 bytes: T(1) of RFC 5869 section 2.3. */
        hmac_sha256(str_of_bytes(no_salt, sizeof no_salt), secret, extracted);
        buf_put_c(&info, purpose);
        buf_put_char(&info, '\x01');
        hmac_sha256(str_of_bytes(extracted, sizeof extracted), buf_str(&info), out);
        wipe(extracted, sizeof extracted);
}

static EVP_CIPHER_CTX *begin(struct str secret, struct str context, const uint8_t nonce[SEAL_NONCE_SIZE], bool encrypts)
{
        EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
        uint8_t key[32];
        int len;

        key_derive(secret, PURPOSE, key);
        if (c == NULL || EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, encrypts) != 1 ||
            EVP_CipherUpdate(c, NULL, &len, str_bytes(context), (int)context.len) != 1)
                bug("OpenSSL has no AES-256-GCM");
        wipe(key, sizeof key);
        return c;
}

struct error *seal(struct str secret, struct str context, struct str text, struct buf *out)
{
        uint8_t nonce[SEAL_NONCE_SIZE], tag[SEAL_TAG_SIZE], sealed[SEAL_TEXT_MAX];
        int len = 0, rest = 0;

        if (text.len > sizeof sealed || context.len > SEAL_TEXT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "%zu bytes are too many to seal", text.len);
        random_bytes(nonce, sizeof nonce);
        EVP_CIPHER_CTX *c = begin(secret, context, nonce, true);
        bool is_done = EVP_CipherUpdate(c, sealed, &len, str_bytes(text), (int)text.len) == 1 && EVP_CipherFinal_ex(c, sealed + len, &rest) == 1 &&
                       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, sizeof tag, tag) == 1;
        EVP_CIPHER_CTX_free(c);
        if (!is_done)
                return openssl_error(ERROR_INTERNAL, "the text could not be sealed");
        buf_put(out, str_of_bytes(nonce, sizeof nonce));
        buf_put(out, str_of_bytes(sealed, (size_t)(len + rest)));
        buf_put(out, str_of_bytes(tag, sizeof tag));
        return buf_finish(out, "the sealed text");
}

static struct error *is_other(void)
{
        return error_new(ERROR_UNAUTHENTICATED, "the text was sealed with another secret, or was changed");
}

struct error *unseal(struct str secret, struct str context, struct str sealed, struct secret *ret)
{
        uint8_t text[SEAL_TEXT_MAX], tag[SEAL_TAG_SIZE], nonce[SEAL_NONCE_SIZE];
        size_t around = SEAL_NONCE_SIZE + SEAL_TAG_SIZE;
        int len = 0, rest = 0;

        if (sealed.len < around || sealed.len - around > sizeof text || context.len > SEAL_TEXT_MAX)
                return is_other();
        struct str inner = str_slice(sealed, SEAL_NONCE_SIZE, sealed.len - around);
        memcpy(nonce, sealed.ptr, sizeof nonce);
        memcpy(tag, sealed.ptr + sealed.len - SEAL_TAG_SIZE, sizeof tag);
        EVP_CIPHER_CTX *c = begin(secret, context, nonce, false);
        bool is_done = EVP_CipherUpdate(c, text, &len, str_bytes(inner), (int)inner.len) == 1 &&
                       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, sizeof tag, tag) == 1 && EVP_CipherFinal_ex(c, text + len, &rest) == 1;
        EVP_CIPHER_CTX_free(c);
        struct error *err = is_done ? NULL : error_because(is_other(), openssl_error(ERROR_UNAUTHENTICATED, "the tag differs"));
        if (is_done)
                *ret = secret_of(str_of_bytes(text, (size_t)(len + rest)));
        wipe(text, sizeof text);
        return err;
}
