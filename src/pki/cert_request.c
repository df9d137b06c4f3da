/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/cert_request.h"

#include <limits.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/names.h"
#include "pki/openssl.h"

enum { DIGEST_SIZE = 32, DIGEST_HEADER = 2 };

static void must(bool ok)
{
        if (!ok)
                bug("OpenSSL cannot build a request: %s", ERR_reason_error_string(ERR_peek_error()));
}

/* The extension subjectAltName with these names. */
static struct error *make_names(const struct str *names, size_t count, X509_EXTENSION **ret)
{
        if (count == 0 || count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "a request needs 1 to %d names, not %zu", LIMIT_CERT_NAMES, count);
        for (size_t i = 0; i < count; i++)
                TRY(name_check_host(names[i], "certificate name"));
        GENERAL_NAMES *list = GENERAL_NAMES_new();
        must(list != NULL);
        for (size_t i = 0; i < count; i++) {
                GENERAL_NAME *name = GENERAL_NAME_new();
                ASN1_IA5STRING *text = ASN1_IA5STRING_new();

                must(name != NULL && text != NULL && ASN1_STRING_set(text, names[i].ptr, (int)names[i].len) == 1);
                GENERAL_NAME_set0_value(name, GEN_DNS, text);
                must(sk_GENERAL_NAME_push(list, name) > 0);
        }
        *ret = X509V3_EXT_i2d(NID_subject_alt_name, 0, list);
        must(*ret != NULL);
        GENERAL_NAMES_free(list);
        return NULL;
}

/* RFC 8737 section 3: an OCTET STRING of 32 bytes, whose DER is the value of the critical extension. */
static X509_EXTENSION *make_acme_identifier(const uint8_t digest[DIGEST_SIZE])
{
        unsigned char der[DIGEST_HEADER + DIGEST_SIZE] = { 0x04, DIGEST_SIZE };
        ASN1_OBJECT *type = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
        ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();

        memcpy(der + DIGEST_HEADER, digest, DIGEST_SIZE);
        must(type != NULL && value != NULL && ASN1_OCTET_STRING_set(value, der, sizeof der) == 1);
        X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, type, 1, value);
        must(extension != NULL);
        ASN1_OBJECT_free(type);
        ASN1_OCTET_STRING_free(value);
        return extension;
}

static struct error *put_der(unsigned char *der, int len, const char *what, struct buf *out)
{
        must(len > 0);
        buf_put(out, str_of_bytes(der, (size_t)len));
        OPENSSL_free(der);
        return buf_finish(out, what);
}

struct error *x509_request(const struct key *key, const struct str *names, size_t count, struct buf *out_der)
{
        X509_EXTENSION *alt_names;

        TRY(make_names(names, count, &alt_names));
        X509_REQ *request = X509_REQ_new();
        STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
        must(request != NULL && extensions != NULL && sk_X509_EXTENSION_push(extensions, alt_names) > 0);
        must(X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 && X509_REQ_set_pubkey(request, key->handle) == 1);
        must(X509_REQ_add_extensions(request, extensions) == 1);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
        bool is_signed = X509_REQ_sign(request, key->handle, EVP_sha256()) > 0;
        unsigned char *der = NULL;
        int len = is_signed ? i2d_X509_REQ(request, &der) : 0;
        X509_REQ_free(request);
        if (!is_signed)
                return openssl_error(ERROR_INVALID_ARGUMENT, "the key cannot sign a request");
        return put_der(der, len, "the request for a certificate", out_der);
}

static void set_time(ASN1_TIME *time, struct walltime t)
{
        must(ASN1_TIME_set(time, (time_t)walltime_unix(t)) != NULL);
}

struct error *x509_acme_challenge(const struct key *key, struct str name, const uint8_t digest[32], struct cert_times times,
                                  struct buf *out_der)
{
        X509_EXTENSION *alt_name, *identifier;
        uint8_t serial[16];

        TRY(make_names(&name, 1, &alt_name));
        identifier = make_acme_identifier(digest);
        random_bytes(serial, sizeof serial);
        serial[0] &= 0x7f; /* positive */
        X509 *cert = X509_new();
        BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
        must(cert != NULL && number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL);
        BN_free(number);
        must(X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, key->handle) == 1);
        set_time(X509_getm_notBefore(cert), times.not_before);
        set_time(X509_getm_notAfter(cert), times.not_after);
        must(X509_add_ext(cert, alt_name, -1) == 1 && X509_add_ext(cert, identifier, -1) == 1);
        X509_EXTENSION_free(alt_name);
        X509_EXTENSION_free(identifier);
        bool is_signed = X509_sign(cert, key->handle, EVP_sha256()) > 0;
        unsigned char *der = NULL;
        int len = is_signed ? i2d_X509(cert, &der) : 0;
        X509_free(cert);
        if (!is_signed)
                return openssl_error(ERROR_INVALID_ARGUMENT, "the key cannot sign a certificate");
        return put_der(der, len, "the certificate of a challenge", out_der);
}
