/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "store/sqlite/sqlite.h"

enum { MARKER_MAX = 1 * KiB };

static const char marker_head[] = "# This cluster is initialised; the database beside this file must be the one named here.\n";

static char *marker_path(const char *dir)
{
        return mem_printf("%s/initialised", dir);
}

static struct error *parse_line(struct store_marker *m, struct str line, unsigned *seen)
{
        struct str rest = line;
        struct str name = str_split(&rest, ' ');
        int64_t revision = 0;

        if (str_equal(name, STR("identity"))) {
                AUTO(buf) bytes = BUF_MAX(STORE_IDENTITY_SIZE);

                TRY(hex_decode(&bytes, rest));
                TRY(buf_finish(&bytes, "the identity"));
                if (bytes.len != STORE_IDENTITY_SIZE)
                        return error_new(ERROR_INVALID_ARGUMENT, "the identity has %zu bytes", bytes.len);
                memcpy(m->identity, bytes.ptr, STORE_IDENTITY_SIZE);
                *seen |= 1;
        } else if (str_equal(name, STR("revision"))) {
                TRY(parse_int(rest, 0, INT64_MAX, "revision", &revision));
                m->revision = (uint64_t)revision;
                *seen |= 2;
        }
        return NULL;
}

static struct error *parse(struct store_marker *m, struct str text)
{
        unsigned seen = 0;

        while (!str_is_empty(text)) {
                struct str line = str_split(&text, '\n');

                TRY(parse_line(m, line, &seen));
        }
        if (seen != 3)
                return error_new(ERROR_INVALID_ARGUMENT, "identity or revision is missing");
        return NULL;
}

struct error *store_marker_read(const char *dir, const char *shown, struct store_marker *ret)
{
        AUTO_MEM char *path = marker_path(dir);
        AUTO(buf) text = BUF_MAX(MARKER_MAX);
        struct store_marker m = { .revision = 0 };

        TRY(file_read(path, &text));
        struct error *cause = parse(&m, buf_str(&text));
        if (cause != NULL)
                return error_because(error_new(ERROR_DATA_LOSS, "'%s/initialised' is damaged", shown), cause);
        *ret = m;
        return NULL;
}

struct error *store_marker_write(const char *dir, const struct store_marker *m)
{
        AUTO_MEM char *path = marker_path(dir);
        AUTO(buf) text = BUF_MAX(MARKER_MAX);

        buf_put_c(&text, marker_head);
        buf_put_c(&text, "identity ");
        hex_encode(&text, str_of_bytes(m->identity, sizeof m->identity));
        buf_printf(&text, "\nrevision %llu\n", (unsigned long long)m->revision);
        return file_write_atomic(path, buf_str(&text), 0600);
}
