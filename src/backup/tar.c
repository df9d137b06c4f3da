/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/tar.h"

#include <stdio.h>
#include <string.h>

/* The header; numbers are octal digits. */
struct header {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2];
        char owner[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is one block");

static bool is_name_char(char c)
{
        return char_is_alnum(c) || c == '.' || c == '_' || c == '-';
}

bool tar_name_is_valid(struct str name)
{
        struct str rest = name;

        if (name.len == 0 || name.len > TAR_NAME_MAX || name.ptr[name.len - 1] == '/')
                return false;
        while (!str_is_empty(rest)) {
                struct str word = str_split(&rest, '/');

                if (str_is_empty(word) || str_equal(word, STR(".")) || str_equal(word, STR("..")))
                        return false;
                for (size_t i = 0; i < word.len; i++)
                        if (!is_name_char(word.ptr[i]))
                                return false;
        }
        return true;
}

size_t tar_padding(uint64_t size)
{
        return (size_t)(-size % TAR_BLOCK);
}

static unsigned checksum_of(struct header h)
{
        unsigned sum = 0;

        memset(h.checksum, ' ', sizeof h.checksum);
        for (size_t i = 0; i < sizeof h; i++)
                sum += ((const unsigned char *)&h)[i];
        return sum;
}

/* Digits up to the last byte of the field, which stays NUL. False: the number does not fit. */
static bool put_octal(char *field, size_t size, uint64_t number)
{
        for (size_t i = size - 1; i-- > 0; number >>= 3)
                field[i] = (char)('0' + (number & 7));
        return number == 0;
}

static bool get_octal(const char *field, size_t size, uint64_t *ret)
{
        *ret = 0;
        for (size_t i = 0; i < size - 1; i++) {
                if (field[i] < '0' || field[i] > '7')
                        return false;
                *ret = *ret << 3 | (uint64_t)(field[i] - '0');
        }
        return field[size - 1] == '\0';
}

struct error *tar_header_write(const struct tar_entry *entry, char ret[TAR_BLOCK])
{
        struct header h = { .type = '0', .magic = "ustar", .version = { '0', '0' } };
        struct str name = str_of(entry->name);

        if (!tar_name_is_valid(name))
                return error_new(ERROR_INVALID_ARGUMENT, "the name of a file cannot be stored in an archive");
        memcpy(h.name, name.ptr, name.len);
        if (!put_octal(h.size, sizeof h.size, entry->size))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the file %s is too large for an archive", entry->name),
                                  "a file of an archive has less than 8 GiB; move this one out of the data directory, and copy it by other means");
        (void)put_octal(h.mode, sizeof h.mode, entry->mode & 0777);
        (void)put_octal(h.uid, sizeof h.uid, 0);
        (void)put_octal(h.gid, sizeof h.gid, 0);
        if (entry->modified < 0 || !put_octal(h.mtime, sizeof h.mtime, (uint64_t)entry->modified))
                memset(h.mtime, '0', sizeof h.mtime - 1);
        /* Six digits, a NUL and a blank. */
        (void)put_octal(h.checksum, sizeof h.checksum - 1, checksum_of(h));
        h.checksum[7] = ' ';
        memcpy(ret, &h, sizeof h);
        return NULL;
}

static bool is_zero(const char *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (bytes[i] != '\0')
                        return false;
        return true;
}

struct error *tar_header_read(const char block[TAR_BLOCK], struct tar_entry *ret, bool *ret_is_end)
{
        static const struct header plain = { .magic = "ustar", .version = { '0', '0' } };
        struct header h;
        uint64_t mode, modified, sum;

        *ret = (struct tar_entry){ .size = 0 };
        *ret_is_end = is_zero(block, TAR_BLOCK);
        if (*ret_is_end)
                return NULL;
        memcpy(&h, block, sizeof h);
        if (h.checksum[7] != ' ' || !get_octal(h.checksum, sizeof h.checksum - 1, &sum) || sum != checksum_of(h))
                return error_new(ERROR_INVALID_ARGUMENT, "a header of the archive has a wrong checksum");
        if (memcmp(h.magic, plain.magic, sizeof h.magic) != 0 || memcmp(h.version, plain.version, sizeof h.version) != 0 || h.type != '0' ||
            !is_zero(h.link, sizeof h.link) || !is_zero(h.prefix, sizeof h.prefix) || !is_zero(h.rest, sizeof h.rest))
                return error_new(ERROR_INVALID_ARGUMENT, "the archive has something else than plain files");
        if (!get_octal(h.size, sizeof h.size, &ret->size) || !get_octal(h.mode, sizeof h.mode, &mode) ||
            !get_octal(h.mtime, sizeof h.mtime, &modified))
                return error_new(ERROR_INVALID_ARGUMENT, "a number in the archive is malformed");
        struct str name = { h.name, strnlen(h.name, sizeof h.name) };
        if (!tar_name_is_valid(name) || !is_zero(h.name + name.len, sizeof h.name - name.len))
                return error_new(ERROR_INVALID_ARGUMENT, "a name in the archive is malformed");
        memcpy(ret->name, name.ptr, name.len);
        ret->mode = (unsigned)mode & 0777;
        ret->modified = (int64_t)modified;
        return NULL;
}
