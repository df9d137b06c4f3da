/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys in OpenSSH's format (its PROTOCOL.key), the only format in which older releases of OpenSSH read Ed25519 keys. */
#include <openssl/evp.h>

#include "base/text.h"
#include "pki/key.h"
#include "pki/openssl.h"

enum {
        ED25519_SEED = 32,
        ED25519_PUBLIC = 32,
        CIPHER_BLOCK = 8,    /* of the cipher "none" */
        LINE = 70,           /* of base64, as ssh-keygen breaks them */
        COMMENT_MAX = 256,
        BLOB_MAX = 1 * KiB,
        TEXT_MAX = 2 * KiB,
};

/* A buffer that is never reallocated while it grows, so that it must be wiped only once. */
static struct buf private_buf(size_t max)
{
        struct buf b = BUF_MAX(max);

        (void)buf_extend(&b, max - 1);
        buf_clear(&b);
        return b;
}

static void private_buf_release(struct buf *b)
{
        wipe(b->ptr, b->room);
        buf_release(b);
}

static void put_private_section(struct buf *out, struct str seed, struct str public, struct str comment)
{
        uint8_t digest[32];
        uint32_t check; /* written twice: a reader of an encrypted key compares both to detect a wrong passphrase */

        /* Without a cipher any number is valid; derived from the key, it makes the output deterministic. */
        sha256(public, digest);
        memcpy(&check, digest, sizeof(check));
        size_t begin = out->len;
        buf_put_u32(out, check);
        buf_put_u32(out, check);
        buf_put_ssh_string(out, STR("ssh-ed25519"));
        buf_put_ssh_string(out, public);
        buf_put_u32(out, ED25519_SEED + ED25519_PUBLIC);
        buf_put(out, seed);
        buf_put(out, public);
        buf_put_ssh_string(out, comment);
        for (uint8_t pad = 1; (out->len - begin) % CIPHER_BLOCK != 0; pad++)
                buf_put_u8(out, pad);
}

static void put_text(struct buf *out, struct str base64)
{
        buf_put_c(out, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
        for (size_t at = 0; at < base64.len; at += LINE) {
                buf_put(out, str_slice(base64, at, LINE));
                buf_put_char(out, '\n');
        }
        buf_put_c(out, "-----END OPENSSH PRIVATE KEY-----\n");
}

struct error *key_to_openssh(const struct key *k, struct str comment, struct secret *ret_text)
{
        uint8_t seed[ED25519_SEED], public[ED25519_PUBLIC];
        size_t seed_len = sizeof(seed), public_len = sizeof(public);
        AUTO(buf) public_wire = BUF_MAX(BLOB_MAX);

        if (EVP_PKEY_get_base_id(k->handle) != EVP_PKEY_ED25519)
                return error_new(ERROR_INVALID_ARGUMENT, "only Ed25519 keys are written in OpenSSH's form");
        if (comment.len > COMMENT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the comment of a key is longer than %d bytes", COMMENT_MAX);
        TRY(key_public_ssh(k, &public_wire));
        if (EVP_PKEY_get_raw_private_key(k->handle, seed, &seed_len) != 1 ||
            EVP_PKEY_get_raw_public_key(k->handle, public, &public_len) != 1)
                return openssl_error(ERROR_INTERNAL, "cannot read an Ed25519 key");

        struct buf section = private_buf(BLOB_MAX), blob = private_buf(BLOB_MAX);
        struct buf base64 = private_buf(TEXT_MAX), text = private_buf(TEXT_MAX);
        put_private_section(&section, str_of_bytes(seed, sizeof(seed)), str_of_bytes(public, sizeof(public)), comment);
        buf_put(&blob, str_of_bytes("openssh-key-v1", sizeof("openssh-key-v1")));
        buf_put_ssh_string(&blob, STR("none")); /* cipher */
        buf_put_ssh_string(&blob, STR("none")); /* key derivation, */
        buf_put_ssh_string(&blob, STR(""));     /* and its options */
        buf_put_u32(&blob, 1);
        buf_put_ssh_string(&blob, buf_str(&public_wire));
        buf_put_ssh_string(&blob, buf_str(&section));
        base64_encode(&base64, buf_str(&blob));
        put_text(&text, buf_str(&base64));
        struct error *err = buf_finish(&text, "the private key");
        if (err == NULL)
                *ret_text = secret_of(buf_str(&text));
        private_buf_release(&section);
        private_buf_release(&blob);
        private_buf_release(&base64);
        private_buf_release(&text);
        wipe(seed, sizeof(seed));
        return err;
}
