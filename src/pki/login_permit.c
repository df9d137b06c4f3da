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

struct error *login_permit_prepare(void)
{
        EVP_MD *md = NULL;

        if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1)
                md = EVP_MD_fetch(NULL, "SHA256", NULL);
        if (md == NULL)
                return openssl_error(ERROR_INTERNAL, "OpenSSL has no SHA-256");
        EVP_MD_free(md);
        return NULL;
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
        return buf_finish(out, "what is said of a login");
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
                return openssl_error(ERROR_INTERNAL, "what is said of a login cannot be signed");
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
