/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties of a reader of a file that is, or claims to be, compressed: reading it twice from the start gives the same text, in pieces of any
 * size; the text has a limit; any position can be sought, and a view is never longer than requested.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "audit/audit_reader.h"
#include "base/buf.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/zlib_api.h"

enum { TEXT_MAX = 4 * MiB }; /* the rest of a large text is not compared */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads from the start in pieces of `step` bytes. */
static struct buf read_all(int fd, size_t step)
{
        struct audit_reader *r = audit_reader_new(dup(fd), true);
        struct buf text = BUF_MAX(TEXT_MAX + AUDIT_READER_PIECE);
        struct str view = STR("?");

        while (!str_is_empty(view) && text.len < TEXT_MAX) {
                struct error *err = audit_reader_view(r, (off_t)text.len, step, &view);

                if (err != NULL)
                        bug("a file in memory cannot be read");
                if (view.len > step)
                        bug("a view is longer than requested");
                buf_put(&text, view);
        }
        audit_reader_free(r);
        return text;
}

static void seek(int fd, off_t at)
{
        struct audit_reader *r = audit_reader_new(dup(fd), true);
        struct str view;
        struct error *err = audit_reader_view(r, at, 100, &view);

        if (err == NULL)
                err = audit_reader_view(r, at / 2, 100, &view);
        if (err != NULL || view.len > 100)
                bug("a position cannot be sought");
        audit_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        int fd = memfd_create("audit", MFD_CLOEXEC);
        struct error *err = zlib_load();

        if (err != NULL || fd < 0 || !fd_write_all(fd, str_of_bytes(data, size)))
                bug("no file in memory");
        AUTO(buf) whole = read_all(fd, AUDIT_READER_PIECE);
        AUTO(buf) pieces = read_all(fd, 4000);
        size_t shared = whole.len < pieces.len ? whole.len : pieces.len;
        if (shared < TEXT_MAX && whole.len != pieces.len)
                bug("the text has %zu bytes or %zu", whole.len, pieces.len);
        if (shared > 0 && memcmp(whole.ptr, pieces.ptr, shared) != 0)
                bug("the text differs");
        seek(fd, (off_t)whole.len / 2);
        seek(fd, (off_t)whole.len + 10);
        close(fd);
        return 0;
}
