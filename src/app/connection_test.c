/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to an application through a real tunnel and with real TLS; stand-ins for the cluster and the rest of the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/report_stream.h"
#include "agent/spool.h"
#include "app/app_service.h"
#include "base/error_testing.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/app_sni.h"
#include "cluster/app_status.h"
#include "join/identity_testing.h"
#include "net/net_testing.h"
#include "resource/address.h"
#include "rpc/pb.h"

#define CONNECTION "99999999-9999-4999-8999-999999999999"

struct testbed {
        struct app_service s;
        struct fake_cluster cluster; /* one CA for hosts and users */
        struct host_identity identity;
        struct tls_context *server_tls, *client_tls;
        Cteleport__V1__AppConfig app;
        char uri[64 + ADDRESS_TEXT_MAX];
        Cteleport__V1__AppPort ports[2], *port_list[2];
        uint32_t listening; /* the port of the application */

        struct tunnel *proxy;
        struct tunnel_server *agent;
        struct error *refusal; /* of the CONNECT */
        bool is_dialled;
        bool is_gateway; /* the user is one that offers APP_ALPN_BARE */
        bool is_hasty;   /* it sends a request with the end of the handshake */

        struct tls_handshake *handshake;
        struct stream *user; /* TLS with the host */
        struct ear at_user;

        struct listener *listener;
        struct stream *application; /* the connection that it has accepted */
        struct ear at_application;

        /* the cluster */
        const struct report_events *events;
        void *ctx;
        struct buf certificate; /* of the last request */
        int requests, accepted, exits, closed;
        void (*acknowledge)(void *ctx, struct error *err); /* the start; NULL: not reported, or acknowledged */
        uint64_t bytes_to_client, bytes_from_client;
        char reason[256];

        /* of an HTTP application */
        bool is_http;
        Cteleport__Internal__V1__Boot boot;
        Cteleport__V1__Config config;
        void (*on_auth)(void *ctx, struct rpc_client *client, struct error *err); /* of the request for a token */
        void *on_auth_ctx;
        struct buf lines; /* of the recording */
        int finished;     /* recordings */
};

#define REQUEST "GET / HTTP/1.1\r\nHost: queue\r\n\r\n"

static struct testbed *testbed;
static char cluster; /* somewhere to point to */

/* ---- stand-ins for the cluster ------------------------------------------------------------------------------- */

struct report_stream *report_stream_new(struct agent *agent UNUSED, struct str id UNUSED, struct str client_addr UNUSED,
                                        const struct report_events *events, void *ctx)
{
        testbed->events = events;
        testbed->ctx = ctx;
        return (struct report_stream *)&cluster;
}

void report_stream_free(struct report_stream *a UNUSED)
{
}

void report_stream_request(struct report_stream *a UNUSED, const Cteleport__V1__ReportRequest *request)
{
        testbed->requests++;
        buf_clear(&testbed->certificate);
        buf_put(&testbed->certificate, pb_str(request->certificate));
}

void report_stream_accepted(struct report_stream *a UNUSED, const Cteleport__V1__ReportAccepted *accepted)
{
        testbed->accepted += str_equal(pb_str(accepted->certificate), buf_str(&testbed->certificate));
}

void report_stream_send(struct report_stream *a UNUSED, const Cteleport__V1__ReportUp *up, void (*acknowledged)(void *ctx, struct error *err),
                        void *ctx UNUSED)
{
        if (up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_START) {
                assert_string_equal(up->start->kind, "app");
                testbed->acknowledge = acknowledged;
        } else if (up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_EXIT) {
                testbed->exits++;
                testbed->bytes_to_client = up->exit->bytes_to_client;
                testbed->bytes_from_client = up->exit->bytes_from_client;
        } else {
                assert_int_equal(up->payload_case, CTELEPORT__V1__REPORT_UP__PAYLOAD_CLOSED);
                testbed->closed++;
                snprintf(testbed->reason, sizeof testbed->reason, "%s", up->closed->reason);
        }
}

void report_stream_finish(struct report_stream *a UNUSED)
{
        testbed->events->on_finished(testbed->ctx);
}

struct error *spool_begin(struct spool *sp UNUSED, struct str session_id UNUSED, struct str user UNUSED, const struct recording_header *header UNUSED,
                          void (*failed)(void *ctx, struct error *err) UNUSED, void *ctx UNUSED, struct spool_file **ret)
{
        if (!testbed->is_http)
                fail_msg("a connection to a TCP application has a recording");
        *ret = (struct spool_file *)&cluster;
        return NULL;
}

void spool_publish(struct spool_file *f UNUSED)
{
}

void spool_discard(struct spool_file *f UNUSED)
{
}

void spool_output(struct spool_file *f UNUSED, struct str bytes)
{
        assert_int_equal(testbed->finished, 0);
        buf_put(&testbed->lines, bytes);
}

bool spool_must_wait(const struct spool_file *f UNUSED)
{
        return false;
}

void spool_on_drain(struct spool_file *f UNUSED, void (*drained)(void *ctx) UNUSED)
{
}

void spool_finish(struct spool_file *f UNUSED)
{
        testbed->finished++;
}

static void decide_port(struct testbed *w, bool is_allowed, const char *app, uint32_t port)
{
        Cteleport__V1__ReportDecision d = CTELEPORT__V1__REPORT_DECISION__INIT;
        Cteleport__V1__AppPermits permits = CTELEPORT__V1__APP_PERMITS__INIT;

        d.certificate = pb_bytes(buf_str(&w->certificate));
        d.is_allowed = is_allowed;
        d.reason = pb_text(is_allowed ? "" : "no role");
        d.user = pb_text("alice");
        permits.name = pb_text(app);
        permits.port = port;
        d.app = app[0] == '\0' ? NULL : &permits;
        w->events->on_decision(w->ctx, &d);
}

static void decide(struct testbed *w, bool is_allowed, const char *app)
{
        decide_port(w, is_allowed, app, 0);
}

static void acknowledge(struct testbed *w)
{
        void (*acknowledged)(void *ctx, struct error *err) = w->acknowledge;

        w->acknowledge = NULL;
        acknowledged(w->ctx, NULL);
}

/* ---- stand-ins for the process ------------------------------------------------------------------------------- */

const struct host_identity *agent_identity(const struct agent *a UNUSED)
{
        return &testbed->identity;
}

struct loop *agent_loop(struct agent *a UNUSED)
{
        return &testbed->s.loop;
}

/* No token is signed for a TCP application. */
void agent_request_auth(struct agent *a UNUSED, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        if (!testbed->is_http)
                fail_msg("the Auth Service was requested");
        testbed->on_auth = done;
        testbed->on_auth_ctx = ctx;
}

void lifecycle_connection_gone(struct lifecycle *c UNUSED)
{
}

struct error *user_tls_get(struct user_tls *u UNUSED, const struct host_identity *id UNUSED, bool is_tcp UNUSED, struct tls_context **ret)
{
        *ret = testbed->server_tls;
        return NULL;
}

static void on_app_ended(void *ctx, struct offered_app *app, const char *why)
{
        app_connections_end_of(ctx, app, why);
}

/* app NULL: none. */
static void offer(struct testbed *w, Cteleport__V1__AppConfig *app)
{
        Cteleport__Internal__V1__Apps apps = CTELEPORT__INTERNAL__V1__APPS__INIT;

        apps.apps = &app;
        apps.n_apps = app != NULL;
        offered_apps_set(&w->s.apps, &apps, on_app_ended, &w->s);
}

/* ---- the tunnel, the user, the application --------------------------------------------------------------------- */

static void on_connect(void *ctx, struct tunnel_incoming *in, const struct tunnel_request *request)
{
        app_connection_begin(&((struct testbed *)ctx)->s, in, request);
}

static void on_incoming_gone(void *ctx UNUSED, struct tunnel_incoming *in UNUSED)
{
}

static void on_tunnel_end(void *ctx UNUSED, struct error *err)
{
        error_free(err);
}

static const struct tunnel_server_events tunnel_events = { .on_connect = on_connect, .on_gone = on_incoming_gone, .on_end = on_tunnel_end };

static void on_accepted(void *ctx, int fd, const char *peer UNUSED)
{
        struct testbed *w = ctx;

        assert_null(w->application);
        w->application = socket_stream(&w->s.loop, fd);
        ear_listen(&w->at_application, w->application);
        stream_read(w->application, true);
}

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct testbed *w = ctx;

        w->handshake = NULL;
        assert_done(err);
        w->user = tls;
        ear_listen(&w->at_user, tls);
        stream_read(tls, true);
        if (w->is_hasty)
                stream_write(tls, STR(REQUEST));
}

static void on_stream(void *ctx, struct stream *s, struct error *err)
{
        struct testbed *w = ctx;

        w->is_dialled = true;
        w->refusal = err;
        if (err != NULL)
                return;
        w->handshake = tls_start(&w->s.loop, w->client_tls, s, "app", SECONDS(5), on_tls, w);
        if (w->is_gateway)
                tls_offer(w->handshake, (const char *const[]){ APP_ALPN_BARE, APP_ALPN_HTTP, NULL });
}

static struct tunnel_request usual(void)
{
        return (struct tunnel_request){ .host_id = STR(HOST_ID), .service = STR("app"), .kind = STR("app"), .name = STR("queue"),
                                        .connection_id = STR(CONNECTION), .client_addr = STR("198.51.100.7:5022"), .user = STR("alice") };
}

/* A CONNECT of the proxy, and the user's TLS if it is accepted. */
static void connects(struct testbed *w, const struct tunnel_request *request)
{
        w->is_dialled = false;
        struct tunnel_dial *d = tunnel_connect(w->proxy, request, on_stream, w);

        (void)d;
        RUN_UNTIL(&w->s.loop, w->is_dialled);
        RUN_UNTIL(&w->s.loop, w->handshake == NULL);
}

/* A user whose certificate is shown to the cluster. */
static void given_user(struct testbed *w)
{
        const struct tunnel_request request = usual();

        connects(w, &request);
        assert_done(w->refusal);
        RUN_UNTIL(&w->s.loop, w->requests == 1);
}

static void assert_refusal(struct testbed *w, const char *reason)
{
        size_t used;
        struct str text;

        RUN_UNTIL(&w->s.loop, w->at_user.ends > 0);
        app_status_parse(buf_str(&w->at_user.received), &used, &text);
        assert_int_equal(used, w->at_user.received.len);
        assert_str(text, reason);
        RUN_UNTIL(&w->s.loop, w->s.connections.count == 0);
        assert_int_equal(w->closed, 1);
        assert_null(w->application);
}

/* ---- the testbed ----------------------------------------------------------------------------------------------- */

static void make_tls(struct testbed *w)
{
        static const char *const alpn[] = { APP_ALPN_TCP, APP_ALPN_BARE, APP_ALPN_HTTP, NULL };
        static const char *const tcp[] = { APP_ALPN_TCP, NULL }, *const http[] = { APP_ALPN_HTTP, NULL };
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) public = BUF_MAX(4 * KiB), der = BUF_MAX(CERT_MAX), pem = BUF_MAX(2 * CERT_MAX), trust = BUF_MAX(2 * CERT_MAX), chain = BUF_MAX(64 * KiB);
        AUTO(secret) key_pem = { 0 };
        struct str roles[] = { STR_INIT("access") };
        struct x509_user_subject subject = { .user = STR("alice"), .cluster = STR(CLUSTER), .roles = roles, .role_count = 1 };

        cert_der_to_pem(buf_str(&w->cluster.ca.cert), &trust);
        host_identity_chain_pem(&w->identity, &chain);
        assert_done(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_REQUIRED, .trust_pem = buf_str(&trust), .alpn = alpn,
                                                          .is_internal = true }, &w->server_tls));
        assert_done(tls_context_add(w->server_tls, NULL, (struct tls_identity){ buf_str(&chain), secret_str(&w->identity.tls_key_pem) }));
        assert_done(key_public_der(&key, &public));
        assert_done(key_to_pem(&key, &key_pem));
        assert_done(x509_issue_user(w->cluster.ca.x509, &subject, buf_str(&public), fake_times(&w->cluster), &der, NULL));
        cert_der_to_pem(buf_str(&der), &pem);
        assert_done(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = w->is_http ? http : tcp, .is_internal = true }, &w->client_tls));
        assert_done(tls_context_add(w->client_tls, NULL, (struct tls_identity){ buf_str(&pem), secret_str(&key_pem) }));
}

static int set_up_for(void **state, bool is_http)
{
        struct testbed *w = testbed = NEW(struct testbed);
        struct stream *a, *b;
        char address[ADDRESS_TEXT_MAX];
        int fd;

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        w->is_http = is_http;
        w->lines = BUF_MAX(64 * KiB);
        cteleport__internal__v1__boot__init(&w->boot);
        cteleport__v1__config__init(&w->config);
        w->boot.config = &w->config;
        w->boot.nodename = pb_text("web");
        w->s.boot = &w->boot;
        assert_done(loop_init(&w->s.loop, NULL));
        w->s.memory = (struct budget){ .total = 64 * MiB, .share = 64 * MiB };
        w->s.user_connections.limits = (struct share_limits){ .total = 4, .each = 4 };
        fake_cluster_init(&w->cluster, loop_wall(&w->s.loop));
        w->identity = fake_identity(&w->cluster, "App");
        make_tls(w);
        w->certificate = BUF_MAX(CERT_MAX);
        assert_done(socket_listen_tcp(STR("127.0.0.1:0"), &fd, address));
        w->listener = listener_new(&w->s.loop, fd, on_accepted, w);
        snprintf(w->uri, sizeof w->uri, "%s://%s", is_http ? "http" : "tcp", address);
        w->listening = (uint32_t)address_port(str_of(address));
        cteleport__v1__app_config__init(&w->app);
        w->app.name = pb_text("queue");
        w->app.uri = w->uri;
        offer(w, &w->app);
        connected_pair(&w->s.loop, &a, &b);
        w->proxy = tunnel_new(&w->s.loop, a, on_tunnel_end, w);
        w->agent = tunnel_server_new(&w->s.loop, b, &tunnel_events, w);
        *state = w;
        return 0;
}

static int set_up(void **state)
{
        return set_up_for(state, false);
}

static int set_up_http(void **state)
{
        return set_up_for(state, true);
}

static int tear_down(void **state)
{
        struct testbed *w = *state;

        ear_release(&w->at_user);
        RUN_UNTIL(&w->s.loop, w->s.connections.count == 0);
        ear_release(&w->at_application);
        tunnel_server_close(w->agent);
        tunnel_close(w->proxy);
        listener_close(w->listener);
        map_release(&w->s.connections);
        offered_apps_release(&w->s.apps);
        shares_release(&w->s.user_connections);
        budget_release(&w->s.memory);
        tls_context_free(w->server_tls);
        tls_context_free(w->client_tls);
        host_identity_release(&w->identity);
        fake_cluster_release(&w->cluster);
        buf_release(&w->certificate);
        buf_release(&w->lines);
        loop_release(&w->s.loop);
        free(w);
        return 0;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void a_user_reaches_the_application(void **state)
{
        struct testbed *w = *state;

        given_user(w);
        decide(w, true, "queue");
        assert_int_equal(w->accepted, 1);
        assert_non_null(w->acknowledge);
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->application != NULL && w->at_user.received.len == 1);
        stream_write(w->user, STR("ping"));
        RUN_UNTIL(&w->s.loop, w->at_application.received.len == 4);
        stream_write(w->application, STR("answer"));
        RUN_UNTIL(&w->s.loop, w->at_user.received.len == 7);
        assert_memory_equal(w->at_user.received.ptr, "\0answer", 7);
        ear_release(&w->at_user);
        RUN_UNTIL(&w->s.loop, w->at_application.ends > 0);
        ear_release(&w->at_application);
        RUN_UNTIL(&w->s.loop, w->s.connections.count == 0);
        assert_int_equal(w->exits, 1);
        assert_int_equal(w->closed, 1);
        assert_int_equal(w->bytes_from_client, 4);
        assert_int_equal(w->bytes_to_client, 6);
        assert_string_equal(w->reason, "");
}

/* The proxy has named another application here than to the cluster, or the cluster names none. */
static void a_decision_on_another_application_permits_nothing(void **state)
{
        static const char *const names[] = { "files", "queue2", "" };
        struct testbed *w = *state;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                if (i > 0)
                        set_up(state);
                w = *state;
                given_user(w);
                decide(w, true, names[i]);
                assert_refusal(w, "the cluster has permitted a connection to another application");
                assert_int_equal(w->accepted, 0);
                if (i + 1 < ARRAY_LEN(names))
                        tear_down(state);
        }
}

static void a_denied_user_gets_the_reason(void **state)
{
        struct testbed *w = *state;

        given_user(w);
        decide(w, false, "");
        assert_refusal(w, "no role");
        assert_int_equal(w->exits, 0);
}

/* The application has the port at which it listens, and port 1. */
static void given_ports(struct testbed *w)
{
        snprintf(w->uri, sizeof w->uri, "tcp://127.0.0.1");
        for (size_t i = 0; i < ARRAY_LEN(w->ports); i++) {
                cteleport__v1__app_port__init(&w->ports[i]);
                w->port_list[i] = &w->ports[i];
        }
        w->ports[0].port = 1;
        w->ports[1].port = w->listening;
        w->app.tcp_ports = w->port_list;
        w->app.n_tcp_ports = ARRAY_LEN(w->ports);
        offer(w, &w->app);
}

/* A user who names this port in TLS. */
static void given_user_of(struct testbed *w, const char *app, uint32_t port)
{
        AUTO_MEM char *sni = app_sni_new(app, port);

        tls_context_announce(w->client_tls, sni);
        given_user(w);
}

static void a_user_reaches_the_port_that_was_named(void **state)
{
        struct testbed *w = *state;

        given_ports(w);
        given_user_of(w, "queue", w->listening);
        w->port_list[0] = &w->ports[1]; /* another port is gone before the decision */
        w->app.n_tcp_ports = 1;
        offer(w, &w->app);
        decide_port(w, true, "queue", w->listening);
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->application != NULL && w->at_user.received.len == 1);
        w->ports[0].end_port = 2; /* and while it is open */
        w->port_list[1] = &w->ports[0];
        w->app.n_tcp_ports = 2;
        offer(w, &w->app);
        run_a_while(&w->s.loop);
        assert_int_equal(w->at_user.ends, 0);
        w->port_list[0] = &w->ports[0]; /* now it is this one */
        w->app.n_tcp_ports = 1;
        offer(w, &w->app);
        RUN_UNTIL(&w->s.loop, w->at_user.ends > 0 && w->s.connections.count == 0);
        assert_string_equal(w->reason, "the application does not have this port any more");
}

/* Port 0: none is named. */
static void cluster_and_tls_of_the_user_name_the_same_port(void **state)
{
        const uint32_t right = ((struct testbed *)*state)->listening;
        const struct {
                bool has_ports;
                uint32_t named, permitted;
                const char *reason;
        } rows[] = {
                { true, 1, right, "the cluster has permitted another port of the application than the one that was dialled" },
                { true, right, 1, "the cluster has permitted another port of the application than the one that was dialled" },
                { true, 0, right, "the cluster has permitted another port of the application than the one that was dialled" },
                { true, right, 0, "the cluster has permitted another port of the application than the one that was dialled" },
                { true, 0, 0, "the application 'queue' has tcp_ports, and the connection names none of them: 1, " },
                { true, 2, 2, "the application 'queue' has no port 2: it has 1, " },
                { false, right, right, "the application 'queue' has no tcp_ports, and a connection cannot name a port of it" },
                { false, right, 0, "the cluster has permitted another port of the application than the one that was dialled" },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (i > 0)
                        set_up(state);
                struct testbed *w = *state;

                if (rows[i].has_ports)
                        given_ports(w);
                given_user_of(w, "queue", rows[i].named == right ? w->listening : rows[i].named);
                decide_port(w, true, "queue", rows[i].permitted == right ? w->listening : rows[i].permitted);
                RUN_UNTIL(&w->s.loop, w->at_user.ends > 0 && w->s.connections.count == 0);
                assert_true(str_starts_with(str_of(w->reason), str_of(rows[i].reason)));
                assert_int_equal(w->accepted, 0);
                assert_null(w->application);
                if (i + 1 < ARRAY_LEN(rows))
                        tear_down(state);
        }
}

/* The start must be on the disk of the cluster first. */
static void the_application_is_reached_after_the_acknowledgement_only(void **state)
{
        struct testbed *w = *state;

        given_user(w);
        decide(w, true, "queue");
        run_a_while(&w->s.loop);
        assert_null(w->application);
        w->events->on_terminate(w->ctx, STR("stay out"));
        assert_refusal(w, "stay out");
        assert_string_equal(w->reason, "stay out");
}

static void an_order_of_the_cluster_ends_an_open_connection(void **state)
{
        struct testbed *w = *state;

        given_user(w);
        decide(w, true, "queue");
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->application != NULL && w->at_user.received.len == 1);
        w->events->on_terminate(w->ctx, STR("stay\nout"));
        RUN_UNTIL(&w->s.loop, w->at_user.ends > 0 && w->at_application.ends > 0 && w->s.connections.count == 0);
        assert_int_equal(w->exits, 1);
        assert_non_null(strstr(w->reason, "stay"));
        assert_null(strchr(w->reason, '\n'));
}

static void an_application_that_is_down_is_named(void **state)
{
        struct testbed *w = *state;

        listener_close(w->listener);
        w->listener = NULL;
        given_user(w);
        decide(w, true, "queue");
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->at_user.ends > 0 && w->s.connections.count == 0);
        assert_non_null(strstr(w->reason, "the host of the application 'queue' cannot connect to it"));
        assert_int_equal(w->exits, 1);
}

/* An HTTP application, and a gateway that is the client itself. */
static void given_gateway(struct testbed *w)
{
        w->is_gateway = true;
        given_user(w);
        assert_str(tls_alpn(w->user), APP_ALPN_BARE);
}

static void requests_of_a_gateway_follow_without_tls(void **state)
{
        struct testbed *w = *state;

        given_gateway(w);
        decide(w, true, "queue");
        run_a_while(&w->s.loop);
        assert_int_equal(w->at_user.received.len, 0);
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->at_user.received.len == 1);
        assert_int_equal(w->at_user.received.ptr[0], 0);
        buf_clear(&w->at_user.received);
        struct stream *plain = tls_leave(w->user, STR(""));
        assert_non_null(plain);
        w->user = plain;
        ear_listen(&w->at_user, plain);
        stream_read(plain, true);
        stream_write(plain, STR(REQUEST));
        RUN_UNTIL(&w->s.loop, w->on_auth != NULL);
        w->on_auth(w->on_auth_ctx, NULL, error_new(ERROR_UNAVAILABLE, "there is none"));
        RUN_UNTIL(&w->s.loop, w->at_user.received.len > 0);
        assert_true(str_starts_with(buf_str(&w->at_user.received), STR("HTTP/1.1 503 ")));
}

static void a_gateway_gets_the_reason_in_tls(void **state)
{
        struct testbed *w = *state;

        given_gateway(w);
        decide(w, false, "");
        RUN_UNTIL(&w->s.loop, w->at_user.ends > 0 && w->s.connections.count == 0);
        assert_null(w->at_user.err); /* TLS has ended in order */
        assert_true(str_starts_with(buf_str(&w->at_user.received), STR("HTTP/1.1 403 ")));
        assert_true(str_contains(buf_str(&w->at_user.received), STR("no role")));
}

/* The host does not know in which layer it is to be read. */
static void a_request_with_the_handshake_is_refused(void **state)
{
        struct testbed *w = *state;

        w->is_hasty = true;
        given_gateway(w);
        decide(w, true, "queue");
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->at_user.ends > 0 && w->s.connections.count == 0);
        assert_null(w->on_auth);
        assert_null(w->at_user.err);
        assert_true(str_starts_with(buf_str(&w->at_user.received), STR("HTTP/1.1 502 ")));
}

/* One that comes later, while the host decides, is read after TLS, where it is no request. */
static void a_request_in_tls_before_the_answer_is_none(void **state)
{
        struct testbed *w = *state;

        given_gateway(w);
        stream_write(w->user, STR(REQUEST));
        run_a_while(&w->s.loop);
        decide(w, true, "queue");
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->at_user.received.len > 0);
        run_a_while(&w->s.loop);
        stream_close(w->user);
        w->user = NULL;
        w->at_user.stream = NULL;
        RUN_UNTIL(&w->s.loop, w->s.connections.count == 0);
        assert_null(w->on_auth);
        assert_int_equal(w->exits, 1);
}

/* Nor does one without TLS reach the application before the cluster has decided. */
static void a_request_waits_for_the_decision(void **state)
{
        struct testbed *w = *state;

        given_gateway(w);
        struct stream *plain = tls_leave(w->user, STR(""));
        assert_non_null(plain);
        w->user = plain;
        ear_listen(&w->at_user, plain);
        stream_write(plain, STR(REQUEST));
        run_a_while(&w->s.loop);
        decide(w, true, "queue");
        run_a_while(&w->s.loop);
        assert_null(w->on_auth);
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->on_auth != NULL);
        w->on_auth(w->on_auth_ctx, NULL, error_new(ERROR_UNAVAILABLE, "there is none"));
}

/* Also one that was replaced meanwhile by the same application with another setting. */
static void a_connection_ends_with_its_application(void **state)
{
        struct testbed *w = *state;

        given_user(w);
        decide(w, true, "queue");
        acknowledge(w);
        RUN_UNTIL(&w->s.loop, w->application != NULL && w->at_user.received.len == 1);
        w->app.has_insecure_skip_verify = true;
        offer(w, &w->app);
        run_a_while(&w->s.loop);
        assert_int_equal(w->at_user.ends, 0);
        offer(w, NULL);
        RUN_UNTIL(&w->s.loop, w->at_user.ends > 0);
        RUN_UNTIL(&w->s.loop, w->s.connections.count == 0);
        assert_string_equal(w->reason, "this host does not offer the application any more");
}

/* The process stops while a request waits: here for its token. */
static void a_request_under_way_is_recorded_when_the_process_ends(void **state)
{
        struct testbed *w = *state;

        given_user(w);
        decide(w, true, "queue");
        acknowledge(w);
        stream_write(w->user, STR("POST /orders?id=7 HTTP/1.1\r\nHost: queue\r\nContent-Length: 3\r\n\r\n"));
        RUN_UNTIL(&w->s.loop, w->on_auth != NULL);
        app_connections_free(&w->s);
        assert_int_equal(w->finished, 1);
        assert_non_null(strstr(buf_c(&w->lines), "\"method\":\"POST\",\"path\":\"/orders\",\"raw_query\":\"id=\",\"status_code\":0,"));
        assert_non_null(strstr(buf_c(&w->lines), "\"cut\":true}\r\n"));
        RUN_UNTIL(&w->s.loop, w->s.connections.count == 0);
        w->on_auth(w->on_auth_ctx, NULL, error_new(ERROR_CANCELLED, "the process ends"));
        assert_ptr_equal(strstr(buf_c(&w->lines), "app.session.request"), strrchr(buf_c(&w->lines), '{') + strlen("{\"event\":\""));
}

static void refuses_other_requests_of_a_proxy(void **state)
{
        struct testbed *w = *state;
        struct tunnel_request rows[4];
        static const char *const reasons[] = { "offers no application 'files'", "this is another host", "cannot be understood", "a connection of this ID already" };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                rows[i] = usual();
        rows[0].name = STR("files");
        rows[1].host_id = STR("12345678-1234-4234-8234-123456789abd");
        rows[2].connection_id = STR("../x");
        given_user(w); /* row 3: this connection is there already */
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                connects(w, &rows[i]);
                assert_non_null(w->refusal);
                assert_non_null(strstr(w->refusal->what, reasons[i]));
                error_free(w->refusal);
        }
        assert_int_equal(w->s.connections.count, 1);
        decide(w, false, "");
}

int main(void)
{
#define ROW(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define HTTP(name) cmocka_unit_test_setup_teardown(name, set_up_http, tear_down)
        const struct CMUnitTest tests[] = {
                ROW(a_user_reaches_the_application),
                ROW(a_decision_on_another_application_permits_nothing),
                ROW(a_denied_user_gets_the_reason),
                ROW(a_user_reaches_the_port_that_was_named),
                ROW(cluster_and_tls_of_the_user_name_the_same_port),
                ROW(the_application_is_reached_after_the_acknowledgement_only),
                ROW(an_order_of_the_cluster_ends_an_open_connection),
                ROW(an_application_that_is_down_is_named),
                ROW(a_connection_ends_with_its_application),
                HTTP(requests_of_a_gateway_follow_without_tls),
                HTTP(a_gateway_gets_the_reason_in_tls),
                HTTP(a_request_with_the_handshake_is_refused),
                HTTP(a_request_in_tls_before_the_answer_is_none),
                HTTP(a_request_waits_for_the_decision),
                HTTP(a_request_under_way_is_recorded_when_the_process_ends),
                ROW(refuses_other_requests_of_a_proxy),
        };
#undef ROW
#undef HTTP

        return cmocka_run_group_tests(tests, NULL, NULL);
}
