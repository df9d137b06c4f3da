/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_cluster.h"

#include "api.pb-c.h"
#include "base/limits.h"
#include "pki/cert_check.h"
#include "proxy/web/page_request.h"
#include "proxy/web/table.h"
#include "rpc/pb.h"

enum { LIST_ROWS = 200, SECTION_MAX = 512 * KiB };

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
        table_begin(out, columns);
        for (size_t i = 0; i < s->n_authorities; i++) {
                const Cteleport__V1__AuthorityStatus *ca = s->authorities[i];

                html_print(out, "<tr><th scope=\"row\">%s</th>", ca->type);
                table_cell(out, "Rotation", ca->phase);
                buf_put_c(out, "<td data-label=\"Last rotated\">");
                if (ca->last_rotated == 0)
                        buf_put_c(out, "never");
                else
                        html_put_time(out, ca->last_rotated);
                buf_put_c(out, "</td>");
                put_validity(out, ca);
        }
        table_end(out, "", "");
}

static void put_hosts(struct page_request *p, struct buf *out, const ProtobufCMessage *answer)
{
        static const char *const columns[] = { "Host", "State", "Version", "Services", "Last heartbeat", "Certificate ends", "Joined by", "AWS identity", NULL };
        const Cteleport__V1__ListInstancesResponse *list = (const Cteleport__V1__ListInstancesResponse *)answer;

        (void)p;
        table_begin(out, columns);
        for (size_t i = 0; i < list->n_instances; i++) {
                const Cteleport__V1__InstanceSpec *s = list->instances[i]->spec;

                html_print(out, "<tr><th scope=\"row\">%s</th><td data-label=\"State\"><span class=\"badge ", s->hostname);
                buf_put_c(out, strcmp(s->state, "online") == 0 ? "good" : "warn");
                html_print(out, "\">%s</span></td>", s->state);
                table_cell(out, "Version", s->version);
                table_list_cell(out, "Services", s->services, s->n_services);
                table_time_cell(out, "Last heartbeat", s->last_heartbeat);
                table_time_cell(out, "Certificate ends", s->cert_expires);
                html_print(out, "<td data-label=\"Joined by\">%s %s</td><td data-label=\"AWS identity\">%s</td></tr>\n", s->join_method, s->token_name,
                           s->aws_arn[0] != '\0' ? s->aws_arn : s->aws_account);
        }
        table_end(out, list->next, "tctl inventory ls");
        buf_put_c(out, "<p><a href=\"/web/audit?type=instance.join&amp;refused=yes\">Refused joins</a> of the last day, with the reasons.</p>\n");
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
        table_begin(out, columns);
        for (size_t i = 0; i < list->n_tokens; i++) {
                const Cteleport__V1__Token *t = list->tokens[i];
                bool is_secret = strcmp(t->spec->join_method, "token") == 0; /* the name is what lets a host join */

                html_print(out, "<tr><th scope=\"row\">%s</th>", is_secret ? "(secret)" : t->metadata->name);
                table_cell(out, "Method", t->spec->join_method);
                table_list_cell(out, "Roles", t->spec->roles, t->spec->n_roles);
                table_time_cell(out, "Expires", t->metadata->expires);
                buf_put_c(out, "</tr>\n");
        }
        table_end(out, list->next, "tctl tokens ls");
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
        table_begin(out, columns);
        for (size_t i = 0; i < list->n_users; i++) {
                const Cteleport__V1__User *u = list->users[i];
                const Cteleport__V1__UserStatus *s = u->spec->status;

                html_print(out, "<tr><th scope=\"row\">%s</th>", u->metadata->name);
                table_list_cell(out, "Roles", u->spec->roles, u->spec->n_roles);
                table_cell(out, "State", s != NULL && s->is_locked ? "too many failed logins" : s != NULL && s->has_password ? "has a password" : "invited");
                buf_put_c(out, "</tr>\n");
        }
        table_end(out, list->next, "tctl users ls");
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
        table_begin(out, columns);
        for (size_t i = 0; i < list->n_locks; i++) {
                const Cteleport__V1__LockSpec *s = list->locks[i]->spec;

                html_print(out, "<tr><th scope=\"row\">%s</th>", s->target == NULL ? "" : target_of(s->target));
                table_cell(out, "Message", s->message);
                table_time_cell(out, "Expires", s->expires);
                html_print(out, "<td data-label=\"Lock\"><code>%s</code></td></tr>\n", list->locks[i]->metadata->name);
        }
        table_end(out, list->next, "tctl get locks");
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
