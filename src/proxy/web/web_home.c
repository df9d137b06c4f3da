/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_home.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/apps/app_address.h"
#include "proxy/proxy.h"
#include "proxy/web/page_request.h"
#include "rpc/pb.h"

enum { WORDS_MAX = 16, LABELS_SHOWN = 8 };

/* A node or an application that matches; texts in the arena of the request. */
struct row {
        const char *name, *state, *description;
        const char *launch; /* host name under which browsers open an application; NULL: it has none */
        uint32_t port;      /* of an application with several ones, the first */
        bool is_app;
        struct access_pair {
                const char *key, *value;
        } *labels;
        size_t label_count;
};

struct home {
        struct str words[WORDS_MAX], label;
        size_t word_count, page;
        struct row *rows;
        size_t count, room, seen; /* seen: nodes and applications, matching or not */
        const char *after;
};

/* ---- matching -------------------------------------------------------------------------------------------------- */

static bool has_word(const struct row *r, struct str word)
{
        if (str_contains_nocase(str_of(r->name), word) || str_contains_nocase(str_of(r->description), word))
                return true;
        for (size_t i = 0; i < r->label_count; i++)
                if (str_contains_nocase(str_of(r->labels[i].key), word) || str_contains_nocase(str_of(r->labels[i].value), word))
                        return true;
        return false;
}

static bool has_label(const struct row *r, struct str label)
{
        struct str value = label;
        struct str key = str_split(&value, '=');

        for (size_t i = 0; i < r->label_count; i++)
                if (str_equal(str_of(r->labels[i].key), key) && str_equal(str_of(r->labels[i].value), value))
                        return true;
        return str_is_empty(label);
}

static bool matches(const struct home *h, const struct row *r)
{
        for (size_t i = 0; i < h->word_count; i++)
                if (!has_word(r, h->words[i]))
                        return false;
        return has_label(r, h->label);
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static const char *keep(struct page_request *p, const char *text)
{
        return arena_str(p->arena, str_of(text)).ptr;
}

static void keep_row(struct page_request *p, const struct row *r)
{
        struct home *h = p->state;

        if (h->count == h->room) {
                size_t room = h->room == 0 ? 64 : 2 * h->room;
                struct row *more = arena_alloc(p->arena, room * sizeof *more);

                if (h->count > 0)
                        memcpy(more, h->rows, h->count * sizeof *more);
                h->rows = more;
                h->room = room;
        }
        struct row *own = &h->rows[h->count++];
        *own = *r;
        own->name = keep(p, r->name);
        own->state = keep(p, r->state);
        own->description = keep(p, r->description);
        own->labels = arena_alloc(p->arena, (r->label_count + 1) * sizeof *own->labels);
        for (size_t i = 0; i < r->label_count; i++)
                own->labels[i] = (struct access_pair){ keep(p, r->labels[i].key), keep(p, r->labels[i].value) };
}

static void offer(struct page_request *p, const struct row *r)
{
        struct home *h = p->state;

        if (h->seen++ < LIMIT_WEB_NODES && matches(h, r))
                keep_row(p, r);
}

static size_t take_metadata_labels(const Cteleport__V1__Metadata *m, struct access_pair *list, size_t room)
{
        size_t count = 0;

        for (size_t i = 0; i < m->n_labels && count < room; i++)
                list[count++] = (struct access_pair){ m->labels[i]->key, m->labels[i]->value };
        return count;
}

enum { LABELS_MAX = 128 };

static void offer_node(struct page_request *p, const Cteleport__V1__Node *n)
{
        struct access_pair labels[LABELS_MAX];
        struct row r = { .name = n->spec->hostname, .state = n->spec->state, .description = "", .labels = labels };

        r.label_count = take_metadata_labels(n->metadata, labels, LABELS_MAX);
        for (size_t i = 0; i < n->spec->n_cmd_labels && r.label_count < LABELS_MAX; i++)
                labels[r.label_count++] = (struct access_pair){ n->spec->cmd_labels[i]->key, n->spec->cmd_labels[i]->value->result };
        offer(p, &r);
}

static int by_name(const void *a, const void *b)
{
        const struct row *one = a, *other = b;
        int order = (int)other->is_app - (int)one->is_app;

        return order != 0 ? order : strcmp(one->name, other->name);
}

/* ---- the page -------------------------------------------------------------------------------------------------- */

/* "/web?q=…&label=…&page=N" */
static void put_url(struct buf *out, const struct page_request *p, struct str label, size_t page)
{
        AUTO(buf) url = BUF_MAX(8 * KiB);

        buf_put_c(&url, "/web?q=");
        url_put(&url, form_value(&p->form, "q"));
        if (!str_is_empty(label)) {
                buf_put_c(&url, "&label=");
                url_put(&url, label);
        }
        if (page > 1)
                buf_printf(&url, "&page=%zu", page);
        html_put(out, buf_str(&url));
}

static void put_filter(struct buf *out, const struct page_request *p, const struct home *h)
{
        html_print(out, "<form class=\"filter\" role=\"search\" method=\"get\" action=\"/web\"><label for=\"q\">Search</label>"
                        "<input id=\"q\" name=\"q\" type=\"search\" value=\"%.*s\">", STR_ARG(form_value(&p->form, "q")));
        if (!str_is_empty(h->label))
                html_print(out, "<input type=\"hidden\" name=\"label\" value=\"%.*s\">", STR_ARG(h->label));
        buf_put_c(out, "<button>Search</button></form>\n");
        if (str_is_empty(h->label))
                return;
        html_print(out, "<p>Only with the label <b>%.*s</b>. <a href=\"", STR_ARG(h->label));
        put_url(out, p, STR(""), 1);
        buf_put_c(out, "\">Show all</a></p>\n");
}

static void put_some_labels(struct buf *out, const struct page_request *p, const struct row *r, size_t first, size_t end)
{
        buf_put_c(out, "<ul class=\"labels\">");
        for (size_t i = first; i < end; i++) {
                AUTO(buf) label = BUF_MAX(8 * KiB);

                buf_printf(&label, "%s=%s", r->labels[i].key, r->labels[i].value);
                buf_put_c(out, "<li><a href=\"");
                put_url(out, p, buf_str(&label), 1);
                html_print(out, "\">%.*s</a></li>", STR_ARG(buf_str(&label)));
        }
        buf_put_c(out, "</ul>");
}

/* The rest of many labels is shown by a click. */
static void put_labels(struct buf *out, const struct page_request *p, const struct row *r)
{
        bool has_many = r->label_count > LABELS_SHOWN + 1;

        buf_put_c(out, "<td data-label=\"Labels\">");
        put_some_labels(out, p, r, 0, has_many ? LABELS_SHOWN : r->label_count);
        if (has_many) {
                html_print(out, "<details><summary>%zu more</summary>", r->label_count - LABELS_SHOWN);
                put_some_labels(out, p, r, LABELS_SHOWN, r->label_count);
                buf_put_c(out, "</details>");
        }
        buf_put_c(out, "</td>");
}

/* The command that opens a shell; with the first account that the roles allow. */
static void put_command(struct buf *out, const struct page_request *p, const struct row *r)
{
        size_t count;
        const struct str *logins = web_session_logins(p->session, &count);

        buf_put_c(out, "<div class=\"copy\"><code>tsh ssh ");
        if (count > 0)
                html_print(out, "%.*s@", STR_ARG(logins[0]));
        html_print(out, "%s</code></div>", r->name);
}

static void put_proxy_command(struct buf *out, const struct row *r)
{
        html_print(out, "<div class=\"copy\"><code>tsh proxy app %s", r->name);
        if (r->port != 0)
                buf_printf(out, " -p 0:%u", r->port);
        buf_put_c(out, "</code></div>");
}

static void put_row(struct buf *out, const struct page_request *p, const struct row *r)
{
        bool is_up = strcmp(r->state, "online") == 0;

        html_print(out, "<tr><th scope=\"row\">%s", r->name);
        if (*r->description != '\0')
                html_print(out, "<br><span class=\"about\">%s</span>", r->description);
        html_print(out, "</th><td data-label=\"Kind\">%s</td><td data-label=\"State\"><span class=\"badge ", r->is_app ? "application" : "node");
        buf_put_c(out, is_up ? "good" : "warn");
        html_print(out, "\">%s</span></td>", r->state);
        put_labels(out, p, r);
        buf_put_c(out, "<td data-label=\"Open\">");
        if (!r->is_app)
                put_command(out, p, r);
        else if (r->launch != NULL)
                html_print(out, "<a class=\"button\" href=\"/web/launch/%s\" aria-label=\"Open %s\">Open</a>", r->launch, r->name);
        else
                put_proxy_command(out, r);
        buf_put_c(out, "</td></tr>\n");
}

static void put_pages(struct buf *out, const struct page_request *p, const struct home *h)
{
        size_t pages = (h->count + LIMIT_WEB_ROWS - 1) / LIMIT_WEB_ROWS;

        if (pages < 2)
                return;
        html_print(out, "<nav aria-label=\"Pages of the list\"><p>Page %zu of %zu. ", h->page, pages);
        if (h->page > 1) {
                buf_put_c(out, "<a rel=\"prev\" href=\"");
                put_url(out, p, h->label, h->page - 1);
                buf_put_c(out, "\">Previous</a> ");
        }
        if (h->page < pages) {
                buf_put_c(out, "<a rel=\"next\" href=\"");
                put_url(out, p, h->label, h->page + 1);
                buf_put_c(out, "\">Next</a>");
        }
        buf_put_c(out, "</p></nav>\n");
}

/* There is nothing on this page. */
static void put_none(struct buf *out, const struct page_request *p, const struct home *h)
{
        if (h->count > 0) {
                buf_put_c(out, "<p class=\"empty\">The list has fewer pages: <a href=\"");
                put_url(out, p, h->label, 1);
                buf_put_c(out, "\">the first one</a></p>\n");
                return;
        }
        buf_put_c(out, h->seen == 0 ? "<p class=\"empty\">Your roles give access to nothing that is here now. An administrator can assign other roles.</p>\n"
                                    : "<p class=\"empty\">Nothing matches. Search for less, or remove the label.</p>\n");
}

static void put_rows(struct buf *out, const struct page_request *p, struct home *h)
{
        size_t first = (h->page - 1) * LIMIT_WEB_ROWS;

        html_print(out, "<p class=\"soft\" role=\"status\">%zu of %zu.", h->count, h->seen < LIMIT_WEB_NODES ? h->seen : (size_t)LIMIT_WEB_NODES);
        if (h->seen > LIMIT_WEB_NODES)
                html_print(out, " There are more than the %d that this page searches: tsh ls searches all.", LIMIT_WEB_NODES);
        buf_put_c(out, "</p>\n");
        if (first >= h->count) {
                put_none(out, p, h);
                return;
        }
        buf_put_c(out, "<div class=\"scroll\"><table class=\"cards\"><thead><tr><th>Name</th><th>Kind</th><th>State</th><th>Labels</th><th>Open</th></tr></thead><tbody>\n");
        for (size_t i = first; i < h->count && i < first + LIMIT_WEB_ROWS; i++)
                put_row(out, p, &h->rows[i]);
        buf_put_c(out, "</tbody></table></div>\n");
        put_pages(out, p, h);
}

static void respond(struct page_request *p)
{
        struct home *h = p->state;
        AUTO(buf) b = BUF_MAX(PAGE_MAX);
        struct error *err = arena_check(p->arena, "the list");

        if (err != NULL) {
                page_fail(p, error_hint(err, "search for less"));
                return;
        }
        if (h->count > 1)
                qsort(h->rows, h->count, sizeof *h->rows, by_name);
        put_filter(&b, p, h);
        put_rows(&b, p, h);
        page_respond(p, 200, buf_str(&b));
}

/* ---- the lists of auth ------------------------------------------------------------------------------------------ */

/* The host name of an application below a public name of the proxy; NULL: it can have none there. */
static const char *host_below(struct page_request *p, const Cteleport__V1__ProxyConfig *config, const char *app, struct str public_name)
{
        char name[APP_NAME_MAX + 1];
        struct str public_addr;
        const char *host = arena_printf(p->arena, "%s.%.*s", app, STR_ARG(public_name));

        return app_address_find(str_of(host), config->public_addr, config->n_public_addr, name, &public_addr) ? host : NULL;
}

/*
 * The host name of an HTTP application: its public_addr if that leads to it, otherwise one below a public name of the proxy: that of this
 * request, or the first that can have names below it.
 */
static const char *launch_host(struct page_request *p, const Cteleport__V1__App *app)
{
        const Cteleport__V1__ProxyConfig *config = proxy_config(web_session_cache_proxy(p->cache));
        char name[APP_NAME_MAX + 1];
        struct str public_addr, own_addr = str_of(app->spec->public_addr);
        const char *first = NULL;

        if (!str_starts_with(str_of(app->spec->uri), STR("http")) || config == NULL)
                return NULL;
        if (!str_is_empty(own_addr) && proxy_find_app(web_session_cache_proxy(p->cache), own_addr, name, &public_addr) && strcmp(name, app->metadata->name) == 0)
                return app->spec->public_addr;
        for (size_t i = 0; i < config->n_public_addr; i++) {
                struct str own = app_address_host(str_of(config->public_addr[i]));
                const char *host = host_below(p, config, app->metadata->name, own);

                if (host != NULL && str_equal_nocase(own, app_address_host(p->host)))
                        return host;
                first = first == NULL ? host : first;
        }
        return first;
}

/* An application that several hosts offer is one row: the first that is online. */
static void offer_app(struct page_request *p, const Cteleport__V1__AppServer *a)
{
        struct home *h = p->state;
        struct access_pair labels[LABELS_MAX];
        struct row r = { .name = a->metadata->name, .state = a->spec->state, .description = a->metadata->description, .is_app = true, .labels = labels };

        for (size_t i = 0; i < h->count; i++) {
                if (!h->rows[i].is_app || strcmp(h->rows[i].name, r.name) != 0)
                        continue;
                if (strcmp(r.state, "online") == 0)
                        h->rows[i].state = "online";
                return;
        }
        r.label_count = take_metadata_labels(a->metadata, labels, LABELS_MAX);
        r.launch = launch_host(p, a->spec->app);
        r.port = a->spec->app->spec->n_tcp_ports == 0 ? 0 : a->spec->app->spec->tcp_ports[0]->port;
        offer(p, &r);
}

static void list_apps(struct page_request *p);

static void on_apps(struct page_request *p, const ProtobufCMessage *answer)
{
        const Cteleport__V1__ListAppServersResponse *list = (const Cteleport__V1__ListAppServersResponse *)answer;
        struct home *h = p->state;

        for (size_t i = 0; i < list->n_app_servers; i++)
                offer_app(p, list->app_servers[i]);
        h->after = keep(p, list->next);
        if (list->next[0] != '\0' && h->seen <= LIMIT_WEB_NODES)
                list_apps(p);
        else
                respond(p);
}

static void list_apps(struct page_request *p)
{
        Cteleport__V1__ListRequest request = CTELEPORT__V1__LIST_REQUEST__INIT;

        request.after = pb_text(((struct home *)p->state)->after);
        page_call(p, "/cteleport.v1.AdminService/ListAppServers", &request.base, &cteleport__v1__list_app_servers_response__descriptor, on_apps);
}

static void list_nodes(struct page_request *p);

static void on_nodes(struct page_request *p, const ProtobufCMessage *answer)
{
        const Cteleport__V1__ListNodesResponse *list = (const Cteleport__V1__ListNodesResponse *)answer;
        struct home *h = p->state;

        for (size_t i = 0; i < list->n_nodes; i++)
                offer_node(p, list->nodes[i]);
        h->after = keep(p, list->next);
        if (list->next[0] != '\0' && h->seen <= LIMIT_WEB_NODES)
                list_nodes(p);
        else
                list_apps(p);
}

static void list_nodes(struct page_request *p)
{
        Cteleport__V1__ListRequest request = CTELEPORT__V1__LIST_REQUEST__INIT;

        request.after = pb_text(((struct home *)p->state)->after);
        page_call(p, "/cteleport.v1.AdminService/ListNodes", &request.base, &cteleport__v1__list_nodes_response__descriptor, on_nodes);
}

static void take_words(struct home *h, struct str text)
{
        while (!str_is_empty(text) && h->word_count < WORDS_MAX) {
                struct str word = str_split(&text, ' ');

                if (!str_is_empty(word))
                        h->words[h->word_count++] = word;
        }
}

static void serve_home(struct page_request *p)
{
        struct home *h = arena_alloc(p->arena, sizeof *h);
        int64_t page = 1;

        *h = (struct home){ .after = "", .label = form_value(&p->form, "label") };
        take_words(h, form_value(&p->form, "q"));
        error_free(parse_int(form_value(&p->form, "page"), 1, LIMIT_WEB_NODES, "page", &page)); /* another text means the first one */
        h->page = (size_t)page;
        p->state = h;
        list_nodes(p);
}

static const struct page_row home_row = { "/web", "Resources", serve_home };

void web_home_open(void *ctx, struct http_exchange *x)
{
        page_open(ctx, x, &home_row);
}
