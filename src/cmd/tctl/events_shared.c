/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tctl/events_shared.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"

enum { LIMIT_MOST = 100 * 1000 * 1000 };

/* ---- requests ------------------------------------------------------------------------------------- */

struct error *events_parse_time(const char *text, const char *flag, struct walltime now, int64_t *ret_ms)
{
        AUTO_MEM char *shown = escaped(str_of(text));
        AUTO(buf) day = BUF_MAX(ESCAPE_LIMIT);
        struct duration ago = { 0 };
        struct walltime at = now;
        struct error *err = walltime_parse_rfc3339(str_of(text), &at);

        if (err != NULL) {
                error_free(err);
                buf_put_c(&day, text);
                buf_put_c(&day, "T00:00:00Z");
                err = walltime_parse_rfc3339(buf_str(&day), &at);
        }
        if (err != NULL) {
                error_free(err);
                err = duration_parse(str_of(text), &ago);
                at = walltime_sub(now, ago);
        }
        if (err == NULL && at.ns > 0) {
                *ret_ms = at.ns / MILLISECONDS(1).ns;
                return NULL;
        }
        error_free(err);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--%s=%s is no time", flag, shown),
                          "write a time (2026-01-31T08:00:00Z), a day (2026-01-31), or so long ago (90m, 24h)");
}

struct error *events_parse_limit(const struct flags *given, size_t *ret)
{
        const char *text = flags_text(given, "limit");
        int64_t limit = 0;

        if (text != NULL)
                TRY(parse_int(str_of(text), 1, LIMIT_MOST, "--limit", &limit));
        *ret = (size_t)limit;
        return NULL;
}

static struct error *take_page(json_t *events, const Cteleport__V1__SearchEventsResponse *page, events_take_fn take, void *ctx)
{
        for (size_t i = 0; i < page->n_events; i++) {
                json_t *event = json_loads(page->events[i], JSON_REJECT_DUPLICATES, NULL);

                if (!json_is_object(event)) {
                        json_decref(event);
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sent an event that is no JSON object");
                }
                json_t *taken = take(ctx, event);
                if (taken != NULL)
                        json_array_append_new(events, taken);
                json_decref(event);
        }
        return NULL;
}

/* Frees all but the last `limit` events when these are half of the total, so that a page costs its own size only. */
static void keep_latest(json_t **events, size_t limit, bool is_end)
{
        size_t count = json_array_size(*events);

        if (limit == 0 || count <= (is_end ? limit : 2 * limit))
                return;
        json_t *latest = json_array();
        for (size_t i = count - limit; i < count; i++)
                json_array_append(latest, json_array_get(*events, i));
        json_decref(*events);
        *events = latest;
}

struct error *events_request(struct session *s, Cteleport__V1__SearchEventsRequest *request, size_t limit, events_take_fn take, void *ctx,
                             json_t **events)
{
        do {
                ProtobufCMessage *msg = NULL;

                TRY(session_request(s, "SearchEvents", &request->base, &cteleport__v1__search_events_response__descriptor, &msg));
                const Cteleport__V1__SearchEventsResponse *page = (Cteleport__V1__SearchEventsResponse *)msg;
                TRY(take_page(*events, page, take, ctx));
                keep_latest(events, limit, page->next[0] == '\0');
                if (page->next[0] != '\0' && strcmp(page->next, request->after) == 0)
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sends the same page again and again");
                request->after = page->next;
        } while (request->after[0] != '\0');
        return NULL;
}

/* ---- output --------------------------------------------------------------------------------------- */

struct str events_text(const json_t *event, const char *key)
{
        const json_t *value = json_object_get(event, key);

        return json_is_string(value) ? str_of_bytes(json_string_value(value), json_string_length(value)) : STR("");
}

/* Writes JSON in ASCII, without control characters. */
static void put_json(struct buf *out, const json_t *events)
{
        AUTO_MEM char *text = json_dumps(events, JSON_ENSURE_ASCII | JSON_INDENT(4) | JSON_PRESERVE_ORDER);

        buf_put_c(out, text == NULL ? "[]" : text);
        buf_put_char(out, '\n');
}

/* The value of the four hex digits of "\uXXXX" at text, 0 if it is not one. */
static unsigned unit_at(const char *text)
{
        char digits[5] = "";

        if (text[0] != '\\' || text[1] != 'u' || strlen(text) < 6)
                return 0;
        memcpy(digits, text + 2, 4);
        return (unsigned)strtoul(digits, NULL, 16);
}

/* A JSON line is valid YAML, except for the surrogate pairs of characters beyond U+FFFF (RFC 8259 section 7). */
static void put_inline(struct buf *out, const json_t *value)
{
        AUTO_MEM char *text = json_dumps(value, JSON_ENSURE_ASCII | JSON_ENCODE_ANY);

        for (const char *at = text == NULL ? "null" : text; *at != '\0'; at++) {
                unsigned high = unit_at(at);

                if (high >= 0xd800 && high < 0xdc00) {
                        buf_printf(out, "\\U%08X", 0x10000 + ((high - 0xd800) << 10) + (unit_at(at + 6) - 0xdc00));
                        at += 11;
                } else {
                        buf_put_char(out, *at);
                        if (at[0] == '\\')
                                buf_put_char(out, *++at);
                }
        }
}

/* Writes YAML in block style. */
static void put_yaml(struct buf *out, json_t *value, int indent)
{
        const char *key;
        json_t *item;
        size_t i;

        json_object_foreach (value, key, item) {
                bool is_nested = json_object_size(item) + json_array_size(item) > 0;

                buf_printf(out, "%*s", indent, "");
                json_put_string(out, str_of(key));
                buf_put_c(out, is_nested ? ":\n" : ": ");
                if (is_nested) {
                        put_yaml(out, item, indent + 2);
                } else {
                        put_inline(out, item);
                        buf_put_char(out, '\n');
                }
        }
        json_array_foreach (value, i, item) {
                buf_printf(out, "%*s- ", indent, "");
                put_inline(out, item);
                buf_put_char(out, '\n');
        }
}

static bool is_json(const struct flags *given)
{
        return strcmp(flags_text(given, "format"), "json") == 0;
}

void events_put(struct buf *out, const struct flags *given, const json_t *events)
{
        json_t *event;
        size_t i;

        if (is_json(given)) {
                put_json(out, events);
                return;
        }
        json_array_foreach (events, i, event) {
                buf_put_c(out, i == 0 ? "" : "---\n");
                put_yaml(out, event, 0);
        }
}

void events_put_one(struct buf *out, const struct flags *given, json_t *object)
{
        if (is_json(given))
                put_json(out, object);
        else
                put_yaml(out, object, 0);
}
