/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as a stream over a stream. OpenSSL with memory BIOs; at least TLS 1.2 with clients of others, 1.3
 * between our programs; no renegotiation, compression, early data or session tickets that outlive a check.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/clock.h"
#include "net/stream.h"

struct loop;

/* A certificate chain with its key, ready for use in handshakes. Reference-free: contexts copy what they need. */
struct tls_identity {
        struct str cert_chain_pem; /* leaf first */
        struct str key_pem;        /* PKCS#8 or SEC1; secret */
};

/*
 * A context holds identity and trust for many connections. Server: may hold several identities chosen
 * by SNI: an exact name, or "*.suffix" for everything below suffix; the longest wins, and without one
 * the default serves (sni NULL, or else the first added).
 */
struct tls_context;

enum tls_peer {
        TLS_PEER_NONE,     /* server: no client certificate asked */
        TLS_PEER_OPTIONAL, /* server: asked; if one is sent it must verify */
        TLS_PEER_REQUIRED, /* server: must be sent; client: the server must verify against trust and name */
        TLS_PEER_INSECURE, /* client only: any certificate (--insecure, and pins checked by the caller) */
};

struct tls_options {
        bool is_server;
        enum tls_peer peer;
        struct str trust_pem;        /* CA certificates; client with empty trust and REQUIRED: system roots (SSL_CERT_FILE, SSL_CERT_DIR) */
        struct str roots_pem;        /* client with the system's roots: more of them; what is no certificate in it is left out */
        const char *const *alpn;     /* NULL-terminated: server's supported in order of preference, client's offer */
        bool is_internal;            /* TLS 1.3 only */
};

struct error *tls_context_new(struct tls_options options, struct tls_context **ret) MUST_USE;
void tls_context_free(struct tls_context *c); /* live streams keep what they need */
DEFINE_AUTO_PTR(tls_context);

/*
 * Adds an identity, or replaces the one with the same sni; NULL is the default one. INVALID_ARGUMENT
 * if the PEM cannot be read, the key is another's, or either is too weak (below 112 bits).
 */
struct error *tls_context_add(struct tls_context *c, const char *sni, struct tls_identity id) MUST_USE;

/* Replaces the CA certificates for handshakes from now on. */
struct error *tls_context_trust(struct tls_context *c, struct str trust_pem) MUST_USE;

/*
 * Handshakes over `lower` (owned from now on, also on failure). done comes exactly once from the loop:
 * with the stream, or with an error that says which side refused what, with a hint where the operator
 * can act:
 *
 *   UNAUTHENTICATED      we refused the peer's certificate: expired, unknown CA, another name …
 *   PERMISSION_DENIED    the peer refused ours
 *   FAILED_PRECONDITION  no common application protocol, TLS version or cipher
 *   UNAVAILABLE          the connection ended, or what came is not TLS
 *   DEADLINE_EXCEEDED    not done `within`
 *   INVALID_ARGUMENT     server_name is neither a host name nor an IP address, or is missing
 *
 * With TLS 1.3 a client is done before the server has looked at its certificate: the server's refusal
 * then comes as on_end of the stream, with the same words.
 *
 * A client that offers protocols insists that one is chosen, unless "http/1.1" is among them (it is
 * what a server without ALPN speaks). Certificates are checked at the time of the loop's clock.
 *
 * server_name  client: SNI and, with TLS_PEER_REQUIRED, the name the certificate must have; may be an
 *              IP; may be NULL without TLS_PEER_REQUIRED. Servers: NULL
 */
struct tls_handshake;
struct tls_handshake *tls_start(struct loop *l, struct tls_context *c, struct stream *lower,
                                const char *server_name, struct duration within,
                                void (*done)(void *ctx, struct stream *tls, struct error *err),
                                void *ctx) MUST_USE;
void tls_cancel(struct tls_handshake *h); /* done comes with CANCELLED unless it already has */

/*
 * A TLS stream as a stream: stream_shutdown() sends close_notify and leaves the layer below open for
 * the other direction; a peer that ends the connection without close_notify gives an error, as somebody
 * else may have cut it.
 *
 * Of an established TLS stream (anything else is a bug): borrowed until it is closed.
 */
struct str tls_alpn(const struct stream *s);            /* "" when none was negotiated */
struct str tls_server_name(const struct stream *s);     /* server: the SNI, "" when none */
struct str tls_peer_cert_der(const struct stream *s);   /* leaf, "" when none; verified unless INSECURE */
struct str tls_peer_chain_der(const struct stream *s, size_t index); /* as sent; 0 is the leaf; "" past the end */

/*
 * The channel binding tls-exporter (RFC 9266 section 2): what both ends of this connection know, and of no other one.
 * False when there is none to rely on: TLS 1.2 without extended master secret.
 */
enum { TLS_CHANNEL_BINDING_SIZE = 32 };
bool tls_channel_binding(const struct stream *s, uint8_t ret[TLS_CHANNEL_BINDING_SIZE]);

/*
 * Of an established server's stream: the peer's certificate has been looked at. Gives back what it takes in
 * DER, for the rest of a connection that may idle for days; OpenSSL keeps its own. tls_peer_cert_der() and
 * tls_peer_chain_der() are "" from now on, and what they returned is gone.
 */
void tls_forget_peer(struct stream *s);

/*
 * What a ClientHello says, read without consuming it: for routing before deciding who terminates TLS.
 * NULL error with *ret_complete false: more bytes are needed. RFC 8446 sections 4.1.2 and 5.1; server
 * name RFC 6066 section 3, ALPN RFC 7301 section 3.1. Bytes behind the ClientHello's records are not
 * looked at. INVALID_ARGUMENT if it is not one, is longer than CLIENT_HELLO_MAX with its record
 * headers, or says more than fits below.
 */
enum { CLIENT_HELLO_MAX = 16 * KiB, CLIENT_HELLO_ALPN_MAX = 16, CLIENT_HELLO_TEXT_MAX = 2 * KiB };
struct client_hello {
        struct str server_name; /* "" when none; a valid host name otherwise */
        struct str alpn[CLIENT_HELLO_ALPN_MAX];
        size_t alpn_count;
        char text[CLIENT_HELLO_TEXT_MAX]; /* the strings above live here, so do not copy the struct */
};
struct error *client_hello_parse(struct str bytes, struct client_hello *ret, bool *ret_complete) MUST_USE;

/* A stream that first delivers `bytes` (copied), then what `lower` (owned) brings. For a peeked ClientHello. */
struct stream *stream_with_prefix(struct loop *l, struct stream *lower, struct str bytes) MUST_USE;

#endif
