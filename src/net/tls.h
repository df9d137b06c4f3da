/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as a stream over a stream, by OpenSSL: at least TLS 1.2 with foreign clients, 1.3
 * between our programs; no renegotiation, compression, early data or session resumption.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/clock.h"
#include "net/stream.h"

struct loop;

/* A certificate chain with its key, ready for handshakes. Contexts copy what they need of it. */
struct tls_identity {
        struct str cert_chain_pem; /* leaf first */
        struct str key_pem;        /* PKCS#8 or SEC1; secret */
};

/*
 * A context has the identities and trust of many connections. A server may have several identities, selected
 * by SNI: an exact name, or "*.suffix" for all names below suffix. The longest match is used; without a match
 * the default is used (the identity with sni NULL, otherwise the first added).
 */
struct tls_context;

enum tls_peer {
        TLS_PEER_NONE,     /* server: requests no client certificate */
        TLS_PEER_OPTIONAL, /* server: requests one; if it is sent it must be valid */
        TLS_PEER_REQUIRED, /* server: one must be sent and be valid; client: the server's must be valid for trust and name */
        TLS_PEER_UNVERIFIED, /* server: requests one by TLS 1.3, where others cannot read it, and accepts any: the caller must check it. By
                                TLS 1.2 it requests none. Clients learn the names of the CAs in trust_pem, so that browsers ask nobody */
        TLS_PEER_INSECURE, /* client only: any certificate (--insecure, and pins checked by the caller) */
};

struct tls_options {
        bool is_server;
        enum tls_peer peer;
        struct str trust_pem;        /* CA certificates; client with empty trust and REQUIRED: system roots (SSL_CERT_FILE, SSL_CERT_DIR) */
        struct str roots_pem;        /* client with the system's roots: additional ones; invalid certificates are ignored */
        const char *const *alpn;     /* NULL-terminated: the server's protocols in order of preference, or the client's offer */
        bool is_internal;            /* TLS 1.3 only */
};

struct error *tls_context_new(struct tls_options options, struct tls_context **ret) MUST_USE;
void tls_context_free(struct tls_context *c); /* open streams hold their own references */
DEFINE_AUTO_PTR(tls_context);

/*
 * Adds an identity, or replaces the one with the same sni; NULL: the default. INVALID_ARGUMENT
 * if the PEM is invalid, the key does not match, or either is too weak (below 112 bits).
 */
struct error *tls_context_add(struct tls_context *c, const char *sni, struct tls_identity id) MUST_USE;

/* Replaces the CA certificates for handshakes from now on. */
struct error *tls_context_trust(struct tls_context *c, struct str trust_pem) MUST_USE;

/* Client: the SNI of handshakes from now on, a host name, in place of the name that the certificate must have. */
void tls_context_announce(struct tls_context *c, const char *server_name);

/* Frees the CA certificates, while connections may stay open for days; a handshake that follows trusts no peer. */
void tls_context_drop_trust(struct tls_context *c);

/*
 * Handshakes over `lower` (owned from now on, also on failure). done is called exactly once from the loop:
 * with the stream, or with an error that states which side refused and the reason, with a hint if the operator
 * can act:
 *
 *   UNAUTHENTICATED      we refused the peer's certificate: expired, unknown CA, another name …
 *   PERMISSION_DENIED    the peer refused ours
 *   FAILED_PRECONDITION  no common application protocol, TLS version or cipher
 *   UNAVAILABLE          the connection ended, or the peer did not send TLS
 *   DEADLINE_EXCEEDED    not finished `within` the time
 *   INVALID_ARGUMENT     server_name is neither a host name nor an IP address, or is missing
 *
 * With TLS 1.3 a client finishes before the server has checked the client's certificate: the server's refusal
 * is then reported by on_end of the stream, with the same error.
 *
 * If a client offers protocols, one must be chosen, unless "http/1.1" is among them (a
 * server without ALPN uses it). Certificates are checked at the time of the loop's clock.
 *
 * server_name  client: SNI and, with TLS_PEER_REQUIRED, the name the certificate must have; may be an
 *              IP; may be NULL without TLS_PEER_REQUIRED. Servers: NULL
 */
struct tls_handshake;
struct tls_handshake *tls_start(struct loop *l, struct tls_context *c, struct stream *lower,
                                const char *server_name, struct duration within,
                                void (*done)(void *ctx, struct stream *tls, struct error *err),
                                void *ctx) MUST_USE;
void tls_cancel(struct tls_handshake *h); /* done is called with CANCELLED unless it was called before */

/* Client, right after tls_start(): offers these protocols in place of those of the context. */
void tls_offer(struct tls_handshake *h, const char *const *alpn);

/*
 * The application protocol that the server has chosen so far, "" for none. Also valid within done, where after a
 * failure it tells whether the server speaks what the client offered: nothing before the failure proves who it is.
 */
struct str tls_handshake_alpn(const struct tls_handshake *h);

/* Whether the handshake failed because the server speaks TLS, but none of the protocols offered. Valid within done. */
bool tls_handshake_lacks_alpn(const struct tls_handshake *h);

/*
 * The certificate of the server that was refused, described as by tls_describe(); NULL if none was. Valid within done;
 * servers do not describe their clients'.
 */
const char *tls_handshake_refused(const struct tls_handshake *h);

/* Whether a byte of the peer was received. Also valid within done. */
bool tls_handshake_is_answered(const struct tls_handshake *h);

/*
 * A TLS stream as a stream: stream_shutdown() sends close_notify and leaves the layer below open for
 * the other direction; a peer that ends the connection without close_notify gives an error, since an
 * attacker may have cut the connection.
 *
 * The functions below need an established TLS stream (any other is a bug); results are borrowed until it is closed.
 */
struct str tls_alpn(const struct stream *s);            /* "" when none was negotiated */
struct str tls_server_name(const struct stream *s);     /* server: the SNI, "" when none */
struct str tls_peer_cert_der(const struct stream *s);   /* leaf, "" when none; verified unless UNVERIFIED or INSECURE */
bool tls_hides_certificates(const struct stream *s);    /* TLS 1.3 or later: certificates are sent encrypted */
struct str tls_peer_chain_der(const struct stream *s, size_t index); /* as sent; 0 is the leaf; "" after the last */

/*
 * "TLSv1.3, certificate for a.example.com, issued by 'CN=…', valid until 2027-01-31T23:59:59Z": the version, and the certificate
 * of the peer, verified or not. Safe for terminals; the caller frees.
 */
char *tls_describe(const struct stream *s) MUST_USE;

/*
 * The channel binding tls-exporter (RFC 9266 section 2): a value known to both ends and unique to this connection.
 * False when there is no reliable one: TLS 1.2 without extended master secret.
 */
enum { TLS_CHANNEL_BINDING_SIZE = 32 };
bool tls_channel_binding(const struct stream *s, uint8_t ret[TLS_CHANNEL_BINDING_SIZE]);

/*
 * For an established server's stream, after the caller has checked the peer's certificate: frees its DER copies, since
 * a connection may be idle for days; OpenSSL keeps its own data. tls_peer_cert_der() and
 * tls_peer_chain_der() return "" from now on, and their earlier results are invalid.
 */
void tls_forget_peer(struct stream *s);

/*
 * Ends TLS in both directions at a point that the ends have agreed upon: sends `last` in TLS, and returns the stream below, owned and paused. What
 * follows there has the protection of the layers below only. The end that sends `last` sends nothing more until the other one has. There is no
 * close_notify, as the connection goes on; s is closed. NULL: s has ended, or has received bytes that were not read yet, be it a part of a record;
 * nothing was sent then, and s stays. Also from within on_read.
 */
struct stream *tls_leave(struct stream *s, struct str last) MUST_USE;

/*
 * The fields of a ClientHello, parsed without consuming it: for routing before a process that terminates TLS is chosen.
 * NULL error with *ret_complete false: more bytes are needed. RFC 8446 sections 4.1.2 and 5.1; server
 * name RFC 6066 section 3, ALPN RFC 7301 section 3.1. Bytes after the ClientHello's records are
 * ignored. INVALID_ARGUMENT if it is not a ClientHello, is longer than CLIENT_HELLO_MAX with its record
 * headers, or exceeds the limits below.
 */
enum { CLIENT_HELLO_MAX = 16 * KiB, CLIENT_HELLO_ALPN_MAX = 16, CLIENT_HELLO_TEXT_MAX = 2 * KiB };
struct client_hello {
        struct str server_name; /* "" when none; a valid host name otherwise */
        struct str alpn[CLIENT_HELLO_ALPN_MAX];
        size_t alpn_count;
        char text[CLIENT_HELLO_TEXT_MAX]; /* memory of the strings above: the struct must not be copied */
};
struct error *client_hello_parse(struct str bytes, struct client_hello *ret, bool *ret_complete) MUST_USE;

/* A stream that first delivers `bytes` (copied), then the bytes of `lower` (owned). For a peeked ClientHello. */
struct stream *stream_with_prefix(struct loop *l, struct stream *lower, struct str bytes) MUST_USE;

#endif
