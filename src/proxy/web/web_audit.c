/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_audit.h"

#include <jansson.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "loop/loop.h"
#include "proxy/web/page_request.h"
#include "proxy/web/table.h"
#include "rpc/pb.h"

enum { EVENT_ROWS = 100, EVENT_ANSWERS = 64, HOURS_DEFAULT = 24, HOURS_MAX = 10 * 365 * 24, SECTION_MAX = 512 * KiB };

#define ADMIN(name) "/cteleport.v1.AdminService/" name

/* ---- one event --------------------------------------------------------------------------------------------------- */

static struct str text_of(const json_t *event, const char *key)
{
        const json_t *value = json_object_get(event, key);

        return json_is_string(value) ? str_of_bytes(json_string_value(value), json_string_length(value)) : STR("");
}

/* Whether a shell takes the text as one word, and as it is. */
static bool is_plain(struct str text)
{
        for (size_t i = 0; i < text.len; i++)
                if (!char_is_alnum(text.ptr[i]) && memchr(":/_.@=+,-", text.ptr[i], 9) == NULL)
                        return false;
        return !str_is_empty(text);
}

/* The command that explains a refused join, and a link to its result if AWS has attested an identity. */
static void put_explanation(struct buf *out, const json_t *event, struct str token)
{
        const json_t *attested = json_object_get(event, "attributes");
        struct str account = text_of(attested, "account"), arn = text_of(attested, "arn");
        AUTO(buf) url = BUF_MAX(8 * KiB);

        /* A refused join may name any token, and the command is to be copied into a shell. */
        html_print(out, "<div class=\"copy\"><code>tctl tokens explain %.*s", STR_ARG(token));
        if (is_plain(account) && is_plain(arn))
                html_print(out, " --account=%.*s --arn=%.*s", STR_ARG(account), STR_ARG(arn));
        buf_put_c(out, "</code></div>");
        if (str_is_empty(account) || str_is_empty(arn))
                return;
        buf_put_c(&url, "/web/explain?token=");
        url_put(&url, token);
        buf_put_c(&url, "&account=");
        url_put(&url, account);
        buf_put_c(&url, "&arn=");
        url_put(&url, arn);
        buf_put_c(&url, "&role=");
        url_put(&url, text_of(event, "role"));
        html_print(out, "<p><a href=\"%.*s\">Rules of token %.*s</a></p>", STR_ARG(buf_str(&url)), STR_ARG(token));
}

/* A refused join has its reason in `error`, and what else is known in `causes`. */
static void put_reason(struct buf *out, const json_t *event)
{
        struct str reason = text_of(event, "error"), token = text_of(event, "token_name");
        const json_t *causes = json_object_get(event, "causes");

        if (str_is_empty(reason))
                return;
        html_print(out, "<p>%.*s", STR_ARG(reason));
        for (size_t i = 0; i < json_array_size(causes); i++)
                html_print(out, ": %s", json_is_string(json_array_get(causes, i)) ? json_string_value(json_array_get(causes, i)) : "");
        buf_put_c(out, "</p>");
        if (str_equal(text_of(event, "event"), STR("instance.join")) && name_is_token(token))
                put_explanation(out, event, token);
}

/* The recording that the event belongs to; "": none, or it is not known whether there is one. */
static struct str recording_of(const json_t *event)
{
        static const char *const kinds[] = { "session.start", "session.end", "session.upload", "session.recording.access", "app.session.chunk" };
        struct str kind = text_of(event, "event"), id = text_of(event, "sid");
        bool has_one = str_starts_with(kind, STR("app.session.")) && str_starts_with(text_of(event, "app_uri"), STR("http"));

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                has_one = has_one || str_equal(kind, str_of(kinds[i]));
        return has_one && name_is_uuid(id) ? id : STR("");
}

/* What the event is about, in short. */
static void put_summary(struct buf *out, const json_t *event)
{
        static const char *const keys[] = { "name", "login", "app_name", "server_hostname", "node_name", "token_name", "reason", "addr.remote" };
        bool is_first = true;

        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
                struct str text = text_of(event, keys[i]);

                if (str_is_empty(text))
                        continue;
                html_print(out, is_first ? "<p>%.*s" : " · %.*s", STR_ARG(text));
                is_first = false;
        }
        if (!is_first)
                buf_put_c(out, "</p>");
}

static bool is_refused(const json_t *event)
{
        return json_is_false(json_object_get(event, "success"));
}

static void put_event(struct buf *out, const char *line)
{
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        struct str recording = recording_of(event);

        html_print(out, "<tr><td class=\"when\" data-label=\"Time\">%.*s</td><td data-label=\"Event\">%.*s", STR_ARG(text_of(event, "time")), STR_ARG(text_of(event, "event")));
        if (is_refused(event))
                buf_put_c(out, " <span class=\"badge bad\">refused</span>");
        html_print(out, "</td><td data-label=\"User\">%.*s</td><td data-label=\"Details\">", STR_ARG(text_of(event, "user")));
        put_summary(out, event);
        put_reason(out, event);
        if (!str_is_empty(recording))
                html_print(out, "<p><a href=\"/web/recordings/%.*s\">%s</a></p>", STR_ARG(recording),
                           str_starts_with(text_of(event, "event"), STR("app.")) ? "Requests" : "Recording");
        html_print(out, "<details><summary>All fields</summary><pre>%s</pre></details></td></tr>\n", line);
        json_decref(event);
}

/* ---- the audit log ----------------------------------------------------------------------------------------------- */

/* Auth sends events oldest first: all of the hours are read, and the newest kept. */
struct events {
        char *ring[EVENT_ROWS]; /* lines */
        size_t matching, answers;
        bool is_cut; /* there are more than EVENT_ANSWERS have */
        int64_t from, to; /* Unix milliseconds; to 0: now */
};

static bool only_refused(const struct page_request *p)
{
        return str_equal(form_value(&p->form, "refused"), STR("yes"));
}

static int64_t hours_of(const struct page_request *p)
{
        int64_t hours = HOURS_DEFAULT;

        error_free(parse_int(form_value(&p->form, "hours"), 1, HOURS_MAX, "hours", &hours)); /* another text means the default */
        return hours;
}

static void put_filter(struct buf *out, const struct page_request *p)
{
        html_print(out, "<form class=\"filter fields\" role=\"search\" method=\"get\" action=\"/web/audit\">"
                        "<span><label for=\"user\">User</label><input id=\"user\" name=\"user\" value=\"%.*s\"></span>"
                        "<span><label for=\"type\">Event</label><input id=\"type\" name=\"type\" placeholder=\"session.start\" value=\"%.*s\"></span>"
                        "<span><label for=\"hours\">Hours</label><input id=\"hours\" name=\"hours\" inputmode=\"numeric\" value=\"%lld\"></span>",
                   STR_ARG(form_value(&p->form, "user")), STR_ARG(form_value(&p->form, "type")), (long long)hours_of(p));
        buf_put_c(out, "<label><input type=\"checkbox\" name=\"refused\" value=\"yes\"");
        buf_put_c(out, only_refused(p) ? " checked>" : ">");
        buf_put_c(out, "Only refused</label><button>Search</button></form>\n");
}

static const char *shown_at(const struct events *e, size_t index)
{
        return e->ring[(e->matching - 1 - index) % EVENT_ROWS];
}

/* The events up to the time of the oldest one that is shown, in milliseconds: others of the same one are shown again. */
static void put_earlier(struct buf *out, const struct page_request *p, const struct events *e)
{
        AUTO(buf) url = BUF_MAX(16 * KiB);
        static const char *const kept[] = { "user", "type", "refused" };
        json_t *oldest = json_loads(shown_at(e, EVENT_ROWS - 1), JSON_REJECT_DUPLICATES, NULL);
        struct walltime at = { 0 };
        AUTO_PTR(error) err = walltime_parse_rfc3339(text_of(oldest, "time"), &at);

        json_decref(oldest);
        if (err != NULL)
                return;
        buf_printf(&url, "/web/audit?hours=%lld", (long long)hours_of(p));
        for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
                buf_printf(&url, "&%s=", kept[i]);
                url_put(&url, form_value(&p->form, kept[i]));
        }
        buf_printf(&url, "&to=%lld", (long long)(at.ns / 1000000));
        html_print(out, "<p><a rel=\"next\" href=\"%.*s\">Earlier events</a></p>\n", STR_ARG(buf_str(&url)));
}

static void release_events(struct events *e)
{
        for (size_t i = 0; i < ARRAY_LEN(e->ring); i++)
                free(e->ring[i]);
}

static void put_events(struct buf *out, const struct page_request *p, const struct events *e)
{
        static const char *const columns[] = { "Time", "Event", "User", "Details", NULL };

        if (e->is_cut)
                buf_put_c(out, "<p class=\"notice warn\">These hours have more events than this page reads: there are newer ones than these. Search fewer hours, a user or an event, "
                               "or use <code>tctl audit ls</code>.</p>\n");
        if (e->matching == 0) {
                buf_put_c(out, "<p class=\"empty\">No events here. Remove a filter, or search more hours.</p>\n");
                return;
        }
        table_begin(out, columns);
        for (size_t i = 0; i < e->matching && i < EVENT_ROWS; i++)
                put_event(out, shown_at(e, i));
        table_end(out, "", "");
        if (e->matching > EVENT_ROWS)
                put_earlier(out, p, e);
}

static void respond_events(struct page_request *p)
{
        AUTO(buf) b = BUF_MAX(PAGE_MAX);

        put_filter(&b, p);
        put_events(&b, p, p->state);
        release_events(p->state);
        struct error *err = buf_finish(&b, "the page");
        if (err != NULL)
                page_fail(p, error_hint(err, "search fewer hours, or use tctl audit ls"));
        else
                page_respond(p, 200, buf_str(&b));
}

static void on_events_failed(struct page_request *p, struct error *err)
{
        release_events(p->state);
        page_fail(p, err);
}

static void take_event(struct events *e, const char *line, bool only_those_refused)
{
        char **oldest = &e->ring[e->matching % EVENT_ROWS];

        if (only_those_refused) {
                json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
                bool is_wanted = is_refused(event);

                json_decref(event);
                if (!is_wanted)
                        return;
        }
        free(*oldest);
        *oldest = mem_printf("%s", line);
        e->matching++;
}

static void request_events(struct page_request *p, const char *after);

static void on_events(struct page_request *p, const ProtobufCMessage *answer)
{
        const Cteleport__V1__SearchEventsResponse *found = (const Cteleport__V1__SearchEventsResponse *)answer;
        struct events *e = p->state;

        for (size_t i = 0; i < found->n_events; i++)
                take_event(e, found->events[i], only_refused(p));
        e->is_cut = found->next[0] != '\0' && ++e->answers == EVENT_ANSWERS;
        if (found->next[0] != '\0' && !e->is_cut)
                request_events(p, found->next);
        else
                respond_events(p);
}

static void request_events(struct page_request *p, const char *after)
{
        Cteleport__V1__SearchEventsRequest request = CTELEPORT__V1__SEARCH_EVENTS_REQUEST__INIT;
        char *user = pb_text(form_value(&p->form, "user").ptr), *type = pb_text(form_value(&p->form, "type").ptr);
        const struct events *e = p->state;

        request.from = e->from;
        request.to = e->to;
        request.users = &user;
        request.n_users = user[0] != '\0';
        request.types = &type;
        request.n_types = type[0] != '\0';
        request.after = pb_text(after);
        page_call_or(p, ADMIN("SearchEvents"), &request.base, &cteleport__v1__search_events_response__descriptor, on_events, on_events_failed);
}

static void serve_audit(struct page_request *p)
{
        struct events *e = arena_alloc(p->arena, sizeof *e);

        *e = (struct events){ .from = (walltime_unix(loop_wall(p->loop)) - hours_of(p) * 3600) * 1000 };
        error_free(parse_int(form_value(&p->form, "to"), 0, INT64_MAX / 1000000, "to", &e->to)); /* another text means now */
        p->state = e;
        request_events(p, "");
}

static const struct page_row audit_row = { "/web/audit", "Audit log", serve_audit };

void web_audit_open(void *ctx, struct http_exchange *x)
{
        page_open(ctx, x, &audit_row);
}

/* ---- why a token admits an identity, or not ---------------------------------------------------------------------- */

static void on_explained(struct page_request *p, const ProtobufCMessage *answer)
{
        static const char *const columns[] = { "Rule", "Matches", "Why", NULL };
        const Cteleport__V1__ExplainTokenResponse *e = (const Cteleport__V1__ExplainTokenResponse *)answer;
        AUTO(buf) b = BUF_MAX(SECTION_MAX);

        html_print(&b, "<p>Token <b>%.*s</b> now, for <code>%.*s</code> of account %.*s:</p>\n", STR_ARG(form_value(&p->form, "token")),
                   STR_ARG(form_value(&p->form, "arn")), STR_ARG(form_value(&p->form, "account")));
        html_print(&b, "<p class=\"notice%s\">%s</p>\n", e->allowed ? "" : " warn", e->summary);
        if (e->n_rules > 0)
                table_begin(&b, columns);
        for (size_t i = 0; i < e->n_rules; i++) {
                html_print(&b, "<tr><th scope=\"row\">%u</th>", e->rules[i]->index);
                table_cell(&b, "Matches", e->rules[i]->matches ? "yes" : "no");
                table_cell(&b, "Why", e->rules[i]->text);
                buf_put_c(&b, "</tr>\n");
        }
        if (e->n_rules > 0)
                table_end(&b, "", "");
        struct error *err = buf_finish(&b, "the page");
        if (err != NULL)
                page_fail(p, error_hint(err, "use tctl tokens explain"));
        else
                page_respond(p, 200, buf_str(&b));
}

static void serve_explain(struct page_request *p)
{
        Cteleport__V1__ExplainTokenRequest request = CTELEPORT__V1__EXPLAIN_TOKEN_REQUEST__INIT;

        request.token = pb_text(form_value(&p->form, "token").ptr);
        request.account = pb_text(form_value(&p->form, "account").ptr);
        request.arn = pb_text(form_value(&p->form, "arn").ptr);
        request.role = pb_text(form_value(&p->form, "role").ptr);
        page_call(p, ADMIN("ExplainToken"), &request.base, &cteleport__v1__explain_token_response__descriptor, on_explained);
}

static const struct page_row explain_row = { "/web/audit", "Rules of a join token", serve_explain };

void web_explain_open(void *ctx, struct http_exchange *x)
{
        page_open(ctx, x, &explain_row);
}
