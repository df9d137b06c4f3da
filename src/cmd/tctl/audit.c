/* SPDX-License-Identifier: Apache-2.0 */
/* tctl audit ls: lists audit events of the cluster. */
#include "base/limits.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/events_shared.h"
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

enum { CELL_MAX = 64 * KiB };

/* ---- requests ------------------------------------------------------------------------------------- */

static void take_words(const char *const *words, char ***ret, size_t *ret_count)
{
        *ret = pb_texts(words);
        while (words[*ret_count] != NULL)
                ++*ret_count;
}

static struct error *build_request(const struct flags *given, Cteleport__V1__SearchEventsRequest *ret)
{
        struct walltime now = clock_wall(clock_system());

        TRY(events_parse_time(flags_text(given, "from"), "from", now, &ret->from));
        if (flags_text(given, "to") != NULL)
                TRY(events_parse_time(flags_text(given, "to"), "to", now, &ret->to));
        if (ret->to != 0 && ret->to < ret->from)
                return error_new(ERROR_INVALID_ARGUMENT, "--to is before --from");
        take_words(flags_list(given, "user"), &ret->users, &ret->n_users);
        take_words(flags_list(given, "type"), &ret->types, &ret->n_types);
        return NULL;
}

static json_t *take_event(void *ctx, json_t *event)
{
        (void)ctx;
        return json_incref(event);
}

/* ---- as a table ----------------------------------------------------------------------------------- */

/* Fields that the table shows of an event, in this order; --format=json shows all fields. */
static const char *const reporting[] = {
        "login", "name", "app_name", "server_hostname", "server_addr", "node_name", "host_id", "role", "target", "action",
        "path",  "target_path", "command",    "exitCode",    "addr",      "addr.local", "addr.remote", "sid",  "method",
        "token_name", "reason", "message",    "error", "suppressed",
};

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
                TABLE_ROW(t, events_text(event, "time"), events_text(event, "event"), events_text(event, "code"), events_text(event, "user"),
                          buf_str(&what));
        }
        table_put(out, t);
}

struct error *audit_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__SearchEventsRequest request = CTELEPORT__V1__SEARCH_EVENTS_REQUEST__INIT;
        size_t limit = 0;

        (void)ctx;
        TRY(events_parse_limit(given, &limit));
        TRY(build_request(given, &request));
        TRY(session_open(&s, given));
        json_t *events = json_array();
        struct error *err = events_request(&s, &request, limit, take_event, NULL, &events);
        if (err == NULL && output_is_text(given))
                put_table(&out, events);
        else if (err == NULL)
                events_put(&out, given, events);
        json_decref(events);
        return err != NULL ? err : output_flush(&out);
}
