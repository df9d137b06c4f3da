/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_page.h"

#include "base/text.h"
#include "pki/key.h"
#include "proxy/web/html.h"

static void add(struct http_fields *fields, const char *name, struct str value)
{
        error_free(http_fields_add(fields, str_of(name), value)); /* short and visible ASCII: always valid */
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

/* The only style of these pages: the style sheet is of another host, the proxy's. */
#define STYLE ":root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}body{max-width:36rem;margin:12vh auto;padding:0 1rem}h1{font-size:1.4rem}"

static void begin_html(struct buf *body, struct http_fields *fields, const char *title, struct str refresh)
{
        AUTO(buf) policy = BUF_MAX(512), nonce = BUF_MAX(64);
        uint8_t bytes[16];

        random_bytes(bytes, sizeof bytes);
        hex_encode(&nonce, str_of_bytes(bytes, sizeof bytes));
        buf_printf(&policy, "default-src 'none'; style-src 'nonce-%s'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", buf_c(&nonce));
        add(fields, "Content-Type", STR("text/html; charset=utf-8"));
        add(fields, "Content-Security-Policy", buf_str(&policy));
        html_print(body, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                         "<link rel=\"icon\" href=\"data:,\">");
        if (!str_is_empty(refresh))
                html_print(body, "<meta http-equiv=\"refresh\" content=\"0; url=%.*s\">", STR_ARG(refresh));
        html_print(body, "<title>%s</title><style nonce=\"%s\">" STYLE "</style></head>\n<body><main><h1>%s</h1>\n", title, buf_c(&nonce), title);
}

static void put_html(struct buf *body, struct http_fields *fields, const struct app_page *page)
{
        begin_html(body, fields, page->title, STR(""));
        buf_put_c(body, "<p role=\"alert\">");
        html_put_sentence(body, page->what);
        buf_put_c(body, "</p>\n");
        if (page->hint != NULL) {
                buf_put_c(body, "<p>");
                html_put_sentence(body, page->hint);
                buf_put_c(body, "</p>\n");
        }
        if (page->link != NULL)
                html_print(body, "<p><a href=\"%s\">%s</a></p>\n", page->link, page->link_text);
        html_print(body, "<p><small>Request ID: <code>%s</code></small></p>\n</main></body>\n</html>\n", page->id);
}

static void put_json(struct buf *body, struct http_fields *fields, const struct app_page *page)
{
        add(fields, "Content-Type", STR("application/json"));
        buf_put_c(body, "{\"error\":{\"message\":");
        json_put_string(body, str_of(page->what));
        if (page->hint != NULL) {
                buf_put_c(body, ",\"hint\":");
                json_put_string(body, str_of(page->hint));
        }
        buf_put_c(body, ",\"request_id\":");
        json_put_string(body, str_of(page->id));
        buf_put_c(body, "}}\n");
}

void app_page_put(struct buf *body, struct http_fields *fields, bool is_html, const struct app_page *page)
{
        app_page_add_fields(fields);
        add(fields, "X-Request-Id", str_of(page->id));
        if (is_html)
                put_html(body, fields, page);
        else
                put_json(body, fields, page);
}

void app_page_put_redirect(struct buf *body, struct http_fields *fields, struct str url)
{
        app_page_add_fields(fields);
        begin_html(body, fields, "Logged in", url);
        html_print(body, "<p><a href=\"%.*s\">Go on</a></p>\n</main></body>\n</html>\n", STR_ARG(url));
}
