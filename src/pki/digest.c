/* SPDX-License-Identifier: Apache-2.0 */
/* Digests, random bytes, and UUIDs made from them (key.h). */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/key.h"
#include "pki/openssl.h"

/* OpenSSL looks up an algorithm by name at each use, which takes longer than the digest of a short text: this is done once. */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *md_sha256;

static void fetch(void)
{
        md_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void sha256(struct str bytes, uint8_t out[32])
{
        pthread_once(&fetched, fetch);
        if (md_sha256 == NULL || EVP_Digest(bytes.ptr, bytes.len, out, NULL, md_sha256, NULL) != 1)
                bug("OpenSSL has no SHA-256");
}

void sha1(struct str bytes, uint8_t out[20])
{
        if (EVP_Q_digest(NULL, "SHA1", NULL, bytes.ptr, bytes.len, out, NULL) != 1)
                bug("OpenSSL has no SHA-1");
}

void hmac_sha256(struct str key, struct str bytes, uint8_t out[32])
{
        if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.ptr, key.len, str_bytes(bytes), bytes.len, out, 32,
                      NULL) == NULL)
                bug("OpenSSL has no HMAC-SHA-256");
}

void random_bytes(void *out, size_t len)
{
        uint8_t *at = out;

        while (len > 0) {
                ssize_t got = getrandom(at, len, 0);

                if (got < 0 && errno != EINTR)
                        bug("the kernel has no random bytes");
                if (got > 0) {
                        at += got;
                        len -= (size_t)got;
                }
        }
}

/* Writes a UUID (RFC 9562 section 4); changes bytes. */
static void put_uuid(uint8_t bytes[16], uint8_t version, struct buf *out)
{
        static const size_t widths[] = { 4, 2, 2, 2, 6 };
        size_t at = 0;

        bytes[6] = (uint8_t)((bytes[6] & 0x0f) | version << 4);
        bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80); /* variant */
        for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
                if (i > 0)
                        buf_put_char(out, '-');
                hex_encode(out, str_of_bytes(bytes + at, widths[i]));
                at += widths[i];
        }
}

void random_uuid(struct buf *out)
{
        uint8_t bytes[16];

        random_bytes(bytes, sizeof bytes);
        put_uuid(bytes, 4, out);
}

void uuid_of(struct str bytes, struct buf *out)
{
        uint8_t digest[32];

        sha256(bytes, digest);
        put_uuid(digest, 8, out);
}

struct error *ca_pin_of_cert(struct str cert_der, struct buf *out)
{
        const unsigned char *at = str_bytes(cert_der);
        unsigned char *spki = NULL;
        uint8_t digest[32];

        if (cert_der.len > CERT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate has %zu bytes, which is too large",
                                 cert_der.len);
        X509 *x = d2i_X509(NULL, &at, (long)cert_der.len);
        int len = x == NULL ? -1 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
        X509_free(x);
        if (len <= 0)
                return openssl_error(ERROR_INVALID_ARGUMENT, "this is not an X.509 certificate");
        sha256(str_of_bytes(spki, (size_t)len), digest);
        OPENSSL_free(spki);
        buf_put(out, STR("sha256:"));
        hex_encode(out, str_of_bytes(digest, sizeof digest));
        return buf_finish(out, "the CA pin");
}
