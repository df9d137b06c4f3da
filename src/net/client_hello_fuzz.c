/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: the result does not depend on how the bytes arrive: a shorter input is incomplete, not an
 * error, trailing bytes change nothing, and the same message in other records gives the same result.
 * OpenSSL must read the same values from an accepted message.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/names.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define insist(condition)                                                                                             \
        do {                                                                                                          \
                if (!(condition))                                                                                     \
                        abort();                                                                                      \
        } while (0)

static void insist_same(const struct client_hello *expected, struct str bytes)
{
        struct client_hello again;
        bool is_complete;

        insist(client_hello_parse(bytes, &again, &is_complete) == NULL && is_complete);
        insist(str_equal(again.server_name, expected->server_name) && again.alpn_count == expected->alpn_count);
        for (size_t i = 0; i < again.alpn_count; i++)
                insist(str_equal(again.alpn[i], expected->alpn[i]));
}

static void insist_waits(struct str bytes)
{
        struct client_hello hello;
        bool is_complete;

        insist(client_hello_parse(bytes, &hello, &is_complete) == NULL && !is_complete);
}

/* Finds the end of the ClientHello in the input, and copies the message without record headers. */
static size_t unwrap(struct str bytes, struct buf *message)
{
        const uint8_t *b = str_bytes(bytes);
        size_t at = 0, len = 4;

        while (message->len < len) {
                size_t fragment = (size_t)b[at + 3] << 8 | b[at + 4];

                buf_put(message, str_slice(bytes, at + 5, fragment));
                at += 5 + fragment;
                if (message->len >= 4)
                        len = 4 + ((size_t)(uint8_t)message->ptr[1] << 16 | (size_t)(uint8_t)message->ptr[2] << 8 |
                                   (uint8_t)message->ptr[3]);
        }
        return at;
}

static void wrap(struct str message, size_t step, struct buf *out)
{
        while (message.len > 0) {
                struct str fragment = str_slice(message, 0, step);

                buf_put_u8(out, 22);
                buf_put_u16(out, 0x0301);
                buf_put_u16(out, (uint16_t)fragment.len);
                buf_put(out, fragment);
                message = str_slice(message, fragment.len, message.len);
        }
}

static int on_openssl_hello(SSL *ssl, int *alert, void *ctx)
{
        const struct client_hello *hello = ctx;
        const unsigned char *ext;
        size_t len, list = 0;

        (void)alert;
        bool has_name = SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) == 1;
        insist(has_name == !str_is_empty(hello->server_name));
        /* u16 list, u8 kind, u16 length, then the name */
        insist(!has_name || str_equal(str_of_bytes(ext + 5, len - 5), hello->server_name));
        if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext, &len) == 1)
                list = len - 2;
        for (size_t i = 0; i < hello->alpn_count; i++)
                list -= 1 + hello->alpn[i].len;
        insist(list == 0);
        return SSL_CLIENT_HELLO_ERROR; /* stops the handshake: the ClientHello has been parsed */
}

static void insist_openssl_agrees(struct client_hello *hello, struct str bytes)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_client_hello_cb(ctx, on_openssl_hello, hello);
        SSL *ssl = SSL_new(ctx);
        SSL_set_bio(ssl, BIO_new_mem_buf(bytes.ptr, (int)bytes.len), BIO_new(BIO_s_null()));
        SSL_accept(ssl); /* OpenSSL may refuse a message that we accept, but must not read other values from it */
        ERR_clear_error();
        SSL_free(ssl);
        SSL_CTX_free(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct client_hello hello;
        bool is_complete;
        struct str input = str_of_bytes(data, size);
        struct error *err = client_hello_parse(input, &hello, &is_complete);

        if (err != NULL || !is_complete) {
                insist(err == NULL || !is_complete);
                error_free(err);
                return 0;
        }
        insist(str_is_empty(hello.server_name) || name_is_host(hello.server_name));
        AUTO(buf) message = BUF_MAX(CLIENT_HELLO_MAX), other = BUF_MAX(8 * CLIENT_HELLO_MAX);
        size_t end = unwrap(input, &message);
        insist(end <= size);
        insist_same(&hello, str_slice(input, 0, end));
        for (size_t len = 0; len < end; len += 1 + end / 50)
                insist_waits(str_slice(input, 0, len));
        insist_waits(str_slice(input, 0, end - 1));
        wrap(buf_str(&message), 1 + message.len / 3, &other);
        if (other.len <= CLIENT_HELLO_MAX)
                insist_same(&hello, buf_str(&other));
        insist_openssl_agrees(&hello, str_slice(input, 0, end));
        return 0;
}
