/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between tls_context.c, tls_stream.c and tls_refusal.c.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "net/tls.h"

struct tls_named_identity {
        char *sni; /* NULL: the default */
        SSL_CTX *ctx;
};

struct tls_context {
        unsigned refs; /* the owner and each stream */
        bool is_server, is_internal;
        bool is_alpn_optional;
        enum tls_peer peer;
        unsigned char *alpn; /* as on the wire: a length byte before each */
        unsigned alpn_len;
        X509_STORE *trust;
        BIO_METHOD *bio; /* of the streams' BIOs */
        SSL_CTX *bare;   /* without identity */
        struct tls_named_identity *identities;
        size_t identity_count;
};

void tls_context_unref(struct tls_context *c);

/* The SSL_CTX to begin with: the default identity's, or the bare one (clients only; NULL for servers). */
SSL_CTX *tls_context_default(const struct tls_context *c);

/* tls_stream.c */
BIO_METHOD *tls_bio_method_new(void);
/* Keeps err (owned) as the reason why the certificate of ssl's peer is refused; the first one stays. */
void tls_keep_refusal(SSL *ssl, struct error *err);
/* For the sentence: the name that was expected, "" when none. */
struct str tls_expected_name(SSL *ssl);

/* tls_refusal.c */

/* Why the certificate that `store` stumbled over is refused. */
struct error *tls_refusal(X509_STORE_CTX *store, bool is_server, struct str expected_name) MUST_USE;

/* What OpenSSL's error queue says about a failed call; empties the queue. */
struct error *tls_failure(bool is_server) MUST_USE;

/* What came is not TLS; `bytes` are the first of it. */
struct error *tls_not_tls(bool is_server, struct str bytes) MUST_USE;

/* The server chose none of the protocols offered. */
struct error *tls_no_alpn(void) MUST_USE;

#endif
