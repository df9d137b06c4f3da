/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/key.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/bug.h"
#include "base/text.h"
#include "pki/openssl.h"
#include "pki/pem.h"
#include "pki/public_key.h"

enum { KEY_PEM_MAX = 64 * KiB }; /* a key, perhaps after a chain of certificates */

struct error *key_generate(struct key *k, enum key_kind kind)
{
        EVP_PKEY *pkey = NULL;

        switch (kind) {
        case KEY_ECDSA_P256:
                pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
                break;
        case KEY_ED25519:
                pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
                break;
        case KEY_RSA_2048:
                pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
                break;
        }
        if (pkey == NULL)
                return openssl_error(ERROR_INTERNAL, "cannot make a private key");
        *k = (struct key){ .handle = pkey };
        return NULL;
}

void key_release(struct key *k)
{
        EVP_PKEY_free(k->handle);
        *k = (struct key){ 0 };
}

struct error *key_to_pem(const struct key *k, struct secret *ret_pem)
{
        BIO *bio = BIO_new(BIO_s_secmem());
        char *bytes = NULL;

        if (bio == NULL)
                bug("out of memory");
        if (PEM_write_bio_PKCS8PrivateKey(bio, k->handle, NULL, NULL, 0, NULL, NULL) != 1) {
                BIO_free(bio);
                return openssl_error(ERROR_INTERNAL, "cannot write a private key");
        }
        long len = BIO_get_mem_data(bio, &bytes);
        *ret_pem = secret_of(str_of_bytes(bytes, (size_t)len));
        BIO_free(bio);
        return NULL;
}

/* Refuses encrypted keys: OpenSSL's default would prompt for the password at the terminal. */
static int no_password(char *out, int size, int is_writing, void *ctx)
{
        (void)out, (void)size, (void)is_writing, (void)ctx;
        return -1;
}

struct error *key_from_pem(struct key *k, struct str pem)
{
        if (pem.len > KEY_PEM_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the private key's text has %zu bytes, more than %d", pem.len,
                                 KEY_PEM_MAX);
        BIO *bio = BIO_new_mem_buf(pem.len == 0 ? "" : pem.ptr, (int)pem.len);
        if (bio == NULL)
                bug("out of memory");
        EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
        BIO_free(bio);
        if (pkey == NULL)
                return error_hint(openssl_error(ERROR_INVALID_ARGUMENT, "there is no private key that can be read"),
                                  "it should be in PEM form, PKCS#8 for instance, and without a password");
        /* The public key must pass the same checks as a foreign one: kind, size, curve. */
        struct key key = { .handle = pkey };
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        struct error *err = key_public_der(&key, &spki);
        if (err != NULL) {
                key_release(&key);
                return error_wrap(err, "the private key cannot be used");
        }
        *k = key;
        return NULL;
}

struct error *key_public_der(const struct key *k, struct buf *out)
{
        unsigned char *spki = NULL;
        int len = i2d_PUBKEY(k->handle, &spki);

        if (len <= 0)
                return openssl_error(ERROR_INTERNAL, "cannot write the public half of a key");
        struct error *err = public_key_check_der(str_of_bytes(spki, (size_t)len), out);
        OPENSSL_free(spki);
        return err;
}

struct error *key_public_pem(const struct key *k, struct buf *out)
{
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);

        TRY(key_public_der(k, &spki));
        pem_put(out, "PUBLIC KEY", buf_str(&spki));
        return buf_finish(out, "the public key");
}

struct error *key_public_ssh(const struct key *k, struct buf *out)
{
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        struct public_key public;

        TRY(key_public_der(k, &spki));
        TRY(public_key_of_spki(buf_str(&spki), &public));
        public_key_put_ssh(&public, out);
        return buf_finish(out, "the SSH public key");
}
