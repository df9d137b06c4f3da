/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tctl joins ls: which hosts joined or were refused, and why. It reads the instance.join events of the audit log; fields in which a host
 * only claims something (node_name, an ID before the host has joined) are shown as claimed.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/events_shared.h"
#include "rpc/pb.h"

const struct flag joins_ls_flags[] = {
        { "since", 0, FLAG_TEXT, .value = "TIME", .fallback = "24h", .help = "Begin: a time, a day, or a span before now" },
        { "token", 0, FLAG_LIST, .value = "NAMES", .help = "Only with these tokens" },
        { "account", 0, FLAG_LIST, .value = "ACCOUNTS", .help = "Only from these AWS accounts" },
        { "failed", 0, FLAG_SWITCH, .help = "Only refused joins" },
        { "limit", 0, FLAG_TEXT, .value = "N", .help = "Only this number of the latest" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

/* Different reasons in the summary; those of further ones are counted together. */
enum { REASONS_MAX = 32 };

struct reason {
        char *check; /* name of the check that refused */
        int64_t count;
};

struct joins {
        const char *const *tokens, *const *accounts; /* empty: all */
        bool is_failed_only;
        int64_t left_out; /* refusals that were only counted: their event has neither token nor account */
};

/* ---- one event ------------------------------------------------------------------------------------ */

static bool is_one_of(struct str text, const char *const *wanted)
{
        if (*wanted == NULL)
                return true;
        for (; *wanted != NULL; wanted++)
                if (str_equal(text, str_of(*wanted)))
                        return true;
        return false;
}

static void put(json_t *join, const char *key, struct str text)
{
        json_object_set_new(join, key, json_stringn(text.ptr, text.len));
}

/* Refusals beyond the rate of the log have one event with their number. */
static int64_t count_only(const json_t *event)
{
        return json_integer_value(json_object_get(event, "suppressed"));
}

static void put_reason(json_t *join, const json_t *event)
{
        AUTO(buf) text = BUF_MAX(LIMIT_AUDIT_RECORD);
        const json_t *causes = json_object_get(event, "causes");

        buf_put(&text, events_text(event, "error"));
        for (size_t i = 0; i < json_array_size(causes); i++) {
                const json_t *cause = json_array_get(causes, i);

                buf_put_c(&text, ": ");
                buf_put(&text, (struct str){ json_string_value(cause), json_string_length(cause) });
        }
        put(join, "check", events_text(event, "check"));
        put(join, "reason", buf_str(&text));
}

/* The keys of the output, which are stable. */
static json_t *take_join(void *ctx, json_t *event)
{
        struct joins *wanted = ctx;
        const json_t *attributes = json_object_get(event, "attributes");
        struct str account = events_text(attributes, "account"), token = events_text(event, "token_name");
        bool has_joined = json_is_true(json_object_get(event, "success"));

        if ((wanted->is_failed_only && has_joined) || !is_one_of(token, wanted->tokens) || !is_one_of(account, wanted->accounts)) {
                wanted->left_out += count_only(event);
                return NULL;
        }
        json_t *join = json_object();
        put(join, "time", events_text(event, "time"));
        put(join, "result", has_joined ? STR("joined") : STR("refused"));
        put(join, "hostname", events_text(event, "node_name"));
        put(join, "host_id", events_text(event, "host_id"));
        put(join, "role", events_text(event, "role"));
        put(join, "method", events_text(event, "method"));
        put(join, "token", token);
        put(join, "account", account);
        put(join, "arn", events_text(attributes, "arn"));
        put(join, "address", events_text(event, "addr.remote"));
        put(join, "request_id", events_text(event, "request_id"));
        if (!has_joined)
                put_reason(join, event);
        if (count_only(event) > 0)
                json_object_set_new(join, "count", json_integer(count_only(event)));
        return join;
}

/* ---- the table and its summary ---------------------------------------------------------------------- */

static void put_table(struct buf *out, const json_t *joins)
{
        static const char *const titles[] = { "Time", "Result", "Hostname", "Host ID", "Method", "Token", "Account", "ARN", "Reason", NULL };
        AUTO_PTR(table) t = table_new(titles);
        const json_t *join;
        size_t i;

        json_array_foreach (joins, i, join) {
                AUTO(buf) reason = BUF_MAX(LIMIT_AUDIT_RECORD);
                int64_t count = json_integer_value(json_object_get(join, "count"));

                if (count > 0)
                        buf_printf(&reason, "%lld refusals that were only counted", (long long)count);
                else
                        buf_put(&reason, events_text(join, "reason"));
                TABLE_ROW(t, events_text(join, "time"), events_text(join, "result"), events_text(join, "hostname"), events_text(join, "host_id"),
                          events_text(join, "method"), events_text(join, "token"), events_text(join, "account"), events_text(join, "arn"),
                          buf_str(&reason));
        }
        table_put(out, t);
}

static void count_reason(struct reason reasons[REASONS_MAX + 1], struct str check, int64_t count)
{
        struct reason *r = reasons;

        while (r < reasons + REASONS_MAX && r->check != NULL && !str_equal(str_of(r->check), check))
                r++;
        if (r->check == NULL)
                r->check = str_dup(r == reasons + REASONS_MAX ? STR("others") : check);
        r->count += count;
}

static int most_first(const void *a, const void *b)
{
        const struct reason *x = a, *y = b;

        if (x->count != y->count)
                return x->count > y->count ? -1 : 1;
        if (x->check == NULL || y->check == NULL)
                return (x->check == NULL) - (y->check == NULL);
        return strcmp(x->check, y->check);
}

/* "2 joined, 5 refused: 3 rules, 2 token". */
static void put_summary(struct buf *out, const json_t *joins)
{
        struct reason reasons[REASONS_MAX + 1] = { 0 };
        int64_t joined = 0, refused = 0;
        const json_t *join;
        size_t i;

        json_array_foreach (joins, i, join) {
                int64_t count = json_integer_value(json_object_get(join, "count"));

                if (str_equal(events_text(join, "result"), STR("joined"))) {
                        joined++;
                        continue;
                }
                refused += count > 0 ? count : 1;
                count_reason(reasons, count > 0 ? STR("only counted") : events_text(join, "check"), count > 0 ? count : 1);
        }
        qsort(reasons, ARRAY_LEN(reasons), sizeof *reasons, most_first);
        buf_printf(out, "\n%lld joined, %lld refused", (long long)joined, (long long)refused);
        for (i = 0; i < ARRAY_LEN(reasons) && reasons[i].check != NULL; i++) {
                AUTO_MEM char *shown = escaped(str_of(reasons[i].check));

                buf_printf(out, "%s %lld %s", i == 0 ? ":" : ",", (long long)reasons[i].count, shown);
                free(reasons[i].check);
        }
        buf_put_char(out, '\n');
}

static void put_joins(struct buf *out, const struct flags *given, const json_t *joins, int64_t left_out)
{
        if (!output_is_text(given)) {
                events_put(out, given, joins);
                return;
        }
        if (json_array_size(joins) == 0) {
                buf_put_c(out, left_out > 0 ? "No joins found.\n\n" : "No joins found.\n");
        } else {
                put_table(out, joins);
                put_summary(out, joins);
        }
        if (left_out > 0)
                buf_printf(out, "%lld further refusals were only counted, without token and account\n", (long long)left_out);
}

struct error *joins_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__SearchEventsRequest request = CTELEPORT__V1__SEARCH_EVENTS_REQUEST__INIT;
        struct joins wanted = { flags_list(given, "token"), flags_list(given, "account"), flags_switch(given, "failed"), 0 };
        size_t limit = 0;

        (void)ctx;
        TRY(events_parse_limit(given, &limit));
        TRY(events_parse_time(flags_text(given, "since"), "since", clock_wall(clock_system()), &request.from));
        request.types = (char *[]){ pb_text("instance.join") };
        request.n_types = 1;
        TRY(session_open(&s, given));
        json_t *joins = json_array();
        struct error *err = events_request(&s, &request, limit, take_join, &wanted, &joins);
        if (err == NULL)
                put_joins(&out, given, joins, wanted.left_out);
        json_decref(joins);
        return err != NULL ? err : output_flush(&out);
}
