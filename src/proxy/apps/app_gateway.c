/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_gateway.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/app_status.h"
#include "cluster/connect.h"
#include "http/cookies.h"
#include "http/relay.h"
#include "http/site_data.h"
#include "net/http1.h"
#include "net/ingress.h"
#include "pki/key.h"
#include "proxy/apps/app_address.h"
#include "proxy/apps/app_bare.h"
#include "proxy/apps/app_certificate.h"
#include "proxy/apps/app_page.h"
#include "proxy/apps/app_preflight.h"
#include "proxy/apps/app_session.h"
#include "proxy/apps/app_tries.h"
#include "proxy/proxy.h"
#include "proxy/resource_dial.h"
#include "proxy/web/form.h"
#include "rpc/pb.h"
#include "web.pb-c.h"

enum { PAGE_MAX = 32 * KiB, EXCHANGE_FORM_MAX = 8 * KiB, CORS_ANSWER_MAX = 64 * KiB };

struct app_gateway {
        struct proxy *proxy;
        struct http_relay *relay; /* NULL: the browser's connection has ended */
        char app[APP_NAME_MAX + 1];
        char peer[ADDRESS_TEXT_MAX], client[ADDRESS_TEXT_MAX]; /* client: the browser of the current request, which may be behind the peer */
        const struct ingress *ingress;
        const struct app_certificate *certificate; /* not owned */
        bool has_old_tls;
        struct app_session_user user; /* of the session whose requests were forwarded last */
        bool is_opening;              /* a session is requested */
        struct resource_dial *dial;
        struct app_tries tries;
        bool is_left; /* the host is not used for the next request */
        struct tls_handshake *tls;
        struct app_bare *bare; /* the host has yet to say how requests follow */
        /* Of the current request. */
        struct http_request *request;
        char id[APP_PAGE_ID_LEN + 1]; /* "": none was needed yet */
        char address[2 * LIMIT_NAME]; /* of the proxy's pages, "host:port" */
        struct form form; /* of the exchange */
        bool is_html, is_state_right;
        bool is_forwarding; /* the current request, or what it has upgraded to, is one of `user` */
        bool is_ending; /* the parts of the gateway are being cancelled */
        struct error *(*on_user)(void *ctx, struct str user, const char *client);
        void (*on_foreign)(void *ctx, struct stream *s);
        void (*on_closed)(void *ctx);
        void *ctx;
};

/* Whether nothing of the gateway is pending any more: it is freed. */
static void release_when_idle(struct app_gateway *g)
{
        if (g->relay != NULL || g->is_ending || g->is_opening || g->dial != NULL || g->tls != NULL)
                return;
        form_release(&g->form);
        app_tries_release(&g->tries);
        g->on_closed(g->ctx);
        free(g);
}

/* ---- answers of the proxy -------------------------------------------------------------------------------------- */

/* Of the current request, made when first needed: most requests leave neither a page nor a line of the log here. */
static const char *request_id(struct app_gateway *g)
{
        if (g->id[0] == '\0')
                app_page_new_id(g->id);
        return g->id;
}

static void add(struct http_fields *fields, const char *name, struct str value)
{
        error_free(http_fields_add(fields, str_of(name), value)); /* of our own texts, which are visible ASCII */
}

static void answer_page(struct app_gateway *g, int status, struct error_page page)
{
        AUTO(buf) body = BUF_MAX(PAGE_MAX);
        struct http_fields fields = { 0 };

        page.id = request_id(g);
        app_page_put(&body, &fields, g->is_html, &page);
        http_relay_answer(g->relay, status, &fields, buf_str(&body));
        http_fields_release(&fields);
}

static int status_of(const struct error *err)
{
        switch (err->code) {
        case ERROR_NOT_FOUND:
                return 404;
        case ERROR_INVALID_ARGUMENT:
                return 400;
        case ERROR_PERMISSION_DENIED:
                return 403;
        case ERROR_UNAUTHENTICATED:
                return 401;
        case ERROR_RESOURCE_EXHAUSTED:
                return 429;
        case ERROR_INTERNAL:
                return 500;
        default:
                return 503;
        }
}

/* err is owned. */
static void answer_error(struct app_gateway *g, const char *title, struct error *err)
{
        AUTO(buf) link = BUF_MAX(1 * KiB);

        log_warn("A request for an application was not served", LOG_C("app", g->app), LOG_C("peer", g->client), LOG_C("request_id", request_id(g)), LOG_ERR(err));
        buf_printf(&link, "https://%s/web", g->address);
        answer_page(g, status_of(err), (struct error_page){ .title = title, .what = err->what, .hint = err->hint, .link = buf_c(&link), .link_text = "Your applications" });
        error_free(err);
}

#define OLD_TLS "a certificate of `tsh apps login` is used by TLS 1.3 only, where others cannot read it; this connection uses an older version"

static void redirect(struct app_gateway *g, struct str url, struct str cookie)
{
        struct http_fields fields = { 0 };

        app_page_add_fields(&fields);
        add(&fields, "Location", url);
        if (!str_is_empty(cookie))
                add(&fields, "Set-Cookie", cookie);
        if (g->has_old_tls)
                add(&fields, "Content-Type", STR("text/plain"));
        http_relay_answer(g->relay, 302, &fields, g->has_old_tls ? STR("Log in; " OLD_TLS ".\n") : STR(""));
        http_fields_release(&fields);
}

/* ---- the way to a session -------------------------------------------------------------------------------------- */

static struct str path_of(const struct http_request *r)
{
        return str_slice(r->target, 0, str_find_char(r->target, '?'));
}

static struct str query_of(const struct http_request *r)
{
        return str_slice(r->target, path_of(r).len + 1, r->target.len);
}

static void put_launch_url(struct app_gateway *g, struct buf *out, struct str path, struct str query)
{
        buf_printf(out, "https://%s/web/launch/%.*s?", g->address, STR_ARG(app_address_host(g->request->host)));
        app_address_put_target(out, path, query);
}

/* The parameters of a form that say for which application this one is opened. */
static struct app_chain chain_of(const struct form *form)
{
        struct app_chain chain;

        (void)app_address_read_chain(form_value(form, "for"), form_value(form, "at"), &chain);
        return chain;
}

/* For the audit log: a program uses a certificate on purpose, while a browser sends the cookies of ended sessions by itself. */
static void report_void_certificate(struct app_gateway *g)
{
        app_session_report_failure(g->proxy->app_sessions, app_certificate_session(g->certificate), g->app, g->client, "the session of the certificate has ended");
}

/* The session of the certificate has ended. cause is owned, or NULL. */
static struct error *certificate_is_void(const struct app_gateway *g, struct error *cause)
{
        struct error *err = error_new(ERROR_UNAUTHENTICATED, "the session of this certificate has ended, or was ended by its user or an administrator");

        err = error_hint(err, "tsh apps login %s", g->app);
        return cause == NULL ? err : error_because(err, cause);
}

/* There is no session: a browser is led to the launch page; a program, or a form that would get lost, gets a reason. */
static void lead_to_login(struct app_gateway *g)
{
        bool is_get = str_equal(g->request->method, STR("GET")) || str_equal(g->request->method, STR("HEAD"));
        AUTO(buf) url = BUF_MAX(8 * KiB);

        if (g->certificate != NULL) {
                answer_error(g, "The application cannot be reached", certificate_is_void(g, NULL));
                return;
        }
        put_launch_url(g, &url, is_get ? path_of(g->request) : STR("/"), is_get ? query_of(g->request) : STR(""));
        if (g->is_html && is_get)
                redirect(g, buf_str(&url), STR(""));
        else
                answer_page(g, 401, (struct error_page){ .title = "Log in again", .what = "you are not logged in to this application, or the login has ended",
                                                       .hint = g->has_old_tls ? OLD_TLS : is_get ? "open the application in a browser and log in there, or get a certificate: tsh apps login" : "log in; what you have sent was not processed",
                                                       .link = buf_c(&url), .link_text = "Log in" });
}

/* ---- forwarding -------------------------------------------------------------------------------------------------- */

static bool is_own_cookie(struct str name)
{
        return str_starts_with(name, STR(APP_COOKIE_PREFIX));
}

/* err is owned. */
static void answer_not_accepted(struct app_gateway *g, struct error *err)
{
        answer_error(g, "The application cannot be reached",
                     error_hint(error_because(error_new(ERROR_UNAVAILABLE, "the host that offers this application did not accept the connection"), err), "try again in a moment"));
}

/* No other host takes the request: the reason is that of the last one. */
static void answer_unreached(struct app_gateway *g)
{
        AUTO_MEM char *reason = str_dup(str_of(g->tries.reason));

        app_tries_give_up(&g->tries, loop_now(&g->proxy->loop));
        log_warn("A request for an application was not served", LOG_C("app", g->app), LOG_C("peer", g->client), LOG_C("request_id", request_id(g)), LOG_C("reason", reason));
        answer_page(g, 502, (struct error_page){ .title = "The application cannot be reached", .what = reason, .hint = "try again in a moment" });
}

/* The host lets requests follow, or has sent a response that refuses them. */
static void on_host_answer(void *ctx, struct stream *s, struct error *err)
{
        struct app_gateway *g = ctx;

        g->bare = NULL;
        if (err == NULL)
                http_relay_forward(g->relay, s);
        else
                answer_not_accepted(g, err);
}

static void forward_over(struct app_gateway *g, struct stream *tls)
{
        if (str_equal(tls_alpn(tls), STR(APP_ALPN_BARE)))
                g->bare = app_bare_new(&g->proxy->loop, tls, on_host_answer, g);
        else
                http_relay_forward(g->relay, tls);
}

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct app_gateway *g = ctx;

        g->tls = NULL;
        if (g->relay == NULL) {
                stream_close(tls);
                error_free(err);
                release_when_idle(g);
                return;
        }
        if (err == NULL)
                err = connect_check_role(tls_peer_cert_der(tls), "App", loop_wall(&g->proxy->loop));
        if (err == NULL) {
                tls_forget_peer(tls);
                forward_over(g, tls);
                return;
        }
        stream_close(tls);
        answer_not_accepted(g, err);
}

static void on_dialled(void *ctx, struct stream *s, const struct resource_dial_route *route, struct error *err)
{
        struct app_gateway *g = ctx;

        g->dial = NULL;
        if (g->relay == NULL || (err == NULL && g->user.session == NULL)) {
                stream_close(s);
                error_free(err);
                release_when_idle(g);
                return;
        }
        if (err != NULL && err->code == ERROR_UNAUTHENTICATED && g->user.session != NULL) {
                struct app_session *ended = g->user.session;

                app_session_leave(&g->user);
                app_session_forget(ended); /* the next request leads to the login */
        }
        if (err != NULL && g->tries.reason != NULL && err->code != ERROR_UNAUTHENTICATED) {
                log_warn("No other host of the application is reached", LOG_C("app", g->app), LOG_C("request_id", request_id(g)), LOG_ERR(err));
                error_free(err);
                answer_unreached(g);
                return;
        }
        if (err != NULL) {
                if (err->code == ERROR_UNAUTHENTICATED && g->certificate != NULL) { /* it is in memory here, and has ended at auth */
                        report_void_certificate(g);
                        err = certificate_is_void(g, err);
                }
                answer_error(g, "The application cannot be reached", err);
                return;
        }
        memcpy(g->tries.host_id, route->host_id, sizeof g->tries.host_id);
        g->tries.has_alternatives = route->has_alternatives;
        static const char *const bare[] = { APP_ALPN_BARE, APP_ALPN_HTTP, NULL };
        AUTO(buf) name = BUF_MAX(2 * LIMIT_NAME);
        buf_printf(&name, "%s.%.*s", route->host_id, STR_ARG(proxy_cluster(g->proxy)));
        g->tls = tls_start(&g->proxy->loop, app_session_tls(g->user.session), s, buf_c(&name), MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_tls, g);
        if (!route->is_relayed) /* another proxy would read the requests */
                tls_offer(g->tls, bare);
}

static const struct resource_dial_events dial_events = { .done = on_dialled };

static void dial_host(struct app_gateway *g)
{
        const struct resource_dial_request request = {
                .certificate = app_session_certificate(g->user.session),
                .kind = STR("app"),
                .target = str_of(g->app),
                .client_addr = g->client,
                .tried = str_of(g->tries.list),
        };

        g->dial = resource_dial_start(g->proxy, &request, &dial_events, g);
}

static void forward(struct app_gateway *g, struct app_session *s)
{
        struct error *err = g->on_user(g->ctx, app_session_user_name(s), g->client);

        if (err == NULL)
                err = http_cookies_remove(&g->request->fields, is_own_cookie);
        if (err != NULL) {
                answer_error(g, "The request cannot be forwarded", err);
                return;
        }
        http_fields_remove_if(&g->request->fields, http_name_is_of_gateway); /* the host sets them, from what this proxy knows */
        if (g->user.session != s)
                http_relay_disconnect(g->relay); /* it was made as another user */
        app_session_join(s, &g->user);
        g->is_forwarding = true;
        if (http_relay_is_connected(g->relay))
                http_relay_forward(g->relay, NULL);
        else
                dial_host(g);
}

/* Sets a cookie of this host for the browser's session; "" removes it. */
static void set_cookie(struct http_fields *fields, const char *name, struct str value)
{
        AUTO(buf) text = BUF_MAX(512);

        buf_printf(&text, "%s=%.*s; Path=/; HttpOnly; Secure; SameSite=None%s", name, STR_ARG(value), str_is_empty(value) ? "; Max-Age=0" : "");
        add(fields, "Set-Cookie", buf_str(&text));
        wipe(text.ptr, text.len);
}

/* Logs the user out here, and ends the session; the browser's other connections to the application are closed. */
static void log_out(struct app_gateway *g, struct app_session *s)
{
        AUTO(buf) body = BUF_MAX(PAGE_MAX);
        struct http_fields fields = { 0 };

        app_session_leave(&g->user);
        http_relay_disconnect(g->relay);
        if (s != NULL)
                app_session_delete(s, false);
        app_page_put(&body, &fields, g->is_html, &(struct error_page){ .title = "Logged out", .what = "you are logged out of this application", .id = request_id(g) });
        set_cookie(&fields, APP_SESSION_COOKIE, STR(""));
        set_cookie(&fields, APP_SECRET_COOKIE, STR(""));
        http_relay_answer(g->relay, 200, &fields, buf_str(&body));
        http_fields_release(&fields);
}

/* ---- the cookie exchange ------------------------------------------------------------------------------------------ */

/* Step 3: the browser gets a state, which only it and this host know, and takes it to the launch page. */
static void begin_exchange(struct app_gateway *g)
{
        AUTO(buf) url = BUF_MAX(8 * KiB), cookie = BUF_MAX(512), secret = BUF_MAX(128), id = BUF_MAX(64);
        uint8_t bytes[APP_STATE_SECRET_LEN / 2];
        struct form form = { 0 };

        random_bytes(bytes, sizeof bytes);
        hex_encode(&secret, str_of_bytes(bytes, sizeof bytes));
        random_bytes(bytes, APP_STATE_ID_LEN / 2);
        hex_encode(&id, str_of_bytes(bytes, APP_STATE_ID_LEN / 2));
        error_free(form_parse(query_of(g->request), &form)); /* without a valid target the start page is opened */
        put_launch_url(g, &url, form_value(&form, "path"), form_value(&form, "query"));
        const struct app_chain chain = chain_of(&form);
        app_address_put_chain(&url, &chain);
        buf_printf(&url, "&state=%s_%s", buf_c(&secret), buf_c(&id));
        buf_printf(&cookie, APP_STATE_COOKIE "%s=%s; Path=/; HttpOnly; Secure; SameSite=None; Max-Age=60", buf_c(&id), buf_c(&secret));
        redirect(g, buf_str(&url), buf_str(&cookie));
        form_release(&form);
}

static void refuse_exchange(struct app_gateway *g)
{
        AUTO(buf) link = BUF_MAX(1 * KiB);
        const char *reason = g->is_state_right ? "the session is none of this application, or its secret is another" : "the state is not that of this browser";

        log_warn("The login to an application was refused", LOG_C("app", g->app), LOG_C("peer", g->client), LOG_C("request_id", request_id(g)),
                 LOG_C("reason", reason));
        app_session_report_failure(g->proxy->app_sessions, form_value(&g->form, "cookie_value"), g->app, g->client, reason);
        buf_printf(&link, "https://%s/web/launch/%.*s", g->address, STR_ARG(app_address_host(g->request->host)));
        answer_page(g, 403, (struct error_page){ .title = "The login did not succeed", .what = "this login did not begin in this browser a moment ago, or has ended",
                                               .hint = "allow cookies for this host, and open the application once more", .link = buf_c(&link),
                                               .link_text = "Open the application" });
}

/* Where the browser goes on: to what it had asked for, or to the launch page of the application for which this one was opened. */
static void put_next_url(struct app_gateway *g, struct buf *url)
{
        struct str path = form_value(&g->form, "path"), query = form_value(&g->form, "query");
        struct app_chain chain = chain_of(&g->form);

        if (!str_is_empty(chain.app)) {
                const struct app_chain next = { .at = chain.at + 1 };

                buf_printf(url, "https://%s/web/launch/%.*s.%.*s?", g->address, STR_ARG(chain.app), STR_ARG(app_address_host(str_of(g->address))));
                app_address_put_target(url, path, query);
                app_address_put_chain(url, &next);
                return;
        }
        buf_printf(url, "https://%.*s%.*s", STR_ARG(g->request->host), STR_ARG(app_address_is_path(path) ? path : STR("/")));
        if (!str_is_empty(query) && app_address_is_query(query))
                buf_printf(url, "?%.*s", STR_ARG(query));
}

/* Step 6: the session's cookies are set, and the browser goes on. */
static void finish_exchange(struct app_gateway *g)
{
        AUTO(buf) body = BUF_MAX(PAGE_MAX), url = BUF_MAX(8 * KiB);
        struct http_fields fields = { 0 };
        struct str secret, id;

        put_next_url(g, &url);
        app_page_put_redirect(&body, &fields, buf_str(&url));
        (void)app_address_split_state(form_value(&g->form, "state_value"), &secret, &id);
        AUTO_MEM char *state = mem_printf(APP_STATE_COOKIE "%.*s", STR_ARG(id));
        set_cookie(&fields, state, STR(""));
        set_cookie(&fields, APP_SESSION_COOKIE, form_value(&g->form, "cookie_value"));
        set_cookie(&fields, APP_SECRET_COOKIE, form_value(&g->form, "subject_cookie_value"));
        http_relay_answer(g->relay, 200, &fields, buf_str(&body));
        http_fields_release(&fields);
}

static bool is_session_of_app(const struct app_gateway *g, const struct app_session *s)
{
        return s != NULL && str_equal(app_session_app(s), str_of(g->app)) &&
               app_session_is_of_certificate(s) == (g->certificate != NULL) &&
               (g->certificate == NULL || str_equal(app_session_user_name(s), app_certificate_user(g->certificate)));
}

/* The session that the launch page has made. One whose browser cannot be trusted is ended. */
static void on_exchanged(void *ctx, struct app_session *s, struct error *err)
{
        struct app_gateway *g = ctx;
        bool is_good = err == NULL && g->is_state_right && is_session_of_app(g, s);

        g->is_opening = false;
        if (g->relay == NULL) {
                error_free(err);
                release_when_idle(g);
                return;
        }
        if (err != NULL && err->code != ERROR_UNAUTHENTICATED) {
                answer_error(g, "The login did not succeed", err);
                form_release(&g->form);
                return;
        }
        error_free(err);
        if (s != NULL && !is_good)
                app_session_delete(s, true);
        if (is_good)
                finish_exchange(g);
        else
                refuse_exchange(g);
        form_release(&g->form);
}

/* Whether the state in the form is that of a cookie of this browser. */
static bool is_state_right(const struct app_gateway *g)
{
        AUTO(buf) name = BUF_MAX(128);
        struct str secret, id;

        if (!app_address_split_state(form_value(&g->form, "state_value"), &secret, &id))
                return false;
        buf_printf(&name, APP_STATE_COOKIE "%.*s", STR_ARG(id));
        struct str cookie = http_cookie_get(&g->request->fields, buf_str(&name));
        return app_address_is_hex(cookie, APP_STATE_SECRET_LEN) && secret_equal(cookie, secret);
}

static void on_collected(void *ctx, struct str body)
{
        struct app_gateway *g = ctx;
        struct str type = http_fields_get(&g->request->fields, "Content-Type");
        struct error *err = str_equal_nocase(str_trim(str_split(&type, ';')), STR("application/x-www-form-urlencoded"))
                                    ? form_parse(body, &g->form)
                                    : error_new(ERROR_INVALID_ARGUMENT, "the request is not a valid form");

        if (err != NULL) {
                answer_error(g, "The login did not succeed", err);
                return;
        }
        g->is_state_right = is_state_right(g);
        g->is_opening = true;
        app_session_open(g->proxy->app_sessions, form_value(&g->form, "cookie_value"), form_value(&g->form, "subject_cookie_value"), on_exchanged, g);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

/* The answer to a preflight request is none of the application, which sees no request without a session. */
static void on_cors(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct app_gateway *g = ctx;
        struct http_fields fields = { 0 };

        g->is_opening = false;
        if (g->relay == NULL) {
                error_free(err);
                release_when_idle(g);
                return;
        }
        if (err == NULL && app_preflight_put((const Cteleport__V1__AppCors *)answer, g->request, &fields, &err))
                http_relay_answer(g->relay, 200, &fields, STR(""));
        else if (err != NULL)
                answer_error(g, "The application cannot be reached", err);
        else
                lead_to_login(g);
        http_fields_release(&fields);
}

static void ask_cors(struct app_gateway *g)
{
        Cteleport__V1__FindAppRequest request = CTELEPORT__V1__FIND_APP_REQUEST__INIT;

        request.name = pb_text(g->app);
        g->is_opening = true;
        upstream_unary(g->proxy->upstream,
                       (struct rpc_client_call_options){ .path = "/cteleport.v1.Web/GetAppCors", .response = &cteleport__v1__app_cors__descriptor, .response_max = CORS_ANSWER_MAX,
                                                         .within = MILLISECONDS(TIMEOUT_RPC) },
                       &request.base, on_cors, g);
}

/* A cookie of a session that has ended is no failure: each browser has such ones. */
static void report_failure(struct app_gateway *g, const struct error *err)
{
        struct str id = g->certificate == NULL ? http_cookie_get(&g->request->fields, STR(APP_SESSION_COOKIE)) : app_certificate_session(g->certificate);

        if (app_session_is_wrong_secret(err))
                app_session_report_failure(g->proxy->app_sessions, id, g->app, g->client, "the secret is not that of the session");
        else if (g->certificate != NULL)
                report_void_certificate(g);
}

static void on_session(void *ctx, struct app_session *s, struct error *err)
{
        struct app_gateway *g = ctx;
        bool is_logout;

        g->is_opening = false;
        if (g->relay == NULL) {
                error_free(err);
                release_when_idle(g);
                return;
        }
        is_logout = str_equal(path_of(g->request), STR("/teleport-logout"));
        if (err != NULL && err->code != ERROR_UNAUTHENTICATED) {
                answer_error(g, "The application cannot be reached", err);
                return;
        }
        if (err != NULL)
                report_failure(g, err);
        error_free(err);
        if (is_logout)
                log_out(g, is_session_of_app(g, s) ? s : NULL);
        else if (is_session_of_app(g, s))
                forward(g, s);
        else if (app_preflight_is(g->request))
                ask_cors(g);
        else
                lead_to_login(g);
}

/* The certificate decides, whatever cookies the request has. */
static void open_by_certificate(struct app_gateway *g)
{
        struct error *err = app_certificate_check(g->certificate, g->app, loop_wall(&g->proxy->loop));

        if (err != NULL) {
                answer_error(g, "The certificate is not accepted", err);
                return;
        }
        g->is_opening = true;
        app_session_open(g->proxy->app_sessions, app_certificate_session(g->certificate), app_certificate_secret(g->certificate), on_session, g);
}

static void open_session(struct app_gateway *g)
{
        const struct http_fields *fields = &g->request->fields;

        g->is_opening = true;
        app_session_open(g->proxy->app_sessions, http_cookie_get(fields, STR(APP_SESSION_COOKIE)), http_cookie_get(fields, STR(APP_SECRET_COOKIE)), on_session, g);
}

/* Whether a request on the connection of a load balancer is for another part of the proxy. */
static bool is_foreign(void *ctx, const struct http_request *request)
{
        const struct app_gateway *g = ctx;
        char app[APP_NAME_MAX + 1];
        struct str public_addr;

        return g->on_foreign != NULL && !proxy_find_app(g->proxy, request->host, app, &public_addr);
}

static void on_foreign(void *ctx, struct stream *client)
{
        const struct app_gateway *g = ctx;

        g->on_foreign(g->ctx, client);
}

/* The next request on the connection of a load balancer is for another application. */
static void change_app(struct app_gateway *g, const char *app)
{
        http_relay_disconnect(g->relay);
        app_session_leave(&g->user);
        app_tries_reset(&g->tries);
        snprintf(g->app, sizeof g->app, "%s", app);
}

/* Whether the request is for this application: a browser may use one connection for several names of a certificate. */
static bool is_for_app(struct app_gateway *g)
{
        char app[APP_NAME_MAX + 1];
        struct str public_addr;

        if (!proxy_find_app(g->proxy, g->request->host, app, &public_addr) || (strcmp(app, g->app) != 0 && g->on_foreign == NULL))
                return false;
        if (strcmp(app, g->app) != 0)
                change_app(g, app);
        if (str_ends_with(public_addr, STR(":443")))
                public_addr.len -= strlen(":443");
        snprintf(g->address, sizeof g->address, "%.*s", STR_ARG(public_addr));
        return true;
}

/* The browser's address. A connection to the host that was made for another one is not used: the host knows it by that address. */
static struct error *find_client(struct app_gateway *g)
{
        const struct http_fields *fields = &g->request->fields;
        const char name[] = "x-forwarded-for";
        char client[ADDRESS_TEXT_MAX];
        size_t count = 0;

        for (size_t i = 0; i < fields->count; i++)
                count += str_equal_nocase(fields->list[i].name, str_of(name));
        snprintf(client, sizeof client, "%s", g->peer);
        if (g->ingress != NULL)
                TRY(ingress_client(g->ingress, g->peer, http_fields_get(fields, name), count, client));
        if (strcmp(client, g->client) != 0)
                http_relay_disconnect(g->relay);
        memcpy(g->client, client, sizeof client);
        return NULL;
}

static void answer_other_host(struct app_gateway *g)
{
        struct str name = str_slice(g->request->host, 0, str_find_char(g->request->host, ':'));
        const char *hint = str_ends_with(name, STR(".")) ? "leave out the dot at the end of the host's name" : "open the page once more";

        answer_page(g, 421, (struct error_page){ .title = "Another host", .what = "this connection is not for the host of the request", .hint = hint });
}

static void on_request(void *ctx, struct http_request *request)
{
        struct app_gateway *g = ctx;
        struct str path = path_of(request);

        g->request = request;
        g->is_html = g->certificate == NULL && app_page_is_wanted(request);
        g->id[0] = '\0';
        struct error *err = find_client(g);
        if (err != NULL) {
                answer_error(g, "The request cannot be served", err);
                return;
        }
        if (!is_for_app(g)) {
                answer_other_host(g);
                return;
        }
        if (g->app[0] == '\0')
                answer_error(g, "Several applications have this address",
                             error_hint(error_new(ERROR_FAILED_PRECONDITION, "this address is the public_addr of several applications, and leads to none of them"),
                                        "an administrator gives each of them an address of its own: tctl apps ls; until then open it from the list of your applications"));
        else if (g->certificate != NULL)
                open_by_certificate(g);
        else if (!str_equal(path, STR("/x-teleport-auth")))
                open_session(g);
        else if (str_equal(request->method, STR("POST")))
                http_relay_collect(g->relay, EXCHANGE_FORM_MAX);
        else
                begin_exchange(g);
}

static void on_reconnect(void *ctx)
{
        struct app_gateway *g = ctx;

        if (g->user.session != NULL)
                dial_host(g);
        else
                lead_to_login(g);
}

/* Whether the request goes to another host instead: this one has sent nothing of it to the application. */
static bool go_to_another_host(struct app_gateway *g, const struct http_response *response)
{
        struct str reason = http_fields_get(&response->fields, APP_UNREACHED_FIELD);

        if (str_is_empty(reason)) {
                app_tries_reset(&g->tries);
                return false;
        }
        if (!app_tries_another(&g->tries, reason, loop_now(&g->proxy->loop)))
                return false;
        log_info("A host that offers an application does not reach it: another one is tried", LOG_C("app", g->app), LOG_C("host_id", g->tries.host_id),
                 LOG_C("reason", g->tries.reason));
        g->is_left = !http_relay_take_back(g->relay);
        if (!g->is_left)
                dial_host(g);
        return !g->is_left;
}

static void on_response(void *ctx, struct http_response *response)
{
        struct app_gateway *g = ctx;

        if (response->status >= 200 && go_to_another_host(g, response))
                return;
        http_fields_remove(&response->fields, APP_UNREACHED_FIELD);
        struct error *err = http_cookies_confine(&response->fields, is_own_cookie);

        if (err == NULL)
                err = http_site_data_confine(&response->fields);
        if (err == NULL)
                return;
        log_warn("A response of an application cannot be passed on", LOG_C("app", g->app), LOG_C("peer", g->client), LOG_C("request_id", request_id(g)), LOG_ERR(err));
        error_free(err);
        http_relay_close(g->relay);
}

static void on_failure(void *ctx, enum http_failure failure, int status, const struct error *err)
{
        struct app_gateway *g = ctx;
        bool is_request = failure == HTTP_FAILURE_REQUEST;

        if (is_request)
                g->id[0] = '\0'; /* one that was not understood */
        log_debug("A request for an application has failed", LOG_C("app", g->app), LOG_C("peer", g->client), LOG_C("request_id", request_id(g)), LOG_ERR(err));
        answer_page(g, status, (struct error_page){ .title = is_request ? "The request cannot be served" : "The application did not answer",
                                                  .what = is_request ? err->what : "the connection to the application was lost before its response",
                                                  .hint = is_request ? NULL : "try again in a moment" });
}

static void on_exchange(void *ctx, const struct http_record *record)
{
        struct app_gateway *g = ctx;

        g->is_forwarding = record->status == 101;
        if (g->is_left)
                http_relay_disconnect(g->relay);
        g->is_left = false;
        g->request = NULL;
        g->is_html = false;
}

static void on_relay_closed(void *ctx)
{
        struct app_gateway *g = ctx;

        g->relay = NULL;
        g->is_ending = true; /* a cancelled part may call back at once */
        app_session_leave(&g->user);
        if (g->dial != NULL)
                resource_dial_cancel(g->dial);
        if (g->tls != NULL)
                tls_cancel(g->tls);
        app_bare_free(g->bare);
        g->bare = NULL;
        g->is_ending = false;
        release_when_idle(g);
}

static const struct http_relay_events relay_events = {
        .is_foreign = is_foreign,
        .on_foreign = on_foreign,
        .on_request = on_request,
        .on_collected = on_collected,
        .on_reconnect = on_reconnect,
        .on_response = on_response,
        .on_failure = on_failure,
        .on_exchange = on_exchange,
        .on_closed = on_relay_closed,
};

/* The session has ended: its request is cut off, WebSockets too. The browser's connection may be one of a load balancer, with a request of another user. */
static void on_ended(void *ctx)
{
        struct app_gateway *g = ctx;

        if (g->is_forwarding)
                app_gateway_close(g);
        else if (g->relay != NULL)
                http_relay_disconnect(g->relay);
}

struct app_gateway *app_gateway_start(struct stream *s, const struct app_gateway_options *options)
{
        struct app_gateway *g = NEW(struct app_gateway);

        *g = (struct app_gateway){ .proxy = options->proxy, .ingress = options->ingress, .certificate = options->certificate, .has_old_tls = options->has_old_tls,
                                   .on_user = options->on_user, .on_foreign = options->on_foreign, .on_closed = options->on_closed, .ctx = options->ctx };
        g->user = (struct app_session_user){ .on_ended = on_ended, .ctx = g };
        snprintf(g->app, sizeof g->app, "%s", options->app);
        snprintf(g->peer, sizeof g->peer, "%s", options->peer);
        snprintf(g->client, sizeof g->client, "%s", options->peer);
        g->relay = http_relay_start(&g->proxy->loop, s, &relay_events, g);
        return g;
}

void app_gateway_drain(struct app_gateway *g)
{
        if (g->relay != NULL)
                http_relay_drain(g->relay);
}

void app_gateway_close(struct app_gateway *g)
{
        if (g->relay != NULL)
                http_relay_close(g->relay);
}
