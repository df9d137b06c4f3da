/* SPDX-License-Identifier: Apache-2.0 */
#include "app/request_log.h"

#include "base/limits.h"
#include "base/text.h"

enum { ESCAPED_MAX = LIMIT_APP_REQUEST_TEXT + 64 };

void request_query_put(struct buf *out, struct str query)
{
        while (!str_is_empty(query)) {
                struct str parameter = str_split(&query, '&');
                size_t name = str_find_char(parameter, '=');

                if (name < parameter.len)
                        buf_put(out, str_slice(parameter, 0, name + 1));
                else if (parameter.len > 0)
                        buf_put_char(out, '*');
                if (!str_is_empty(query))
                        buf_put_char(out, '&');
        }
}

/* ,"key":"text", escaped, and cut with a mark. */
static void put_text(struct buf *out, const char *key, struct str text)
{
        AUTO(buf) safe = BUF_MAX(ESCAPED_MAX);

        escape_text(&safe, text, LIMIT_APP_REQUEST_TEXT);
        buf_printf(out, ",\"%s\":", key);
        json_put_string(out, buf_str(&safe));
}

void request_entry_put(struct buf *out, const struct request_entry *e)
{
        AUTO(buf) query = BUF_MAX(LIMIT_HTTP_HEAD);
        struct str rest = e->target, path = str_split(&rest, '?');

        request_query_put(&query, rest);
        buf_put_c(out, "{\"event\":\"app.session.request\",\"code\":\"T2009I\",\"time\":\"");
        walltime_put_rfc3339_ms(out, e->began);
        buf_put_char(out, '"');
        put_text(out, "method", e->method);
        put_text(out, "path", path);
        put_text(out, "raw_query", buf_str(&query));
        buf_printf(out, ",\"status_code\":%d,\"rx\":%llu,\"tx\":%llu,\"duration_ms\":%lld%s}\r\n", e->status, (unsigned long long)e->received,
                   (unsigned long long)e->sent, (long long)(e->took.ns / 1000000), e->is_cut ? ",\"cut\":true" : "");
}
