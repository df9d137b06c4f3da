/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypted files in the format of age (C2SP, age-encryption.org/v1; docs/protocols/backup.md), so that `age` and `rage` read what is
 * written here, and the reverse:
 *
 *      header    text: the file key, wrapped once for each recipient; a MAC with a key made of the file key
 *      payload   a nonce, then chunks of 64 KiB, each encrypted and authenticated, numbered, the last one marked as the last
 *
 * A recipient is an X25519 public key ("age1…") or a passphrase (scrypt); a passphrase is the only recipient of its file. The file
 * proves that nothing was changed or cut off since it was written. It does not prove who wrote it: everybody can write a file for a
 * public key.
 */
#ifndef BACKUP_AGE_H
#define BACKUP_AGE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

enum { AGE_KEY_SIZE = 32, AGE_CHUNK = 64 * KiB, AGE_TAG_SIZE = 16 };

/* ---- keys ------------------------------------------------------------------------------------------ */

/* Parses "age1…", and "AGE-SECRET-KEY-1…" (Bech32, BIP 173). INVALID_ARGUMENT; the text is not repeated in the error. */
struct error *age_recipient_parse(struct str text, uint8_t ret[AGE_KEY_SIZE]) MUST_USE;
struct error *age_identity_parse(struct str text, uint8_t ret[AGE_KEY_SIZE]) MUST_USE;

/* The first identity in the text of a key file of age-keygen, where lines that begin with '#' are comments. */
struct error *age_identity_find(struct str text, uint8_t ret[AGE_KEY_SIZE]) MUST_USE;

/* The public key of an identity, as text. */
void age_recipient_put(struct buf *out, const uint8_t key[AGE_KEY_SIZE]);
struct error *age_recipient_of(const uint8_t identity[AGE_KEY_SIZE], uint8_t ret[AGE_KEY_SIZE]) MUST_USE;

/* Either public keys, or a passphrase; to read: an identity, or a passphrase. All borrowed. */
struct age_recipients {
        const uint8_t (*keys)[AGE_KEY_SIZE];
        size_t key_count;
        struct str passphrase; /* if there are no keys */
};
struct age_unlock {
        const uint8_t *identity; /* AGE_KEY_SIZE bytes; NULL: the passphrase */
        struct str passphrase;
};

/* ---- header, for tests -------------------------------------------------------------------------------- */

struct age_stanza {
        struct str type, args[2]; /* further arguments are counted only */
        size_t arg_count;
        struct str body; /* in base64, with the ends of its lines */
};

struct age_header {
        struct age_stanza stanzas[LIMIT_AGE_STANZAS];
        size_t stanza_count;
        struct str authenticated; /* the bytes under the MAC */
        uint8_t mac[32];
};

/*
 * Parses the header at the start of `text`, which *ret borrows. *ret_size is its size, 0 when more bytes are needed.
 * INVALID_ARGUMENT: no age file, another version, or malformed; RESOURCE_EXHAUSTED: LIMIT_AGE_HEADER, LIMIT_AGE_STANZAS.
 */
struct error *age_header_parse(struct str text, struct age_header *ret, size_t *ret_size) MUST_USE;

/* ---- writing ------------------------------------------------------------------------------------------ */

/* Receives the encrypted bytes in order. */
struct age_sink {
        struct error *(*write)(void *ctx, struct str bytes);
        void *ctx;
};

struct age_writer;
/* Writes the header. Takes about half a second and 128 MiB for a passphrase. */
struct error *age_writer_new(struct age_recipients to, struct age_sink sink, struct age_writer **ret) MUST_USE;
struct error *age_writer_put(struct age_writer *w, struct str bytes) MUST_USE;
/* Writes the last chunk: without it, readers report that the file is cut off. */
struct error *age_writer_finish(struct age_writer *w) MUST_USE;
void age_writer_free(struct age_writer *w);
DEFINE_AUTO_PTR(age_writer);

/* ---- reading ------------------------------------------------------------------------------------------ */

/* Reads up to `most` bytes; *ret 0 is the end. */
struct age_source {
        struct error *(*read)(void *ctx, char *to, size_t most, size_t *ret);
        void *ctx;
};

struct age_reader;
/* PERMISSION_DENIED: the key or passphrase does not fit; INVALID_ARGUMENT, RESOURCE_EXHAUSTED: see age_header_parse(). */
struct error *age_reader_new(struct age_unlock with, struct age_source source, struct age_reader **ret) MUST_USE;
/* Up to `most` bytes, all of them authenticated; *ret 0 is the end, which is authenticated too. DATA_LOSS: changed or cut off. */
struct error *age_reader_get(struct age_reader *r, char *to, size_t most, size_t *ret) MUST_USE;
void age_reader_free(struct age_reader *r);
DEFINE_AUTO_PTR(age_reader);

#endif
