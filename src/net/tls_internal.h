/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by tls_context.c, tls_stream.c, tls_peer.c and tls_refusal.c.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "net/tls.h"

/* ---- tls_context.c ------------------------------------------------------------------------------------- */

struct tls_named_identity {
        char *sni; /* NULL: the default */
        SSL_CTX *ctx;
};

struct tls_context {
        unsigned refs; /* one for the owner, one for each stream */
        bool is_server, is_internal;
        bool is_alpn_optional;
        enum tls_peer peer;
        unsigned char *alpn; /* in wire format: a length byte before each name */
        unsigned alpn_len;
        X509_STORE *trust;
        BIO_METHOD *bio; /* of the streams' BIOs */
        SSL_CTX *bare;   /* without an identity */
        char *announced; /* client: the SNI in place of the server's name, or NULL */
        struct tls_named_identity *identities;
        size_t identity_count;
};

void tls_context_unref(struct tls_context *c);

/* Names of protocols as extensions have them: a length byte before each. */
enum { TLS_ALPN_MAX = 4 * KiB };
void tls_put_alpn(struct buf *wire, const char *const *names);

/* The initial SSL_CTX: that of the default identity, or the bare one (clients only; NULL for servers). */
SSL_CTX *tls_context_default(const struct tls_context *c);

/* ---- tls_stream.c -------------------------------------------------------------------------------------- */

struct tls_stream {
        struct stream stream;
        struct loop *loop;
        struct tls_context *context;
        struct stream *lower; /* NULL once closed */
        SSL *ssl;
        struct tls_handshake *handshake; /* until done was called */
        struct str in;                   /* received bytes that OpenSSL has not read */
        char *held;                      /* the memory of `in` between two events, or NULL */
        char *gathered;                  /* a loop buffer during a long write: records of one send */
        size_t gathered_len;
        struct error *end; /* error to report by on_end or done */
        struct peer_chain *chain;
        size_t control_bytes; /* bytes sent in answer to the peer (key updates) that it has not read */
        unsigned refs;        /* one each for the owner, pump() and schedule_pump() */
        bool wanted;          /* the owner reads */
        bool is_writing;      /* true while the owner's bytes are written, not OpenSSL's own */
        bool is_pumping, is_pump_scheduled;
        bool is_lower_ended, is_read_ended, is_shut, is_broken, has_ended, is_closed;
        bool has_failed;   /* with an error */
        bool is_drain_due; /* the stream broke after its orderly end */
};

extern const struct stream_ops tls_ops;

BIO_METHOD *tls_bio_method_new(void);
/* Stores err (owned) as the reason to refuse the certificate of ssl's peer, leaf; if called again, the first one stays. */
void tls_keep_refusal(SSL *ssl, struct error *err, X509 *leaf);
/* The expected name of the peer, for messages; "" when none. */
struct str tls_expected_name(SSL *ssl);

/* ---- tls_peer.c ---------------------------------------------------------------------------------------- */

void peer_chain_free(struct peer_chain *chain);

/* ---- tls_refusal.c ------------------------------------------------------------------------------------- */

/* The error for the certificate that failed verification in `store`. */
struct error *tls_refusal(X509_STORE_CTX *store, bool is_server, struct str expected_name) MUST_USE;

/* "certificate for a, b, issued by 'CN=…', valid until …"; the caller frees. */
char *tls_certificate_text(X509 *cert) MUST_USE;

/* The error for OpenSSL's error queue after a failed call; empties the queue. */
struct error *tls_failure(bool is_server) MUST_USE;

/* The error when the peer does not send TLS; `bytes` are its first bytes. */
struct error *tls_not_tls(bool is_server, struct str bytes) MUST_USE;

/* The error when the server chose none of the offered protocols. */
struct error *tls_no_alpn(void) MUST_USE;

#endif
