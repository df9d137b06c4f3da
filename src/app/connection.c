/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   incoming ── accepted ──▶ HANDSHAKE ── TLS ──▶ DECIDING ── allowed ──▶ STARTING ── the start is stored ──▶ DIALLING
 *                               │                    │                       │                                 │ connected
 *                               ▼                    ▼                       ▼                                 ▼
 *        freed ◀─ acknowledged, or deadline ── REPORTING ◀────────────── refused, or ended ◀────────────────── OPEN
 *
 * An HTTP application is open without a dial: its first request dials (http_app.h).
 *
 * A session begins after the Auth Service has stored its start, and before the first byte reaches the application.
 */
#include <stdlib.h>

#include "agent/idle_watch.h"
#include "agent/report_stream.h"
#include "agent/spool.h"
#include "app/app_service.h"
#include "app/http_app.h"
#include "app/refusal_page.h"
#include "app/request_batch.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "base/text.h"
#include "cluster/app_sni.h"
#include "cluster/app_status.h"
#include "loop/conversation.h"
#include "net/socket.h"
#include "pki/key.h"
#include "recording/recording.h"
#include "resource/app.h"
#include "rpc/pb.h"
#include "tunnel/tunnel_memory.h"

/* The size of the terminal that plays the records of requests, which are long lines. */
enum { REFUSAL_MAX = 8 * KiB, TITLE_MAX = 2 * LIMIT_NAME, RECORD_COLUMNS = 160, RECORD_ROWS = 48, DIGEST_SIZE = 32 };

enum connection_state { HANDSHAKE, DECIDING, STARTING, DIALLING, OPEN, REPORTING };

static const struct conversation_state states[] = {
        [HANDSHAKE] = { "handshake", SECONDS(0), TO(DECIDING) | TO(REPORTING) }, /* tls_start() has a deadline */
        [DECIDING] = { "deciding", MILLISECONDS(TIMEOUT_REPORT_REQUEST), TO(STARTING) | TO(REPORTING) },
        [STARTING] = { "starting", MILLISECONDS(TIMEOUT_REPORT_REQUEST), TO(DIALLING) | TO(OPEN) | TO(REPORTING) },
        [DIALLING] = { "dialling", SECONDS(0), TO(OPEN) | TO(REPORTING) }, /* dial_start() has a deadline */
        /* No deadline: a connection may last as long as its user likes. */
        [OPEN] = { "open", SECONDS(0), TO(REPORTING) },
        [REPORTING] = { "reporting", MILLISECONDS(TIMEOUT_REPORT_LAST), 0 },
};

struct app_connection {
        struct app_service *service;
        struct offered_app *offered;
        const Cteleport__V1__AppConfig *app; /* of offered */
        uint32_t port; /* of its tcp_ports, as the user's TLS has named it; 0: none */
        char *id, *client_addr, *counted_user;
        struct conversation at;
        struct report_stream *report_stream;

        struct tls_handshake *handshake; /* NULL: finished, or failed */
        struct stream *tunnel;           /* the lowest layer, owned by handshake, client, splice or http */
        struct stream *client;           /* TLS; NULL: not established, in splice or http, or closed */
        struct buf certificate;          /* of the user, DER; empty once the session has begun, when report_stream has it */
        uint8_t certificate_digest[DIGEST_SIZE];
        Cteleport__V1__AppPermits *permits; /* of the last decision; NULL: none yet */
        struct dial *dial;
        struct splice *splice;           /* of a TCP application */
        struct http_app *http;           /* of an HTTP application */
        struct tunnel_memory memory;
        struct spool_file *recording;    /* of the requests; NULL: of a TCP application, or not begun */
        struct request_batch *requests;  /* of recording; NULL: there is none */
        bool is_reported;                /* its start was sent */
        bool has_started;                /* the Auth Service knows of the session */
        uint64_t bytes_from_client, bytes_to_client;

        struct idle_watch idle;
        int64_t idle_ms; /* by the user's roles; 0: no limit */
        char *reason;       /* why this process ends it; NULL: it ended by itself */
        bool is_free_due, is_abandoned; /* is_abandoned: the process is ending */
};

/* ---- records of requests ---------------------------------------------------------------------------------- */

static void on_recording_failed(void *ctx, struct error *err);

/* Each request of an HTTP application leaves a line in the recording of its session. */
static struct error *begin_recording(struct app_connection *c, const char *user)
{
        struct app_service *s = c->service;
        char title[TITLE_MAX];
        struct recording_header header = { .columns = RECORD_COLUMNS, .rows = RECORD_ROWS, .started = loop_wall(&s->loop) };

        if (app_is_tcp(str_of(c->app->uri)))
                return NULL;
        snprintf(title, sizeof title, "%s@%s", user, c->app->name);
        header.title = str_of(title);
        struct error *err = spool_begin(s->spool, str_of(c->id), str_of(user), &header, on_recording_failed, c, &c->recording);
        if (err != NULL)
                return error_wrap(err, "the host of the application '%s' cannot record your requests", c->app->name);
        c->requests = request_batch_new(&s->loop, c->recording);
        return NULL;
}

/* Uploads the recording of a session that the cluster knows, and removes any other. */
static void end_recording(struct app_connection *c)
{
        struct spool_file *f = c->recording;

        request_batch_free(c->requests);
        c->requests = NULL;
        c->recording = NULL;
        if (f == NULL)
                return;
        if (!c->is_reported) {
                spool_discard(f);
                return;
        }
        spool_publish(f);
        spool_finish(f);
}

static void on_drained(void *ctx)
{
        struct app_connection *c = ctx;

        if (c->http != NULL)
                http_app_resume(c->http);
}

/* The next request waits while the disk is slower than the requests. */
static bool must_wait(void *ctx)
{
        struct app_connection *c = ctx;

        if (c->recording == NULL || !spool_must_wait(c->recording))
                return false;
        spool_on_drain(c->recording, on_drained);
        return true;
}

static void on_exchange(void *ctx, const struct request_entry *entry)
{
        struct app_connection *c = ctx;

        if (c->requests != NULL)
                request_batch_add(c->requests, entry);
}

/* ---- release ---------------------------------------------------------------------------------------------- */

static void connection_free(struct app_connection *c)
{
        struct app_service *s = c->service;

        end_recording(c);
        map_remove(&s->connections, str_of(c->id));
        metric_set_at(METRIC_APP_CONNECTIONS, 0, (int64_t)s->connections.count);
        report_stream_free(c->report_stream);
        stream_close(c->client);
        tunnel_memory_close(&c->memory);
        conversation_release(&c->at);
        idle_watch_release(&c->idle);
        shares_remove(&s->user_connections, str_of(c->counted_user));
        buf_release(&c->certificate);
        offered_app_release(c->offered);
        cteleport__v1__app_permits__free_unpacked(c->permits, NULL);
        free(c->counted_user);
        free(c->client_addr);
        free(c->reason);
        free(c->id);
        free(c);
}

static void on_free_turn(void *ctx)
{
        struct app_connection *c = ctx;
        struct app_service *s = c->service;

        connection_free(c);
        loop_trim_later(&s->loop);
        lifecycle_connection_gone(&s->life);
}

/* Frees the connection in a later turn of the loop, because a caller up the stack may still use it. */
static void free_soon(struct app_connection *c)
{
        if (c->is_free_due)
                return;
        c->is_free_due = true;
        loop_defer(&c->service->loop, on_free_turn, c);
}

/* ---- reports ---------------------------------------------------------------------------------------------- */

static void send_report(struct app_connection *c, const Cteleport__V1__ReportUp *up, void (*acknowledged)(void *ctx, struct error *err))
{
        report_stream_send(c->report_stream, up, acknowledged, c);
}

static void report_exit(struct app_connection *c)
{
        Cteleport__V1__ReportExit ended = CTELEPORT__V1__REPORT_EXIT__INIT;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;

        ended.session_id = c->id;
        ended.bytes_to_client = c->bytes_to_client;
        ended.bytes_from_client = c->bytes_from_client;
        if (c->reason != NULL)
                ended.reason = c->reason;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_EXIT;
        up.exit = &ended;
        send_report(c, &up, NULL);
}

/* ---- ending ----------------------------------------------------------------------------------------------- */

/* No part of the connection is left: the cluster learns of its end. */
static void end_if_quiet(struct app_connection *c)
{
        if (c->at.state == REPORTING || c->handshake != NULL || c->dial != NULL || c->splice != NULL || c->http != NULL)
                return;
        conversation_enter(&c->at, REPORTING);
        idle_watch_stop(&c->idle);
        end_recording(c);
        log_debug("A connection to an application has ended", LOG_C("connection", c->id), LOG_C("reason", c->reason == NULL ? "" : c->reason));
        if (c->has_started)
                report_exit(c);
        report_stream_close(c->report_stream, c->bytes_to_client, c->bytes_from_client, c->reason);
}

static bool speaks_http(const struct app_connection *c)
{
        struct str alpn = tls_alpn(c->client);

        return str_equal(alpn, STR(APP_ALPN_HTTP)) || str_equal(alpn, STR(APP_ALPN_LOCAL)) || str_equal(alpn, STR(APP_ALPN_BARE));
}

/* Sends the reason to a client that has not received a status, and closes its stream, which sends what was written before. */
static void refuse_client(struct app_connection *c, enum error_code code)
{
        AUTO(buf) out = BUF_MAX(REFUSAL_MAX);

        if (c->client == NULL)
                return;
        if (speaks_http(c))
                refusal_response_put(&out, &(struct refusal){ .status = code == ERROR_PERMISSION_DENIED ? 403 : 502, .what = c->reason, .id = c->id });
        else
                app_status_put(&out, c->reason);
        stream_write(c->client, buf_str(&out));
        stream_close(c->client);
        c->client = NULL;
}

/* err is owned; its text is for the user. */
static void connection_end(struct app_connection *c, struct error *err)
{
        if (c->at.state == REPORTING || c->reason != NULL) {
                error_free(err);
                return;
        }
        enum error_code code = err->code;

        c->reason = escaped(str_of(err->what));
        error_free(err);
        refuse_client(c, code);
        if (c->handshake != NULL)
                tls_cancel(c->handshake);
        if (c->dial != NULL)
                dial_cancel(c->dial);
        if (c->splice != NULL)
                splice_cancel(c->splice);
        if (c->http != NULL)
                http_app_close(c->http);
        end_if_quiet(c);
}

/* What is not recorded does not happen: the connection ends. */
static void on_recording_failed(void *ctx, struct error *err)
{
        connection_end(ctx, error_wrap(err, "the host of the application cannot record your requests"));
}

static void on_expired(void *ctx)
{
        struct app_connection *c = ctx;

        if (c->at.state == REPORTING)
                free_soon(c);
        else
                connection_end(c, error_new(ERROR_UNAVAILABLE, "the cluster did not decide in time whether this connection is allowed"));
}

/* The splice, or the HTTP application, has closed the user's stream. */
static void on_streams_closed(void *ctx, uint64_t from_client, uint64_t to_client)
{
        struct app_connection *c = ctx;

        c->splice = NULL;
        c->http = NULL;
        tunnel_memory_close(&c->memory);
        if (c->is_abandoned) {
                connection_free(c);
                return;
        }
        c->bytes_from_client = from_client;
        c->bytes_to_client = to_client;
        end_if_quiet(c);
}

/* ---- idle connections ------------------------------------------------------------------------------------- */

static uint64_t traffic(void *ctx)
{
        const struct app_connection *c = ctx;

        return c->splice != NULL ? splice_bytes(c->splice) : c->http != NULL ? http_app_bytes(c->http) : 0;
}

static void on_idle(void *ctx, struct error *err)
{
        connection_end(ctx, err);
}

static const struct idle_watch_events idle_events = { .traffic = traffic, .expired = on_idle };

/* ---- the application -------------------------------------------------------------------------------------- */

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct app_connection *c = ctx;

        c->dial = NULL;
        if (c->is_abandoned) {
                fd_close_at(&fd);
                error_free(err);
                connection_free(c);
                return;
        }
        if (err == NULL && c->at.state == DIALLING)
                err = tunnel_memory_open(&c->memory, &c->service->memory, STR(""));
        if (err != NULL || c->at.state != DIALLING || c->reason != NULL) {
                fd_close_at(&fd);
                if (err != NULL)
                        log_warn("An application cannot be reached", LOG_C("app", c->app->name), LOG_C("uri", c->app->uri), LOG_ERR(err));
                connection_end(c, err != NULL ? error_wrap(err, "the host of the application '%s' cannot connect to it", c->app->name) : NULL);
                end_if_quiet(c);
                return;
        }
        AUTO(buf) status = BUF_MAX(1);
        struct stream *app = socket_stream(&c->service->loop, fd), *client = c->client;

        socket_stream_limit_reads(app, STREAM_WRITE_BEST);
        app_status_put(&status, NULL);
        stream_write(client, buf_str(&status));
        c->client = NULL;
        conversation_enter(&c->at, OPEN);
        idle_watch_start(&c->idle, c->idle_ms);
        c->splice = tunnel_splice_above(&c->memory, &c->service->loop, c->tunnel, client, app, on_streams_closed, c);
}

static bool is_dumper(const struct app_connection *c)
{
        const Cteleport__V1__AppServiceConfig *service = c->service->boot->config->app_service;

        return service != NULL && service->debug_app && strcmp(c->app->name, APP_DUMPER) == 0;
}

/* With APP_ALPN_BARE the tunnel carries the requests without the user's TLS, which has done its part. *ret replaces c->client. */
static struct error *stream_of_requests(const struct app_connection *c, struct stream **ret)
{
        AUTO(buf) status = BUF_MAX(1);

        *ret = c->client;
        if (!str_equal(tls_alpn(c->client), STR(APP_ALPN_BARE)))
                return NULL;
        app_status_put(&status, NULL);
        *ret = tls_leave(c->client, buf_str(&status));
        return *ret == NULL ? error_new(ERROR_INVALID_ARGUMENT, "the proxy has ended the connection, or does not await the answer to it") : NULL;
}

/* Requests follow, each of which gets a response. */
static struct error *open_http(struct app_connection *c)
{
        struct app_service *s = c->service;
        struct http_app_options options = { .loop = &s->loop, .agent = s->agent, .app = c->app, .id = c->id, .client_addr = c->client_addr, .host_name = s->boot->nodename, .is_dumper = is_dumper(c),
                                            .is_local = str_equal(tls_alpn(c->client), STR(APP_ALPN_LOCAL)), .permits = &c->permits,
                                            .targets = &s->targets, .tls = &s->backends, .roots_pem = buf_str(&s->roots), .must_wait = must_wait, .on_exchange = on_exchange,
                                            .on_closed = on_streams_closed, .ctx = c };
        struct stream *client;

        TRY(tunnel_memory_open(&c->memory, &s->memory, STR("")));
        TRY(stream_of_requests(c, &client));
        c->client = NULL;
        conversation_enter(&c->at, OPEN);
        idle_watch_start(&c->idle, c->idle_ms);
        tunnel_memory_grow(&c->memory, c->tunnel);
        c->http = http_app_start(options, client);
        return NULL;
}

static struct error *open_application(struct app_connection *c)
{
        AUTO_PTR(arena) a = arena_new(4 * KiB);
        struct app_uri uri = { .scheme = APP_TCP };

        TRY(c->port != 0 ? app_uri_at(a, str_of(c->app->uri), c->port, &uri.target) : app_uri_read(a, str_of(c->app->uri), &uri));
        bool is_http = uri.scheme != APP_TCP;
        if (is_http != speaks_http(c))
                return error_new(ERROR_FAILED_PRECONDITION, is_http ? "the application '%s' is reached by HTTP" : "the application '%s' is not reached by HTTP", c->app->name);
        if (is_http)
                return open_http(c);
        conversation_enter(&c->at, DIALLING);
        c->dial = app_targets_dial(&c->service->targets, &c->service->loop, uri.target, on_dialled, c);
        return NULL;
}

static void on_started(void *ctx, struct error *err)
{
        struct app_connection *c = ctx;

        if (c->at.state != STARTING || c->is_abandoned) {
                error_free(err);
                return;
        }
        if (err == NULL) {
                c->has_started = true;
                if (c->recording != NULL)
                        spool_publish(c->recording);
                err = open_application(c);
                loop_trim_later(&c->service->loop); /* the handshake is over */
        }
        if (err != NULL)
                connection_end(c, err);
}

/* ---- decisions of the cluster ----------------------------------------------------------------------------- */

static void start_session(struct app_connection *c, const Cteleport__V1__ReportDecision *decision)
{
        Cteleport__V1__ReportAccepted accepted = CTELEPORT__V1__REPORT_ACCEPTED__INIT;
        Cteleport__V1__ReportStart start = CTELEPORT__V1__REPORT_START__INIT;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;

        struct error *err = begin_recording(c, decision->user);
        if (err != NULL) {
                log_warn("The requests to an application cannot be recorded", LOG_C("app", c->app->name), LOG_ERR(err));
                connection_end(c, err);
                return;
        }
        conversation_enter(&c->at, STARTING);
        accepted.certificate = pb_bytes(buf_str(&c->certificate));
        report_stream_accepted(c->report_stream, &accepted);
        buf_release(&c->certificate);
        start.session_id = c->id;
        start.kind = pb_text("app");
        start.is_recorded = c->recording != NULL;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_START;
        up.start = &start;
        c->is_reported = true;
        send_report(c, &up, on_started);
        log_info("A user connects to an application", LOG_C("connection", c->id), LOG_C("app", c->app->name), LOG_C("user", decision->user),
                 LOG_C("from", c->client_addr));
}

/* A copy, which the HTTP application uses for requests from now on. */
static void keep_permits(struct app_connection *c, const Cteleport__V1__AppPermits *permits)
{
        AUTO(buf) packed = BUF_MAX(LIMIT_REPORT);
        size_t size = cteleport__v1__app_permits__get_packed_size(permits);
        uint8_t *at = buf_extend(&packed, size);

        if (at == NULL)
                return;
        cteleport__v1__app_permits__pack(permits, at);
        cteleport__v1__app_permits__free_unpacked(c->permits, NULL);
        c->permits = cteleport__v1__app_permits__unpack(NULL, size, at);
}

/* The proxy has named the port to the cluster, and may have named another one than the user's TLS. */
static struct error *check_port(const struct app_connection *c, uint32_t permitted)
{
        if (permitted != c->port)
                return error_new(ERROR_PERMISSION_DENIED, "the cluster has permitted another port of the application than the one that was dialled");
        return app_ports_permit(APP_PORTS(c->app), str_of(c->app->name), permitted);
}

static bool is_of_user(const struct app_connection *c, const Cteleport__V1__ReportDecision *decision)
{
        uint8_t digest[DIGEST_SIZE];

        sha256(pb_str(decision->certificate), digest);
        return memcmp(digest, c->certificate_digest, sizeof digest) == 0;
}

/* The first decision permits the session; a later one that denies it ends the connection. */
static void on_decision(void *ctx, const Cteleport__V1__ReportDecision *decision)
{
        struct app_connection *c = ctx;

        if (!is_of_user(c, decision) || c->at.state == REPORTING || c->reason != NULL)
                return;
        if (!decision->is_allowed) {
                AUTO_MEM char *reason = escaped(str_of(decision->reason));

                connection_end(c, error_new(ERROR_PERMISSION_DENIED, "%s", reason));
                return;
        }
        /* The proxy named the application in its request, and may have asked the Auth Service for another one. */
        if (decision->app == NULL || strcmp(decision->app->name, c->app->name) != 0) {
                connection_end(c, error_new(ERROR_PERMISSION_DENIED, "the cluster has permitted a connection to another application"));
                return;
        }
        struct error *err = c->at.state == DECIDING ? check_port(c, decision->app->port) : NULL;
        if (err != NULL) {
                connection_end(c, err);
                return;
        }
        keep_permits(c, decision->app);
        c->idle_ms = decision->idle_timeout_ms;
        if (c->at.state == DECIDING)
                start_session(c, decision);
        else if (c->at.state == OPEN)
                idle_watch_change(&c->idle, c->idle_ms);
}

static void on_terminate(void *ctx, struct str reason)
{
        struct app_connection *c = ctx;
        AUTO_MEM char *shown = escaped(reason);

        log_info("The cluster ends a connection to an application", LOG_C("connection", c->id), LOG_STR("reason", reason));
        connection_end(c, error_new(ERROR_PERMISSION_DENIED, "%s", shown));
}

static void on_refused(void *ctx, struct error *err)
{
        struct app_connection *c = ctx;

        log_warn("The events of a connection to an application cannot be reported to the cluster, it is ended", LOG_C("connection", c->id), LOG_ERR(err));
        if (c->at.state == REPORTING) {
                error_free(err);
                free_soon(c);
                return;
        }
        connection_end(c, err);
}

static void on_finished(void *ctx)
{
        free_soon(ctx);
}

static const struct report_events report_events = {
        .on_decision = on_decision, .on_terminate = on_terminate, .on_refused = on_refused, .on_finished = on_finished,
};

/* ---- the beginning ---------------------------------------------------------------------------------------- */

static void ignore_bytes(void *ctx, struct str bytes)
{
        (void)ctx;
        (void)bytes;
}

/* The client's stream broke before the application's bytes followed. */
static void on_client_end(void *ctx, struct error *err)
{
        struct app_connection *c = ctx;

        connection_end(c, err != NULL ? err : error_new(ERROR_CANCELLED, "the user closed the connection before it was established"));
}

static const struct stream_events client_events = { .on_read = ignore_bytes, .on_end = on_client_end };

/* The user's TLS names the application; the name in the request is the proxy's word. */
static struct error *check_name(struct app_connection *c)
{
        struct str name;

        if (!app_sni_read(tls_server_name(c->client), &name, &c->port) || str_equal(name, str_of(c->app->name)))
                return NULL;
        return error_new(ERROR_PERMISSION_DENIED, "the proxy leads to another application than the one that was dialled");
}

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct app_connection *c = ctx;

        c->handshake = NULL;
        if (c->is_abandoned) {
                stream_close(tls);
                error_free(err);
                connection_free(c);
                return;
        }
        if (err != NULL) {
                if (c->reason == NULL)
                        connection_end(c, error_wrap(err, "the TLS handshake with the user failed"));
                else
                        error_free(err);
                end_if_quiet(c);
                return;
        }
        Cteleport__V1__ReportRequest request = CTELEPORT__V1__REPORT_REQUEST__INIT;

        c->client = tls;
        stream_listen(tls, &client_events, c);
        if ((err = check_name(c)) != NULL) {
                connection_end(c, err);
                return;
        }
        buf_put(&c->certificate, tls_peer_cert_der(tls));
        sha256(buf_str(&c->certificate), c->certificate_digest);
        tls_forget_peer(tls);
        conversation_enter(&c->at, DECIDING);
        request.certificate = pb_bytes(buf_str(&c->certificate));
        report_stream_request(c->report_stream, &request);
}

static struct error *check_request(struct app_service *s, const struct tunnel_request *request, struct offered_app **ret_app,
                                   struct tls_context **ret_tls)
{
        AUTO_MEM char *shown = escaped(str_slice(request->name, 0, LIMIT_NAME));

        if (!lifecycle_accepts(&s->life))
                return error_new(ERROR_UNAVAILABLE, "the Application Service of this host is stopping");
        if (!name_is_uuid(request->connection_id) || request->client_addr.len > LIMIT_NAME)
                return error_new(ERROR_INVALID_ARGUMENT, "the proxy's request cannot be understood");
        if (!str_equal(request->host_id, agent_identity(s->agent)->host_id))
                return error_new(ERROR_NOT_FOUND, "this is another host");
        *ret_app = offered_app_find(&s->apps, request->name);
        if (*ret_app == NULL)
                return error_new(ERROR_NOT_FOUND, "this host offers no application '%s'", shown);
        if (map_get(&s->connections, request->connection_id) != NULL)
                return error_new(ERROR_ALREADY_EXISTS, "there is a connection of this ID already");
        if (!shares_have_room(&s->user_connections, request->user))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "this host has %zu connections to applications, %zu of them yours: there is no room for one more",
                                 s->connections.count, shares_count(&s->user_connections, request->user));
        return user_tls_get(&s->users_tls, agent_identity(s->agent), app_is_tcp(str_of((*ret_app)->config->uri)), ret_tls);
}

void app_connection_begin(struct app_service *s, struct tunnel_incoming *in, const struct tunnel_request *request)
{
        struct offered_app *app = NULL;
        struct tls_context *tls = NULL;
        struct error *err = check_request(s, request, &app, &tls);

        if (err != NULL) {
                tunnel_refuse(in, err);
                return;
        }
        struct app_connection *c = NEW(struct app_connection);
        *c = (struct app_connection){
                .service = s,
                .offered = offered_app_hold(app),
                .app = app->config,
                .id = str_dup(request->connection_id),
                .client_addr = escaped(request->client_addr),
                .counted_user = str_dup(request->user),
                .certificate = BUF_MAX(CERT_MAX),
        };
        map_put(&s->connections, request->connection_id, c);
        metric_set_at(METRIC_APP_CONNECTIONS, 0, (int64_t)s->connections.count);
        shares_add(&s->user_connections, request->user);
        conversation_init(&c->at, &s->loop, states, HANDSHAKE, on_expired, c);
        idle_watch_init(&c->idle, &s->loop, SECONDS(0), &idle_events, c);
        c->report_stream = report_stream_new(s->agent, str_of(c->id), str_of(c->client_addr), &report_events, c);
        c->tunnel = tunnel_accept(in);
        c->handshake = tls_start(&s->loop, tls, c->tunnel, NULL, MILLISECONDS(TIMEOUT_TLS_HANDSHAKE), on_tls, c);
}

/* ---- all connections -------------------------------------------------------------------------------------- */

static void end_one(void *ctx, struct str id, void *value)
{
        (void)id;
        connection_end(value, error_new(ERROR_UNAVAILABLE, "%s", (const char *)ctx));
}

struct end_of {
        const struct offered_app *app;
        const char *why;
};

/* Whether the host offers the application at the same place as before, with this port among others. */
static bool has_port_still(const struct app_connection *c)
{
        const struct offered_app *now = offered_app_find(&c->service->apps, str_of(c->app->name));

        return now != NULL && strcmp(now->config->uri, c->app->uri) == 0 && app_ports_have(APP_PORTS(now->config), c->port);
}

static void end_if_of(void *ctx, struct str id, void *value)
{
        const struct end_of *end = ctx;
        struct app_connection *c = value;

        if (strcmp(c->app->name, end->app->config->name) == 0 && !has_port_still(c))
                end_one((void *)(uintptr_t)end->why, id, c);
}

void app_connections_end_of(struct app_service *s, const struct offered_app *app, const char *why)
{
        struct end_of end = { app, why };

        map_each(&s->connections, end_if_of, &end);
}

void app_connections_end(struct app_service *s, const char *why)
{
        map_each(&s->connections, end_one, (void *)(uintptr_t)why);
}

/* What is pending calls back from the loop, and frees the connection then. */
static void free_one(void *ctx, struct str id, void *value)
{
        struct app_connection *c = value;

        (void)ctx;
        (void)id;
        if (c->is_free_due)
                return;
        c->is_abandoned = true;
        if (c->http != NULL)
                http_app_report(c->http);
        end_recording(c); /* the spool closes before */
        report_stream_free(c->report_stream); /* the agent does not live until the connection is freed */
        c->report_stream = NULL;
        if (c->splice != NULL)
                splice_cancel(c->splice);
        else if (c->http != NULL)
                http_app_close(c->http);
        else if (c->handshake != NULL)
                tls_cancel(c->handshake);
        else if (c->dial != NULL)
                dial_cancel(c->dial);
        else
                connection_free(c);
}

void app_connections_free(struct app_service *s)
{
        map_each(&s->connections, free_one, NULL);
}
