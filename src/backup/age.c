/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/age.h"

#include <stdlib.h>

#include "backup/age_crypto.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "pki/key.h"

enum {
        WORK = 17, /* of scrypt: 128 MiB, half a second */
        SEALED_CHUNK = AGE_CHUNK + AGE_TAG_SIZE,
};

void age_header_mac(const uint8_t file_key[AGE_FILE_KEY_SIZE], struct str header, uint8_t ret[32])
{
        uint8_t key[32];

        age_hkdf(str_of_bytes(file_key, AGE_FILE_KEY_SIZE), STR(""), "header", key);
        hmac_sha256(str_of_bytes(key, sizeof key), header, ret);
        wipe(key, sizeof key);
}

static struct age_cipher *payload_cipher(const uint8_t file_key[AGE_FILE_KEY_SIZE], const uint8_t nonce[AGE_NONCE_SIZE])
{
        uint8_t key[32];

        age_hkdf(str_of_bytes(file_key, AGE_FILE_KEY_SIZE), str_of_bytes(nonce, AGE_NONCE_SIZE), "payload", key);
        struct age_cipher *cipher = age_cipher_new(key);
        wipe(key, sizeof key);
        return cipher;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

struct age_writer {
        struct age_sink sink;
        struct age_cipher *cipher;
        uint64_t number;
        size_t held;
        char plain[AGE_CHUNK], sealed[SEALED_CHUNK];
};

void age_writer_free(struct age_writer *w)
{
        if (w == NULL)
                return;
        age_cipher_free(w->cipher);
        wipe(w->plain, sizeof w->plain);
        free(w);
}

static void put_wrapped(struct buf *header, const uint8_t key[32], const uint8_t file_key[AGE_FILE_KEY_SIZE])
{
        AUTO_PTR(age_cipher) cipher = age_cipher_new(key);
        char wrapped[AGE_WRAPPED_SIZE];

        age_cipher_seal(cipher, 0, false, str_of_bytes(file_key, AGE_FILE_KEY_SIZE), wrapped);
        base64_encode_raw(header, str_of_bytes(wrapped, sizeof wrapped));
        buf_put_char(header, '\n');
}

static struct error *put_x25519(struct buf *header, const uint8_t recipient[AGE_KEY_SIZE], const uint8_t file_key[AGE_FILE_KEY_SIZE])
{
        uint8_t ephemeral[AGE_KEY_SIZE], share[AGE_KEY_SIZE], secret[AGE_KEY_SIZE], key[32];

        random_bytes(ephemeral, sizeof ephemeral);
        bool is_usable = age_x25519(ephemeral, NULL, share) && age_x25519(ephemeral, recipient, secret);
        wipe(ephemeral, sizeof ephemeral);
        if (!is_usable)
                return error_new(ERROR_INVALID_ARGUMENT, "the recipient is a point of low order, with which nothing is secret");
        age_wrap_key(share, recipient, secret, key);
        buf_put_c(header, "-> X25519 ");
        base64_encode_raw(header, str_of_bytes(share, sizeof share));
        buf_put_char(header, '\n');
        put_wrapped(header, key, file_key);
        wipe(secret, sizeof secret);
        wipe(key, sizeof key);
        return NULL;
}

static struct error *put_scrypt(struct buf *header, struct str passphrase, const uint8_t file_key[AGE_FILE_KEY_SIZE])
{
        uint8_t salt[AGE_SALT_SIZE], key[32];

        random_bytes(salt, sizeof salt);
        TRY(age_scrypt(passphrase, salt, WORK, key));
        buf_put_c(header, "-> scrypt ");
        base64_encode_raw(header, str_of_bytes(salt, sizeof salt));
        buf_printf(header, " %d\n", WORK);
        put_wrapped(header, key, file_key);
        wipe(key, sizeof key);
        return NULL;
}

static struct error *put_header(struct buf *out, struct age_recipients to, const uint8_t file_key[AGE_FILE_KEY_SIZE])
{
        uint8_t mac[32];

        if (to.key_count > LIMIT_AGE_STANZAS)
                return error_new(ERROR_INVALID_ARGUMENT, "a backup has at most %d recipients", LIMIT_AGE_STANZAS);
        if (to.key_count == 0 && str_is_empty(to.passphrase))
                return error_new(ERROR_INVALID_ARGUMENT, "the passphrase is empty");
        buf_put_c(out, "age-encryption.org/v1\n");
        for (size_t i = 0; i < to.key_count; i++)
                TRY(put_x25519(out, to.keys[i], file_key));
        if (to.key_count == 0)
                TRY(put_scrypt(out, to.passphrase, file_key));
        buf_put_c(out, "---");
        age_header_mac(file_key, buf_str(out), mac);
        buf_put_char(out, ' ');
        base64_encode_raw(out, str_of_bytes(mac, sizeof mac));
        buf_put_char(out, '\n');
        return NULL;
}

struct error *age_writer_new(struct age_recipients to, struct age_sink sink, struct age_writer **ret)
{
        AUTO(buf) header = BUF_MAX(LIMIT_AGE_HEADER);
        uint8_t file_key[AGE_FILE_KEY_SIZE], nonce[AGE_NONCE_SIZE];

        random_bytes(file_key, sizeof file_key);
        random_bytes(nonce, sizeof nonce);
        struct error *err = put_header(&header, to, file_key);
        buf_put(&header, str_of_bytes(nonce, sizeof nonce));
        if (err == NULL)
                err = sink.write(sink.ctx, buf_str(&header));
        if (err == NULL) {
                *ret = NEW(struct age_writer);
                (*ret)->sink = sink;
                (*ret)->cipher = payload_cipher(file_key, nonce);
        }
        wipe(file_key, sizeof file_key);
        return err;
}

static struct error *write_chunk(struct age_writer *w, bool is_last)
{
        size_t size = w->held + AGE_TAG_SIZE;

        age_cipher_seal(w->cipher, w->number++, is_last, (struct str){ w->plain, w->held }, w->sealed);
        w->held = 0;
        return w->sink.write(w->sink.ctx, (struct str){ w->sealed, size });
}

struct error *age_writer_put(struct age_writer *w, struct str bytes)
{
        while (bytes.len > 0) {
                if (w->held == AGE_CHUNK) /* more follows: it is not the last one */
                        TRY(write_chunk(w, false));
                size_t len = AGE_CHUNK - w->held < bytes.len ? AGE_CHUNK - w->held : bytes.len;
                memcpy(w->plain + w->held, bytes.ptr, len);
                w->held += len;
                bytes = str_slice(bytes, len, bytes.len);
        }
        return NULL;
}

struct error *age_writer_finish(struct age_writer *w)
{
        return write_chunk(w, true);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

struct age_reader {
        struct age_source source;
        struct age_cipher *cipher;
        uint64_t number;
        bool is_at_end;             /* the last chunk was opened */
        struct buf in;              /* the start of the file: its header, and what was read behind it */
        size_t in_at;
        size_t sealed_len;
        char sealed[SEALED_CHUNK + 1]; /* one byte more shows that the chunk is not the last */
        char plain[AGE_CHUNK];
        size_t plain_at, plain_len;
};

void age_reader_free(struct age_reader *r)
{
        if (r == NULL)
                return;
        age_cipher_free(r->cipher);
        buf_release(&r->in);
        wipe(r->plain, sizeof r->plain);
        free(r);
}

/* Bytes behind the header first, which were read with it. */
static struct error *read_some(struct age_reader *r, char *to, size_t most, size_t *ret)
{
        size_t held = r->in.len - r->in_at;

        if (held == 0)
                return r->source.read(r->source.ctx, to, most, ret);
        *ret = held < most ? held : most;
        memcpy(to, r->in.ptr + r->in_at, *ret);
        r->in_at += *ret;
        return NULL;
}

/* Reads `most` bytes, fewer at the end of the file. */
static struct error *read_full(struct age_reader *r, char *to, size_t most, size_t *ret)
{
        size_t len = 0, n = 1;

        while (len < most && n > 0) {
                TRY(read_some(r, to + len, most - len, &n));
                len += n;
        }
        *ret = len;
        return NULL;
}

static struct error *is_cut_off(void)
{
        return error_hint(error_new(ERROR_DATA_LOSS, "the file ends too early, or was changed"),
                          "nothing of it is used; take another copy of the backup");
}

static struct error *read_header(struct age_reader *r, struct age_header *h)
{
        enum { STEP = 4 * KiB };

        for (;;) {
                size_t size = 0, n = 0;
                char *to = buf_extend(&r->in, STEP);

                TRY(r->source.read(r->source.ctx, to, STEP, &n));
                r->in.len -= STEP - n;
                TRY(age_header_parse(buf_str(&r->in), h, &size));
                if (size > 0) {
                        r->in_at = size;
                        return NULL;
                }
                if (n == 0)
                        return r->in.len == 0 ? error_new(ERROR_INVALID_ARGUMENT, "the file is empty") : is_cut_off();
        }
}

static struct error *open_file(struct age_reader *r, struct age_unlock with)
{
        struct age_header header;
        uint8_t file_key[AGE_FILE_KEY_SIZE];
        char nonce[AGE_NONCE_SIZE];
        size_t len = 0;

        TRY(read_header(r, &header));
        struct error *err = age_unlock_header(&header, with, file_key);
        if (err == NULL)
                err = read_full(r, nonce, sizeof nonce, &len);
        if (err == NULL && len < sizeof nonce)
                err = is_cut_off();
        if (err == NULL)
                r->cipher = payload_cipher(file_key, (const uint8_t *)nonce);
        wipe(file_key, sizeof file_key);
        return err;
}

struct error *age_reader_new(struct age_unlock with, struct age_source source, struct age_reader **ret)
{
        AUTO_PTR(age_reader) r = NEW(struct age_reader);

        r->source = source;
        r->in = BUF_MAX(LIMIT_AGE_HEADER + 8 * KiB);
        TRY(open_file(r, with));
        *ret = r;
        r = NULL;
        return NULL;
}

static struct error *read_chunk(struct age_reader *r)
{
        size_t len = 0;

        TRY(read_full(r, r->sealed + r->sealed_len, sizeof r->sealed - r->sealed_len, &len));
        len += r->sealed_len;
        bool is_last = len <= SEALED_CHUNK;
        size_t size = is_last ? len : SEALED_CHUNK;
        if (size < AGE_TAG_SIZE)
                return is_cut_off();
        if (!age_cipher_open(r->cipher, r->number, is_last, (struct str){ r->sealed, size }, r->plain))
                return is_cut_off();
        if (is_last && size == AGE_TAG_SIZE && r->number > 0)
                return error_new(ERROR_DATA_LOSS, "the file has an empty chunk, which is malformed");
        r->number++;
        r->plain_at = 0;
        r->plain_len = size - AGE_TAG_SIZE;
        r->is_at_end = is_last;
        r->sealed_len = len - size;
        r->sealed[0] = r->sealed[size];
        return NULL;
}

struct error *age_reader_get(struct age_reader *r, char *to, size_t most, size_t *ret)
{
        *ret = 0;
        if (r->plain_at == r->plain_len && !r->is_at_end)
                TRY(read_chunk(r));
        size_t len = r->plain_len - r->plain_at;
        if (len > most)
                len = most;
        memcpy(to, r->plain + r->plain_at, len);
        r->plain_at += len;
        *ret = len;
        return NULL;
}
