/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_admin.h"

#include <jansson.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/names.h"
#include "base/text.h"
#include "loop/loop.h"
#include "pki/cert_check.h"
#include "proxy/web/page_request.h"
#include "rpc/pb.h"

enum { LIST_ROWS = 200, EVENT_ROWS = 100, HOURS_DEFAULT = 24, HOURS_MAX = 10 * 365 * 24, SECTION_MAX = 512 * KiB };

/* ---- cells ----------------------------------------------------------------------------------------------------- */

static void put_cell(struct buf *out, const char *label, const char *text)
{
        html_print(out, "<td data-label=\"%s\">%s</td>", label, text == NULL ? "" : text);
}

static void put_time_cell(struct buf *out, const char *label, const Cteleport__V1__Timestamp *t)
{
        html_print(out, "<td data-label=\"%s\">", label);
        if (t != NULL)
                html_put_time(out, t->seconds);
        buf_put_c(out, "</td>");
}

static void put_list_cell(struct buf *out, const char *label, char *const *texts, size_t count)
{
        html_print(out, "<td data-label=\"%s\">", label);
        for (size_t i = 0; i < count; i++)
                html_print(out, i == 0 ? "%s" : ", %s", texts[i]);
        buf_put_c(out, "</td>");
}

/* Begins a table with these columns. */
static void put_table(struct buf *out, const char *const *columns)
{
        buf_put_c(out, "<div class=\"scroll\"><table class=\"cards\"><thead><tr>");
        for (; *columns != NULL; columns++)
                html_print(out, "<th>%s</th>", *columns);
        buf_put_c(out, "</tr></thead><tbody>\n");
}

static void end_table(struct buf *out, const char *next, const char *command)
{
        buf_put_c(out, "</tbody></table></div>\n");
        if (next[0] != '\0')
                html_print(out, "<p class=\"soft\">There are more: <code>%s</code> lists all.</p>\n", command);
}

/* ---- sections of the overview ------------------------------------------------------------------------------------ */

/* The validity of the certificate of the CA that signs; none: a CA without certificates. */
static void put_validity(struct buf *out, const Cteleport__V1__AuthorityStatus *ca)
{
        struct cert_times times = { 0 };

        for (size_t i = 0; i < ca->n_keys; i++)
                if (strcmp(ca->keys[i]->protocol, "TLS") == 0 && strcmp(ca->keys[i]->status, "active") == 0)
                        error_free(cert_validity(pb_str(ca->keys[i]->public_), &times)); /* then there is nothing to show */
        buf_put_c(out, "<td data-label=\"Made\">");
        if (times.not_after.ns != 0)
                html_put_time(out, walltime_unix(times.not_before));
        buf_put_c(out, "</td><td data-label=\"Ends\">");
        if (times.not_after.ns != 0)
                html_put_time(out, walltime_unix(times.not_after));
        buf_put_c(out, "</td></tr>\n");
}

static void put_status(struct page_request *p, struct buf *out, const ProtobufCMessage *answer)
{
        static const char *const columns[] = { "CA", "Rotation", "Last rotated", "Made", "Ends", NULL };
        const Cteleport__V1__ClusterStatusResponse *s = (const Cteleport__V1__ClusterStatusResponse *)answer;

        html_print(out, "<p>%.*s, version %s</p>\n", STR_ARG(p->page.cluster), s->version);
        for (size_t i = 0; i < s->n_warnings; i++)
                html_print(out, "<p class=\"notice warn\">%s</p>\n", s->warnings[i]);
        put_table(out, columns);
        for (size_t i = 0; i < s->n_authorities; i++) {
                const Cteleport__V1__AuthorityStatus *ca = s->authorities[i];

                html_print(out, "<tr><th scope=\"row\">%s</th>", ca->type);
                put_cell(out, "Rotation", ca->phase);
                buf_put_c(out, "<td data-label=\"Last rotated\">");
                if (ca->last_rotated == 0)
                        buf_put_c(out, "never");
                else
                        html_put_time(out, ca->last_rotated);
                buf_put_c(out, "</td>");
                put_validity(out, ca);
        }
        end_table(out, "", "");
}

static void put_hosts(struct page_request *p, struct buf *out, const ProtobufCMessage *answer)
{
        static const char *const columns[] = { "Host", "State", "Version", "Services", "Last heartbeat", "Certificate ends", "Joined by", "AWS identity", NULL };
        const Cteleport__V1__ListInstancesResponse *list = (const Cteleport__V1__ListInstancesResponse *)answer;

        (void)p;
        put_table(out, columns);
        for (size_t i = 0; i < list->n_instances; i++) {
                const Cteleport__V1__InstanceSpec *s = list->instances[i]->spec;

                html_print(out, "<tr><th scope=\"row\">%s</th><td data-label=\"State\"><span class=\"badge ", s->hostname);
                buf_put_c(out, strcmp(s->state, "online") == 0 ? "good" : "warn");
                html_print(out, "\">%s</span></td>", s->state);
                put_cell(out, "Version", s->version);
                put_list_cell(out, "Services", s->services, s->n_services);
                put_time_cell(out, "Last heartbeat", s->last_heartbeat);
                put_time_cell(out, "Certificate ends", s->cert_expires);
                html_print(out, "<td data-label=\"Joined by\">%s %s</td><td data-label=\"AWS identity\">%s</td></tr>\n", s->join_method, s->token_name,
                           s->aws_arn[0] != '\0' ? s->aws_arn : s->aws_account);
        }
        end_table(out, list->next, "tctl inventory ls");
}

static void put_tokens(struct page_request *p, struct buf *out, const ProtobufCMessage *answer)
{
        static const char *const columns[] = { "Token", "Method", "Roles", "Expires", NULL };
        const Cteleport__V1__ListTokensResponse *list = (const Cteleport__V1__ListTokensResponse *)answer;

        (void)p;
        if (list->n_tokens == 0) {
                buf_put_c(out, "<p class=\"empty\">None.</p>\n");
                return;
        }
        put_table(out, columns);
        for (size_t i = 0; i < list->n_tokens; i++) {
                const Cteleport__V1__Token *t = list->tokens[i];
                bool is_secret = strcmp(t->spec->join_method, "token") == 0; /* the name is what lets a host join */

                html_print(out, "<tr><th scope=\"row\">%s</th>", is_secret ? "(secret)" : t->metadata->name);
                put_cell(out, "Method", t->spec->join_method);
                put_list_cell(out, "Roles", t->spec->roles, t->spec->n_roles);
                put_time_cell(out, "Expires", t->metadata->expires);
                buf_put_c(out, "</tr>\n");
        }
        end_table(out, list->next, "tctl tokens ls");
}

static void put_users(struct page_request *p, struct buf *out, const ProtobufCMessage *answer)
{
        static const char *const columns[] = { "User", "Roles", "State", NULL };
        const Cteleport__V1__ListUsersResponse *list = (const Cteleport__V1__ListUsersResponse *)answer;

        (void)p;
        if (list->n_users == 0) {
                buf_put_c(out, "<p class=\"empty\">None.</p>\n");
                return;
        }
        put_table(out, columns);
        for (size_t i = 0; i < list->n_users; i++) {
                const Cteleport__V1__User *u = list->users[i];
                const Cteleport__V1__UserStatus *s = u->spec->status;

                html_print(out, "<tr><th scope=\"row\">%s</th>", u->metadata->name);
                put_list_cell(out, "Roles", u->spec->roles, u->spec->n_roles);
                put_cell(out, "State", s != NULL && s->is_locked ? "too many failed logins" : s != NULL && s->has_password ? "has a password" : "invited");
                buf_put_c(out, "</tr>\n");
        }
        end_table(out, list->next, "tctl users ls");
}

static const char *target_of(const Cteleport__V1__LockTarget *t)
{
        const char *const texts[] = { t->user, t->role, t->login, t->node, t->server_id, t->join_arn };

        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
                if (texts[i] != NULL && texts[i][0] != '\0')
                        return texts[i];
        return "";
}

static void put_locks(struct page_request *p, struct buf *out, const ProtobufCMessage *answer)
{
        static const char *const columns[] = { "Target", "Message", "Expires", "Lock", NULL };
        const Cteleport__V1__ListLocksResponse *list = (const Cteleport__V1__ListLocksResponse *)answer;

        (void)p;
        if (list->n_locks == 0) {
                buf_put_c(out, "<p class=\"empty\">None.</p>\n");
                return;
        }
        put_table(out, columns);
        for (size_t i = 0; i < list->n_locks; i++) {
                const Cteleport__V1__LockSpec *s = list->locks[i]->spec;

                html_print(out, "<tr><th scope=\"row\">%s</th>", s->target == NULL ? "" : target_of(s->target));
                put_cell(out, "Message", s->message);
                put_time_cell(out, "Expires", s->expires);
                html_print(out, "<td data-label=\"Lock\"><code>%s</code></td></tr>\n", list->locks[i]->metadata->name);
        }
        end_table(out, list->next, "tctl get locks");
}

/* ---- the overview ------------------------------------------------------------------------------------------------ */

#define ADMIN(name) "/cteleport.v1.AdminService/" name
#define ANSWER(type) &cteleport__v1__##type##__descriptor

static const struct section {
        const char *title, *method;
        const ProtobufCMessageDescriptor *answer;
        void (*put)(struct page_request *p, struct buf *out, const ProtobufCMessage *answer);
} sections[] = {
        { "Hosts", ADMIN("ListInstances"), ANSWER(list_instances_response), put_hosts },
        { "Join tokens", ADMIN("ListTokens"), ANSWER(list_tokens_response), put_tokens },
        { "Users", ADMIN("ListUsers"), ANSWER(list_users_response), put_users },
        { "Locks", ADMIN("ListLocks"), ANSWER(list_locks_response), put_locks },
        { "Cluster", ADMIN("ClusterStatus"), ANSWER(cluster_status_response), put_status },
};

struct overview {
        size_t at; /* the section whose answer is awaited */
        struct str content[ARRAY_LEN(sections)];
};

static void request_section(struct page_request *p);

static void next_section(struct page_request *p, const struct buf *html)
{
        struct overview *o = p->state;

        o->content[o->at++] = arena_str(p->arena, buf_str(html));
        request_section(p);
}

static void begin_section(const struct page_request *p, struct buf *out)
{
        html_print(out, "<section><h2>%s</h2>\n", sections[((const struct overview *)p->state)->at].title);
}

static void on_section(struct page_request *p, const ProtobufCMessage *answer)
{
        const struct overview *o = p->state;
        AUTO(buf) b = BUF_MAX(SECTION_MAX);

        begin_section(p, &b);
        sections[o->at].put(p, &b, answer);
        buf_put_c(&b, "</section>\n");
        next_section(p, &b);
}

static void on_section_failed(struct page_request *p, struct error *err)
{
        AUTO(buf) b = BUF_MAX(SECTION_MAX);

        if (err->code != ERROR_PERMISSION_DENIED || p->exchange == NULL) {
                page_fail(p, err);
                return;
        }
        begin_section(p, &b);
        buf_put_c(&b, "<p class=\"empty\">");
        html_put_sentence(&b, err->what);
        buf_put_c(&b, "</p></section>\n");
        error_free(err);
        next_section(p, &b);
}

static void request_section(struct page_request *p)
{
        struct overview *o = p->state;
        Cteleport__V1__ListRequest list = CTELEPORT__V1__LIST_REQUEST__INIT;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;
        AUTO(buf) all = BUF_MAX(PAGE_MAX);

        if (o->at < ARRAY_LEN(sections)) {
                const struct section *s = &sections[o->at];

                list.limit = LIST_ROWS;
                page_call_or(p, s->method, s->put == put_status ? &empty.base : &list.base, s->answer, on_section, on_section_failed);
                return;
        }
        for (size_t i = 0; i < ARRAY_LEN(sections); i++)
                buf_put(&all, o->content[i]);
        page_respond(p, 200, buf_str(&all));
}

static void serve_cluster(struct page_request *p)
{
        struct overview *o = arena_alloc(p->arena, sizeof *o);

        *o = (struct overview){ 0 };
        p->state = o;
        request_section(p);
}

static const struct page_row cluster_row = { "/web/cluster", "Cluster", serve_cluster };

void web_cluster_open(void *ctx, struct http_exchange *x)
{
        page_open(ctx, x, &cluster_row);
}

/* ---- the audit log ----------------------------------------------------------------------------------------------- */

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

static void put_event(struct buf *out, const char *line)
{
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        const json_t *success = json_object_get(event, "success");

        html_print(out, "<tr><td data-label=\"Time\">%.*s</td><td data-label=\"Event\">%.*s", STR_ARG(text_of(event, "time")), STR_ARG(text_of(event, "event")));
        if (json_is_false(success))
                buf_put_c(out, " <span class=\"badge bad\">refused</span>");
        html_print(out, "</td><td data-label=\"User\">%.*s</td><td data-label=\"Details\">", STR_ARG(text_of(event, "user")));
        put_reason(out, event);
        html_print(out, "<details><summary>All fields</summary><pre>%s</pre></details></td></tr>\n", line);
        json_decref(event);
}

static int64_t hours_of(const struct page_request *p)
{
        int64_t hours = HOURS_DEFAULT;

        error_free(parse_int(form_value(&p->form, "hours"), 1, HOURS_MAX, "hours", &hours)); /* another text means the default */
        return hours;
}

static void put_filter(struct buf *out, const struct page_request *p)
{
        html_print(out, "<form class=\"filter\" role=\"search\" method=\"get\" action=\"/web/audit\">"
                        "<span><label for=\"user\">User</label><input id=\"user\" name=\"user\" value=\"%.*s\"></span>"
                        "<span><label for=\"type\">Event</label><input id=\"type\" name=\"type\" placeholder=\"session.start\" value=\"%.*s\"></span>"
                        "<span><label for=\"hours\">Hours</label><input id=\"hours\" name=\"hours\" inputmode=\"numeric\" value=\"%lld\"></span>"
                        "<button>Search</button></form>\n",
                   STR_ARG(form_value(&p->form, "user")), STR_ARG(form_value(&p->form, "type")), (long long)hours_of(p));
}

static void put_next(struct buf *out, const struct page_request *p, const char *next)
{
        AUTO(buf) url = BUF_MAX(16 * KiB);
        static const char *const kept[] = { "user", "type" };

        buf_printf(&url, "/web/audit?hours=%lld", (long long)hours_of(p));
        for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
                buf_printf(&url, "&%s=", kept[i]);
                url_put(&url, form_value(&p->form, kept[i]));
        }
        buf_put_c(&url, "&after=");
        url_put(&url, str_of(next));
        html_print(out, "<p><a rel=\"next\" href=\"%.*s\">Later events</a></p>\n", STR_ARG(buf_str(&url)));
}

static void on_events(struct page_request *p, const ProtobufCMessage *answer)
{
        static const char *const columns[] = { "Time", "Event", "User", "Details", NULL };
        const Cteleport__V1__SearchEventsResponse *found = (const Cteleport__V1__SearchEventsResponse *)answer;
        AUTO(buf) b = BUF_MAX(PAGE_MAX);

        put_filter(&b, p);
        if (found->n_events == 0)
                buf_put_c(&b, "<p class=\"empty\">No events here. Remove a filter, or search more hours.</p>\n");
        else
                put_table(&b, columns);
        for (size_t i = 0; i < found->n_events; i++)
                put_event(&b, found->events[i]);
        if (found->n_events > 0)
                end_table(&b, "", "");
        if (found->next[0] != '\0')
                put_next(&b, p, found->next);
        struct error *err = buf_finish(&b, "the page");
        if (err != NULL)
                page_fail(p, error_hint(err, "search fewer hours, or use tctl audit ls"));
        else
                page_respond(p, 200, buf_str(&b));
}

static void serve_audit(struct page_request *p)
{
        Cteleport__V1__SearchEventsRequest request = CTELEPORT__V1__SEARCH_EVENTS_REQUEST__INIT;
        char *user = pb_text(form_value(&p->form, "user").ptr), *type = pb_text(form_value(&p->form, "type").ptr);

        request.from = (walltime_unix(loop_wall(p->loop)) - hours_of(p) * 3600) * 1000;
        request.users = &user;
        request.n_users = user[0] != '\0';
        request.types = &type;
        request.n_types = type[0] != '\0';
        request.after = pb_text(form_value(&p->form, "after").ptr);
        request.limit = EVENT_ROWS;
        page_call(p, ADMIN("SearchEvents"), &request.base, ANSWER(search_events_response), on_events);
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
                put_table(&b, columns);
        for (size_t i = 0; i < e->n_rules; i++) {
                html_print(&b, "<tr><th scope=\"row\">%u</th>", e->rules[i]->index);
                put_cell(&b, "Matches", e->rules[i]->matches ? "yes" : "no");
                put_cell(&b, "Why", e->rules[i]->text);
                buf_put_c(&b, "</tr>\n");
        }
        if (e->n_rules > 0)
                end_table(&b, "", "");
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
        page_call(p, ADMIN("ExplainToken"), &request.base, ANSWER(explain_token_response), on_explained);
}

static const struct page_row explain_row = { "/web/audit", "Rules of a join token", serve_explain };

void web_explain_open(void *ctx, struct http_exchange *x)
{
        page_open(ctx, x, &explain_row);
}
