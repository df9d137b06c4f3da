/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "proxy/web/assets.h"
#include "proxy/upgrade.h"
#include "proxy/web/web_audit.h"
#include "proxy/web/web_cluster.h"
#include "proxy/web/web_home.h"
#include "proxy/web/web_internal.h"
#include "proxy/web/web_launch.h"
#include "proxy/web/web_login.h"
#include "proxy/web/web_recordings.h"
#include "rpc/pb.h"

enum { TOKEN_DIGITS = 32, ANSWER_MAX = 16 * KiB, INVITE_ARENA = 64 * KiB };

/* A request for the page of an invite, until auth has answered. */
struct invite {
        struct web *web;
        struct http_exchange *exchange; /* NULL: the connection is gone; web is invalid then */
        struct arena *arena;            /* holds the texts of the fields below but those of the form, which is wiped */
        const char *token, *peer;
        bool is_post;
        struct form form;
        struct web_page page;           /* filled from the answers of auth */
};

static void invite_free(struct invite *i)
{
        form_release(&i->form);
        arena_free(i->arena);
        free(i);
}

/* ---- responding ------------------------------------------------------------------------------------- */

int web_status_of(const struct error *err)
{
        switch (err->code) {
        case ERROR_NOT_FOUND:
                return 404;
        case ERROR_UNIMPLEMENTED:
                return 405;
        case ERROR_INVALID_ARGUMENT:
        case ERROR_FAILED_PRECONDITION:
        case ERROR_ALREADY_EXISTS:
        case ERROR_ABORTED:
                return 400;
        case ERROR_PERMISSION_DENIED:
        case ERROR_UNAUTHENTICATED:
                return 403;
        case ERROR_RESOURCE_EXHAUSTED:
                return 429;
        case ERROR_UNAVAILABLE:
        case ERROR_DEADLINE_EXCEEDED:
        case ERROR_CANCELLED:
                return 503;
        default:
                return 500;
        }
}

static void respond(struct invite *i, void (*put)(struct http_exchange *x, const struct web_page *page))
{
        if (i->exchange != NULL)
                put(i->exchange, &i->page);
        invite_free(i);
}

/* err is owned. */
static void respond_error(struct invite *i, struct error *err, void (*put)(struct http_exchange *x, const struct web_page *page))
{
        i->page.error = err;
        i->page.status = web_status_of(err);
        respond(i, put);
        error_free(err);
}

/* ---- requests to auth --------------------------------------------------------------------------------- */

static void send_request(struct invite *i, const char *path, const ProtobufCMessageDescriptor *response,
                         const ProtobufCMessage *request, void (*then)(void *ctx, const ProtobufCMessage *answer, struct error *err))
{
        struct upstream *upstream = i->web->options.upstream;
        struct rpc_client *auth = upstream_client(upstream);
        if (auth == NULL) {
                then(i, NULL, upstream_absence(upstream));
                return;
        }
        rpc_client_unary(auth,
                         (struct rpc_client_call_options){
                                 .path = path, .response = response, .response_max = ANSWER_MAX,
                                 .within = MILLISECONDS(TIMEOUT_RPC) },
                         request, then, i);
}

static void on_accepted(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct invite *i = ctx;
        (void)msg;
        if (err != NULL)
                respond_error(i, err, web_respond_invite);
        else
                respond(i, web_respond_welcome);
}

void web_take_otp(struct str text, char out[static WEB_OTP_MAX])
{
        size_t len = 0;
        for (size_t i = 0; i < text.len && len + 1 < WEB_OTP_MAX; i++) {
                if (text.ptr[i] != ' ')
                        out[len++] = text.ptr[i];
        }
        out[len] = '\0';
}

static struct error *check_form(const struct form *form)
{
        struct str password = form_value(form, "password");
        if (str_is_empty(password))
                return error_new(ERROR_INVALID_ARGUMENT, "the password is missing");
        if (!secret_equal(password, form_value(form, "again")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the two passwords differ"), "type both once more");
        if (str_is_empty(form_value(form, "otp")))
                return error_new(ERROR_INVALID_ARGUMENT, "the code of the app is missing");
        return NULL;
}

static void request_accept(struct invite *i)
{
        Cteleport__V1__AcceptInviteRequest request = CTELEPORT__V1__ACCEPT_INVITE_REQUEST__INIT;
        char otp[WEB_OTP_MAX];
        struct error *err = check_form(&i->form);
        if (err != NULL) {
                respond_error(i, err, web_respond_invite);
                return;
        }
        web_take_otp(form_value(&i->form, "otp"), otp);
        request.token = pb_text(i->token);
        request.password = pb_text(form_value(&i->form, "password").ptr);
        request.otp = otp;
        request.remote_addr = pb_text(i->peer);
        send_request(i, "/cteleport.v1.LoginService/AcceptInvite", &cteleport__v1__empty__descriptor, &request.base, on_accepted);
}

static void take_invite(struct invite *i, const Cteleport__V1__OpenInviteResponse *answer)
{
        i->page.cluster = arena_str(i->arena, str_of(answer->cluster));
        i->page.user = arena_str(i->arena, str_of(answer->user));
        i->page.secret = arena_str(i->arena, str_of(answer->totp_secret));
        i->page.url = arena_str(i->arena, str_of(answer->totp_url));
        i->page.is_reset = answer->is_reset;
}

static void on_opened(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct invite *i = ctx;
        if (err != NULL) {
                respond_error(i, err, web_respond_error);
                return;
        }
        take_invite(i, (const Cteleport__V1__OpenInviteResponse *)msg);
        if (i->is_post && i->exchange != NULL)
                request_accept(i);
        else
                respond(i, web_respond_invite);
}

static void request_invite(struct invite *i)
{
        Cteleport__V1__OpenInviteRequest request = CTELEPORT__V1__OPEN_INVITE_REQUEST__INIT;
        request.token = pb_text(i->token);
        request.remote_addr = pb_text(i->peer);
        send_request(i, "/cteleport.v1.LoginService/OpenInvite", &cteleport__v1__open_invite_response__descriptor, &request.base,
                     on_opened);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

/* The token of "/web/invite/<token>" or "/web/reset/<token>"; "" for another path. */
static struct str token_of(struct str path)
{
        static const struct str folders[] = { STR_INIT("/web/invite/"), STR_INIT("/web/reset/") };
        for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
                struct str token = str_slice(path, folders[i].len, path.len);
                if (!str_starts_with(path, folders[i]) || token.len != TOKEN_DIGITS)
                        continue;
                for (size_t at = 0; at < token.len; at++) {
                        if (!char_is_digit(token.ptr[at]) && (token.ptr[at] < 'a' || token.ptr[at] > 'f'))
                                return STR("");
                }
                return token;
        }
        return STR("");
}

/*
 * Refuses forms from other sites. For pages with no-referrer, such as these, browsers send "Origin: null": then Sec-Fetch-Site
 * decides (Fetch Standard, "append a request Origin header"; Fetch Metadata section 2). Other programs send neither header.
 */
static struct error *check_site(const struct http1_request *http)
{
        struct str scheme = STR("https://"), origin = http->origin;
        bool is_foreign = !str_is_empty(http->fetch_site) && !str_equal(http->fetch_site, STR("same-origin"));
        if (!str_is_empty(origin) && !str_equal(origin, STR("null")))
                is_foreign = is_foreign || !str_starts_with(origin, scheme) ||
                             !str_equal_nocase(str_slice(origin, scheme.len, origin.len), http->host);
        if (!is_foreign)
                return NULL;
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "the form was sent from another site"),
                          "open the link that you received, and fill in the form there");
}

struct error *web_take_form(struct http_exchange *x, struct form *ret)
{
        const struct http1_request *http = http_exchange_request(x);
        struct str parameters = http->content_type;
        struct str type = str_trim(str_split(&parameters, ';'));
        if (!str_equal_nocase(type, STR("application/x-www-form-urlencoded")))
                return error_new(ERROR_INVALID_ARGUMENT, "the request is not a valid form");
        TRY(check_site(http));
        return form_parse(http_exchange_body(x), ret);
}

/* The address for `tsh login`: the configured one, or the Host field if it is safe in a command. Only its sender gets it. */
static struct str shown_address(const struct webapi_facts *facts, struct str host)
{
        if (!str_is_empty(facts->public_addr))
                return facts->public_addr;
        for (size_t i = 0; i < host.len; i++) {
                if (!char_is_alnum(host.ptr[i]) && strchr(".-:[]", host.ptr[i]) == NULL)
                        return STR("");
        }
        return host.len <= WEB_ADDRESS_MAX ? host : STR("");
}

struct web_page web_page_of(const struct web *w, struct http_exchange *x)
{
        struct webapi_facts facts = w->options.facts(w->options.ctx);
        return (struct web_page){ .status = 200, .cluster = facts.cluster, .proxy = shown_address(&facts, http_exchange_request(x)->host) };
}

static void open_landing(void *ctx, struct http_exchange *x)
{
        struct web_page page = web_page_of(ctx, x);
        web_respond_landing(x, &page);
}

void web_refuse_page(struct web *w, struct http_exchange *x, const struct error *err)
{
        struct web_page page = web_page_of(w, x);
        page.status = web_status_of(err);
        page.error = err;
        web_respond_error(x, &page);
}

struct error *web_no_such_page(void)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "there is no such page"), "check the link: part of it may be missing");
}

static void on_invite_gone(void *ctx)
{
        struct invite *i = ctx;
        i->exchange = NULL; /* the answer of auth frees it */
}

static const struct http_exchange_events invite_events = { .on_gone = on_invite_gone };

static void open_invite(void *ctx, struct http_exchange *x)
{
        struct web *w = ctx;
        const struct http1_request *http = http_exchange_request(x);
        struct str token = token_of(http->path);
        AUTO(form) form = { 0 };
        bool is_post = str_equal(http->method, STR("POST"));
        AUTO_PTR(error) err = str_is_empty(token) ? web_no_such_page() : is_post ? web_take_form(x, &form) : NULL;
        if (err != NULL) {
                web_refuse_page(w, x, err);
                return;
        }
        struct invite *i = NEW(struct invite);
        *i = (struct invite){ .web = w, .exchange = x, .arena = arena_new(INVITE_ARENA), .is_post = is_post, .form = form };
        form = (struct form){ 0 };
        i->page = web_page_of(w, x);
        i->page.cluster = arena_str(i->arena, i->page.cluster);
        i->page.proxy = arena_str(i->arena, i->page.proxy);
        i->token = str_to_c(i->arena, token);
        i->peer = arena_str(i->arena, str_of(w->client)).ptr;
        http_exchange_listen(x, &invite_events, i);
        request_invite(i);
}

static void open_asset(void *ctx, struct http_exchange *x)
{
        bool is_current = false;
        const struct web_asset *asset = web_asset_find(http_exchange_request(x)->path, &is_current);
        if (asset != NULL) {
                web_asset_respond(x, asset, is_current);
                return;
        }
        AUTO_PTR(error) err = web_no_such_page();
        web_refuse_page(ctx, x, err);
}

static void open_webapi(void *ctx, struct http_exchange *x)
{
        const struct web *w = ctx;
        struct webapi_facts facts = w->options.facts(w->options.ctx);
        webapi_respond(x, &facts);
}

static void open_export(void *ctx, struct http_exchange *x)
{
        const struct web *w = ctx;
        struct webapi_facts facts = w->options.facts(w->options.ctx);
        webapi_respond_export(x, &facts);
}

static void open_token_keys(void *ctx, struct http_exchange *x)
{
        const struct web *w = ctx;
        if (w->options.token_keys == NULL)
                webapi_respond_error(x, 503, "this proxy does not serve the keys yet", false);
        else
                token_keys_respond(w->options.token_keys, w->options.upstream, x);
}

static void open_token_configuration(void *ctx, struct http_exchange *x)
{
        const struct web *w = ctx;
        struct webapi_facts facts = w->options.facts(w->options.ctx);
        token_keys_respond_configuration(x, &facts, shown_address(&facts, http_exchange_request(x)->host));
}

static void open_upgrade(void *ctx, struct http_exchange *x)
{
        const struct web *w = ctx;
        if (w->options.on_upgraded == NULL) {
                webapi_respond_error(x, 400, "this connection is inside an upgraded one: it is not upgraded again", true);
                return;
        }
        struct stream *s = upgrade_accept(w->options.loop, x);
        if (s != NULL)
                w->options.on_upgraded(w->options.ctx, s, w->client);
}

static struct error *check_host(const struct web *w, struct str host)
{
        const struct web_options *o = &w->options;

        if (o->is_of_app == NULL || !o->is_of_app(o->ctx, host))
                return NULL;
        return error_new(ERROR_FAILED_PRECONDITION, "the host of the request is one of an application, which cannot be reached on this connection");
}

/* Finds the client of a request, which may have come through a load balancer. */
static struct error *find_client(void *ctx, const struct http1_request *request)
{
        struct web *w = ctx;
        const struct web_options *o = &w->options;
        const struct http1_lines *forwarded = &request->forwarded_for;
        snprintf(w->client, sizeof w->client, "%s", o->peer);
        if (o->ingress == NULL)
                return NULL;
        struct error *err = ingress_client(o->ingress, o->peer, forwarded->values[0], forwarded->count, w->client);
        if (err != NULL)
                log_warn("A request was refused", LOG_C("peer", o->peer), LOG_ERR(err));
        else if (forwarded->count > 0 && ingress_forwards(o->ingress, o->peer))
                http_server_expect_balancer(w->http); /* one that forwards TCP has clients behind it that idle for no longer than others */
        return err;
}

static struct error *check(void *ctx, const struct http1_request *request)
{
        TRY(find_client(ctx, request));
        return check_host(ctx, request->host);
}

static void refuse(void *ctx, struct http_exchange *x, int status, const struct error *err)
{
        struct str path = http_exchange_request(x)->path;
        AUTO_PTR(error) misdirected = status == 404 || status == 405 ? check_host(ctx, http_exchange_request(x)->host) : NULL;

        if (misdirected != NULL) {
                webapi_refuse(x, 421, misdirected);
                return;
        }
        bool is_page = str_equal(path, STR("/")) || str_equal(path, STR("/web")) || str_starts_with(path, STR("/web/"));
        if (!is_page || (status != 404 && status != 405)) {
                webapi_refuse(x, status, err);
                return;
        }
        AUTO_PTR(error) why = status == 404 ? web_no_such_page() : error_new(ERROR_UNIMPLEMENTED, "this page is only to be read");
        web_refuse_page(ctx, x, why);
}

static const struct http_route routes[] = {
        { "GET", "/", .open = open_landing },
        { "GET", "/web", .open = web_home_open },
        { "GET", "/web/login", .open = web_login_open },
        { "POST", "/web/login", .body_max = LIMIT_HTTP1_FORM, .open = web_login_open },
        { "POST", "/web/logout", .body_max = LIMIT_HTTP1_FORM, .open = web_logout_open },
        { "GET", "/web/cluster", .open = web_cluster_open },
        { "GET", "/web/audit", .open = web_audit_open },
        { "GET", "/web/explain", .open = web_explain_open },
        { "GET", "/web/sessions", .open = web_my_sessions_open },
        { "POST", "/web/sessions", .body_max = LIMIT_HTTP1_FORM, .open = web_my_sessions_open },
        { "GET", "/web/recordings", .open = web_recordings_open },
        { "GET", "/web/recordings/*", .open = web_recordings_open },
        { "GET", "/web/launch/*", .open = web_launch_open },
        { "GET", "/web/assets/*", .open = open_asset },
        { "GET", "/web/invite/*", .open = open_invite },
        { "POST", "/web/invite/*", .body_max = LIMIT_HTTP1_FORM, .open = open_invite },
        { "GET", "/web/reset/*", .open = open_invite },
        { "POST", "/web/reset/*", .body_max = LIMIT_HTTP1_FORM, .open = open_invite },
        { "GET", "/webapi/find", .open = open_webapi },
        { "GET", "/webapi/ping", .open = open_webapi },
        { "GET", "/webapi/motd", .open = open_webapi },
        { "GET", "/v1/webapi/find", .open = open_webapi },
        { "GET", "/v1/webapi/ping", .open = open_webapi },
        { "GET", "/v1/webapi/motd", .open = open_webapi },
        { "GET", "/webapi/auth/export", .open = open_export },
        { "GET", "/v1/webapi/auth/export", .open = open_export },
        { "GET", "/.well-known/jwks.json", .open = open_token_keys },
        { "GET", "/.well-known/openid-configuration", .open = open_token_configuration },
        { "GET", "/webapi/connectionupgrade", .open = open_upgrade },
        { "GET", "/v1/webapi/connectionupgrade", .open = open_upgrade },
};

/* ---- connections ------------------------------------------------------------------------------------- */

static void on_http_next(void *ctx, struct stream *s)
{
        const struct web *w = ctx;
        w->options.on_next(w->options.ctx, s);
}

static void on_http_closed(void *ctx)
{
        struct web *w = ctx;
        struct web_options o = w->options;
        free(w);
        o.on_closed(o.ctx);
}

struct web *web_serve(struct stream *s, const struct web_options *options)
{
        struct web *w = NEW(struct web);
        w->options = *options;
        w->http = http_serve(s, (struct http_server_options){ .loop = options->loop, .routes = routes, .route_count = ARRAY_LEN(routes),
                                                              .check = check, .refuse = refuse, .on_next = options->on_next == NULL ? NULL : on_http_next,
                                                              .requests = options->requests, .on_closed = on_http_closed, .ctx = w });
        return w;
}

void web_drain(struct web *w)
{
        http_server_drain(w->http);
}

void web_close(struct web *w)
{
        http_server_close(w->http);
}
