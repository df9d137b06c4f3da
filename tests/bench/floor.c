/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

#include "base/bug.h"
#include "figures.h"

enum { ROUNDS = 400, CERT_SIZE = 500 };

static void ok(bool is_good, const char *what)
{
        if (!is_good)
                bug("OpenSSL refuses %s", what);
}

static double cpu_now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the handshake ------------------------------------------------------------------------------------------ */

static X509 *make_cert(EVP_PKEY *key)
{
        X509 *cert = X509_new();

        X509_set_version(cert, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        X509_gmtime_adj(X509_getm_notBefore(cert), 0);
        X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"bench", -1, -1, 0);
        X509_set_issuer_name(cert, X509_get_subject_name(cert));
        X509_set_pubkey(cert, key);
        ok(X509_sign(cert, key, EVP_sha256()) > 0, "a certificate");
        return cert;
}

static SSL_CTX *context(const SSL_METHOD *method)
{
        SSL_CTX *c = SSL_CTX_new(method);

        ok(c != NULL && SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256") == 1 && SSL_CTX_set1_groups_list(c, "X25519") == 1 &&
                   SSL_CTX_set_num_tickets(c, 0) == 1,
           "a context");
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
        return c;
}

/* From a new server object to the end of its handshake; the client's share is not counted. */
static double shake_hands(SSL_CTX *server_ctx, SSL_CTX *client_ctx)
{
        SSL *client = SSL_new(client_ctx);
        BIO *at_server, *at_client;
        bool is_done = false;

        ok(BIO_new_bio_pair(&at_server, 0, &at_client, 0) == 1, "a pair of buffers");
        SSL_set_bio(client, at_client, at_client);
        SSL_set_connect_state(client);
        SSL_do_handshake(client);

        double spent = -cpu_now();
        SSL *server = SSL_new(server_ctx);
        SSL_set_bio(server, at_server, at_server);
        SSL_set_accept_state(server);
        SSL_do_handshake(server);
        spent += cpu_now();
        for (int turn = 0; turn < 4 && !is_done; turn++) {
                SSL_do_handshake(client);
                spent -= cpu_now();
                is_done = SSL_do_handshake(server) == 1;
                spent += cpu_now();
        }
        ok(is_done, "a handshake");
        spent -= cpu_now();
        SSL_free(server);
        spent += cpu_now();
        SSL_free(client);
        return spent;
}

static double measure_handshake(EVP_PKEY *key)
{
        SSL_CTX *server = context(TLS_server_method()), *client = context(TLS_client_method());
        X509 *cert = make_cert(key);
        struct sample s = { 0 };

        ok(SSL_CTX_use_certificate(server, cert) == 1 && SSL_CTX_use_PrivateKey(server, key) == 1, "an identity");
        SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
        for (int i = 0; i < ROUNDS; i++)
                sample_add(&s, shake_hands(server, client));
        double median = sample_quantile(&s, 0.5);
        sample_release(&s);
        X509_free(cert);
        SSL_CTX_free(server);
        SSL_CTX_free(client);
        return median;
}

/* ---- the signatures ----------------------------------------------------------------------------------------- */

static double measure_ecdsa(EVP_PKEY *key)
{
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
        unsigned char digest[32] = { 1 }, signature[80];
        struct sample s = { 0 };

        ok(EVP_PKEY_sign_init(c) == 1, "a signing key");
        for (int i = 0; i < ROUNDS; i++) {
                size_t len = sizeof signature;
                double start = cpu_now();

                ok(EVP_PKEY_sign(c, signature, &len, digest, sizeof digest) == 1, "a signature");
                sample_add(&s, cpu_now() - start);
        }
        double median = sample_quantile(&s, 0.5);
        sample_release(&s);
        EVP_PKEY_CTX_free(c);
        return median;
}

static double measure_ed25519(EVP_PKEY *key)
{
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        unsigned char bytes[CERT_SIZE] = { 1 }, signature[64];
        struct sample s = { 0 };

        ok(EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1, "a signing key");
        for (int i = 0; i < ROUNDS; i++) {
                size_t len = sizeof signature;
                double start = cpu_now();

                ok(EVP_DigestSign(c, signature, &len, bytes, sizeof bytes) == 1, "a signature");
                sample_add(&s, cpu_now() - start);
        }
        double median = sample_quantile(&s, 0.5);
        sample_release(&s);
        EVP_MD_CTX_free(c);
        return median;
}

struct crypto_floor crypto_floor_measure(void)
{
        EVP_PKEY *ec = EVP_EC_gen("P-256"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        struct crypto_floor f = { measure_handshake(ec), measure_ecdsa(ec), measure_ed25519(ed) };

        EVP_PKEY_free(ec);
        EVP_PKEY_free(ed);
        return f;
}

double crypto_floor_sum(const struct crypto_floor *f)
{
        return f->handshake + f->x509 + f->ssh;
}
