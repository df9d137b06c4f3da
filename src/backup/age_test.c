/* SPDX-License-Identifier: Apache-2.0 */
/* Files in the format of age: keys, headers, chunks. The files of `age` itself were made by its release 1.1.1. */
#include <stdlib.h>

#include "backup/age.h"
#include "backup/bech32.h"
#include "base/error_testing.h"
#include "base/mem.h"
#include "base/text.h"

enum { FILE_MAX = 1 * MiB };

static const char identity_text[] = "AGE-SECRET-KEY-1LE7WMMPQRNXDDT8GAH8G569QWC9Z0G9HMLA6WFS0HVAMH2J44VSSG72X4X";
static const char recipient_text[] = "age19y5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsa58kzz";
static const char passphrase[] = "correct horse battery staple";
static const char content[] = "a cluster in a file\n";

/* age -r, for two keys; age -p */
static const char file_for_keys[] =
        "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBDTW51MHM5MEk0d3I4SVZIdWRkV2NSSTFmNlFPTGloNnhtS3pNcjcyYVU4"
        "CkU5Um9uTXVCcE1xKzZDOHdrU3ZRY3NBbE51cHNpMWFpNDRpM2VlLzFYa2cKLT4gWDI1NTE5IGRmREFtVFFCdWtZTnVEZXEyeDdS"
        "Y0JWNDBFYU4wd3NxdDBScFdHSWNSQkkKdDJadU1vdzZpblNhdWlYZ2llSGZoc0h0MDJIYWFwQXFZcVZEd2dCZDFXdwotLS0gWUlM"
        "dWNpbGNwVmZsN1JiNXp6SnZYSlJrMVhaWEVJMVBFMXNPdGlzUUlYawpjdbSvmhi7nzWQh/6fDX5VORVJsdib4OLmJ/aqSrWP98kY"
        "USNElZ5dP/YxhjKMHwquJeEF";
static const char file_with_passphrase[] =
        "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBISTEreGdZdk91RHlGNG9DdWdESmxRIDE4CllIVkdMZzRsdFBYaHhXeDgw"
        "blpzV3Vib2l3bHYyeXZRQ21sTFRENTVXVm8KLS0tIFRZUy92dFk0V3ZkSDh5aUt4NnpOUHZRNkhmb250Mkc5N3UvRytuRGFxYXMK"
        "+K9cr559NvMboFYpMsbArh9iW2L0GdwFDGT7RRaEvjIsSHWkVK8MATZxlFtLZoDFeaxszA==";

/* ---- files in memory ----------------------------------------------------------------------------------- */

struct fixture {
        uint8_t identity[AGE_KEY_SIZE], recipient[1][AGE_KEY_SIZE];
        struct buf file;
        struct reading {
                struct str rest;
                size_t step; /* bytes of one read at most */
        } reading;
};

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->file = BUF_MAX(FILE_MAX);
        assert_done(age_identity_parse(str_of(identity_text), f->identity));
        assert_done(age_recipient_parse(str_of(recipient_text), f->recipient[0]));
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        buf_release(&f->file);
        free(f);
        return 0;
}

static struct error *write_file(void *ctx, struct str bytes)
{
        buf_put(ctx, bytes);
        return NULL;
}

static struct error *read_file(void *ctx, char *to, size_t most, size_t *ret)
{
        struct reading *r = ctx;
        size_t len = r->rest.len < most ? r->rest.len : most;

        len = len < r->step ? len : r->step;
        if (len > 0)
                memcpy(to, r->rest.ptr, len);
        r->rest = str_slice(r->rest, len, r->rest.len);
        *ret = len;
        return NULL;
}

static struct age_recipients keys_of(const struct fixture *f)
{
        return (struct age_recipients){ .keys = f->recipient, .key_count = 1 };
}

static void seal(struct fixture *f, struct age_recipients to, struct str bytes)
{
        AUTO_PTR(age_writer) w = NULL;

        buf_clear(&f->file);
        assert_done(age_writer_new(to, (struct age_sink){ write_file, &f->file }, &w));
        assert_done(age_writer_put(w, bytes));
        assert_done(age_writer_finish(w));
}

/* Reads a whole file, `step` bytes at a time. */
static struct error *unseal(struct fixture *f, struct str file, struct age_unlock with, size_t step, struct buf *out)
{
        AUTO_PTR(age_reader) r = NULL;
        char piece[1000];
        size_t n = 1;

        f->reading = (struct reading){ file, step };
        TRY(age_reader_new(with, (struct age_source){ read_file, &f->reading }, &r));
        while (n > 0) {
                TRY(age_reader_get(r, piece, sizeof piece, &n));
                buf_put(out, (struct str){ piece, n });
        }
        return NULL;
}

static struct age_unlock identity_of(const struct fixture *f)
{
        return (struct age_unlock){ .identity = f->identity };
}

static const struct age_unlock by_passphrase = { .passphrase = STR_INIT("correct horse battery staple") };

/* ---- keys ---------------------------------------------------------------------------------------------- */

static void reads_and_writes_keys(void **state)
{
        const struct fixture *f = *state;
        AUTO(buf) text = BUF_MAX(256);
        uint8_t key[AGE_KEY_SIZE];

        assert_done(age_recipient_of(f->identity, key));
        assert_memory_equal(key, f->recipient[0], sizeof key);
        age_recipient_put(&text, key);
        assert_string_equal(buf_c(&text), recipient_text);
        assert_done(age_identity_find(STR("# created: today\n\n  # public key: age1x\nAGE-SECRET-KEY-1LE7WMMPQRNXDDT8GAH8G569QWC9Z0G9HMLA6WFS0HVAMH2J44VSSG72X4X\r\n"), key));
        assert_memory_equal(key, f->identity, sizeof key);
}

/* From BIP 173, and keys with one fault each. */
static void refuses_faulty_keys(void **state)
{
        static const char *const faulty[] = {
                "", "age", "age1", "1", "age1qqqqqq",
                "age19y5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsa58kz",   /* cut off */
                "age19y5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsa58kzzz", /* too long */
                "age19y5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsa58kzq",  /* a wrong checksum */
                "age19y5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsA58kzz",  /* in two cases */
                "age29y5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsa58kzz",  /* another separator */
                "agf19y5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsa58kzz",
                "age1by5fw4dz393vef8z3phgpnsg97s53fahvp54q8g6l72cx450fgdsa58kzz",  /* 'b' is no digit */
                "AGE-SECRET-KEY-1LE7WMMPQRNXDDT8GAH8G569QWC9Z0G9HMLA6WFS0HVAMH2J44VSSG72X4X",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN",
        };
        uint8_t key[AGE_KEY_SIZE];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(faulty); i++) {
                print_message("  %s\n", faulty[i]);
                assert_code(age_recipient_parse(str_of(faulty[i]), key), ERROR_INVALID_ARGUMENT);
        }
        assert_code(age_identity_parse(str_of(recipient_text), key), ERROR_INVALID_ARGUMENT);
        assert_code(age_identity_find(STR("# only a comment\n"), key), ERROR_INVALID_ARGUMENT);
}

/* "Test vectors" of BIP 173: strings without data. */
static void agrees_with_bip_173(void **state)
{
        AUTO(buf) text = BUF_MAX(256);
        uint8_t bytes[20];

        (void)state;
        assert_done(bech32_decode(STR("A12UEL5L"), STR("a"), bytes, 0));
        assert_done(bech32_decode(STR("a12uel5l"), STR("a"), bytes, 0));
        bech32_encode(&text, STR("a"), STR(""));
        assert_string_equal(buf_c(&text), "a12uel5l");
        assert_failed(bech32_decode(STR("A1G7SGD8"), STR("a"), bytes, 0)); /* "checksum calculated with uppercase form of HRP" */
        assert_failed(bech32_decode(STR("a12uEL5L"), STR("a"), bytes, 0));
}

/* ---- files of age ------------------------------------------------------------------------------------------ */

static void reads_files_of_age(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) file = BUF_MAX(FILE_MAX);
        AUTO(buf) out = BUF_MAX(FILE_MAX);

        assert_done(base64_decode(&file, str_of(file_for_keys)));
        assert_done(unseal(f, buf_str(&file), identity_of(f), SIZE_MAX, &out));
        assert_string_equal(buf_c(&out), content);
        buf_clear(&out);
        buf_clear(&file);
        assert_done(base64_decode(&file, str_of(file_with_passphrase)));
        assert_done(unseal(f, buf_str(&file), by_passphrase, SIZE_MAX, &out));
        assert_string_equal(buf_c(&out), content);
}

static void reports_a_key_that_does_not_fit(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) file = BUF_MAX(FILE_MAX);
        AUTO(buf) out = BUF_MAX(FILE_MAX);
        uint8_t other[AGE_KEY_SIZE] = { 1 };

        assert_done(base64_decode(&file, str_of(file_for_keys)));
        assert_refused(unseal(f, buf_str(&file), (struct age_unlock){ .identity = other }, SIZE_MAX, &out), ERROR_PERMISSION_DENIED, "for another key");
        assert_refused(unseal(f, buf_str(&file), by_passphrase, SIZE_MAX, &out), ERROR_PERMISSION_DENIED, "for a key, not with a passphrase");
        buf_clear(&file);
        assert_done(base64_decode(&file, str_of(file_with_passphrase)));
        assert_refused(unseal(f, buf_str(&file), (struct age_unlock){ .passphrase = STR("wrong") }, SIZE_MAX, &out), ERROR_PERMISSION_DENIED,
                       "the passphrase is wrong");
        assert_refused(unseal(f, buf_str(&file), identity_of(f), SIZE_MAX, &out), ERROR_PERMISSION_DENIED, "with a passphrase, not for a key");
        assert_int_equal(out.len, 0);
}

/* ---- chunks ------------------------------------------------------------------------------------------------ */

static const size_t sizes[] = { 0, 1, AGE_CHUNK - 1, AGE_CHUNK, AGE_CHUNK + 1, 3 * AGE_CHUNK };

static void fill(struct buf *b, size_t size)
{
        for (size_t i = 0; i < size; i++)
                buf_put_char(b, (char)(i * 7 + i / 251));
}

static void reads_files_that_it_writes(void **state)
{
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                AUTO(buf) in = BUF_MAX(FILE_MAX);
                AUTO(buf) out = BUF_MAX(FILE_MAX);

                fill(&in, sizes[i]);
                seal(f, keys_of(f), buf_str(&in));
                assert_done(unseal(f, buf_str(&f->file), identity_of(f), i % 2 == 0 ? SIZE_MAX : 777, &out));
                assert_true(str_equal(buf_str(&in), buf_str(&out)));
        }
        seal(f, (struct age_recipients){ .passphrase = str_of(passphrase) }, str_of(content));
        AUTO(buf) out = BUF_MAX(FILE_MAX);
        assert_done(unseal(f, buf_str(&f->file), by_passphrase, 1, &out));
        assert_string_equal(buf_c(&out), content);
}

/* Wherever a file ends, and whatever bit is changed, it is noticed; bytes behind the end too. */
static void notices_every_change(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) in = BUF_MAX(FILE_MAX);
        AUTO(buf) out = BUF_MAX(FILE_MAX);

        fill(&in, 2 * AGE_CHUNK);
        seal(f, keys_of(f), buf_str(&in));
        size_t len = f->file.len, header = len - 2 * (AGE_CHUNK + AGE_TAG_SIZE);
        const size_t cuts[] = { 0, 1, 30, header - 20, header - 1, header, header + 1, header + AGE_TAG_SIZE, header + AGE_CHUNK,
                                header + AGE_CHUNK + AGE_TAG_SIZE - 1, header + AGE_CHUNK + AGE_TAG_SIZE, header + AGE_CHUNK + 2 * AGE_TAG_SIZE,
                                len - AGE_TAG_SIZE, len - 1 };
        for (size_t i = 0; i < ARRAY_LEN(cuts); i++)
                assert_failed(unseal(f, str_slice(buf_str(&f->file), 0, cuts[i]), identity_of(f), SIZE_MAX, &out));
        for (size_t at = 0; at < len; at += at < header + 40 ? 1 : 6007) {
                f->file.ptr[at] = (char)(f->file.ptr[at] ^ 1);
                assert_failed(unseal(f, buf_str(&f->file), identity_of(f), SIZE_MAX, &out));
                f->file.ptr[at] = (char)(f->file.ptr[at] ^ 1);
        }
        buf_put_char(&f->file, 'x');
        assert_failed(unseal(f, buf_str(&f->file), identity_of(f), SIZE_MAX, &out));
}

/* ---- hostile headers ---------------------------------------------------------------------------------------- */

#define V "age-encryption.org/v1\n"
#define SHARE "CMnu0s90I4wr8IVHuddWcRI1f6QOLih6xmKzMr72aU8"
#define BODY "E9RonMuBpMq+6C8wkSvQcsAlNupsi1ai44i3ee/1Xkg"
#define MAC "YILucilcpVfl7Rb5zzJvXJRk1XZXEI1PE1sOtisQIXk"
#define LINE64 "E9RonMuBpMq+6C8wkSvQcsAlNupsi1ai44i3ee/1XkgE9RonMuBpMq+6C8wkSvQc"

static const struct row {
        const char *name, *text;
        enum error_code code; /* 0: valid; ERROR_UNKNOWN: more bytes are needed */
} rows[] = {
        { "one recipient", V "-> X25519 " SHARE "\n" BODY "\n--- " MAC "\n", 0 },
        { "an unknown one with a long body", V "-> x-grease a b c d e\n" LINE64 "\n" LINE64 "\nabc\n--- " MAC "\n", 0 },
        { "a body that ends in an empty line", V "-> x\n" LINE64 "\n\n--- " MAC "\n", 0 },
        { "nothing", "", ERROR_UNKNOWN },
        { "the first line", V, ERROR_UNKNOWN },
        { "a body without its end", V "-> x\n" LINE64 "\n", ERROR_UNKNOWN },
        { "a MAC without its end", V "-> x\n\n--- " MAC, ERROR_UNKNOWN },
        { "another version", "age-encryption.org/v2\n-> x\n\n--- " MAC "\n", ERROR_INVALID_ARGUMENT },
        { "armour", "-----BEGIN AGE ENCRYPTED FILE-----\n", ERROR_INVALID_ARGUMENT },
        { "a gzip file", "\x1f\x8b\x08\n", ERROR_INVALID_ARGUMENT },
        { "carriage returns", "age-encryption.org/v1\r\n", ERROR_INVALID_ARGUMENT },
        { "no recipient", V "--- " MAC "\n", ERROR_INVALID_ARGUMENT },
        { "a recipient without a type", V "-> \n\n--- " MAC "\n", ERROR_INVALID_ARGUMENT },
        { "two blanks", V "-> X25519  " SHARE "\n" BODY "\n--- " MAC "\n", ERROR_INVALID_ARGUMENT },
        { "a blank at the end", V "-> X25519 " SHARE " \n" BODY "\n--- " MAC "\n", ERROR_INVALID_ARGUMENT },
        { "a control character", V "-> x\x01\n\n--- " MAC "\n", ERROR_INVALID_ARGUMENT },
        { "a body line of 65", V "-> x\n" LINE64 "a\n--- " MAC "\n", ERROR_INVALID_ARGUMENT },
        { "a body that is no base64", V "-> x\nab=c\n--- " MAC "\n", ERROR_INVALID_ARGUMENT },
        { "a line of something else", V "x\n", ERROR_INVALID_ARGUMENT },
        { "a short MAC", V "-> x\n\n--- YILucilcpVfl7Rb5zzJvXJRk1XZXEI1PE1sOtisQIX\n", ERROR_INVALID_ARGUMENT },
        { "a MAC that is not canonical", V "-> x\n\n--- YILucilcpVfl7Rb5zzJvXJRk1XZXEI1PE1sOtisQIXl\n", ERROR_INVALID_ARGUMENT },
        { "a MAC with padding", V "-> x\n\n--- " MAC "=\n", ERROR_INVALID_ARGUMENT },
        { "a MAC without a blank", V "-> x\n\n---" MAC "\n", ERROR_INVALID_ARGUMENT },
};

static void parses_headers_strictly(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct str text = str_of(rows[i].text);
                struct age_header header;
                size_t size = 0;
                AUTO_PTR(error) err = age_header_parse(text, &header, &size);

                print_message("  %s\n", rows[i].name);
                if (rows[i].code == 0 || rows[i].code == ERROR_UNKNOWN)
                        assert_null(err);
                else
                        assert_int_equal(err == NULL ? 0 : err->code, rows[i].code);
                assert_int_equal(size, rows[i].code == 0 ? text.len : 0);
        }
}

static void bounds_headers(void **state)
{
        AUTO(buf) many = BUF_MAX(FILE_MAX);
        AUTO(buf) large = BUF_MAX(FILE_MAX);
        struct age_header header;
        size_t size;

        (void)state;
        buf_put_c(&many, V);
        for (int i = 0; i <= LIMIT_AGE_STANZAS; i++)
                buf_put_c(&many, "-> x\n\n");
        assert_code(age_header_parse(buf_str(&many), &header, &size), ERROR_RESOURCE_EXHAUSTED);
        buf_put_c(&large, V "-> x\n");
        while (large.len <= LIMIT_AGE_HEADER)
                buf_put_c(&large, LINE64 "\n");
        assert_code(age_header_parse(buf_str(&large), &header, &size), ERROR_RESOURCE_EXHAUSTED);
}

/* Well-formed headers whose recipients are not. */
static void refuses_hostile_recipients(void **state)
{
        struct fixture *f = *state;
        static const struct {
                const char *text, *error;
        } hostile[] = {
                { V "-> scrypt HI1+xgYvOuDyF4oCugDJlQ 18\n" BODY "\n-> x\n\n--- " MAC "\n", "a passphrase must be the only recipient" },
                { V "-> scrypt HI1+xgYvOuDyF4oCugDJlQ 21\n" BODY "\n--- " MAC "\n", "needs 2^21 steps of work, more than the 2^20" },
                { V "-> scrypt HI1+xgYvOuDyF4oCugDJlQ 018\n" BODY "\n--- " MAC "\n", "malformed" },
                { V "-> scrypt HI1+xgYvOuDyF4oCugDJlQ -1\n" BODY "\n--- " MAC "\n", "malformed" },
                { V "-> scrypt HI1+xgYvOuDyF4oCugDJlQ 999999999999999999999\n" BODY "\n--- " MAC "\n", "malformed" },
                { V "-> scrypt HI1+xgYvOuDyF4oCugDJ 10\n" BODY "\n--- " MAC "\n", "malformed" },
                { V "-> scrypt HI1+xgYvOuDyF4oCugDJlQ\n" BODY "\n--- " MAC "\n", "malformed" },
                { V "-> scrypt HI1+xgYvOuDyF4oCugDJlQ 10\nabcd\n--- " MAC "\n", "malformed" },
                { V "-> X25519 " SHARE "\nabcd\n--- " MAC "\n", "malformed" },
                { V "-> X25519 " SHARE " x\n" BODY "\n--- " MAC "\n", "malformed" },
                { V "-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" BODY "\n--- " MAC "\n", "malformed" }, /* of low order */
                { V "-> X25519 " SHARE "\n" BODY "\n--- " MAC "\n", "was changed" }, /* the MAC is that of two recipients */
        };

        for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
                AUTO(buf) out = BUF_MAX(FILE_MAX);
                bool is_scrypt = strstr(hostile[i].text, "scrypt") != NULL;
                AUTO_PTR(error) err = unseal(f, str_of(hostile[i].text), is_scrypt ? by_passphrase : identity_of(f), SIZE_MAX, &out);

                print_message("  %s\n", hostile[i].error);
                assert_non_null(err);
                assert_non_null(strstr(err->what, hostile[i].error));
        }
}

static void refuses_recipients_of_low_order(void **state)
{
        static const uint8_t zero[1][AGE_KEY_SIZE];
        AUTO(buf) file = BUF_MAX(FILE_MAX);
        AUTO_PTR(age_writer) w = NULL;

        (void)state;
        assert_code(age_writer_new((struct age_recipients){ .keys = zero, .key_count = 1 }, (struct age_sink){ write_file, &file }, &w),
                    ERROR_INVALID_ARGUMENT);
        assert_code(age_writer_new((struct age_recipients){ .key_count = 0 }, (struct age_sink){ write_file, &file }, &w), ERROR_INVALID_ARGUMENT);
        assert_int_equal(file.len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(reads_and_writes_keys),
                TEST(refuses_faulty_keys),
                TEST(agrees_with_bip_173),
                TEST(reads_files_of_age),
                TEST(reports_a_key_that_does_not_fit),
                TEST(reads_files_that_it_writes),
                TEST(notices_every_change),
                TEST(parses_headers_strictly),
                TEST(bounds_headers),
                TEST(refuses_hostile_recipients),
                TEST(refuses_recipients_of_low_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
