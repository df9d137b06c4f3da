/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/login_permit.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pki/cert.h"
#include "pki/cert_check.h"
#include "pki/openssl.h"

enum { STATEMENT_MAX = 4 * KiB };

/*
 * A placeholder public key on P-256: the curve's generator (SEC 2, 2.4.2), as SubjectPublicKeyInfo (RFC 5480). Its private key is
 * public knowledge, which is harmless: no signature is verified with it.
 */
static const unsigned char some_key[] = {
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
        0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
        0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98,
        0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b,
        0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
};

struct error *login_permit_prepare(void)
{
        const unsigned char *at = some_key;
        EVP_PKEY *key = NULL;
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        bool is_ready = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1 &&
                        (key = d2i_PUBKEY(NULL, &at, sizeof some_key)) != NULL &&
                        EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1;

        EVP_MD_CTX_free(md);
        EVP_PKEY_free(key);
        return is_ready ? NULL : openssl_error(ERROR_INTERNAL, "OpenSSL cannot verify ECDSA signatures on P-256 with SHA-256");
}

static struct error *put_statement(const struct login_permit *p, struct buf *out)
{
        static const char context[] = LOGIN_PERMIT_CONTEXT;
        uint8_t digest[32];

        if (p->nonce.len != LOGIN_PERMIT_NONCE)
                return error_new(ERROR_INVALID_ARGUMENT, "the nonce of a question about a login has %d bytes", LOGIN_PERMIT_NONCE);
        sha256(p->certificate, digest);
        buf_put(out, str_of_bytes(context, sizeof context));
        buf_put_ssh_string(out, p->connection_id);
        buf_put_ssh_string(out, p->host_id);
        buf_put_ssh_string(out, p->login);
        buf_put(out, str_of_bytes(digest, sizeof digest));
        buf_put_u32(out, p->permits);
        buf_put(out, p->nonce);
        return buf_finish(out, "the statement of a login permit");
}

struct error *login_permit_sign(const struct login_permit *p, const struct key *key, struct buf *out)
{
        AUTO(buf) statement = BUF_MAX(STATEMENT_MAX);
        unsigned char signature[LOGIN_PERMIT_SIGNATURE_MAX];
        size_t len = sizeof signature;

        TRY(put_statement(p, &statement));
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        bool is_signed = EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key->handle) == 1 &&
                         EVP_DigestSign(md, signature, &len, (const unsigned char *)statement.ptr, statement.len) == 1;
        EVP_MD_CTX_free(md);
        if (!is_signed)
                return openssl_error(ERROR_INTERNAL, "the statement of a login permit cannot be signed");
        buf_put(out, str_of_bytes(signature, len));
        return buf_finish(out, "a signature");
}

static struct error *check_signature(struct str statement, struct str signature, struct str certificate)
{
        const unsigned char *at = str_bytes(certificate);
        X509 *x = certificate.len > LONG_MAX ? NULL : d2i_X509(NULL, &at, (long)certificate.len);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        bool is_good = x != NULL && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, X509_get0_pubkey(x)) == 1 &&
                       EVP_DigestVerify(md, str_bytes(signature), signature.len, str_bytes(statement), statement.len) == 1;

        EVP_MD_CTX_free(md);
        X509_free(x);
        ERR_clear_error();
        return is_good ? NULL : error_new(ERROR_UNAUTHENTICATED, "the signature is not the Auth Service's");
}

struct error *login_permit_check(const struct login_permit *p, struct str signature, struct str certificate, struct str ca,
                                 const struct ca_pins *pins, struct walltime now)
{
        AUTO(buf) statement = BUF_MAX(STATEMENT_MAX);
        AUTO_PTR(arena) a = arena_new(CERT_READ_ARENA);
        struct cert_info info;

        TRY(put_statement(p, &statement));
        if (!ca_pins_name(pins, ca))
                return error_new(ERROR_UNAUTHENTICATED, "the CA is not one of this host's cluster");
        TRY(cert_check_issuer(certificate, ca));
        TRY(cert_read(a, certificate, &info));
        if (info.is_ca || info.is_user || !str_equal(info.role, STR("Auth")))
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is not that of an Auth Service");
        if (now.ns < info.times.not_before.ns || now.ns >= info.times.not_after.ns)
                return error_new(ERROR_UNAUTHENTICATED, "the certificate of the Auth Service is not in force now");
        return check_signature(buf_str(&statement), signature, certificate);
}
