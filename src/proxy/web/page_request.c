/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/page_request.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/key.h"
#include "proxy/web/assets.h"
#include "proxy/web/cookie.h"

/* The pages of the navigation, in its order. */
static const struct {
        const char *path, *name;
} navigation[] = {
        { "/web", "Resources" },
        { "/web/recordings", "Recordings" },
        { "/web/cluster", "Cluster" },
        { "/web/audit", "Audit log" },
        { "/web/sessions", "My logins" },
};

void page_end(struct page_request *p)
{
        form_release(&p->form);
        web_session_release(p->session);
        arena_free(p->arena);
        free(p);
}

/* ---- responses ------------------------------------------------------------------------------------------------- */

bool page_is_own(struct str path)
{
        struct str rest = str_slice(path, 4, path.len);

        for (size_t i = 0; i < path.len; i++)
                if (path.ptr[i] <= ' ' || path.ptr[i] > '~' || path.ptr[i] == '\\')
                        return false;
        return str_starts_with(path, STR("/web")) && (str_is_empty(rest) || rest.ptr[0] == '/' || rest.ptr[0] == '?');
}

void web_redirect(struct http_exchange *x, const char *path, const char *cookie)
{
        AUTO(buf) fields = BUF_MAX(16 * KiB);

        buf_printf(&fields, "Location: %s\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n", path);
        if (cookie != NULL)
                buf_printf(&fields, "Set-Cookie: %s\r\n", cookie);
        http_respond(x, (struct http_response){ .status = 303, .fields = buf_c(&fields) });
}

static void put_navigation(struct buf *out, const struct page_request *p)
{
        html_print(out, "<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header class=\"top\"><a class=\"brand\" href=\"/web\">%.*s</a>\n"
                        "<nav aria-label=\"Pages\"><ul>", STR_ARG(p->page.cluster));
        for (size_t i = 0; i < ARRAY_LEN(navigation); i++) {
                bool is_current = p->row->path != NULL && strcmp(p->row->path, navigation[i].path) == 0;

                html_print(out, "<li><a href=\"%s\"", navigation[i].path);
                buf_put_c(out, is_current ? " aria-current=\"page\">" : ">");
                html_print(out, "%s</a></li>", navigation[i].name);
        }
        buf_put_c(out, "</ul></nav>\n");
}

void page_put_token(struct page_request *p, struct buf *out)
{
        buf_put_c(out, "<input type=\"hidden\" name=\"token\" value=\"");
        web_session_put_csrf(p->session, out);
        buf_put_c(out, "\">");
}

static void put_frame(struct buf *out, struct page_request *p)
{
        put_navigation(out, p);
        html_print(out, "<form class=\"who\" method=\"post\" action=\"/web/logout\"><span>%.*s</span>", STR_ARG(web_session_user(p->session)));
        page_put_token(p, out);
        buf_put_c(out, "<button class=\"plain\">Log out</button></form></header>\n");
}

void page_respond(struct page_request *p, int status, struct str content)
{
        AUTO(buf) body = BUF_MAX(PAGE_MAX + 64 * KiB);

        if (p->exchange != NULL) {
                web_put_head(&body, p->row->title);
                buf_put_c(&body, "<body>\n");
                put_frame(&body, p);
                html_print(&body, "<main id=\"main\"><h1>%s</h1>\n", p->row->title);
                buf_put(&body, content);
                html_print(&body, "</main>\n<script src=\"%s\"></script>\n</body>\n</html>\n", web_asset_url("copy.js"));
                http_respond(p->exchange, (struct http_response){ .status = status, .content_type = "text/html; charset=utf-8",
                                                                  .fields = web_page_fields, .body = buf_str(&body) });
        }
        page_end(p);
}

void page_redirect(struct page_request *p, const char *path)
{
        if (p->exchange != NULL)
                web_redirect(p->exchange, path, NULL);
        page_end(p);
}

/* Leads to the login page, and back here after the login. */
static void redirect_to_login(const struct page_request *p)
{
        AUTO(buf) target = BUF_MAX(LIMIT_HTTP1_HEADER);
        AUTO(buf) url = BUF_MAX(16 * KiB);

        buf_put(&target, p->path);
        if (!str_is_empty(p->query))
                buf_printf(&target, "?%.*s", STR_ARG(p->query));
        buf_put_c(&url, "/web/login");
        if (!p->is_post && target.len <= FORM_ADDRESS_MAX && !str_equal(buf_str(&target), STR("/web"))) {
                buf_put_c(&url, "?redirect_uri=");
                url_put(&url, buf_str(&target));
        }
        web_redirect(p->exchange, buf_c(&url), FORGET_SESSION_COOKIE);
}

/* Whether the session is over: its cookie is of no use any more. */
static bool is_logged_out(const struct error *err)
{
        return err->code == ERROR_UNAUTHENTICATED;
}

/* For example, a user who is locked gets no other page than this, and must be able to leave the browser to another user. */
static void respond_failure(struct page_request *p, const struct error *err)
{
        AUTO(buf) token = BUF_MAX(128);

        if (p->session != NULL && !is_logged_out(err))
                web_session_put_csrf(p->session, &token);
        p->page.form_token = buf_str(&token);
        web_respond_failure(p->exchange, &p->page, err);
}

void page_fail(struct page_request *p, struct error *err)
{
        if (p->session != NULL && is_logged_out(err))
                web_session_forget(p->session);
        if (p->exchange != NULL && is_logged_out(err) && !p->is_post)
                redirect_to_login(p);
        else if (p->exchange != NULL)
                respond_failure(p, err);
        error_free(err);
        page_end(p);
}

/* ---- calls to auth --------------------------------------------------------------------------------------------- */

struct page_call {
        struct page_request *page;
        const char *method;
        const ProtobufCMessageDescriptor *response;
        ProtobufCMessage *request; /* in the arena of the page */
        struct error *err;         /* the request could not be copied */
        void (*then)(struct page_request *p, const ProtobufCMessage *answer);
        void (*failed)(struct page_request *p, struct error *err);
};

static void call_end(struct page_call *c, const ProtobufCMessage *answer, struct error *err)
{
        struct page_request *p = c->page;
        struct page_call ended = *c;

        free(c);
        if (err != NULL)
                ended.failed(p, err);
        else
                ended.then(p, answer);
}

static void on_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        call_end(ctx, answer, err);
}

static void on_client(void *ctx, struct rpc_client *client, struct error *err)
{
        struct page_call *c = ctx;

        if (err == NULL && c->page->exchange == NULL)
                err = error_new(ERROR_CANCELLED, "the browser has gone");
        if (err == NULL)
                err = c->err;
        else
                error_free(c->err);
        if (err != NULL)
                call_end(c, NULL, err);
        else
                rpc_client_unary(client,
                                 (struct rpc_client_call_options){ .path = c->method, .response = c->response, .within = MILLISECONDS(TIMEOUT_RPC) },
                                 c->request, on_answer, c);
}

void page_call_or(struct page_request *p, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                  void (*then)(struct page_request *p, const ProtobufCMessage *answer), void (*failed)(struct page_request *p, struct error *err))
{
        struct page_call *c = NEW(struct page_call);

        *c = (struct page_call){ .page = p, .method = method, .response = response, .then = then, .failed = failed };
        c->err = wire_copy(p->arena, request, &c->request);
        web_session_request_client(p->session, p->client, on_client, c);
}

void page_call(struct page_request *p, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
               void (*then)(struct page_request *p, const ProtobufCMessage *answer))
{
        page_call_or(p, method, request, response, then, page_fail);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static void on_gone(void *ctx)
{
        ((struct page_request *)ctx)->exchange = NULL; /* the pending call frees the request */
}

static const struct http_exchange_events exchange_events = { .on_gone = on_gone };

static struct error *check_token(const struct page_request *p)
{
        if (!p->is_post || web_session_has_csrf(p->session, form_value(&p->form, "token")))
                return NULL;
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "the form is not one of this login"), "go back, load the page again, and send the form once more");
}

static void on_session(void *ctx, struct web_session *s, struct error *err)
{
        struct page_request *p = ctx;

        p->session = s;
        if (err == NULL)
                err = check_token(p);
        if (err != NULL)
                page_fail(p, err);
        else if (p->exchange == NULL)
                page_end(p);
        else
                p->row->serve(p);
}

static struct error *take_parameters(struct page_request *p, struct http_exchange *x)
{
        return p->is_post ? web_take_form(x, &p->form) : form_parse(p->query, &p->form);
}

void page_open(struct web *w, struct http_exchange *x, const struct page_row *row)
{
        const struct http1_request *http = http_exchange_request(x);
        struct page_request *p = NEW(struct page_request);

        *p = (struct page_request){ .row = row, .exchange = x, .arena = arena_new(PAGE_ARENA), .cache = w->options.sessions, .loop = w->options.loop,
                                    .is_post = str_equal(http->method, STR("POST")) };
        p->path = arena_str(p->arena, http->path);
        p->query = arena_str(p->arena, http->query);
        p->host = arena_str(p->arena, http->host);
        p->client = arena_str(p->arena, str_of(w->client)).ptr;
        p->page = web_page_of(w, x);
        p->page.cluster = arena_str(p->arena, p->page.cluster);
        p->page.proxy = arena_str(p->arena, p->page.proxy);
        struct error *err = take_parameters(p, x);
        if (err == NULL && p->cache == NULL)
                err = error_new(ERROR_UNAUTHENTICATED, "nobody can log in at this proxy");
        if (err != NULL) {
                page_fail(p, err);
                return;
        }
        http_exchange_listen(x, &exchange_events, p);
        web_session_open(p->cache, cookie_find(http->cookie, SESSION_COOKIE), on_session, p);
}
