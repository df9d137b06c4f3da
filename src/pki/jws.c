/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/jws.h"

#include <openssl/evp.h>

#include "base/text.h"
#include "pki/der.h"
#include "pki/jwk.h"
#include "pki/openssl.h"
#include "pki/public_key.h"

enum {
        COORDINATE_SIZE = 32,                  /* of P-256 */
        SIGNATURE_SIZE = 2 * COORDINATE_SIZE,  /* r and s, big-endian (RFC 7518 section 3.4) */
        SIGNATURE_DER_MAX = 80,                /* the same in DER: at most 72 bytes */
        RSA_SIGNATURE_MAX = 512,               /* of a key of 4096 bits */
        SIGNING_INPUT_MAX = 64 * KiB,
};

/* ---- the key ---------------------------------------------------------------------------------------------- */

struct error *jws_put_jwk(const struct key *k, struct buf *out)
{
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        struct public_key public;

        TRY(key_public_der(k, &spki));
        TRY(public_key_of_spki(buf_str(&spki), &public));
        if (public.kind != PUBLIC_KEY_P256)
                return error_new(ERROR_INVALID_ARGUMENT, "a key for ES256 is not P-256");
        return jwk_put_required(&public, out);
}

struct error *jws_thumbprint(const struct key *k, uint8_t ret[32])
{
        AUTO(buf) jwk = BUF_MAX(PUBLIC_KEY_MAX);

        TRY(jws_put_jwk(k, &jwk));
        sha256(buf_str(&jwk), ret);
        return NULL;
}

/* ---- the signature ---------------------------------------------------------------------------------------- */

static void put_number(uint8_t out[COORDINATE_SIZE], struct str big_endian)
{
        memset(out, 0, COORDINATE_SIZE);
        memcpy(out + COORDINATE_SIZE - big_endian.len, big_endian.ptr, big_endian.len);
}

/* Converts ECDSA-Sig-Value (RFC 3279 section 2.2.3) to the form of JWS. */
static struct error *flatten(struct str der, uint8_t out[SIGNATURE_SIZE])
{
        struct reader whole = reader_over(der);
        struct reader pair = der_enter(&whole, DER_SEQUENCE);
        struct str r = der_get_unsigned(&pair);
        struct str s = der_get_unsigned(&pair);

        der_leave(&whole, &pair);
        TRY(reader_finish(&whole, "an ECDSA signature"));
        if (r.len > COORDINATE_SIZE || s.len > COORDINATE_SIZE)
                return error_new(ERROR_INVALID_ARGUMENT, "a key for ES256 is not P-256");
        put_number(out, r);
        put_number(out + COORDINATE_SIZE, s);
        return NULL;
}

/* The signature in OpenSSL's form: for an RSA key that of RS256 (PKCS #1 v1.5). */
static bool sign_sha256(const struct key *k, struct str bytes, unsigned char *out, size_t *len)
{
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        bool is_signed = EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, k->handle) == 1 &&
                         EVP_DigestSign(md, out, len, str_bytes(bytes), bytes.len) == 1;

        EVP_MD_CTX_free(md);
        return is_signed;
}

static struct error *sign(const struct key *k, struct str bytes, uint8_t out[SIGNATURE_SIZE])
{
        unsigned char der[SIGNATURE_DER_MAX];
        size_t len = sizeof der;

        if (EVP_PKEY_get_size(k->handle) > SIGNATURE_DER_MAX || !sign_sha256(k, bytes, der, &len))
                return openssl_error(ERROR_INVALID_ARGUMENT, "the key cannot sign by ES256");
        return flatten(str_of_bytes(der, len), out);
}

static struct error *put_rs256(const struct key *k, struct str bytes, struct buf *out)
{
        unsigned char signature[RSA_SIGNATURE_MAX];
        size_t len = sizeof signature;

        if (EVP_PKEY_get_size(k->handle) > RSA_SIGNATURE_MAX || !sign_sha256(k, bytes, signature, &len))
                return openssl_error(ERROR_INVALID_ARGUMENT, "the key cannot sign by RS256");
        base64url_encode(out, str_of_bytes(signature, len));
        return NULL;
}

static struct error *put_es256(const struct key *k, struct str bytes, struct buf *out)
{
        uint8_t signature[SIGNATURE_SIZE];

        TRY(sign(k, bytes, signature));
        base64url_encode(out, str_of_bytes(signature, sizeof signature));
        return NULL;
}

const char *jws_algorithm(const struct key *k)
{
        return EVP_PKEY_get_base_id(k->handle) == EVP_PKEY_RSA ? "RS256" : "ES256";
}

struct error *jws_sign_compact(const struct key *k, struct str header, struct str payload, struct buf *out)
{
        AUTO(buf) input = BUF_MAX(SIGNING_INPUT_MAX);

        base64url_encode(&input, header);
        buf_put_char(&input, '.');
        base64url_encode(&input, payload);
        TRY(buf_finish(&input, "a signed message"));
        buf_put(out, buf_str(&input));
        buf_put_char(out, '.');
        TRY(EVP_PKEY_get_base_id(k->handle) == EVP_PKEY_RSA ? put_rs256(k, buf_str(&input), out) : put_es256(k, buf_str(&input), out));
        return buf_finish(out, "a signed message");
}

struct error *jws_sign(const struct key *k, struct str header, struct str payload, struct buf *out)
{
        AUTO(buf) input = BUF_MAX(SIGNING_INPUT_MAX);
        uint8_t signature[SIGNATURE_SIZE];

        base64url_encode(&input, header);
        size_t header_len = input.len;
        buf_put_char(&input, '.');
        base64url_encode(&input, payload);
        TRY(buf_finish(&input, "a signed message"));
        TRY(sign(k, buf_str(&input), signature));
        buf_put_c(out, "{\"protected\":\"");
        buf_put(out, str_slice(buf_str(&input), 0, header_len));
        buf_put_c(out, "\",\"payload\":\"");
        buf_put(out, str_slice(buf_str(&input), header_len + 1, input.len));
        buf_put_c(out, "\",\"signature\":\"");
        base64url_encode(out, str_of_bytes(signature, sizeof signature));
        buf_put_c(out, "\"}");
        return buf_finish(out, "a signed message");
}
