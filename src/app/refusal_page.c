/* SPDX-License-Identifier: Apache-2.0 */
#include "app/refusal_page.h"

#include "http/error_page.h"
#include "net/http1.h"

enum { PAGE_MAX = 16 * KiB };

static void add(struct http_fields *fields, const char *name, const char *value)
{
        error_free(http_fields_add(fields, str_of(name), str_of(value))); /* constants: always valid */
}

/* The first of the media types that the client names; a browser names text/html. */
static const struct {
        const char *type;
        void (*put)(struct buf *body, struct http_fields *fields, const struct error_page *page);
} forms[] = {
        { "text/html", error_page_put_html },
        { "application/json", error_page_put_json },
        { "", error_page_put_text },
};

static const char *title_of(int status)
{
        return status == 403 ? "Access denied" : status < 500 || status == 501 ? "The request cannot be served" : "The application did not answer";
}

void refusal_page_put(struct buf *body, struct http_fields *fields, struct str accept, const struct refusal *r)
{
        const struct error_page page = { .title = title_of(r->status), .what = r->what, .hint = r->hint, .id = r->id };
        size_t form = 0;

        while (!str_contains(accept, str_of(forms[form].type)))
                form++;
        add(fields, "Cache-Control", "no-store");
        add(fields, "X-Content-Type-Options", "nosniff");
        forms[form].put(body, fields, &page);
}

void refusal_response_put(struct buf *out, const struct refusal *r)
{
        AUTO(buf) body = BUF_MAX(PAGE_MAX);
        AUTO(http_response) response = { .status = r->status, .reason = str_of(http1_reason(r->status)) };

        refusal_page_put(&body, &response.fields, STR(""), r);
        http_response_put(out, &response, (struct http_send){ .body = { .kind = HTTP_BODY_LENGTH, .length = body.len }, .is_close = true });
        buf_put(out, buf_str(&body));
}
