/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and the header of age files (age.h). */
#include "backup/age.h"
#include "backup/age_crypto.h"
#include "backup/bech32.h"
#include "base/secret.h"
#include "base/text.h"

/* ---- keys ------------------------------------------------------------------------------------------ */

struct error *age_recipient_parse(struct str text, uint8_t ret[AGE_KEY_SIZE])
{
        struct error *err = bech32_decode(text, STR("age"), ret, AGE_KEY_SIZE);

        if (err == NULL)
                return NULL;
        if (str_starts_with(text, STR("AGE-SECRET-KEY-")))
                return error_hint(error_because(error_new(ERROR_INVALID_ARGUMENT, "a secret key is no recipient"), err),
                                  "its public key is printed by: age-keygen -y FILE");
        return error_hint(error_because(error_new(ERROR_INVALID_ARGUMENT, "the recipient is no public key of age"), err),
                          "it begins with age1; a key pair is made by: age-keygen -o FILE");
}

struct error *age_identity_parse(struct str text, uint8_t ret[AGE_KEY_SIZE])
{
        struct error *err = bech32_decode(text, STR("age-secret-key-"), ret, AGE_KEY_SIZE);

        if (err == NULL)
                return NULL;
        return error_hint(error_because(error_new(ERROR_INVALID_ARGUMENT, "there is no secret key of age"), err),
                          "it begins with AGE-SECRET-KEY-1; a file of age-keygen has one");
}

struct error *age_identity_find(struct str text, uint8_t ret[AGE_KEY_SIZE])
{
        while (!str_is_empty(text)) {
                struct str line = str_trim(str_split(&text, '\n'));

                if (!str_is_empty(line) && line.ptr[0] != '#')
                        return age_identity_parse(line, ret);
        }
        return age_identity_parse(STR(""), ret);
}

void age_recipient_put(struct buf *out, const uint8_t key[AGE_KEY_SIZE])
{
        bech32_encode(out, STR("age"), str_of_bytes(key, AGE_KEY_SIZE));
}

struct error *age_recipient_of(const uint8_t identity[AGE_KEY_SIZE], uint8_t ret[AGE_KEY_SIZE])
{
        return age_x25519(identity, NULL, ret) ? NULL : error_new(ERROR_INVALID_ARGUMENT, "the secret key has no public key");
}

/* ---- the header ------------------------------------------------------------------------------------ */

enum { COLUMNS = 64, MAC_TEXT = 43 };

static const char version_line[] = "age-encryption.org/v1";

static struct error *malformed(const char *what)
{
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the header of the file is malformed: %s", what),
                          "it must be a file of tctl backup, or another one in the binary format of age");
}

/* What follows the first `len` bytes: within the text, also if it is empty, as positions are computed from it. */
static struct str behind(struct str text, size_t len)
{
        return (struct str){ text.ptr + len, text.len - len };
}

/* The next line without its end; false if its end has not been read yet. */
static bool next_line(struct str *rest, struct str *ret)
{
        size_t len = str_find_char(*rest, '\n');

        if (len >= rest->len)
                return false;
        *ret = str_slice(*rest, 0, len);
        *rest = behind(*rest, len + 1);
        return true;
}

static bool is_word(struct str word)
{
        for (size_t i = 0; i < word.len; i++)
                if (word.ptr[i] < 33 || word.ptr[i] > 126)
                        return false;
        return word.len > 0;
}

/* "-> type argument …" */
static struct error *parse_words(struct str line, struct age_stanza *s)
{
        bool is_type = true, is_last;

        line = str_slice(line, 3, line.len);
        do {
                size_t len = str_find_char(line, ' ');
                struct str word = str_slice(line, 0, len);

                is_last = len >= line.len;
                line = is_last ? STR("") : str_slice(line, len + 1, line.len);
                if (!is_word(word))
                        return malformed("an argument of a recipient");
                if (is_type)
                        s->type = word;
                else if (s->arg_count++ < ARRAY_LEN(s->args))
                        s->args[s->arg_count - 1] = word;
                is_type = false;
        } while (!is_last);
        return NULL;
}

/* Whole lines of base64, and a last one that is shorter, perhaps empty. *ret_is_whole false: more bytes are needed. */
static struct error *parse_body(struct str *rest, struct age_stanza *s, bool *ret_is_whole)
{
        struct str line = { NULL, COLUMNS };

        s->body = *rest;
        while (line.len == COLUMNS) {
                if (!next_line(rest, &line))
                        return NULL;
                if (line.len > COLUMNS)
                        return malformed("a line is longer than 64 characters");
                for (size_t i = 0; i < line.len; i++)
                        if (!char_is_alnum(line.ptr[i]) && line.ptr[i] != '+' && line.ptr[i] != '/')
                                return malformed("a line is not base64");
        }
        s->body.len = (size_t)(rest->ptr - s->body.ptr);
        *ret_is_whole = true;
        return NULL;
}

/* Canonical base64 without padding, to exactly `size` bytes; false otherwise. */
static bool decode(struct str text, uint8_t *ret, size_t size)
{
        static const char *const padding[] = { "", NULL, "==", "=" };
        AUTO(buf) padded = BUF_MAX(256);
        AUTO(buf) bytes = BUF_MAX(256);

        if (text.len > 128 || padding[text.len % 4] == NULL || str_find_char(text, '=') < text.len)
                return false;
        buf_put(&padded, text);
        buf_put_c(&padded, padding[text.len % 4]);
        AUTO_PTR(error) err = base64_decode(&bytes, buf_str(&padded));
        if (err != NULL || bytes.len != size)
                return false;
        memcpy(ret, bytes.ptr, size);
        return true;
}

/* Returns with *ret_size 0 where the text ends too early. */
static struct error *parse(struct str text, struct age_header *h, size_t *ret_size)
{
        struct str rest = text, line;

        if (!next_line(&rest, &line))
                return NULL;
        if (!str_equal(line, str_of(version_line)))
                return str_starts_with(line, STR("age-encryption.org/"))
                               ? error_new(ERROR_INVALID_ARGUMENT, "the file is in a version of age's format that is not known")
                               : error_hint(error_new(ERROR_INVALID_ARGUMENT, "the file is no backup: it is not encrypted in the format of age"),
                                            "a file in age's text format (-----BEGIN AGE ENCRYPTED FILE-----) is changed by age -d and age -e");
        for (;;) {
                bool is_whole = false;
                struct str at = rest;

                if (!next_line(&rest, &line))
                        return NULL;
                if (str_starts_with(line, STR("--- "))) {
                        h->authenticated = str_slice(text, 0, (size_t)(at.ptr - text.ptr) + 3);
                        if (line.len != 4 + MAC_TEXT || !decode(str_slice(line, 4, line.len), h->mac, sizeof h->mac))
                                return malformed("its MAC");
                        if (h->stanza_count == 0)
                                return malformed("it has no recipient");
                        *ret_size = (size_t)(rest.ptr - text.ptr);
                        return NULL;
                }
                if (!str_starts_with(line, STR("-> ")))
                        return malformed("a line begins neither a recipient nor the MAC");
                if (h->stanza_count == LIMIT_AGE_STANZAS)
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "the file has more than %d recipients", LIMIT_AGE_STANZAS);
                struct age_stanza *s = &h->stanzas[h->stanza_count++];
                TRY(parse_words(line, s));
                TRY(parse_body(&rest, s, &is_whole));
                if (!is_whole)
                        return NULL;
        }
}

struct error *age_header_parse(struct str text, struct age_header *ret, size_t *ret_size)
{
        bool is_cut = text.len > LIMIT_AGE_HEADER;

        *ret = (struct age_header){ 0 };
        *ret_size = 0;
        TRY(parse(str_slice(text, 0, LIMIT_AGE_HEADER), ret, ret_size));
        if (*ret_size == 0 && is_cut)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the header of the file is longer than %d bytes", LIMIT_AGE_HEADER);
        return NULL;
}

/* ---- the file key ---------------------------------------------------------------------------------- */

static const char x25519_info[] = "age-encryption.org/v1/X25519";

void age_wrap_key(const uint8_t share[AGE_KEY_SIZE], const uint8_t recipient[AGE_KEY_SIZE], const uint8_t secret[AGE_KEY_SIZE], uint8_t ret[32])
{
        uint8_t salt[2 * AGE_KEY_SIZE];

        memcpy(salt, share, AGE_KEY_SIZE);
        memcpy(salt + AGE_KEY_SIZE, recipient, AGE_KEY_SIZE);
        age_hkdf(str_of_bytes(secret, AGE_KEY_SIZE), str_of_bytes(salt, sizeof salt), x25519_info, ret);
}

/* The bytes of a body of one line. */
static bool decode_body(const struct age_stanza *s, uint8_t ret[AGE_WRAPPED_SIZE])
{
        return s->body.len == MAC_TEXT + 1 && decode(str_slice(s->body, 0, MAC_TEXT), ret, AGE_WRAPPED_SIZE);
}

static bool unwrap(const uint8_t key[32], const uint8_t wrapped[AGE_WRAPPED_SIZE], uint8_t ret[AGE_FILE_KEY_SIZE])
{
        AUTO_PTR(age_cipher) cipher = age_cipher_new(key);

        return age_cipher_open(cipher, 0, false, str_of_bytes(wrapped, AGE_WRAPPED_SIZE), (char *)ret);
}

static struct error *unlock_x25519(const struct age_stanza *s, const uint8_t identity[AGE_KEY_SIZE], uint8_t ret[AGE_FILE_KEY_SIZE], bool *ret_fits)
{
        uint8_t share[AGE_KEY_SIZE], own[AGE_KEY_SIZE], secret[AGE_KEY_SIZE], key[32], wrapped[AGE_WRAPPED_SIZE];

        if (s->arg_count != 1 || !decode(s->args[0], share, sizeof share) || !decode_body(s, wrapped))
                return malformed("a recipient of type X25519");
        if (!age_x25519(identity, NULL, own) || !age_x25519(identity, share, secret))
                return malformed("a recipient of type X25519");
        age_wrap_key(share, own, secret, key);
        *ret_fits = unwrap(key, wrapped, ret);
        wipe(secret, sizeof secret);
        wipe(key, sizeof key);
        return NULL;
}

static struct error *unlock_scrypt(const struct age_stanza *s, struct str passphrase, uint8_t ret[AGE_FILE_KEY_SIZE], bool *ret_fits)
{
        uint8_t salt[AGE_SALT_SIZE], key[32], wrapped[AGE_WRAPPED_SIZE];
        int64_t work = 0;
        bool is_number = s->arg_count == 2 && s->args[1].ptr[0] != '0' && s->args[1].ptr[0] != '-';

        if (!is_number || !decode(s->args[0], salt, sizeof salt) || !decode_body(s, wrapped))
                return malformed("a recipient of type scrypt");
        struct error *err = parse_int(s->args[1], 1, 99, "work", &work);
        if (err != NULL)
                return error_because(malformed("a recipient of type scrypt"), err);
        if (work > LIMIT_AGE_WORK)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the passphrase of the file needs 2^%d steps of work, more than the 2^%d that are allowed",
                                 (int)work, LIMIT_AGE_WORK);
        TRY(age_scrypt(passphrase, salt, (int)work, key));
        *ret_fits = unwrap(key, wrapped, ret);
        wipe(key, sizeof key);
        return NULL;
}

static bool has_type(const struct age_header *h, const char *type)
{
        for (size_t i = 0; i < h->stanza_count; i++)
                if (str_equal(h->stanzas[i].type, str_of(type)))
                        return true;
        return false;
}

static struct error *does_not_fit(const struct age_header *h, bool has_identity)
{
        bool is_passphrase = has_type(h, "scrypt");

        if (has_identity && is_passphrase)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "the file is encrypted with a passphrase, not for a key"),
                                  "give the passphrase instead of a key");
        if (!has_identity && !is_passphrase)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "the file is encrypted for a key, not with a passphrase"),
                                  "give the file with the secret key: --identity=FILE");
        return error_new(ERROR_PERMISSION_DENIED, has_identity ? "the file is encrypted for another key" : "the passphrase is wrong");
}

struct error *age_unlock_header(const struct age_header *h, struct age_unlock with, uint8_t ret[AGE_FILE_KEY_SIZE])
{
        uint8_t mac[32];
        bool fits = false;

        /* Otherwise a file could be opened by a second key that the owner of the passphrase does not expect. */
        if (has_type(h, "scrypt") && h->stanza_count > 1)
                return malformed("a passphrase must be the only recipient");
        for (size_t i = 0; i < h->stanza_count && !fits; i++) {
                const struct age_stanza *s = &h->stanzas[i];

                if (with.identity != NULL && str_equal(s->type, STR("X25519")))
                        TRY(unlock_x25519(s, with.identity, ret, &fits));
                else if (with.identity == NULL && str_equal(s->type, STR("scrypt")))
                        TRY(unlock_scrypt(s, with.passphrase, ret, &fits));
        }
        if (!fits)
                return does_not_fit(h, with.identity != NULL);
        age_header_mac(ret, h->authenticated, mac);
        if (!secret_equal(str_of_bytes(mac, sizeof mac), str_of_bytes(h->mac, sizeof h->mac)))
                return error_new(ERROR_DATA_LOSS, "the header of the file was changed");
        return NULL;
}
