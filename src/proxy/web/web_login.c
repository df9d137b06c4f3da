/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_login.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/key.h"
#include "proxy/web/cookie.h"
#include "proxy/web/page_request.h"
#include "rpc/pb.h"
#include "web.pb-c.h"

enum { LOGIN_ARENA = 64 * KiB };

/* ---- the login page -------------------------------------------------------------------------------------------- */

/* A request for the login page, until it is answered. */
struct attempt {
        struct web_session_cache *cache;
        struct http_exchange *exchange; /* NULL: the connection is gone */
        struct arena *arena;
        struct form form;
        struct web_page page;
        struct str token, target; /* of the form, in the arena */
        const char *client;       /* address with port, in the arena */
        struct str agent;         /* in the arena */
        bool is_post;
        char otp[WEB_OTP_MAX];
};

static void attempt_free(struct attempt *a)
{
        form_release(&a->form);
        wipe(a->otp, sizeof a->otp);
        arena_free(a->arena);
        free(a);
}

/* Shows the form; with a cookie for its token. err (owned) is shown above it. */
static void show_form(struct attempt *a, struct error *err)
{
        AUTO(buf) cookie = BUF_MAX(512);

        if (a->exchange != NULL) {
                buf_printf(&cookie, LOGIN_COOKIE "=%.*s; Path=/; Secure; HttpOnly; SameSite=Strict", STR_ARG(a->token));
                a->page.error = err;
                a->page.status = err == NULL ? 200 : web_status_of(err);
                a->page.cookie = buf_c(&cookie);
                web_respond_login(a->exchange, &a->page, &(struct web_login_form){ a->token, a->target });
        }
        error_free(err);
        attempt_free(a);
}

static void on_created(void *ctx, struct str cookie, struct error *err)
{
        struct attempt *a = ctx;
        AUTO(buf) set = BUF_MAX(512);

        if (err != NULL) {
                show_form(a, err);
                return;
        }
        if (a->exchange != NULL) {
                buf_printf(&set, SESSION_COOKIE "=%.*s; Path=/; Secure; HttpOnly; SameSite=Lax", STR_ARG(cookie));
                web_redirect(a->exchange, a->target.ptr, buf_c(&set));
        }
        wipe(set.ptr, set.len);
        attempt_free(a);
}

static struct error *check_attempt(const struct attempt *a, struct str cookie)
{
        if (str_is_empty(cookie) || !secret_equal(cookie, form_value(&a->form, "token")))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "this form does not belong to this browser"),
                                  "allow cookies for this host, and send the form below");
        if (str_is_empty(form_value(&a->form, "user")))
                return error_new(ERROR_INVALID_ARGUMENT, "the user name is missing");
        if (str_is_empty(form_value(&a->form, "password")))
                return error_new(ERROR_INVALID_ARGUMENT, "the password is missing");
        return str_is_empty(form_value(&a->form, "otp")) ? error_new(ERROR_INVALID_ARGUMENT, "the code of the app is missing") : NULL;
}

static void log_in(struct attempt *a)
{
        web_take_otp(form_value(&a->form, "otp"), a->otp);
        web_session_create(a->cache,
                           &(struct web_login){ .user = form_value(&a->form, "user"), .password = form_value(&a->form, "password"), .otp = str_of(a->otp),
                                                .client_addr = a->client, .user_agent = a->agent, .form_token = a->token },
                           on_created, a);
}

/*
 * The session of the cookie of a browser that opens the login page, or sends its form: once more if the session is of the same user, and the code was
 * used then. Another user logs in.
 */
static void on_session(void *ctx, struct web_session *s, struct error *err)
{
        struct attempt *a = ctx;
        bool is_in = s != NULL && (!a->is_post || str_equal(web_session_user(s), form_value(&a->form, "user")));

        error_free(err);
        web_session_release(s);
        if (a->exchange == NULL) {
                attempt_free(a);
        } else if (is_in) {
                web_redirect(a->exchange, a->target.ptr, NULL);
                attempt_free(a);
        } else if (a->is_post) {
                log_in(a);
        } else {
                show_form(a, NULL);
        }
}

static void on_gone(void *ctx)
{
        ((struct attempt *)ctx)->exchange = NULL; /* the answer of auth frees it */
}

static const struct http_exchange_events attempt_events = { .on_gone = on_gone };

/* The token of the cookie, so that several open forms are valid; otherwise a new one. */
static struct str token_for(struct arena *arena, struct str cookie)
{
        uint8_t bytes[COOKIE_TOKEN_LEN / 2];
        AUTO(buf) text = BUF_MAX(128);

        if (is_hex_of(cookie, COOKIE_TOKEN_LEN))
                return arena_str(arena, cookie);
        random_bytes(bytes, sizeof bytes);
        hex_encode(&text, str_of_bytes(bytes, sizeof bytes));
        return arena_str(arena, buf_str(&text));
}

/* Takes what the request and its form or parameters say. */
static void take_fields(struct attempt *a, struct web *w, struct http_exchange *x)
{
        const struct http1_request *http = http_exchange_request(x);
        struct str target = form_value(&a->form, "redirect_uri");

        a->page = web_page_of(w, x);
        a->page.cluster = arena_str(a->arena, a->page.cluster);
        a->page.proxy = arena_str(a->arena, a->page.proxy);
        a->page.user = form_value(&a->form, "user");
        a->client = arena_str(a->arena, str_of(w->client)).ptr;
        a->agent = arena_str(a->arena, http->user_agent);
        a->target = arena_str(a->arena, page_is_own(target) ? target : STR("/web"));
        a->token = token_for(a->arena, cookie_find(http->cookie, LOGIN_COOKIE));
}

void web_login_open(void *ctx, struct http_exchange *x)
{
        struct web *w = ctx;
        const struct http1_request *http = http_exchange_request(x);
        struct attempt *a = NEW(struct attempt);

        *a = (struct attempt){ .cache = w->options.sessions, .exchange = x, .arena = arena_new(LOGIN_ARENA), .is_post = str_equal(http->method, STR("POST")) };
        struct error *err = a->is_post ? web_take_form(x, &a->form) : form_parse(http->query, &a->form);
        take_fields(a, w, x);
        if (err == NULL && a->is_post)
                err = check_attempt(a, cookie_find(http->cookie, LOGIN_COOKIE));
        if (err == NULL && a->cache == NULL)
                err = error_new(ERROR_UNAVAILABLE, "this proxy has no identity of the cluster yet");
        if (err != NULL) {
                show_form(a, err);
                return;
        }
        http_exchange_listen(x, &attempt_events, a);
        web_session_open(a->cache, cookie_find(http->cookie, SESSION_COOKIE), on_session, a);
}

/* ---- logout ---------------------------------------------------------------------------------------------------- */

static void after_logout(struct page_request *p)
{
        struct http_exchange *x = p->exchange;

        web_session_forget(p->session);
        p->exchange = NULL;
        if (x != NULL)
                web_redirect(x, "/web/login", FORGET_SESSION_COOKIE);
        page_redirect(p, "");
}

static void on_logged_out(struct page_request *p, const ProtobufCMessage *answer)
{
        (void)answer;
        after_logout(p);
}

/* A session that has ended already is logged out. Auth takes no call of a locked user, but this browser need not keep the cookie. */
static void on_logout_failed(struct page_request *p, struct error *err)
{
        if (err->code == ERROR_UNAUTHENTICATED || err->code == ERROR_NOT_FOUND || err->code == ERROR_PERMISSION_DENIED) {
                error_free(err);
                after_logout(p);
        } else {
                page_fail(p, error_wrap(err, "you are still logged in"));
        }
}

static void delete_session(struct page_request *p, struct str id, void (*then)(struct page_request *p, const ProtobufCMessage *answer),
                           void (*failed)(struct page_request *p, struct error *err))
{
        Cteleport__V1__DeleteWebSessionRequest request = CTELEPORT__V1__DELETE_WEB_SESSION_REQUEST__INIT;

        if (str_equal(id, STR("others")))
                request.is_others = true;
        else
                request.id = pb_text(id.ptr);
        page_call_or(p, "/cteleport.v1.Web/DeleteWebSession", &request.base, &cteleport__v1__delete_web_session_response__descriptor, then, failed);
}

static void serve_logout(struct page_request *p)
{
        delete_session(p, web_session_id(p->session), on_logged_out, on_logout_failed);
}

static const struct page_row logout_row = { NULL, "Log out", serve_logout };

void web_logout_open(void *ctx, struct http_exchange *x)
{
        page_open(ctx, x, &logout_row);
}

/* ---- my logins ------------------------------------------------------------------------------------------------- */

static void put_session(struct page_request *p, struct buf *out, const Cteleport__V1__WebSessionInfo *s)
{
        const char *end = s->is_current ? "Log out" : "End";

        html_print(out, "<tr><td data-label=\"Browser\">%s", s->user_agent[0] == '\0' ? "unknown" : s->user_agent);
        buf_put_c(out, s->is_current ? " <span class=\"badge good\">this one</span>" : "");
        html_print(out, "</td><td data-label=\"Address\">%s</td><td data-label=\"Logged in\">", s->remote_addr);
        html_put_time(out, s->created);
        buf_put_c(out, "</td><td data-label=\"Last used\">");
        html_put_time(out, s->last_used);
        buf_put_c(out, "</td><td data-label=\"Ends\">");
        html_put_time(out, s->expires);
        buf_put_c(out, "</td><td class=\"act\"><form method=\"post\" action=\"/web/sessions\">");
        page_put_token(p, out);
        html_print(out, "<input type=\"hidden\" name=\"id\" value=\"%s\"><button class=\"danger\" aria-label=\"%s: the login of %s\">%s</button></form></td></tr>\n",
                   s->id, end, s->remote_addr, end);
}

static void on_sessions(struct page_request *p, const ProtobufCMessage *answer)
{
        const Cteleport__V1__ListWebSessionsResponse *list = (const Cteleport__V1__ListWebSessionsResponse *)answer;
        AUTO(buf) b = BUF_MAX(PAGE_MAX);

        buf_put_c(&b, "<p class=\"soft\">Browsers in which you are logged in. End those that you do not know, and ask an administrator to reset your password then.</p>\n"
                      "<div class=\"scroll\"><table class=\"cards\"><thead><tr><th>Browser</th><th>Address</th><th>Logged in</th><th>Last used</th>"
                      "<th>Ends</th><th><span class=\"unseen\">Action</span></th></tr></thead><tbody>\n");
        for (size_t i = 0; i < list->n_sessions; i++)
                put_session(p, &b, list->sessions[i]);
        buf_put_c(&b, "</tbody></table></div>\n");
        if (list->n_sessions > 1) {
                buf_put_c(&b, "<form method=\"post\" action=\"/web/sessions\">");
                page_put_token(p, &b);
                buf_put_c(&b, "<p><input type=\"hidden\" name=\"id\" value=\"others\"><button class=\"danger\">End all others</button></p></form>\n");
        }
        page_respond(p, 200, buf_str(&b));
}

static void on_ended(struct page_request *p, const ProtobufCMessage *answer)
{
        (void)answer;
        if (str_equal(form_value(&p->form, "id"), web_session_id(p->session)))
                after_logout(p);
        else
                page_redirect(p, "/web/sessions");
}

static void serve_sessions(struct page_request *p)
{
        Cteleport__V1__ListWebSessionsRequest request = CTELEPORT__V1__LIST_WEB_SESSIONS_REQUEST__INIT;

        if (p->is_post)
                delete_session(p, form_value(&p->form, "id"), on_ended, page_fail);
        else
                page_call(p, "/cteleport.v1.Web/ListWebSessions", &request.base, &cteleport__v1__list_web_sessions_response__descriptor, on_sessions);
}

static const struct page_row sessions_row = { "/web/sessions", "My logins", serve_sessions };

void web_my_sessions_open(void *ctx, struct http_exchange *x)
{
        page_open(ctx, x, &sessions_row);
}
