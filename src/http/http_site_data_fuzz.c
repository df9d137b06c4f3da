/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: values of Clear-Site-Data fields, a line each. Property: a browser that joins the fields, ignores case, blanks and backslashes in them, and does not
 * care for quotes finds nothing that clears cookies in what is left; a second pass changes nothing.
 */
#include "base/bug.h"
#include "base/mem.h"
#include "http/site_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_item(struct str item)
{
        AUTO(buf) letters = BUF_MAX(1 * MiB);

        for (size_t i = 0; i < item.len; i++)
                if (strchr(" \t\\\"'", item.ptr[i]) == NULL)
                        buf_put_char(&letters, item.ptr[i]);
        if (str_equal_nocase(buf_str(&letters), STR("cookies")) || str_equal(buf_str(&letters), STR("*")))
                bug("cookies would be cleared: %.*s", STR_ARG(item));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(http_fields) f = { 0 };
        struct str rest = str_of_bytes(data, size);

        while (!str_is_empty(rest)) {
                AUTO_PTR(error) err = http_fields_add(&f, STR("Clear-Site-Data"), str_split(&rest, '\n'));

                if (err != NULL)
                        return 0;
        }
        AUTO_PTR(error) err = http_site_data_confine(&f);
        if (err != NULL)
                return 0;
        if (f.count > 1)
                bug("%zu fields are left", f.count);
        struct str kept = http_fields_get(&f, "clear-site-data");
        AUTO_MEM char *before = str_dup(kept);
        while (!str_is_empty(kept))
                check_item(str_split(&kept, ','));
        AUTO_PTR(error) again = http_site_data_confine(&f);
        if (again != NULL || !str_equal(http_fields_get(&f, "clear-site-data"), str_of(before)))
                bug("a second pass changes the field");
        return 0;
}
