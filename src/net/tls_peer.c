/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results of a handshake, and the certificates of the peer.
 */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "net/tls_internal.h"

/* The certificates in DER, encoded at the first request for them. */
struct peer_chain {
        size_t count;
        struct str der[];
};

void peer_chain_free(struct peer_chain *chain)
{
        for (size_t i = 0; chain != NULL && i < chain->count; i++)
                OPENSSL_free((void *)(uintptr_t)chain->der[i].ptr);
        free(chain);
}

static struct tls_stream *established(const struct stream *s)
{
        if (s->ops != &tls_ops)
                bug("a stream without TLS has no TLS state");
        struct tls_stream *t = CONTAINER_OF((uintptr_t)s, struct tls_stream, stream);
        if (t->handshake != NULL)
                bug("a TLS stream has no state before the end of its handshake");
        return t;
}

struct str tls_alpn(const struct stream *s)
{
        const unsigned char *name;
        unsigned len;

        SSL_get0_alpn_selected(established(s)->ssl, &name, &len);
        return str_of_bytes(name, len);
}

struct str tls_server_name(const struct stream *s)
{
        const struct tls_stream *t = established(s);

        return t->context->is_server ? str_of(SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name)) : (struct str){ 0 };
}

bool tls_channel_binding(const struct stream *s, uint8_t ret[TLS_CHANNEL_BINDING_SIZE])
{
        static const char label[] = "EXPORTER-Channel-Binding";
        static const unsigned char no_context[1] = { 0 };
        SSL *ssl = established(s)->ssl;

        if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
                return false;
        ERR_clear_error();
        bool is_there = SSL_export_keying_material(ssl, ret, TLS_CHANNEL_BINDING_SIZE, label, sizeof label - 1, no_context, 0,
                                                   1) == 1;
        ERR_clear_error();
        return is_there;
}

static struct str der_of(X509 *cert)
{
        unsigned char *der = NULL;
        int len = i2d_X509(cert, &der);

        if (len <= 0)
                bug("OpenSSL cannot write a certificate that it has read");
        return str_of_bytes(der, (size_t)len);
}

/* OpenSSL's chain includes the leaf on the client's side only; ours includes it on both sides. */
static struct peer_chain *chain_of(SSL *ssl, bool is_server)
{
        STACK_OF(X509) *sent = SSL_get_peer_cert_chain(ssl);
        X509 *leaf = SSL_get0_peer_certificate(ssl);
        int count = sent == NULL ? 0 : sk_X509_num(sent);
        struct peer_chain *chain = mem_alloc(sizeof *chain + ((size_t)count + 1) * sizeof chain->der[0]);

        if (leaf == NULL)
                return chain;
        chain->der[chain->count++] = der_of(leaf);
        for (int i = is_server ? 0 : 1; i < count; i++)
                chain->der[chain->count++] = der_of(sk_X509_value(sent, i));
        return chain;
}

struct str tls_peer_chain_der(const struct stream *s, size_t index)
{
        struct tls_stream *t = established(s);

        if (t->chain == NULL)
                t->chain = chain_of(t->ssl, t->context->is_server);
        return index < t->chain->count ? t->chain->der[index] : (struct str){ 0 };
}

bool tls_hides_certificates(const struct stream *s)
{
        return SSL_version(established(s)->ssl) >= TLS1_3_VERSION;
}

char *tls_describe(const struct stream *s)
{
        SSL *ssl = established(s)->ssl;
        X509 *leaf = SSL_get0_peer_certificate(ssl);
        AUTO_MEM char *certificate = leaf == NULL ? str_dup(STR("no certificate")) : tls_certificate_text(leaf);

        return mem_printf("%s, %s", SSL_get_version(ssl), certificate);
}

/* Frees our DER copies only. OpenSSL keeps its own session data, docs/decisions/0015-certificates-of-live-sessions.md. */
void tls_forget_peer(struct stream *s)
{
        struct tls_stream *t = established(s);

        peer_chain_free(t->chain);
        t->chain = mem_alloc(sizeof *t->chain);
}

struct str tls_peer_cert_der(const struct stream *s)
{
        return tls_peer_chain_der(s, 0);
}
