/* SPDX-License-Identifier: Apache-2.0 */
/* tctl audit ls: lists audit events of the cluster. */
#include <jansson.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/session.h"
#include "rpc/pb.h"

const struct flag audit_ls_flags[] = {
        { "from", 0, FLAG_TEXT, .value = "TIME", .fallback = "24h", .help = "Begin: a time, a day, or a span before now" },
        { "to", 0, FLAG_TEXT, .value = "TIME", .help = "End; default: now" },
        { "user", 0, FLAG_LIST, .value = "NAMES", .help = "Only events of these users" },
        { "type", 0, FLAG_LIST, .value = "EVENTS", .help = "Only these events: user.login,session.start …" },
        { "limit", 0, FLAG_TEXT, .value = "N", .help = "Only this number of the latest" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

enum { LIMIT_MOST = 100 * 1000 * 1000, CELL_MAX = 64 * KiB };

/* ---- requests ------------------------------------------------------------------------------------- */

/* Parses an RFC 3339 time, a date, or a duration before now; in Unix milliseconds. */
static struct error *parse_time(const char *text, const char *flag, struct walltime now, int64_t *ret_ms)
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

static void take_words(const char *const *words, char ***ret, size_t *ret_count)
{
        *ret = pb_texts(words);
        while (words[*ret_count] != NULL)
                ++*ret_count;
}

static struct error *build_request(const struct flags *given, Cteleport__V1__SearchEventsRequest *ret)
{
        struct walltime now = clock_wall(clock_system());

        TRY(parse_time(flags_text(given, "from"), "from", now, &ret->from));
        if (flags_text(given, "to") != NULL)
                TRY(parse_time(flags_text(given, "to"), "to", now, &ret->to));
        if (ret->to != 0 && ret->to < ret->from)
                return error_new(ERROR_INVALID_ARGUMENT, "--to is before --from");
        take_words(flags_list(given, "user"), &ret->users, &ret->n_users);
        take_words(flags_list(given, "type"), &ret->types, &ret->n_types);
        return NULL;
}

static struct error *take_page(json_t *events, const Cteleport__V1__SearchEventsResponse *page)
{
        for (size_t i = 0; i < page->n_events; i++) {
                json_t *event = json_loads(page->events[i], JSON_REJECT_DUPLICATES, NULL);

                if (!json_is_object(event)) {
                        json_decref(event);
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sent an event that is no JSON object");
                }
                json_array_append_new(events, event);
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

static struct error *request_all(struct session *s, Cteleport__V1__SearchEventsRequest *request, json_t **events,
                             size_t limit)
{
        do {
                ProtobufCMessage *msg = NULL;

                TRY(session_request(s, "SearchEvents", &request->base, &cteleport__v1__search_events_response__descriptor, &msg));
                const Cteleport__V1__SearchEventsResponse *page = (Cteleport__V1__SearchEventsResponse *)msg;
                TRY(take_page(*events, page));
                keep_latest(events, limit, page->next[0] == '\0');
                if (page->next[0] != '\0' && strcmp(page->next, request->after) == 0)
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sends the same page again and again");
                request->after = page->next;
        } while (request->after[0] != '\0');
        return NULL;
}

/* ---- as a table ----------------------------------------------------------------------------------- */

/* Fields that the table shows of an event, in this order; --format=json shows all fields. */
static const char *const reporting[] = {
        "login", "name",   "server_hostname", "server_addr", "node_name", "host_id",  "role",    "target", "action",
        "path",  "target_path", "command",    "exitCode",    "addr",      "addr.local", "addr.remote", "sid",  "method",
        "token_name", "reason", "message",    "error",
};

static struct str text_of(const json_t *event, const char *key)
{
        const json_t *value = json_object_get(event, key);

        return json_is_string(value) ? str_of_bytes(json_string_value(value), json_string_length(value)) : STR("");
}

/* Appends the text of a value, which the table escapes. */
static void put_value(struct buf *out, const json_t *value)
{
        struct str text = str_of_bytes(json_string_value(value), json_string_length(value));
        const char *quote = str_find_char(text, ' ') < text.len ? "\"" : "";

        if (json_is_integer(value)) {
                buf_printf(out, "%lld", (long long)json_integer_value(value));
        } else if (json_is_boolean(value)) {
                buf_put_c(out, json_is_true(value) ? "true" : "false");
        } else {
                buf_put_c(out, quote);
                buf_put(out, text);
                buf_put_c(out, quote);
        }
}

static void put_what(struct buf *out, const json_t *event)
{
        for (size_t i = 0; i < ARRAY_LEN(reporting); i++) {
                const json_t *value = json_object_get(event, reporting[i]);

                if (!json_is_string(value) && !json_is_integer(value) && !json_is_boolean(value))
                        continue;
                if (json_is_string(value) && json_string_length(value) == 0)
                        continue;
                buf_printf(out, "%s%s=", out->len == 0 ? "" : " ", reporting[i]);
                put_value(out, value);
        }
}

static void put_table(struct buf *out, const json_t *events)
{
        static const char *const titles[] = { "Time", "Event", "Code", "User", "What", NULL };
        AUTO_PTR(table) t = table_new(titles);
        const json_t *event;
        size_t i;

        if (json_array_size(events) == 0) {
                buf_put_c(out, "No events found.\n");
                return;
        }
        json_array_foreach (events, i, event) {
                AUTO(buf) what = BUF_MAX(CELL_MAX);

                put_what(&what, event);
                TABLE_ROW(t, text_of(event, "time"), text_of(event, "event"), text_of(event, "code"), text_of(event, "user"),
                          buf_str(&what));
        }
        table_put(out, t);
}

/* ---- as JSON and YAML ----------------------------------------------------------------------------- */

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

static void put_events(struct buf *out, const struct flags *given, const json_t *events)
{
        json_t *event;
        size_t i;

        if (output_is_text(given)) {
                put_table(out, events);
        } else if (strcmp(flags_text(given, "format"), "json") == 0) {
                put_json(out, events);
        } else {
                json_array_foreach (events, i, event) {
                        buf_put_c(out, i == 0 ? "" : "---\n");
                        put_yaml(out, event, 0);
                }
        }
}

struct error *audit_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__SearchEventsRequest request = CTELEPORT__V1__SEARCH_EVENTS_REQUEST__INIT;
        const char *limit_text = flags_text(given, "limit");
        int64_t limit = 0;

        (void)ctx;
        if (limit_text != NULL)
                TRY(parse_int(str_of(limit_text), 1, LIMIT_MOST, "--limit", &limit));
        TRY(build_request(given, &request));
        TRY(session_open(&s, given));
        json_t *events = json_array();
        struct error *err = request_all(&s, &request, &events, (size_t)limit);
        if (err == NULL)
                put_events(&out, given, events);
        json_decref(events);
        return err != NULL ? err : output_flush(&out);
}
