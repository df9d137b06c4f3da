/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: age files in memory, for one key. */
#ifndef BACKUP_ARCHIVE_TESTING_H
#define BACKUP_ARCHIVE_TESTING_H

#include <string.h>

#include "backup/archive.h"
#include "base/bug.h"

static const uint8_t testing_identity[AGE_KEY_SIZE] = { 1, 2, 3 };

static inline UNUSED struct error *testing_sink(void *ctx, struct str bytes)
{
        buf_put(ctx, bytes);
        return NULL;
}

/* ctx: the rest of the file. */
static inline UNUSED struct error *testing_source(void *ctx, char *to, size_t most, size_t *ret)
{
        struct str *rest = ctx;

        *ret = rest->len < most ? rest->len : most;
        memcpy(to, rest->ptr, *ret);
        *rest = (struct str){ rest->ptr + *ret, rest->len - *ret };
        return NULL;
}

static inline UNUSED struct age_writer *testing_writer(struct buf *file)
{
        uint8_t key[1][AGE_KEY_SIZE];
        struct age_writer *w = NULL;
        struct error *err = age_recipient_of(testing_identity, key[0]);

        if (err == NULL)
                err = age_writer_new((struct age_recipients){ .keys = key, .key_count = 1 }, (struct age_sink){ testing_sink, file }, &w);
        if (err != NULL)
                bug("%s", err->what);
        return w;
}

static inline UNUSED struct age_reader *testing_reader(struct str *file)
{
        struct age_reader *r = NULL;
        struct error *err = age_reader_new((struct age_unlock){ .identity = testing_identity }, (struct age_source){ testing_source, file }, &r);

        if (err != NULL)
                bug("%s", err->what);
        return r;
}

#endif
