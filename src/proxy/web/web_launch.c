/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_launch.h"

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "net/socket.h"
#include "proxy/apps/app_address.h"
#include "proxy/proxy.h"
#include "proxy/web/assets.h"
#include "proxy/web/cookie.h"
#include "proxy/web/page_request.h"
#include "rpc/pb.h"
#include "web.pb-c.h"

enum { LAUNCH_PAGE_MAX = 32 * KiB };

struct launch {
        const char *app;
        const char *origin; /* "https://grafana.proxy.example.com" of the application */
        struct str domain;  /* "proxy.example.com", below which applications are */
        struct app_chain chain;
        struct secret cookie; /* "ID.SECRET" of the session */
};

static struct error *no_such_host(void)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "this is not the address of an application of this cluster"),
                          "check the link; your home page lists the applications that you can open");
}

/* Takes the application from the path. The origin has the port under which the proxy is public. */
static struct error *take_host(struct page_request *p, struct launch *l)
{
        struct str host = str_slice(p->path, strlen("/web/launch/"), p->path.len), public_addr, name;
        char app[APP_NAME_MAX + 1];
        int port = 443;

        if (!str_equal(host, app_address_host(host)) || !proxy_find_app(web_session_cache_proxy(p->cache), host, app, &public_addr) || app[0] == '\0')
                return no_such_host();
        TRY(address_split(public_addr, 443, &name, &port));
        l->app = arena_str(p->arena, str_of(app)).ptr;
        l->domain = arena_str(p->arena, name);
        (void)app_address_read_chain(form_value(&p->form, "for"), form_value(&p->form, "at"), &l->chain);
        if (port == 443)
                l->origin = arena_printf(p->arena, "https://%.*s", STR_ARG(host));
        else
                l->origin = arena_printf(p->arena, "https://%.*s:%d", STR_ARG(host), port);
        return NULL;
}

static void put_hidden(struct buf *out, const char *name, struct str value)
{
        html_print(out, "<input type=\"hidden\" name=\"%s\" value=\"%.*s\">\n", name, STR_ARG(value));
}

/* Step 4: the form. A script sends it at once; without scripts the user does. */
static void on_created(struct page_request *p, const ProtobufCMessage *answer)
{
        struct launch *l = p->state;
        AUTO(buf) body = BUF_MAX(LAUNCH_PAGE_MAX), fields = BUF_MAX(4 * KiB);
        struct str id, secret;

        (void)answer;
        (void)session_cookie_split(secret_str(&l->cookie), &id, &secret);
        web_put_head(&body, "Opening an application");
        html_print(&body, "<body class=\"narrow\">\n<main class=\"card\">\n<h1>Opening %s</h1>\n<form id=\"launch\" method=\"post\" action=\"%s/x-teleport-auth\">\n", l->app,
                   l->origin);
        put_hidden(&body, "state_value", form_value(&p->form, "state"));
        put_hidden(&body, "cookie_value", id);
        put_hidden(&body, "subject_cookie_value", secret);
        put_hidden(&body, "path", form_value(&p->form, "path"));
        put_hidden(&body, "query", form_value(&p->form, "query"));
        if (!str_is_empty(l->chain.app)) {
                put_hidden(&body, "for", l->chain.app);
                put_hidden(&body, "at", form_value(&p->form, "at"));
        }
        html_print(&body, "<button autofocus>Go on to %s</button>\n</form>\n</main>\n<script src=\"%s\"></script>\n</body>\n</html>\n", l->app, web_asset_url("launch.js"));
        buf_printf(&fields,
                   "Content-Security-Policy: default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action %s;"
                   " frame-ancestors 'none'; base-uri 'none'\r\n"
                   "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
                   "Cross-Origin-Opener-Policy: same-origin\r\nStrict-Transport-Security: max-age=31536000\r\n",
                   l->origin);
        secret_release(&l->cookie);
        if (p->exchange != NULL)
                http_respond(p->exchange, (struct http_response){ .status = 200, .content_type = "text/html; charset=utf-8", .fields = buf_c(&fields), .body = buf_str(&body) });
        wipe(body.ptr, body.len);
        page_end(p);
}

static void fail(struct page_request *p, struct error *err);

static void on_failed(struct page_request *p, struct error *err)
{
        struct launch *l = p->state;

        secret_release(&l->cookie);
        fail(p, err);
}

static void create_session(struct page_request *p)
{
        struct launch *l = p->state;
        Cteleport__V1__CreateAppSessionRequest request = CTELEPORT__V1__CREATE_APP_SESSION_REQUEST__INIT;
        AUTO(buf) public_key = BUF_MAX(2 * KiB), sealed = BUF_MAX(2 * KiB);
        struct str id, secret;

        l->cookie = web_session_new_cookie();
        (void)session_cookie_split(secret_str(&l->cookie), &id, &secret);
        struct error *err = web_session_new_key(id, secret, &public_key, &sealed);
        if (err != NULL) {
                on_failed(p, err);
                return;
        }
        request.app = pb_text(l->app);
        request.id = pb_text(arena_str(p->arena, id).ptr);
        request.public_key = pb_bytes(buf_str(&public_key));
        request.sealed_key = pb_bytes(buf_str(&sealed));
        request.remote_addr = pb_text(p->client);
        page_call_or(p, "/cteleport.v1.Web/CreateAppSession", &request.base, &cteleport__v1__create_web_session_response__descriptor, on_created, on_failed);
}

/* The launch page of an application, with what this one was asked for. */
static const char *launch_path(struct page_request *p, struct str app, struct app_chain chain)
{
        const struct launch *l = p->state;
        AUTO(buf) path = BUF_MAX(8 * KiB);

        buf_printf(&path, "/web/launch/%.*s.%.*s?", STR_ARG(app), STR_ARG(l->domain));
        app_address_put_target(&path, form_value(&p->form, "path"), form_value(&p->form, "query"));
        app_address_put_chain(&path, &chain);
        return arena_str(p->arena, buf_str(&path)).ptr;
}

/* An application that another one requires cannot be opened: the user decides whether to go on without it. */
static void fail(struct page_request *p, struct error *err)
{
        const struct launch *l = p->state;

        if (!str_is_empty(l->chain.app)) {
                err = error_because(error_hint(error_new(err->code, "the application '%.*s' requires '%s', which cannot be opened", STR_ARG(l->chain.app), l->app), "%s",
                                               err->hint == NULL ? "ask an administrator" : err->hint), err);
                p->page.next = launch_path(p, l->chain.app, (struct app_chain){ .at = l->chain.at + 1 });
                p->page.next_text = arena_printf(p->arena, "Open %.*s without it", STR_ARG(l->chain.app));
        }
        page_fail(p, err);
}

/* Whether the browser comes from the application's host, with a state of its own. */
static bool has_state(struct page_request *p)
{
        struct str secret, id;

        return app_address_split_state(form_value(&p->form, "state"), &secret, &id);
}

/* A page and no redirect: after the login form, which sends to this host only, browsers refuse redirects to others. */
static void lead_to(struct page_request *p, struct str url)
{
        AUTO(buf) body = BUF_MAX(LAUNCH_PAGE_MAX);
        const struct launch *l = p->state;

        html_print(&body, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                          "<meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"refresh\" content=\"0; url=%.*s\">"
                          "<title>Opening %s</title></head>\n<body><p><a href=\"%.*s\">Go on to %s</a></p></body>\n</html>\n", STR_ARG(url), l->app, STR_ARG(url), l->app);
        if (p->exchange != NULL)
                http_respond(p->exchange, (struct http_response){ .status = 200, .content_type = "text/html; charset=utf-8", .fields = web_page_fields, .body = buf_str(&body) });
        page_end(p);
}

/* Step 2: the application exists, and the user sees it. */
static void on_found(struct page_request *p, const ProtobufCMessage *answer)
{
        const Cteleport__V1__FindAppResponse *found = (const Cteleport__V1__FindAppResponse *)answer;
        struct launch *l = p->state;
        AUTO(buf) url = BUF_MAX(8 * KiB);

        if (!str_starts_with(str_of(found->uri), STR("http"))) {
                fail(p, error_hint(error_new(ERROR_FAILED_PRECONDITION, "the application '%s' is not for browsers", l->app),
                                        "reach it from a terminal: tsh proxy app %s", l->app));
        } else if (has_state(p)) {
                create_session(p);
        } else if (str_is_empty(l->chain.app) && l->chain.at < found->n_required_apps && name_is_app(str_of(found->required_apps[l->chain.at]))) {
                page_redirect(p, launch_path(p, str_of(found->required_apps[l->chain.at]), (struct app_chain){ str_of(l->app), l->chain.at }));
        } else {
                buf_printf(&url, "%s/x-teleport-auth?", l->origin);
                app_address_put_target(&url, form_value(&p->form, "path"), form_value(&p->form, "query"));
                app_address_put_chain(&url, &l->chain);
                lead_to(p, buf_str(&url));
        }
}

static void serve(struct page_request *p)
{
        Cteleport__V1__FindAppRequest request = CTELEPORT__V1__FIND_APP_REQUEST__INIT;
        struct launch *l = arena_alloc(p->arena, sizeof *l);
        struct error *err = take_host(p, l);

        p->state = l;
        if (err != NULL) {
                page_fail(p, err);
                return;
        }
        request.name = pb_text(l->app);
        page_call_or(p, "/cteleport.v1.Web/FindApp", &request.base, &cteleport__v1__find_app_response__descriptor, on_found, fail);
}

static const struct page_row launch_row = { NULL, "Open an application", serve };

void web_launch_open(void *ctx, struct http_exchange *x)
{
        page_open(ctx, x, &launch_row);
}
