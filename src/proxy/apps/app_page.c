/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_page.h"

#include <string.h>

#include "base/text.h"
#include "pki/key.h"

static void add(struct http_fields *fields, const char *name, struct str value)
{
        error_free(http_fields_add(fields, str_of(name), value)); /* short and visible ASCII: always valid */
}

void app_page_new_id(char out[static APP_PAGE_ID_LEN + 1])
{
        uint8_t bytes[APP_PAGE_ID_LEN / 2];
        AUTO(buf) text = BUF_MAX(64);

        random_bytes(bytes, sizeof bytes);
        hex_encode(&text, str_of_bytes(bytes, sizeof bytes));
        memcpy(out, buf_c(&text), APP_PAGE_ID_LEN + 1);
}

void app_page_add_fields(struct http_fields *fields)
{
        add(fields, "Cache-Control", STR("no-store"));
        add(fields, "Referrer-Policy", STR("no-referrer"));
        add(fields, "X-Content-Type-Options", STR("nosniff"));
}

bool app_page_is_wanted(const struct http_request *r)
{
        struct str mode = http_fields_get(&r->fields, "Sec-Fetch-Mode");

        if (!str_is_empty(r->upgrade))
                return false;
        if (!str_is_empty(mode))
                return str_equal(mode, STR("navigate"));
        return !str_contains(http_fields_get(&r->fields, "Accept"), STR("application/json")) && str_is_empty(http_fields_get(&r->fields, "X-Requested-With"));
}

void app_page_put(struct buf *body, struct http_fields *fields, bool is_html, const struct error_page *page)
{
        app_page_add_fields(fields);
        if (is_html)
                error_page_put_html(body, fields, page);
        else
                error_page_put_json(body, fields, page);
}

void app_page_put_redirect(struct buf *body, struct http_fields *fields, struct str url)
{
        app_page_add_fields(fields);
        error_page_put_redirect(body, fields, "Logged in", url);
}
