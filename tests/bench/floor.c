/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <time.h>

#include "base/bug.h"
#include "figures.h"

enum { BURST = 8, PAUSE_MS = 25, CERT_SIZE = 500 };

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

/* ---- on a thread of its own -------------------------------------------------------------------------------- */

static struct {
        pthread_t thread;
        pthread_mutex_t mutex;
        pthread_cond_t stopped;
        bool is_stopped;
        SSL_CTX *server, *client;
        EVP_PKEY_CTX *ecdsa;
        EVP_MD_CTX *ed25519;
        struct sample handshakes, x509, ssh;
} at = { .mutex = PTHREAD_MUTEX_INITIALIZER, .stopped = PTHREAD_COND_INITIALIZER };

static void prepare(void)
{
        EVP_PKEY *ec = EVP_EC_gen("P-256"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        X509 *cert = make_cert(ec);

        at.server = context(TLS_server_method());
        at.client = context(TLS_client_method());
        at.ecdsa = EVP_PKEY_CTX_new_from_pkey(NULL, ec, NULL);
        at.ed25519 = EVP_MD_CTX_new();
        SSL_CTX_set_verify(at.client, SSL_VERIFY_NONE, NULL);
        ok(SSL_CTX_use_certificate(at.server, cert) == 1 && SSL_CTX_use_PrivateKey(at.server, ec) == 1, "an identity");
        ok(EVP_PKEY_sign_init(at.ecdsa) == 1 && EVP_DigestSignInit(at.ed25519, NULL, NULL, NULL, ed) == 1, "a signing key");
        X509_free(cert);
        EVP_PKEY_free(ec);
        EVP_PKEY_free(ed);
}

static void burst(void)
{
        unsigned char bytes[CERT_SIZE] = { 1 }, signature[80];

        for (int i = 0; i < BURST; i++)
                sample_add(&at.handshakes, shake_hands(at.server, at.client));
        for (int i = 0; i < BURST; i++) {
                size_t len = sizeof signature;
                double start = cpu_now();

                ok(EVP_PKEY_sign(at.ecdsa, signature, &len, bytes, 32) == 1, "a signature");
                sample_add(&at.x509, cpu_now() - start);
        }
        for (int i = 0; i < BURST; i++) {
                size_t len = sizeof signature;
                double start = cpu_now();

                ok(EVP_DigestSign(at.ed25519, signature, &len, bytes, sizeof bytes) == 1, "a signature");
                sample_add(&at.ssh, cpu_now() - start);
        }
}

static void *measure(void *ctx)
{
        (void)ctx;
        pthread_mutex_lock(&at.mutex);
        while (!at.is_stopped) {
                struct timespec until;

                burst();
                clock_gettime(CLOCK_REALTIME, &until);
                until.tv_nsec += PAUSE_MS * 1000000;
                until.tv_sec += until.tv_nsec / 1000000000;
                until.tv_nsec %= 1000000000;
                pthread_cond_timedwait(&at.stopped, &at.mutex, &until);
        }
        pthread_mutex_unlock(&at.mutex);
        return NULL;
}

void crypto_floor_start(void)
{
        at.is_stopped = false;
        prepare();
        ok(pthread_create(&at.thread, NULL, measure, NULL) == 0, "a thread");
}

static double take_median(struct sample *s)
{
        double median = sample_quantile(s, 0.5);

        sample_release(s);
        return median;
}

struct crypto_floor crypto_floor_stop(void)
{
        struct crypto_floor f;

        pthread_mutex_lock(&at.mutex);
        at.is_stopped = true;
        pthread_cond_signal(&at.stopped);
        pthread_mutex_unlock(&at.mutex);
        pthread_join(at.thread, NULL);
        f = (struct crypto_floor){ take_median(&at.handshakes), take_median(&at.x509), take_median(&at.ssh) };
        SSL_CTX_free(at.server);
        SSL_CTX_free(at.client);
        EVP_PKEY_CTX_free(at.ecdsa);
        EVP_MD_CTX_free(at.ed25519);
        return f;
}

double crypto_floor_sum(const struct crypto_floor *f)
{
        return f->handshake + f->x509 + f->ssh;
}
