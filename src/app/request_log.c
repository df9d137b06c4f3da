/* SPDX-License-Identifier: Apache-2.0 */
#include "app/request_log.h"

#include "base/limits.h"
#include "base/text.h"

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

/* A member of the object: its key as it is written, and its text, escaped, and cut with a mark. */
static void put_text(struct buf *out, const char *key, struct str text)
{
        buf_put_c(out, key);
        json_put_escaped(out, text, LIMIT_APP_REQUEST_TEXT);
}

static void put_number(struct buf *out, const char *key, uint64_t number)
{
        buf_put_c(out, key);
        buf_put_decimal(out, number);
}

void request_entry_put(struct buf *out, const struct request_entry *e)
{
        AUTO(buf) query = BUF_MAX(LIMIT_HTTP_HEAD);
        struct str rest = e->target, path = str_split(&rest, '?');

        request_query_put(&query, rest);
        buf_put_c(out, "{\"event\":\"app.session.request\",\"code\":\"T2009I\",\"time\":\"");
        walltime_put_rfc3339_ms(out, e->began);
        buf_put_char(out, '"');
        put_text(out, ",\"method\":", e->method);
        put_text(out, ",\"path\":", path);
        put_text(out, ",\"raw_query\":", buf_str(&query));
        put_number(out, ",\"status_code\":", (uint64_t)e->status);
        put_number(out, ",\"rx\":", e->received);
        put_number(out, ",\"tx\":", e->sent);
        put_number(out, ",\"duration_ms\":", (uint64_t)(e->took.ns / 1000000));
        buf_put_c(out, e->is_cut ? ",\"cut\":true}\r\n" : "}\r\n");
}
