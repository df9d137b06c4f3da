/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State shared by many TLS connections: identities, trust and protocol rules.
 *
 * Each identity is an SSL_CTX of its own, configured by the same function, and the SNI callback selects it:
 * a handshake copies nothing and parses no PEM.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/tls_internal.h"

/* Forward secrecy and AEAD only. AES-128 first: it costs least and is enough. */
static const char tls12_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
static const char tls13_ciphers[] = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
static const char groups[] = "X25519:P-256:P-384";

static void must(bool ok, const char *what)
{
        if (!ok)
                bug("OpenSSL refuses %s: %s", what, ERR_reason_error_string(ERR_peek_error()));
}

static struct error *openssl_error(const char *what)
{
        unsigned long e = ERR_peek_error();
        const char *reason = ERR_reason_error_string(e);
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "%s: %s", what, reason == NULL ? "unknown reason" : reason);

        ERR_clear_error();
        return err;
}

/* ---- PEM ----------------------------------------------------------------------------------------------- */

/* Refuses to prompt for a passphrase: our keys have none. */
static int no_passphrase(char *out, int size, int rwflag, void *ctx)
{
        (void)out;
        (void)size;
        (void)rwflag;
        (void)ctx;
        return -1;
}

static BIO *bio_over(struct str pem)
{
        BIO *bio = pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.len == 0 ? "" : pem.ptr, (int)pem.len) : NULL;

        must(bio != NULL, "a memory buffer");
        return bio;
}

/* The next certificate; *ret NULL at the end. */
static struct error *next_cert(BIO *bio, X509 **ret)
{
        ERR_clear_error();
        *ret = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (*ret != NULL)
                return NULL;
        bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        if (is_end) {
                ERR_clear_error();
                return NULL;
        }
        return openssl_error("a certificate cannot be read");
}

static struct error *add_trust(X509_STORE *store, struct str pem)
{
        BIO *bio = bio_over(pem);
        struct error *err = NULL;
        size_t count = 0;

        for (;;) {
                X509 *cert;

                err = next_cert(bio, &cert);
                if (err != NULL || cert == NULL)
                        break;
                must(X509_STORE_add_cert(store, cert), "a trusted certificate");
                X509_free(cert);
                count++;
        }
        BIO_free(bio);
        if (err == NULL && count == 0)
                err = error_new(ERROR_INVALID_ARGUMENT, "there is no CA certificate in the PEM text");
        return err;
}

/* Like OpenSSL with the system's files: an unreadable certificate is skipped and does not affect the others. */
static void add_roots(X509_STORE *store, struct str pem)
{
        BIO *bio = bio_over(pem);

        for (;;) {
                X509 *cert;
                size_t left = BIO_ctrl_pending(bio);
                struct error *err = next_cert(bio, &cert);
                bool is_end = err == NULL ? cert == NULL : BIO_ctrl_pending(bio) == left;

                error_free(err);
                if (is_end)
                        break;
                if (cert != NULL)
                        must(X509_STORE_add_cert(store, cert), "a trusted certificate");
                X509_free(cert);
        }
        BIO_free(bio);
        ERR_clear_error();
}

static struct error *store_of(const struct tls_context *c, struct str trust_pem, struct str roots_pem, X509_STORE **ret)
{
        X509_STORE *store = X509_STORE_new();

        must(store != NULL, "a certificate store");
        if (!str_is_empty(trust_pem)) {
                struct error *err = add_trust(store, trust_pem);

                if (err != NULL) {
                        X509_STORE_free(store);
                        return error_wrap(err, "trusted certificates");
                }
        } else if (!c->is_server && c->peer == TLS_PEER_REQUIRED) {
                must(X509_STORE_set_default_paths(store), "the system's roots");
                ERR_clear_error();
                add_roots(store, roots_pem);
        }
        *ret = store;
        return NULL;
}

/* ---- callbacks of OpenSSL ------------------------------------------------------------------------------ */

/* The identity with the longest name that matches; NULL if none matches. */
static SSL_CTX *identity_for(const struct tls_context *c, struct str name)
{
        SSL_CTX *found = NULL;
        size_t longest = 0;

        for (size_t i = 0; i < c->identity_count; i++) {
                struct str sni = str_of(c->identities[i].sni);
                struct str suffix = str_slice(sni, 1, sni.len); /* of "*.suffix", with the dot */

                if (str_is_empty(sni) || sni.len < longest)
                        continue;
                if (str_equal_nocase(sni, name))
                        return c->identities[i].ctx;
                if (sni.ptr[0] == '*' && name.len > suffix.len &&
                    str_equal_nocase(str_slice(name, name.len - suffix.len, suffix.len), suffix)) {
                        found = c->identities[i].ctx;
                        longest = sni.len;
                }
        }
        return found;
}

static int on_server_name(SSL *ssl, int *ret_alert, void *ctx)
{
        const struct tls_context *c = ctx;
        const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        SSL_CTX *chosen = name == NULL ? NULL : identity_for(c, str_of(name));

        (void)ret_alert;
        if (c->peer == TLS_PEER_UNVERIFIED && SSL_version(ssl) < TLS1_3_VERSION)
                SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL); /* a client certificate would be sent in the clear */
        if (chosen != NULL && chosen != SSL_get_SSL_CTX(ssl))
                must(SSL_set_SSL_CTX(ssl, chosen) != NULL, "another identity");
        return SSL_TLSEXT_ERR_OK;
}

/* Our preference decides; a client without a common protocol gets an alert (RFC 7301 section 3.2). */
static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offered,
                   unsigned offered_len, void *ctx)
{
        const struct tls_context *c = ctx;
        unsigned char *chosen;

        (void)ssl;
        if (SSL_select_next_proto(&chosen, ret_len, c->alpn, c->alpn_len, offered, offered_len) !=
            OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_ALERT_FATAL;
        *ret = chosen;
        return SSL_TLSEXT_ERR_OK;
}

static int on_verified(int is_good, X509_STORE_CTX *store)
{
        if (!is_good) {
                SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

                tls_keep_refusal(ssl, tls_refusal(store, SSL_is_server(ssl), tls_expected_name(ssl)),
                                 X509_STORE_CTX_get0_cert(store));
        }
        return is_good;
}

/* ---- contexts ------------------------------------------------------------------------------------------ */

static int verify_mode(const struct tls_context *c)
{
        switch (c->peer) {
        case TLS_PEER_OPTIONAL:
        case TLS_PEER_UNVERIFIED:
                return SSL_VERIFY_PEER;
        case TLS_PEER_REQUIRED:
                return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        default:
                return SSL_VERIFY_NONE;
        }
}

static int accept_any(X509_STORE_CTX *store, void *ctx)
{
        (void)store;
        (void)ctx;
        return 1;
}

/* Requests certificates of the trusted CAs, and accepts any. */
static void request_unverified(const struct tls_context *c, SSL_CTX *ctx)
{
        STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(c->trust);

        SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
        for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++)
                must(SSL_CTX_add_client_CA(ctx, X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i))), "the name of a CA");
}

static SSL_CTX *ctx_new(struct tls_context *c)
{
        SSL_CTX *ctx = SSL_CTX_new(c->is_server ? TLS_server_method() : TLS_client_method());

        must(ctx != NULL, "a context");
        SSL_CTX_set_security_level(ctx, 2);
        must(SSL_CTX_set_min_proto_version(ctx, c->is_internal ? TLS1_3_VERSION : TLS1_2_VERSION), "the TLS version");
        must(SSL_CTX_set_cipher_list(ctx, tls12_ciphers), "the ciphers");
        must(SSL_CTX_set_ciphersuites(ctx, tls13_ciphers), "the ciphers");
        must(SSL_CTX_set1_groups_list(ctx, groups), "the groups");
        /*
         * Resumption is disabled in every form: a resumed session would skip the check of the peer's
         * certificate, which may be locked or expired by now.
         */
        SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(ctx, 0);
        /* Idle connections free their record buffers; the chain is sent exactly as configured. */
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
        SSL_CTX_set_max_cert_list(ctx, LIMIT_TLS_CHAIN);
        SSL_CTX_set_verify_depth(ctx, LIMIT_TLS_DEPTH);
        int mode = verify_mode(c);
        SSL_CTX_set_verify(ctx, mode, mode == SSL_VERIFY_NONE ? NULL : on_verified);
        if (c->peer == TLS_PEER_UNVERIFIED)
                request_unverified(c, ctx);
        X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
        /* Any certificate that the operator trusts is a trust anchor, even if it is not a root. */
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_CTX_set1_cert_store(ctx, c->trust);
        if (c->is_server) {
                SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
                SSL_CTX_set_tlsext_servername_arg(ctx, c);
                if (c->alpn_len > 0)
                        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, c);
        } else if (c->alpn_len > 0) {
                must(SSL_CTX_set_alpn_protos(ctx, c->alpn, c->alpn_len) == 0, "the application protocols");
        }
        return ctx;
}

void tls_put_alpn(struct buf *wire, const char *const *names)
{
        for (; names != NULL && *names != NULL; names++) {
                struct str name = str_of(*names);

                if (name.len == 0 || name.len > 255)
                        bug("'%s' is not an application protocol", *names);
                buf_put_u8(wire, (uint8_t)name.len);
                buf_put(wire, name);
        }
}

static void set_alpn(struct tls_context *c, const char *const *names)
{
        AUTO(buf) wire = BUF_MAX(TLS_ALPN_MAX);

        tls_put_alpn(&wire, names);
        for (; names != NULL && *names != NULL; names++)
                if (str_equal(str_of(*names), STR("http/1.1")))
                        c->is_alpn_optional = true;
        c->alpn_len = (unsigned)wire.len;
        c->alpn = (unsigned char *)buf_take(&wire);
}

struct error *tls_context_new(struct tls_options options, struct tls_context **ret)
{
        struct tls_context *c;

        if (options.is_server ? options.peer == TLS_PEER_INSECURE : options.peer == TLS_PEER_OPTIONAL || options.peer == TLS_PEER_UNVERIFIED)
                bug("TLS peer mode %d does not fit this side", options.peer);
        /* Neither openssl.cnf nor the environment may change the configuration. */
        must(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL), "to begin");
        c = NEW(struct tls_context);
        c->refs = 1;
        c->is_server = options.is_server;
        c->is_internal = options.is_internal;
        c->peer = options.peer;
        struct error *err = store_of(c, options.trust_pem, options.roots_pem, &c->trust);
        if (err != NULL) {
                free(c);
                return err;
        }
        set_alpn(c, options.alpn);
        c->bio = tls_bio_method_new();
        c->bare = ctx_new(c);
        *ret = c;
        return NULL;
}

void tls_context_unref(struct tls_context *c)
{
        if (--c->refs > 0)
                return;
        for (size_t i = 0; i < c->identity_count; i++) {
                SSL_CTX_free(c->identities[i].ctx);
                free(c->identities[i].sni);
        }
        free(c->identities);
        SSL_CTX_free(c->bare);
        X509_STORE_free(c->trust);
        BIO_meth_free(c->bio);
        free(c->alpn);
        free(c->announced);
        free(c);
}

void tls_context_free(struct tls_context *c)
{
        if (c != NULL)
                tls_context_unref(c);
}

void tls_context_announce(struct tls_context *c, const char *server_name)
{
        free(c->announced);
        c->announced = str_dup(str_of(server_name));
}

SSL_CTX *tls_context_default(const struct tls_context *c)
{
        for (size_t i = 0; i < c->identity_count; i++)
                if (c->identities[i].sni == NULL)
                        return c->identities[i].ctx;
        if (c->identity_count > 0)
                return c->identities[0].ctx;
        return c->is_server ? NULL : c->bare;
}

/* store: owned from now on. */
static void use_trust(struct tls_context *c, X509_STORE *store)
{
        X509_STORE_free(c->trust);
        c->trust = store;
        SSL_CTX_set1_cert_store(c->bare, store);
        for (size_t i = 0; i < c->identity_count; i++)
                SSL_CTX_set1_cert_store(c->identities[i].ctx, store);
}

struct error *tls_context_trust(struct tls_context *c, struct str trust_pem)
{
        X509_STORE *store;

        TRY(store_of(c, trust_pem, (struct str){ 0 }, &store));
        use_trust(c, store);
        return NULL;
}

void tls_context_drop_trust(struct tls_context *c)
{
        X509_STORE *empty = X509_STORE_new();

        must(empty != NULL, "a certificate store");
        use_trust(c, empty);
}

/* ---- identities ---------------------------------------------------------------------------------------- */

static struct error *use_chain(SSL_CTX *ctx, struct str pem)
{
        BIO *bio = bio_over(pem);
        struct error *err = NULL;
        X509 *cert = NULL;
        bool is_leaf = true;

        for (;;) {
                err = next_cert(bio, &cert);
                if (err != NULL || cert == NULL)
                        break;
                if (is_leaf ? SSL_CTX_use_certificate(ctx, cert) != 1 : SSL_CTX_add1_chain_cert(ctx, cert) != 1) {
                        err = openssl_error("the certificate is refused");
                        break;
                }
                is_leaf = false;
                X509_free(cert);
        }
        X509_free(cert);
        BIO_free(bio);
        if (err == NULL && is_leaf)
                err = error_hint(error_new(ERROR_INVALID_ARGUMENT, "there is no certificate in the PEM text"),
                                 str_contains(pem, STR("PRIVATE KEY-----"))
                                         ? "name the file of the certificate; the names of key and certificate may be swapped"
                                         : "name a file that holds a certificate in PEM");
        return err;
}

/* The error for a file without a key: names its actual content, as far as the labels (RFC 7468) show. */
static struct error *unreadable_key(struct str pem)
{
        if (str_contains(pem, STR("ENCRYPTED")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the private key cannot be read: it is encrypted with a passphrase"),
                                  "store it without one, readable by root only: openssl pkey -in KEY -out NEW");
        if (str_contains(pem, STR("-----BEGIN CERTIFICATE-----")) && !str_contains(pem, STR("PRIVATE KEY-----")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the private key cannot be read: the file holds a certificate"),
                                  "name the file of the key; the names of key and certificate may be swapped");
        return error_hint(openssl_error("the private key cannot be read"), "name a file that holds a private key in PEM");
}

static struct error *use_key(SSL_CTX *ctx, struct str pem)
{
        BIO *bio = bio_over(pem);

        ERR_clear_error();
        EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        BIO_free(bio);
        if (key == NULL) {
                struct error *unreadable = unreadable_key(pem);

                ERR_clear_error(); /* an error left in the queue would be taken for one of a connection */
                return unreadable;
        }
        struct error *err = NULL;
        if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
                err = error_hint(openssl_error("the private key and the certificate are not a pair"),
                                 "name the key that the certificate was issued for: 'openssl x509 -noout -pubkey -in CERT' and "
                                 "'openssl pkey -pubout -in KEY' must print the same");
        EVP_PKEY_free(key);
        return err;
}

static struct error *ctx_with_identity(struct tls_context *c, struct tls_identity id, SSL_CTX **ret)
{
        SSL_CTX *ctx = ctx_new(c);
        struct error *err = use_chain(ctx, id.cert_chain_pem);

        if (err == NULL)
                err = use_key(ctx, id.key_pem);
        if (err != NULL) {
                SSL_CTX_free(ctx);
                return err;
        }
        *ret = ctx;
        return NULL;
}

struct error *tls_context_add(struct tls_context *c, const char *sni, struct tls_identity id)
{
        SSL_CTX *ctx;

        TRY(ctx_with_identity(c, id, &ctx));
        for (size_t i = 0; i < c->identity_count; i++) {
                struct tls_named_identity *known = &c->identities[i];

                if (sni == NULL ? known->sni == NULL : str_equal_nocase(str_of(known->sni), str_of(sni))) {
                        SSL_CTX_free(known->ctx); /* running handshakes hold their own reference */
                        known->ctx = ctx;
                        return NULL;
                }
        }
        c->identities = mem_resize(c->identities, c->identity_count + 1, sizeof *c->identities);
        c->identities[c->identity_count++] = (struct tls_named_identity){
                .sni = sni == NULL ? NULL : str_dup(str_of(sni)),
                .ctx = ctx,
        };
        return NULL;
}
