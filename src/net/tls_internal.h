/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between tls_context.c, tls_stream.c, tls_peer.c and tls_refusal.c.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "net/tls.h"

/* ---- tls_context.c ------------------------------------------------------------------------------------- */

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

/* ---- tls_stream.c -------------------------------------------------------------------------------------- */

struct tls_stream {
        struct stream stream;
        struct loop *loop;
        struct tls_context *context;
        struct stream *lower; /* NULL once closed */
        SSL *ssl;
        struct tls_handshake *handshake; /* until done has been called */
        struct str in;                   /* received, not yet taken by OpenSSL */
        char *held;                      /* the memory of `in` between two events, or NULL */
        char *gathered;                  /* a loop buffer during a long write: records of one send */
        size_t gathered_len;
        struct error *end; /* to be reported by on_end or done */
        struct peer_chain *chain;
        size_t control_bytes; /* written on the peer's behalf (key updates), and not yet read by it */
        unsigned refs;        /* the owner's, pump's, and that of a deferred kick */
        bool wanted;          /* the owner reads */
        bool is_writing;      /* the owner's bytes, as opposed to OpenSSL's own */
        bool is_pumping, is_kicked;
        bool is_lower_ended, is_read_ended, is_shut, is_broken, has_ended, is_closed;
};

extern const struct stream_ops tls_ops;

BIO_METHOD *tls_bio_method_new(void);
/* Keeps err (owned) as the reason why the certificate of ssl's peer is refused; the first one stays. */
void tls_keep_refusal(SSL *ssl, struct error *err);
/* For the sentence: the name that was expected, "" when none. */
struct str tls_expected_name(SSL *ssl);

/* ---- tls_peer.c ---------------------------------------------------------------------------------------- */

void peer_chain_free(struct peer_chain *chain);

/* ---- tls_refusal.c ------------------------------------------------------------------------------------- */

/* Why the certificate that `store` stumbled over is refused. */
struct error *tls_refusal(X509_STORE_CTX *store, bool is_server, struct str expected_name) MUST_USE;

/* What OpenSSL's error queue says about a failed call; empties the queue. */
struct error *tls_failure(bool is_server) MUST_USE;

/* What came is not TLS; `bytes` are the first of it. */
struct error *tls_not_tls(bool is_server, struct str bytes) MUST_USE;

/* The server chose none of the protocols offered. */
struct error *tls_no_alpn(void) MUST_USE;

#endif
