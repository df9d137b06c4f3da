/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/archive.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"

enum { DIGEST = 32 };

static const char zeros[2 * TAR_BLOCK];

/* ---- digests ------------------------------------------------------------------------------------------ */

static EVP_MD_CTX *digest_new(void)
{
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (ctx == NULL)
                bug("out of memory for a digest");
        return ctx;
}

static void digest_begin(EVP_MD_CTX *ctx)
{
        if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
                bug("OpenSSL has no SHA-256");
}

static void digest_put(EVP_MD_CTX *ctx, struct str bytes)
{
        if (EVP_DigestUpdate(ctx, bytes.ptr, bytes.len) != 1)
                bug("OpenSSL has no SHA-256");
}

/* Appends the line of the file. */
static void put_line(struct buf *sums, EVP_MD_CTX *ctx, const char *name)
{
        uint8_t digest[DIGEST];

        if (EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
                bug("OpenSSL has no SHA-256");
        hex_encode(sums, str_of_bytes(digest, sizeof digest));
        buf_printf(sums, "  %s\n", name);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

struct archive_writer {
        struct age_writer *to;
        EVP_MD_CTX *digest;
        struct buf sums;
        struct tar_entry file;
        uint64_t left; /* of the file */
};

struct archive_writer *archive_writer_new(struct age_writer *to)
{
        struct archive_writer *w = NEW(struct archive_writer);

        w->to = to;
        w->digest = digest_new();
        w->sums = BUF_MAX(LIMIT_BACKUP_SUMS);
        return w;
}

void archive_writer_free(struct archive_writer *w)
{
        if (w == NULL)
                return;
        EVP_MD_CTX_free(w->digest);
        buf_release(&w->sums);
        free(w);
}

static struct error *end_file(struct archive_writer *w)
{
        put_line(&w->sums, w->digest, w->file.name);
        return age_writer_put(w->to, (struct str){ zeros, tar_padding(w->file.size) });
}

struct error *archive_begin(struct archive_writer *w, const struct tar_entry *entry)
{
        char header[TAR_BLOCK];

        if (w->left > 0)
                bug("a file of an archive is not complete");
        TRY(buf_finish(&w->sums, "the list of files of the backup"));
        TRY(tar_header_write(entry, header));
        TRY(age_writer_put(w->to, (struct str){ header, sizeof header }));
        w->file = *entry;
        w->left = entry->size;
        digest_begin(w->digest);
        return w->left == 0 ? end_file(w) : NULL;
}

struct error *archive_put(struct archive_writer *w, struct str bytes)
{
        if (bytes.len == 0)
                return NULL;
        if (bytes.len > w->left)
                bug("a file of an archive has more bytes than its header");
        digest_put(w->digest, bytes);
        TRY(age_writer_put(w->to, bytes));
        w->left -= bytes.len;
        return w->left == 0 ? end_file(w) : NULL;
}

struct error *archive_put_file(struct archive_writer *w, const char *name, struct str bytes, int64_t modified)
{
        struct tar_entry entry = { .size = bytes.len, .mode = 0600, .modified = modified };

        if (strlen(name) > TAR_NAME_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the name of a file cannot be stored in an archive");
        memcpy(entry.name, name, strlen(name) + 1);
        TRY(archive_begin(w, &entry));
        return archive_put(w, bytes);
}

struct error *archive_writer_finish(struct archive_writer *w)
{
        AUTO(buf) sums = w->sums; /* its own line is not part of it */

        w->sums = BUF_MAX(4 * KiB);
        TRY(buf_finish(&sums, "the list of files of the backup"));
        TRY(archive_put_file(w, ARCHIVE_SUMS, buf_str(&sums), w->file.modified));
        return age_writer_put(w->to, (struct str){ zeros, sizeof zeros });
}

/* ---- reading ------------------------------------------------------------------------------------------ */

struct archive_reader {
        struct age_reader *from;
        EVP_MD_CTX *digest;
        struct buf sums; /* of the files so far */
        struct tar_entry file;
        uint64_t left;
        bool is_open; /* a file was begun, and its end was not reached */
};

struct archive_reader *archive_reader_new(struct age_reader *from)
{
        struct archive_reader *r = NEW(struct archive_reader);

        r->from = from;
        r->digest = digest_new();
        r->sums = BUF_MAX(LIMIT_BACKUP_SUMS);
        return r;
}

void archive_reader_free(struct archive_reader *r)
{
        if (r == NULL)
                return;
        EVP_MD_CTX_free(r->digest);
        buf_release(&r->sums);
        free(r);
}

static struct error *read_exactly(struct archive_reader *r, char *to, size_t len)
{
        while (len > 0) {
                size_t n = 0;

                TRY(age_reader_get(r->from, to, len, &n));
                if (n == 0)
                        return error_new(ERROR_INVALID_ARGUMENT, "the archive ends in the middle of a file");
                to += n;
                len -= n;
        }
        return NULL;
}

/* Reads the zeros behind a file. */
static struct error *read_padding(struct archive_reader *r)
{
        char padding[TAR_BLOCK];
        size_t len = tar_padding(r->file.size);

        TRY(read_exactly(r, padding, len));
        return memcmp(padding, zeros, len) == 0 ? NULL : error_new(ERROR_INVALID_ARGUMENT, "the archive has bytes between its files");
}

struct error *archive_get(struct archive_reader *r, char *to, size_t most, size_t *ret)
{
        size_t want = most < r->left ? most : (size_t)r->left;

        *ret = 0;
        if (r->left == 0) {
                if (r->is_open) {
                        r->is_open = false;
                        put_line(&r->sums, r->digest, r->file.name);
                        TRY(read_padding(r));
                }
                return NULL;
        }
        TRY(age_reader_get(r->from, to, want, ret));
        if (*ret == 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the archive ends in the middle of a file");
        digest_put(r->digest, str_of_bytes(to, *ret));
        r->left -= *ret;
        return NULL;
}

/* The list must be the one that was made of the files, byte by byte. */
static struct error *check_sums(struct archive_reader *r)
{
        AUTO(buf) sums = BUF_MAX(LIMIT_BACKUP_SUMS);
        char last[2 * TAR_BLOCK];
        size_t n = 0;

        TRY(buf_finish(&r->sums, "the list of files of the backup"));
        if (r->file.size != r->sums.len)
                return error_new(ERROR_DATA_LOSS, "the list of files of the backup does not agree with its files");
        TRY(read_exactly(r, buf_extend(&sums, r->sums.len), r->sums.len));
        if (!str_equal(buf_str(&sums), buf_str(&r->sums)))
                return error_new(ERROR_DATA_LOSS, "the list of files of the backup does not agree with its files");
        TRY(read_padding(r));
        TRY(read_exactly(r, last, sizeof last));
        if (memcmp(last, zeros, sizeof last) != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the archive goes on behind its list of files");
        TRY(age_reader_get(r->from, last, 1, &n));
        return n == 0 ? NULL : error_new(ERROR_INVALID_ARGUMENT, "bytes follow the end of the archive");
}

struct error *archive_next(struct archive_reader *r, struct tar_entry *ret, bool *ret_is_end)
{
        char header[TAR_BLOCK];
        bool is_end = false;

        if (r->is_open)
                bug("a file of an archive was not read to its end");
        *ret_is_end = false;
        TRY(buf_finish(&r->sums, "the list of files of the backup"));
        TRY(read_exactly(r, header, sizeof header));
        TRY(tar_header_read(header, &r->file, &is_end));
        if (is_end)
                return error_new(ERROR_INVALID_ARGUMENT, "the archive has no list of its files");
        if (strcmp(r->file.name, ARCHIVE_SUMS) == 0) {
                *ret_is_end = true;
                return check_sums(r);
        }
        r->left = r->file.size;
        r->is_open = true;
        digest_begin(r->digest);
        *ret = r->file;
        return NULL;
}
