/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/jwk.h"

#include "base/text.h"
#include "pki/key.h"
#include "pki/public_key.h"

enum { COORDINATE_SIZE = 32 }; /* of P-256 */

static void put_member(struct buf *out, const char *name, struct str bytes)
{
        buf_printf(out, ",\"%s\":\"", name);
        base64url_encode(out, bytes);
        buf_put_char(out, '"');
}

/* The members of the key itself, without the brace at the end. */
static struct error *put_members(const struct public_key *key, struct buf *out)
{
        switch (key->kind) {
        case PUBLIC_KEY_P256:
                buf_put_c(out, "{\"crv\":\"P-256\",\"kty\":\"EC\"");
                put_member(out, "x", str_slice(key->point, 1, COORDINATE_SIZE)); /* after the byte that says "uncompressed" */
                put_member(out, "y", str_slice(key->point, 1 + COORDINATE_SIZE, COORDINATE_SIZE));
                return NULL;
        case PUBLIC_KEY_RSA:
                buf_put_c(out, "{\"e\":\"");
                base64url_encode(out, key->exponent);
                buf_put_c(out, "\",\"kty\":\"RSA\"");
                put_member(out, "n", key->modulus);
                return NULL;
        default:
                return error_new(ERROR_INVALID_ARGUMENT, "a key for JSON Web Signatures is neither P-256 nor RSA");
        }
}

struct error *jwk_put_required(const struct public_key *key, struct buf *out)
{
        TRY(put_members(key, out));
        buf_put_char(out, '}');
        return buf_finish(out, "a JSON Web Key");
}

struct error *jwk_put_id(struct str spki_der, struct buf *out)
{
        AUTO(buf) required = BUF_MAX(2 * PUBLIC_KEY_MAX);
        struct public_key key;
        uint8_t digest[32];

        TRY(public_key_of_spki(spki_der, &key));
        TRY(jwk_put_required(&key, &required));
        sha256(buf_str(&required), digest);
        base64url_encode(out, str_of_bytes(digest, sizeof digest));
        return buf_finish(out, "the ID of a key");
}

static struct error *put_key(struct str spki_der, struct buf *out)
{
        struct public_key key;

        TRY(public_key_of_spki(spki_der, &key));
        TRY(put_members(&key, out));
        buf_printf(out, ",\"alg\":\"%s\",\"use\":\"sig\",\"kid\":\"", key.kind == PUBLIC_KEY_RSA ? "RS256" : "ES256");
        TRY(jwk_put_id(spki_der, out));
        buf_put_c(out, "\"}");
        return NULL;
}

struct error *jwk_put_set(const struct str *spki_ders, size_t count, struct buf *out)
{
        buf_put_c(out, "{\"keys\":[");
        for (size_t i = 0; i < count; i++) {
                if (i > 0)
                        buf_put_char(out, ',');
                TRY(put_key(spki_ders[i], out));
        }
        buf_put_c(out, "]}");
        return buf_finish(out, "a JSON Web Key Set");
}
