/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/roots.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"

enum { PATHS_MAX = 16, ROOTS_MAX = 4 * MiB, HASH_DIGITS = 8 };

static void add_file(struct buf *out, const char *path, bool is_quiet)
{
        struct error *err = file_read(path, out);

        buf_put_char(out, '\n');
        if (err != NULL && !is_quiet)
                log_warn("Trusted certificates cannot be read", LOG_ERR(err));
        error_free(err);
}

/* "<8 hex digits>.<number>": OpenSSL opens no files with other names. */
static bool is_hash_name(struct str name)
{
        struct str rest = name, hash = str_split(&rest, '.');

        if (hash.len != HASH_DIGITS || str_is_empty(rest))
                return false;
        for (size_t i = 0; i < hash.len; i++)
                if (!char_is_digit(hash.ptr[i]) && (hash.ptr[i] < 'a' || hash.ptr[i] > 'f'))
                        return false;
        for (size_t i = 0; i < rest.len; i++)
                if (!char_is_digit(rest.ptr[i]))
                        return false;
        return true;
}

static void add_directory(struct buf *out, struct str path, bool is_quiet)
{
        AUTO_MEM char *name = str_dup(path);
        DIR *dir = opendir(name);

        if (dir == NULL)
                return; /* ignored, as OpenSSL does */
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
                AUTO_MEM char *file = mem_printf("%s/%s", name, e->d_name);

                if (is_hash_name(str_of(e->d_name)))
                        add_file(out, file, is_quiet);
        }
        closedir(dir);
}

static void read_all(struct buf *out, bool is_quiet)
{
        const char *file = getenv("SSL_CERT_FILE");
        struct str left = str_of(getenv("SSL_CERT_DIR"));

        *out = BUF_MAX(ROOTS_MAX);
        if (file != NULL && file[0] != '\0')
                add_file(out, file, is_quiet);
        for (size_t i = 0; i < PATHS_MAX && !str_is_empty(left); i++)
                add_directory(out, str_split(&left, ':'), is_quiet);
}

void roots_read(struct buf *out)
{
        read_all(out, false);
}

void roots_drop_if_open(struct buf *pem)
{
        AUTO(buf) again = { 0 };

        read_all(&again, true);
        if (!str_equal(buf_str(pem), buf_str(&again)))
                return;
        buf_release(pem);
        *pem = BUF_MAX(ROOTS_MAX);
}

const char *const *roots_paths(struct arena *a)
{
        const char **paths = arena_alloc(a, (PATHS_MAX + 2) * sizeof(*paths));
        const char *file = getenv("SSL_CERT_FILE");
        struct str left = str_of(getenv("SSL_CERT_DIR"));
        size_t count = 0;

        if (file != NULL)
                paths[count++] = file;
        while (!str_is_empty(left) && count <= PATHS_MAX)
                paths[count++] = str_to_c(a, str_split(&left, ':'));
        paths[count] = NULL;
        return paths;
}
