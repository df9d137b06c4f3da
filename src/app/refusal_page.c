/* SPDX-License-Identifier: Apache-2.0 */
#include "app/refusal_page.h"

#include "base/limits.h"
#include "base/text.h"
#include "net/http1.h"

enum { PAGE_MAX = 16 * KiB };

static void put_html(struct buf *out, const char *text)
{
        for (const char *c = text; *c != '\0'; c++) {
                if (*c == '<')
                        buf_put_c(out, "&lt;");
                else if (*c == '&')
                        buf_put_c(out, "&amp;");
                else
                        buf_put_char(out, *c);
        }
}

static void put_page(struct buf *out, const struct refusal *r)
{
        buf_printf(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>%d %s</title></head>"
                        "<body><h1>%s</h1><p>", r->status, http1_reason(r->status), http1_reason(r->status));
        put_html(out, r->what);
        buf_put_c(out, "</p>");
        if (r->hint != NULL) {
                buf_put_c(out, "<p>");
                put_html(out, r->hint);
                buf_put_c(out, "</p>");
        }
        buf_put_c(out, "<p>Request ID: <code>");
        put_html(out, r->id);
        buf_put_c(out, "</code></p></body></html>\n");
}

static void put_json(struct buf *out, const struct refusal *r)
{
        buf_put_c(out, "{\"error\":{\"message\":");
        json_put_string(out, str_of(r->what));
        if (r->hint != NULL) {
                buf_put_c(out, ",\"hint\":");
                json_put_string(out, str_of(r->hint));
        }
        buf_put_c(out, ",\"request_id\":");
        json_put_string(out, str_of(r->id));
        buf_put_c(out, "}}\n");
}

static void put_text(struct buf *out, const struct refusal *r)
{
        buf_printf(out, "ERROR: %s\n", r->what);
        if (r->hint != NULL)
                buf_printf(out, "hint:  %s\n", r->hint);
        buf_printf(out, "request ID: %s\n", r->id);
}

static void add(struct http_fields *fields, const char *name, const char *value)
{
        error_free(http_fields_add(fields, str_of(name), str_of(value))); /* constants: always valid */
}

/* The first of the media types that the client names; a browser names text/html. */
static const struct {
        const char *type, *content_type;
        void (*put)(struct buf *out, const struct refusal *r);
} forms[] = {
        { "text/html", "text/html; charset=utf-8", put_page },
        { "application/json", "application/json", put_json },
};

void refusal_page_put(struct buf *body, struct http_fields *fields, struct str accept, const struct refusal *r)
{
        const char *type = "text/plain; charset=utf-8";
        void (*put)(struct buf *out, const struct refusal *r) = put_text;

        for (size_t i = ARRAY_LEN(forms); i-- > 0;)
                if (str_contains(accept, str_of(forms[i].type))) {
                        type = forms[i].content_type;
                        put = forms[i].put;
                }
        add(fields, "Content-Type", type);
        add(fields, "Cache-Control", "no-store");
        add(fields, "X-Content-Type-Options", "nosniff");
        add(fields, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
        add(fields, "X-Request-Id", r->id);
        put(body, r);
}

void refusal_response_put(struct buf *out, const struct refusal *r)
{
        AUTO(buf) body = BUF_MAX(PAGE_MAX);
        AUTO(http_response) response = { .status = r->status, .reason = str_of(http1_reason(r->status)) };

        refusal_page_put(&body, &response.fields, STR(""), r);
        http_response_put(out, &response, (struct http_send){ .body = { .kind = HTTP_BODY_LENGTH, .length = body.len }, .is_close = true });
        buf_put(out, buf_str(&body));
}
