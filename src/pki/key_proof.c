/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/key_proof.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pki/openssl.h"
#include "pki/public_key.h"

static const unsigned char context[] = KEY_PROOF_CONTEXT;

/* NULL for Ed25519, which has a built-in digest. */
static const EVP_MD *digest_of(const EVP_PKEY *key)
{
        return EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
}

static struct error *sign(EVP_PKEY *key, struct buf *out)
{
        unsigned char signature[KEY_PROOF_MAX];
        size_t len = sizeof signature;
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        bool is_signed = EVP_DigestSignInit(md, NULL, digest_of(key), NULL, key) == 1 &&
                         EVP_DigestSign(md, signature, &len, context, sizeof context) == 1;

        EVP_MD_CTX_free(md);
        if (!is_signed)
                return openssl_error(ERROR_INTERNAL, "the key cannot sign");
        buf_put(out, str_of_bytes(signature, len));
        return buf_finish(out, "a signature");
}

struct error *key_prove(const struct key *k, struct buf *ret_public_der, struct buf *ret_proof)
{
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX);

        TRY(key_public_der(k, &der));
        TRY(public_key_check_der(buf_str(&der), ret_public_der));
        return sign(k->handle, ret_proof);
}

struct error *key_proof_check(struct str public_der, struct str proof)
{
        const unsigned char *at = str_bytes(public_der);
        EVP_PKEY *key = public_der.len > LONG_MAX ? NULL : d2i_PUBKEY(NULL, &at, (long)public_der.len);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        bool is_good = key != NULL && proof.len <= KEY_PROOF_MAX && EVP_DigestVerifyInit(md, NULL, digest_of(key), NULL, key) == 1 &&
                       EVP_DigestVerify(md, str_bytes(proof), proof.len, context, sizeof context) == 1;

        EVP_MD_CTX_free(md);
        EVP_PKEY_free(key);
        ERR_clear_error();
        return is_good ? NULL : error_new(ERROR_UNAUTHENTICATED, "the proof is not by the private half of the key");
}
