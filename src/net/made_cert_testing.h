/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: certificates created at run time, with any names and times.
 */
#ifndef NET_MADE_CERT_TESTING_H
#define NET_MADE_CERT_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "net/tls.h"

/* A certificate with its key. */
struct made_cert {
        X509 *cert;
        EVP_PKEY *key;
        char *cert_pem, *key_pem;
};

/* The time of the tests, and the default lifetime of certificates. */
enum { TEST_TIME = 1700000000, TEST_LIFE = 3600 };

static inline char *bio_text(BIO *bio)
{
        char *bytes;
        long len = BIO_get_mem_data(bio, &bytes);
        char *text = mem_dup(bytes, (size_t)len);

        BIO_free(bio);
        return text;
}

static inline void add_extension(X509 *cert, int nid, const char *value)
{
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

        assert_non_null(ext);
        assert_int_equal(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
}

/* names: "DNS:a,IP:1.2.3.4", or NULL for a CA; issuer NULL signs itself; from and to are Unix times. */
static inline struct made_cert make_cert_at(const char *common_name, const char *names, const struct made_cert *issuer,
                                            int64_t from, int64_t to)
{
        static long serial = 1;
        struct made_cert made = { .cert = X509_new(), .key = EVP_EC_gen("P-256") };
        X509_NAME *name = X509_get_subject_name(made.cert);

        X509_set_version(made.cert, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++);
        ASN1_TIME_set(X509_getm_notBefore(made.cert), from);
        ASN1_TIME_set(X509_getm_notAfter(made.cert), to);
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
        X509_set_issuer_name(made.cert, X509_get_subject_name(issuer == NULL ? made.cert : issuer->cert));
        X509_set_pubkey(made.cert, made.key);
        add_extension(made.cert, NID_basic_constraints, names == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
        if (names != NULL)
                add_extension(made.cert, NID_subject_alt_name, names);
        assert_true(X509_sign(made.cert, issuer == NULL ? made.key : issuer->key, EVP_sha256()) > 0);
        BIO *bio = BIO_new(BIO_s_mem());
        PEM_write_bio_X509(bio, made.cert);
        made.cert_pem = bio_text(bio);
        bio = BIO_new(BIO_s_mem());
        PEM_write_bio_PKCS8PrivateKey(bio, made.key, NULL, NULL, 0, NULL, NULL);
        made.key_pem = bio_text(bio);
        return made;
}

static inline struct made_cert make_cert(const char *common_name, const char *names, const struct made_cert *issuer)
{
        return make_cert_at(common_name, names, issuer, TEST_TIME - 60, TEST_TIME + TEST_LIFE);
}

static inline void made_cert_release(struct made_cert *made)
{
        X509_free(made->cert);
        EVP_PKEY_free(made->key);
        free(made->cert_pem);
        free(made->key_pem);
        *made = (struct made_cert){ 0 };
}

static inline struct tls_identity identity_of(const struct made_cert *made)
{
        return (struct tls_identity){ str_of(made->cert_pem), str_of(made->key_pem) };
}

#endif
