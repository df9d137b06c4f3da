/* SPDX-License-Identifier: Apache-2.0 */
/*
 *     request ──▶ dial ──▶ TLS (https) ──▶ forward ──▶ response
 *        │ the backend's connection is kept   ▲
 *        └────────────────────────────────────┘
 */
#include "app/http_app.h"

#include <stdlib.h>

#include "app/backend_tls.h"
#include "app/assertion.h"
#include "app/head_rules.h"
#include "app/local_host.h"
#include "app/refusal_page.h"
#include "app/targets.h"
#include "base/arena.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/app_status.h"
#include "http/relay.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "net/tls.h"
#include "pki/key.h"
#include "resource/app.h"

enum { ARENA_MAX = 4 * KiB, PAGE_MAX = 16 * KiB, DUMP_MAX = 8 * LIMIT_HTTP_HEAD };

struct http_app {
        struct http_app_options options;
        struct arena *arena; /* of uri; NULL: upgraded */
        struct app_uri uri;
        struct head_rules rules;
        struct assertion *assertion; /* NULL: the relay is closed, or upgraded */
        struct http_request *request; /* that waits for its token */
        bool is_held;                 /* it waits for the disk before */
        struct str method, target, host; /* of the current request, as the user's client has sent them; borrowed until its end; empty: none */
        struct walltime began;
        struct instant began_at;
        char *id;
        char *client_ip;
        unsigned requests; /* for their IDs */
        struct http_relay *relay; /* NULL: closed */
        struct dial *dial;
        struct tls_handshake *handshake;
        uint64_t from_client, to_client;
};

/* ---- the end ------------------------------------------------------------------------------------------------ */

/* The relay is closed, and nothing calls back any more. */
static void finish_if_quiet(struct http_app *h)
{
        if (h->relay != NULL || h->dial != NULL || h->handshake != NULL)
                return;
        h->options.on_closed(h->options.ctx, h->from_client, h->to_client);
        arena_free(h->arena);
        free(h->client_ip);
        free(h->id);
        free(h);
}

static void on_closed(void *ctx)
{
        struct http_app *h = ctx;

        http_relay_traffic(h->relay, &h->from_client, &h->to_client);
        h->relay = NULL;
        assertion_free(h->assertion);
        h->assertion = NULL;
        if (h->dial != NULL)
                dial_cancel(h->dial);
        if (h->handshake != NULL)
                tls_cancel(h->handshake);
        finish_if_quiet(h);
}

void http_app_close(struct http_app *h)
{
        if (h->relay != NULL)
                http_relay_close(h->relay);
}

void http_app_report(struct http_app *h)
{
        if (h->relay != NULL)
                http_relay_report(h->relay);
}

uint64_t http_app_bytes(const struct http_app *h)
{
        uint64_t from_client = 0, to_client = 0;

        if (h->relay != NULL)
                http_relay_traffic(h->relay, &from_client, &to_client);
        return from_client + to_client;
}

/* ---- pages -------------------------------------------------------------------------------------------------- */

static void refuse_with(struct http_app *h, int status, const struct error *err, struct http_fields *fields)
{
        const struct http_request *request = http_relay_request(h->relay);
        AUTO(buf) body = BUF_MAX(PAGE_MAX);
        AUTO_MEM char *id = mem_printf("%s-%u", h->id, h->requests);
        struct str accept = request == NULL ? STR("") : http_fields_get(&request->fields, "accept");

        log_warn("A request to an application failed", LOG_C("request", id), LOG_C("app", h->options.app->name), LOG_INT("status", status), LOG_ERR(err));
        refusal_page_put(&body, fields, accept, &(struct refusal){ .status = status, .what = err->what, .hint = err->hint, .id = id });
        http_relay_answer(h->relay, status, fields, buf_str(&body));
}

static void refuse(struct http_app *h, int status, const struct error *err)
{
        AUTO(http_fields) fields = { 0 };

        refuse_with(h, status, err, &fields);
}

static void on_failure(void *ctx, enum http_failure failure, int status, const struct error *err)
{
        struct http_app *h = ctx;
        AUTO_PTR(error) shown = NULL;

        assertion_cancel(h->assertion);
        if (http_relay_request(h->relay) == NULL)
                h->requests++;
        if (failure == HTTP_FAILURE_REQUEST) {
                refuse(h, status, err);
                return;
        }
        shown = error_wrap(error_copy(err), "the application '%s'", h->options.app->name);
        refuse(h, status, shown);
}

/* err is owned: the backend cannot be reached. */
static void refuse_unreachable(struct http_app *h, struct error *err)
{
        if (err->code == ERROR_PERMISSION_DENIED && err->hint == NULL) /* the address */
                err = error_hint(err, "an administrator of the host decides that, by allowed_hosts and denied_hosts of app_service");
        AUTO_PTR(error) shown = error_wrap(err, "the host of the application '%s' cannot connect to it", h->options.app->name);
        AUTO(http_fields) fields = { 0 };
        struct error *unfit = http_fields_add(&fields, STR(APP_UNREACHED_FIELD), str_of(shown->what));

        if (unfit != NULL) { /* the reason is no value of a field */
                error_free(unfit);
                error_free(http_fields_add(&fields, STR(APP_UNREACHED_FIELD), STR("the host of the application cannot connect to it")));
        }
        refuse_with(h, shown->code == ERROR_DEADLINE_EXCEEDED ? 504 : 502, shown, &fields);
}

/* ---- the backend -------------------------------------------------------------------------------------------- */

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct http_app *h = ctx;

        h->handshake = NULL;
        if (h->relay == NULL) {
                stream_close(tls);
                error_free(err);
                finish_if_quiet(h);
        } else if (err != NULL) {
                if (err->code == ERROR_UNAUTHENTICATED && error_is_for(err, REASON_CONNECTION)) /* its hint is for connections to the cluster */
                        err = error_hint(err, "if it is the right server, an administrator of the host can name its authority in tls.ca_cert_file of the application");
                refuse_unreachable(h, err);
        } else {
                tls_forget_peer(tls);
                http_relay_forward(h->relay, tls);
        }
}

/* The name that the certificate must have. */
static char *server_name(const struct http_app *h)
{
        const Cteleport__V1__AppTlsConfig *tls = h->options.app->tls;
        struct str host = str_of(tls == NULL ? NULL : tls->server_name);
        int port;

        if (str_is_empty(host))
                error_free(address_split(str_of(h->uri.target), -1, &host, &port)); /* canonical */
        return str_dup(host);
}

static void start_tls(struct http_app *h, struct stream *s)
{
        AUTO_MEM char *name = server_name(h);
        struct tls_context *context;
        struct error *err = backend_tls_get(h->options.tls, h->options.app, h->options.roots_pem, &context);

        if (err == NULL) {
                h->handshake = tls_start(h->options.loop, context, s, name, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_tls, h);
                return;
        }
        stream_close(s);
        refuse_unreachable(h, err);
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct http_app *h = ctx;

        h->dial = NULL;
        if (h->relay == NULL) {
                fd_close_at(&fd);
                error_free(err);
                finish_if_quiet(h);
                return;
        }
        if (err != NULL) {
                refuse_unreachable(h, err);
                return;
        }
        struct stream *s = socket_stream(h->options.loop, fd);
        socket_stream_limit_reads(s, STREAM_WRITE_BEST);
        if (h->uri.scheme == APP_HTTPS)
                start_tls(h, s);
        else
                http_relay_forward(h->relay, s);
}

static void dial(struct http_app *h)
{
        h->dial = app_targets_dial(h->options.targets, h->options.loop, h->uri.target, on_dialled, h);
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

/* The path of the uri is where users begin. */
static bool is_start(const struct http_app *h, const struct http_request *r)
{
        return h->uri.path[0] != '\0' && str_equal(r->target, STR("/")) && (str_equal(r->method, STR("GET")) || str_equal(r->method, STR("HEAD")));
}

static void redirect(struct http_app *h)
{
        AUTO(http_fields) fields = { 0 };
        struct error *err = http_fields_add(&fields, STR("Location"), str_of(h->uri.path));

        error_free(err); /* the configuration's check permits characters of paths only */
        http_relay_answer(h->relay, 302, &fields, STR(""));
}

/* debug_app: the response is the head that a backend would have got. */
static void dump(struct http_app *h, const struct http_request *request)
{
        AUTO(buf) body = BUF_MAX(DUMP_MAX), cookie = BUF_MAX(64);
        AUTO(http_fields) fields = { 0 };
        uint8_t random[8];

        random_bytes(random, sizeof random);
        buf_put_c(&cookie, "dumper.session.cookie=");
        hex_encode(&cookie, str_of_bytes(random, sizeof random));
        buf_put_c(&cookie, "; Path=/; HttpOnly");
        http_request_put(&body, request);
        struct error *err = http_fields_add(&fields, STR("Content-Type"), STR("text/plain; charset=utf-8"));
        err = error_also(err, http_fields_add(&fields, STR("X-Content-Type-Options"), STR("nosniff")));
        err = error_also(err, http_fields_add(&fields, STR("Cache-Control"), STR("no-store")));
        err = error_also(err, http_fields_add(&fields, STR("Set-Cookie"), buf_str(&cookie)));
        error_free(err); /* none: few and short fields */
        http_relay_answer(h->relay, 200, &fields, buf_str(&body));
}

/* The request gets its fields, and goes to the backend. */
static void forward(struct http_app *h, struct http_request *request)
{
        h->rules.assertion = assertion_token(h->assertion);
        h->rules.permits = *h->options.permits;
        AUTO_PTR(error) err = head_rules_request(&h->rules, request);
        if (err != NULL)
                refuse(h, 431, err);
        else if (h->options.is_dumper)
                dump(h, request);
        else if (http_relay_is_connected(h->relay))
                http_relay_forward(h->relay, NULL);
        else
                dial(h);
}

/* Without its token the application would not know the user: the request is refused. err is owned. */
static void refuse_unsigned(struct http_app *h, struct error *err)
{
        AUTO_PTR(error) shown = error_wrap(err, "the cluster does not sign the token for the application '%s'", h->options.app->name);

        refuse(h, shown->code == ERROR_PERMISSION_DENIED ? 403 : shown->code == ERROR_RESOURCE_EXHAUSTED ? 500 : 503, shown);
}

static void on_token(void *ctx, struct error *err)
{
        struct http_app *h = ctx;

        if (err != NULL)
                refuse_unsigned(h, err);
        else
                forward(h, h->request);
}

static void refuse_host(struct http_app *h, struct str host)
{
        AUTO_MEM char *shown = escaped(str_slice(host, 0, LIMIT_NAME));
        AUTO_PTR(error) err = error_new(ERROR_PERMISSION_DENIED, "the host '%s' is none of the application '%s': a web page may have led your browser here",
                                        shown, h->options.app->name);

        err = error_hint(err, "open http://127.0.0.1 or http://localhost with the port of tsh proxy app; an administrator of the host can permit other names by rewrite.redirect");
        refuse(h, 421, err);
}

static void begin(struct http_app *h, struct http_request *request)
{
        if (h->options.is_local && !local_host_is_safe(h->options.app, str_of(h->uri.target), request->host))
                refuse_host(h, request->host);
        else if (is_start(h, request))
                redirect(h);
        else if (assertion_await(h->assertion, on_token, h))
                forward(h, request);
}

static void note_begin(struct http_app *h, const struct http_request *request)
{
        h->method = request->method;
        h->target = request->target;
        h->host = request->host;
        h->began = loop_wall(h->options.loop);
        h->began_at = loop_now(h->options.loop);
}

static void on_request(void *ctx, struct http_request *request)
{
        struct http_app *h = ctx;

        h->requests++;
        h->request = request;
        note_begin(h, request);
        h->is_held = h->options.must_wait(h->options.ctx);
        if (!h->is_held)
                begin(h, request);
}

void http_app_resume(struct http_app *h)
{
        if (!h->is_held || h->relay == NULL)
                return;
        h->is_held = false;
        begin(h, h->request);
}

static void on_reconnect(void *ctx)
{
        dial(ctx);
}

static void on_response(void *ctx, struct http_response *response)
{
        struct http_app *h = ctx;
        struct error *err = head_rules_response(&h->rules, h->host, response);

        if (err == NULL)
                return;
        log_warn("A response of an application cannot be passed on", LOG_C("connection", h->id), LOG_C("app", h->options.app->name), LOG_ERR(err));
        error_free(err);
        http_relay_close(h->relay);
}

/* Frees what requests need: the connection has changed to another protocol, and may be idle for days. */
static void forget_requests(struct http_app *h)
{
        assertion_free(h->assertion);
        h->assertion = NULL;
        arena_free(h->arena);
        h->arena = NULL;
}

static void on_exchange(void *ctx, const struct http_record *record)
{
        struct http_app *h = ctx;
        struct request_entry entry = { .began = loop_wall(h->options.loop), .status = record->status, .received = record->received, .sent = record->sent,
                                       .is_cut = !record->is_complete };

        assertion_cancel(h->assertion); /* the client may have left before */
        if (!str_is_empty(h->target)) {
                entry.began = h->began;
                entry.took = instant_since(loop_now(h->options.loop), h->began_at);
                entry.method = h->method;
                entry.target = h->target;
        }
        h->options.on_exchange(h->options.ctx, &entry);
        h->method = h->target = h->host = (struct str){ 0 };
        h->is_held = false;
        if (record->status == 101)
                forget_requests(h);
}

static const struct http_relay_events relay_events = {
        .on_request = on_request,
        .on_reconnect = on_reconnect,
        .on_response = on_response,
        .on_failure = on_failure,
        .on_exchange = on_exchange,
        .on_closed = on_closed,
};

/* "ip:port" without the port. */
static char *ip_of(const char *address)
{
        struct str host;
        int port;
        struct error *err = address_split(str_of(address), -1, &host, &port);

        if (err == NULL)
                return str_dup(host);
        error_free(err);
        return str_dup(STR("unknown"));
}

struct http_app *http_app_start(struct http_app_options options, struct stream *client)
{
        struct http_app *h = NEW(struct http_app);

        h->options = options;
        h->arena = arena_new(ARENA_MAX);
        h->id = str_dup(str_of(options.id));
        h->assertion = assertion_new(options.agent, options.id, options.app->rewrite == NULL ? NULL : options.app->rewrite->jwt_claims);
        h->client_ip = ip_of(options.client_addr);
        h->rules = (struct head_rules){ .client_ip = h->client_ip, .host_name = options.host_name, .rewrite = options.app->rewrite };
        struct error *err = app_uri_read(h->arena, str_of(options.app->uri), &h->uri);
        error_free(err); /* the configuration was checked */
        h->relay = http_relay_start(options.loop, client, &relay_events, h);
        return h;
}
