/* SPDX-License-Identifier: Apache-2.0 */
#include "http/error_page.h"

#include "base/text.h"
#include "http/html.h"

/* A changed style needs its hash: app/refusal_page_test.c compares them. */
#define STYLE ":root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}body{max-width:36rem;margin:12vh auto;padding:0 1rem;overflow-wrap:anywhere}h1{font-size:1.4rem}"
#define POLICY "default-src 'none'; style-src 'sha256-FLem1lFoiqI+78joQSn/5oVFOeJYfxXDCmBQDvg8BUI='; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void add(struct http_fields *fields, const char *name, const char *value)
{
        error_free(http_fields_add(fields, str_of(name), str_of(value))); /* short and visible ASCII: always valid */
}

static void begin_html(struct buf *body, struct http_fields *fields, const char *title, struct str refresh)
{
        add(fields, "Content-Type", "text/html; charset=utf-8");
        add(fields, "Content-Security-Policy", POLICY);
        buf_put_c(body, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                        "<link rel=\"icon\" href=\"data:,\">");
        if (!str_is_empty(refresh))
                html_print(body, "<meta http-equiv=\"refresh\" content=\"0; url=%.*s\">", STR_ARG(refresh));
        html_print(body, "<title>%s</title><style>", title);
        buf_put_c(body, STYLE);
        html_print(body, "</style></head>\n<body><main><h1>%s</h1>\n", title);
}

void error_page_put_html(struct buf *body, struct http_fields *fields, const struct error_page *page)
{
        add(fields, "X-Request-Id", page->id);
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

void error_page_put_json(struct buf *body, struct http_fields *fields, const struct error_page *page)
{
        add(fields, "X-Request-Id", page->id);
        add(fields, "Content-Type", "application/json");
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

void error_page_put_text(struct buf *body, struct http_fields *fields, const struct error_page *page)
{
        add(fields, "X-Request-Id", page->id);
        add(fields, "Content-Type", "text/plain; charset=utf-8");
        buf_printf(body, "ERROR: %s\n", page->what);
        if (page->hint != NULL)
                buf_printf(body, "hint:  %s\n", page->hint);
        buf_printf(body, "request ID: %s\n", page->id);
}

void error_page_put_redirect(struct buf *body, struct http_fields *fields, const char *title, struct str url)
{
        begin_html(body, fields, title, url);
        html_print(body, "<p><a href=\"%.*s\">Go on</a></p>\n</main></body>\n</html>\n", STR_ARG(url));
}
