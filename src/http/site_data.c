/* SPDX-License-Identifier: Apache-2.0 */
#include "http/site_data.h"

#include "base/limits.h"

/* The kinds of data of one origin. */
static const char *const kinds[] = { "\"cache\"", "\"clientHints\"", "\"executionContexts\"", "\"prefetchCache\"", "\"prerenderCache\"", "\"storage\"" };

static bool is_of_bucket_name(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* "storage:NAME", one bucket of the origin (https://wicg.github.io/storage-buckets/). */
static bool is_bucket(struct str item)
{
        struct str start = STR("\"storage:");

        if (!str_starts_with(item, start) || item.len < start.len + 2 || item.ptr[item.len - 1] != '"')
                return false;
        for (size_t i = start.len; i < item.len - 1; i++)
                if (!is_of_bucket_name(item.ptr[i]))
                        return false;
        return true;
}

static void put_item(struct buf *out, struct str item)
{
        if (out->len > 0)
                buf_put_c(out, ", ");
        buf_put(out, item);
}

/* Buckets are put at once, other items are noted in `found`. */
static void take_items(struct str value, bool found[ARRAY_LEN(kinds)], struct buf *out)
{
        while (!str_is_empty(value)) {
                struct str item = str_trim(str_split(&value, ','));
                bool is_all = str_equal(item, STR("\"*\""));

                for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                        found[i] = found[i] || is_all || str_equal(item, str_of(kinds[i]));
                if (is_bucket(item))
                        put_item(out, item);
        }
}

struct error *http_site_data_confine(struct http_fields *f)
{
        AUTO(buf) kept = BUF_MAX(2 * LIMIT_HTTP_HEAD);
        bool found[ARRAY_LEN(kinds)] = { 0 };

        for (size_t i = http_fields_find(f, "clear-site-data", 0); i < f->count; i = http_fields_find(f, "clear-site-data", i + 1))
                take_items(f->list[i].value, found, &kept);
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (found[i])
                        put_item(&kept, str_of(kinds[i]));
        http_fields_remove(f, "clear-site-data");
        return kept.len == 0 ? NULL : http_fields_add(f, STR("Clear-Site-Data"), buf_str(&kept));
}
