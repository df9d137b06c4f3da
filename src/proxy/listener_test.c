/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "join/identity_testing.h"
#include "net/ping_stream.h"
#include "net/websocket.h"
#include "pki/cert.h"
#include "proxy/apps/app_session.h"
#include "proxy/proxy.h"

/* The proxy's listener on a port of its own, a client, and a listener in place of auth; one loop for all. */
struct stage {
        struct proxy proxy;
        struct fake_clock clock; /* of the loop in tests that need it */
        Cteleport__Internal__V1__Boot boot;
        char address[ADDRESS_TEXT_MAX], plain_address[ADDRESS_TEXT_MAX], auth_address[ADDRESS_TEXT_MAX];
        struct listener *auth;
        struct stream *at_auth;   /* bytes that were passed through */
        struct buf auth_saw;

        struct dial *dial;
        struct tls_context *tls, *inner;
        struct tls_handshake *handshake;
        struct stream *client;
        const char *server_name;
        struct buf client_saw;
        bool has_ended, has_failed;
};

static void must(struct error *err)
{
        if (err != NULL)
                fail_msg("%s", err->what);
}

#define RUN_UNTIL(s, condition)                                                                    \
        while (!(condition))                                                                       \
        uv_run(&(s)->proxy.loop.uv, UV_RUN_ONCE)

/* ---- in place of auth ---- */

static void on_auth_read(void *ctx, struct str bytes)
{
        struct stage *s = ctx;
        buf_put(&s->auth_saw, bytes);
}

static void on_auth_end(void *ctx, struct error *err)
{
        struct stage *s = ctx;
        error_free(err);
        stream_close(s->at_auth);
        s->at_auth = NULL;
}

static const struct stream_events auth_events = { .on_read = on_auth_read, .on_end = on_auth_end };

static void on_auth_accepted(void *ctx, int fd, const char *peer)
{
        struct stage *s = ctx;
        (void)peer;
        s->at_auth = socket_stream(&s->proxy.loop, fd);
        stream_listen(s->at_auth, &auth_events, s);
        stream_read(s->at_auth, true);
}

/* ---- clients ---- */

static void on_client_read(void *ctx, struct str bytes)
{
        struct stage *s = ctx;
        buf_put(&s->client_saw, bytes);
}

static void on_client_end(void *ctx, struct error *err)
{
        struct stage *s = ctx;
        error_free(err);
        s->has_ended = true;
}

static const struct stream_events client_events = { .on_read = on_client_read, .on_end = on_client_end };

static void take_client(struct stage *s, struct stream *stream)
{
        s->client = stream;
        stream_listen(stream, &client_events, s);
        stream_read(stream, true);
}

static void on_shaken(void *ctx, struct stream *tls, struct error *err)
{
        struct stage *s = ctx;
        s->handshake = NULL;
        s->has_failed = err != NULL;
        error_free(err);
        if (tls != NULL)
                take_client(s, tls);
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct stage *s = ctx;
        s->dial = NULL;
        must(err);
        struct stream *tcp = socket_stream(&s->proxy.loop, fd);
        if (s->tls == NULL)
                take_client(s, tcp);
        else
                s->handshake = tls_start(&s->proxy.loop, s->tls, tcp, s->server_name, SECONDS(5), on_shaken, s);
}

/* Connects with TLS and these protocols; alpn NULL: with bare TCP. */
static void open_connection(struct stage *s, const char *const *alpn, const char *server_name)
{
        s->server_name = server_name;
        if (alpn != NULL)
                must(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = alpn }, &s->tls));
        s->dial = dial_start(&s->proxy.loop, str_of(s->address), SECONDS(5), on_dialled, s);
        RUN_UNTIL(s, s->dial == NULL);
}

/* ---- the stage ---- */

static void show_certificate(struct stage *s)
{
        static const char *const protocols[] = { "teleport-proxy-grpc", "http/1.1", "h2", NULL };
        struct str names[] = { STR_INIT("proxy.example.com") };
        AUTO(key) key = { 0 };
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        AUTO(buf) pem = BUF_MAX(2 * CERT_MAX);
        AUTO(secret) key_pem = { 0 };
        struct walltime now = loop_wall(&s->proxy.loop);
        must(key_generate(&key, KEY_ECDSA_P256));
        must(x509_self_signed_web(&key, names, 1, (struct cert_times){ now, walltime_add(now, HOURS(1)) }, &der));
        must(key_to_pem(&key, &key_pem));
        cert_der_to_pem(buf_str(&der), &pem);
        must(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE, .alpn = protocols },
                             &s->proxy.tls));
        must(tls_context_add(s->proxy.tls, NULL,
                             (struct tls_identity){ .cert_chain_pem = buf_str(&pem), .key_pem = secret_str(&key_pem) }));
}

static void open_stage(struct stage *s, const struct clock *clock)
{
        int proxy_listener_fd, plain_fd, auth_fd;
        must(loop_init(&s->proxy.loop, clock));
        cteleport__internal__v1__boot__init(&s->boot);
        s->proxy.boot = &s->boot;
        s->proxy.identity.cluster = STR("example.com");
        for (size_t i = 0; i < SOURCE_COUNTERS; i++)
                s->proxy.sources.limits[i] = (struct source_limit){ 2, 2 };
        s->auth_saw = BUF_MAX(64 * KiB);
        s->client_saw = BUF_MAX(64 * KiB);
        show_certificate(s);
        must(socket_listen_tcp(STR("127.0.0.1:0"), &auth_fd, s->auth_address));
        s->auth = listener_new(&s->proxy.loop, auth_fd, on_auth_accepted, s);
        s->proxy.auth_address = s->auth_address;
        must(socket_listen_tcp(STR("127.0.0.1:0"), &proxy_listener_fd, s->address));
        must(socket_listen_tcp(STR("127.0.0.1:0"), &plain_fd, s->plain_address));
        s->proxy.listener = proxy_listener_open(&s->proxy, proxy_listener_fd, plain_fd);
}

static int set_up(void **state)
{
        struct stage *s = NEW(struct stage);
        *state = s;
        open_stage(s, NULL);
        return 0;
}

static int set_up_with_clock(void **state)
{
        struct stage *s = NEW(struct stage);
        *state = s;
        fake_clock_init(&s->clock, 1800000000);
        open_stage(s, &s->clock.clock);
        return 0;
}

static int tear_down(void **state)
{
        struct stage *s = *state;
        stream_close(s->client);
        s->proxy.is_stopping = true; /* proxy_is_empty() ends the loop */
        proxy_listener_shut(s->proxy.listener);
        listener_close(s->auth);
        loop_run(&s->proxy.loop);
        assert_true(proxy_listener_is_empty(s->proxy.listener));
        assert_int_equal(s->proxy.sources.totals[SOURCE_CONNECTIONS], 0);
        stream_close(s->at_auth);
        proxy_listener_shut(s->proxy.listener); /* reported when the listener is freed */
        proxy_listener_free(s->proxy.listener);
        s->proxy.listener = NULL;
        sources_release(&s->proxy.sources);
        tls_context_free(s->proxy.tls);
        tls_context_free(s->tls);
        tls_context_free(s->inner);
        buf_release(&s->auth_saw);
        buf_release(&s->client_saw);
        loop_release(&s->proxy.loop);
        assert_int_equal(s->proxy.unauthenticated_memory.used, 0);
        budget_release(&s->proxy.unauthenticated_memory);
        free(s);
        return 0;
}

/* ---- tests ---- */

static void shows_its_pages_over_tls(void **state)
{
        struct stage *s = *state;
        open_connection(s, (const char *const[]){ "h2", "http/1.1", NULL }, "proxy.example.com");
        RUN_UNTIL(s, s->handshake == NULL);
        stream_write(s->client, STR("GET /webapi/find HTTP/1.1\r\nHost: p\r\n"));
        stream_write(s->client, STR("Connection: close\r\n\r\n"));
        RUN_UNTIL(s, s->has_ended);
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 200 OK\r\n")));
        assert_true(str_contains(buf_str(&s->client_saw), STR("\"cluster_name\":\"example.com\"")));
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
}

static void accepts_forms_that_arrive_in_pieces(void **state)
{
        struct stage *s = *state;
        s->proxy.upstream = upstream_new(&s->proxy.loop, NULL, NULL); /* not connected; the proxy frees it */
        open_connection(s, (const char *const[]){ "http/1.1", NULL }, "proxy.example.com");
        RUN_UNTIL(s, s->handshake == NULL);
        stream_write(s->client, STR("POST /web/invite/0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Length: 7\r\n"
                                     "Content-Type: application/x-www-form-urlencoded\r\n\r\notp="));
        RUN_UNTIL(s, stream_pending(s->client) == 0);
        stream_write(s->client, STR("123 and more that nobody reads"));
        RUN_UNTIL(s, s->has_ended);
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 503 Service Unavailable\r\n")));
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
}

static void speaks_grpc_with_clients_that_offer_nothing_else(void **state)
{
        struct stage *s = *state;
        open_connection(s, (const char *const[]){ "teleport-proxy-grpc", "h2", NULL }, "proxy.example.com");
        RUN_UNTIL(s, s->handshake == NULL);
        assert_true(str_equal(tls_alpn(s->client), STR("teleport-proxy-grpc")));
        RUN_UNTIL(s, s->client_saw.len > 9); /* the server's SETTINGS frame (RFC 9113 section 3.4) */
        assert_int_equal(s->client_saw.ptr[3], 4);
}

static void forwards_connections_for_auth_unchanged(void **state)
{
        struct stage *s = *state;
        struct client_hello hello;
        bool is_complete = false;
        open_connection(s, (const char *const[]){ "teleport-auth@6578.teleport.cluster.local", NULL }, "proxy.example.com");
        while (!is_complete) {
                uv_run(&s->proxy.loop.uv, UV_RUN_ONCE);
                must(client_hello_parse(buf_str(&s->auth_saw), &hello, &is_complete));
        }
        assert_true(str_equal(hello.alpn[0], STR("teleport-auth@6578.teleport.cluster.local")));
        assert_int_equal(s->proxy.sources.totals[SOURCE_CONNECTIONS], 0);
        stream_close(s->at_auth); /* auth hangs up, and so does the proxy */
        s->at_auth = NULL;
        RUN_UNTIL(s, s->handshake == NULL);
        assert_true(s->has_failed);
}

static void knows_auth_by_its_name_too(void **state)
{
        struct stage *s = *state;
        open_connection(s, (const char *const[]){ "h2", NULL }, "6578616d706c65.teleport.cluster.local");
        RUN_UNTIL(s, s->auth_saw.len > 0);
        stream_close(s->at_auth);
        s->at_auth = NULL;
        RUN_UNTIL(s, s->handshake == NULL);
}

static void keeps_names_of_its_own_below_the_same_suffix(void **state)
{
        struct stage *s = *state;
        open_connection(s, (const char *const[]){ "h2", NULL }, "teleport.cluster.local");
        RUN_UNTIL(s, s->handshake == NULL);
        assert_false(s->has_failed);
        assert_int_equal(s->auth_saw.len, 0);
}

static void answers_plain_http_with_a_hint_to_tls(void **state)
{
        struct stage *s = *state;
        open_connection(s, NULL, NULL);
        stream_write(s->client, STR("GET / HTTP/1.1\r\nHost: p\r\n\r\n"));
        RUN_UNTIL(s, s->has_ended);
        assert_true(str_contains(buf_str(&s->client_saw), STR("use https")));
}

static void closes_a_connection_that_sends_garbage(void **state)
{
        struct stage *s = *state;
        open_connection(s, NULL, NULL);
        stream_write(s->client, STR("\x05\x01\x00 socks, is that you?"));
        RUN_UNTIL(s, s->has_ended);
        assert_int_equal(s->client_saw.len, 0);
}

static void refuses_a_source_with_too_many_connections(void **state)
{
        struct stage *s = *state;
        assert_true(sources_enter(&s->proxy.sources, SOURCE_CONNECTIONS, "127.0.0.1:1"));
        assert_true(sources_enter(&s->proxy.sources, SOURCE_CONNECTIONS, "127.0.0.1:2"));
        open_connection(s, NULL, NULL);
        RUN_UNTIL(s, s->has_ended);
        sources_leave(&s->proxy.sources, SOURCE_CONNECTIONS, "127.0.0.1:1");
        sources_leave(&s->proxy.sources, SOURCE_CONNECTIONS, "127.0.0.1:2");
}

/* ---- upgraded connections ---- */

static void on_websocket(void *ctx, struct stream *ws, struct error *err)
{
        struct stage *s = ctx;
        must(err);
        s->client = ws;
}

/* Upgrades an HTTPS connection in one of the three forms. */
static void upgrade(struct stage *s, const char *form)
{
        open_connection(s, (const char *const[]){ "http/1.1", NULL }, "proxy.example.com");
        RUN_UNTIL(s, s->handshake == NULL);
        struct stream *https = s->client;
        if (strcmp(form, "websocket") == 0) {
                struct websocket_request request = { .host = "p", .path = "/webapi/connectionupgrade", .protocol = "alpn-ping", .within = SECONDS(60) };
                s->client = NULL;
                (void)!websocket_connect_start(&s->proxy.loop, https, &request, on_websocket, s);
                RUN_UNTIL(s, s->client != NULL);
                return;
        }
        AUTO(buf) text = BUF_MAX(1 * KiB);
        buf_printf(&text, "GET /v1/webapi/connectionupgrade HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", form);
        stream_write(https, buf_str(&text));
        RUN_UNTIL(s, str_ends_with(buf_str(&s->client_saw), STR("\r\n\r\n")));
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 101 ")));
        s->client = strcmp(form, "alpn-ping") == 0 ? ping_stream(&s->proxy.loop, https) : https;
}

static void begin_inside(struct stage *s, const char *const *alpn)
{
        must(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = alpn }, &s->inner));
        s->handshake = tls_start(&s->proxy.loop, s->inner, s->client, s->server_name, SECONDS(60), on_shaken, s);
        s->client = NULL;
}

/* TLS inside the upgraded connection. */
static void shake_inside(struct stage *s, const char *const *alpn)
{
        buf_clear(&s->client_saw);
        begin_inside(s, alpn);
        RUN_UNTIL(s, s->handshake == NULL);
        assert_false(s->has_failed);
}

static void an_upgraded_connection_is_served_like_a_socket(void **state)
{
        static const char *const forms[] = { "websocket", "alpn", "alpn-ping" };
        for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
                struct stage *s;
                if (i > 0)
                        set_up(state);
                s = *state;
                upgrade(s, forms[i]);
                shake_inside(s, (const char *const[]){ "teleport-proxy-grpc", NULL });
                assert_true(str_equal(tls_alpn(s->client), STR("teleport-proxy-grpc")));
                RUN_UNTIL(s, s->client_saw.len > 9);
                assert_int_equal(s->client_saw.ptr[3], 4);
                assert_int_equal(s->proxy.sources.totals[SOURCE_CONNECTIONS], 1);
                if (i + 1 < ARRAY_LEN(forms))
                        tear_down(state);
        }
}

static void a_connection_for_auth_inside_an_upgraded_one_is_passed_through(void **state)
{
        struct stage *s = *state;
        struct client_hello hello;
        bool is_complete = false;
        upgrade(s, "websocket");
        begin_inside(s, (const char *const[]){ "teleport-auth@6578.teleport.cluster.local", NULL });
        while (!is_complete) {
                uv_run(&s->proxy.loop.uv, UV_RUN_ONCE);
                must(client_hello_parse(buf_str(&s->auth_saw), &hello, &is_complete));
        }
        assert_int_equal(s->proxy.sources.totals[SOURCE_CONNECTIONS], 0);
        assert_int_equal(s->proxy.sources.totals[SOURCE_PASSED], 1);
        stream_close(s->at_auth);
        s->at_auth = NULL;
        RUN_UNTIL(s, s->handshake == NULL);
        assert_true(s->has_failed);
}

static void an_upgraded_connection_is_not_upgraded_again(void **state)
{
        struct stage *s = *state;
        upgrade(s, "websocket");
        shake_inside(s, (const char *const[]){ "http/1.1", NULL });
        stream_write(s->client, STR("GET /webapi/connectionupgrade HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: alpn\r\n\r\n"));
        RUN_UNTIL(s, str_contains(buf_str(&s->client_saw), STR("it is not upgraded again")));
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 400 ")));
        RUN_UNTIL(s, s->has_ended);
}

/* Opens a TCP connection to the port for plain HTTP. */
static void open_plain_connection(struct stage *s)
{
        s->dial = dial_start(&s->proxy.loop, str_of(s->plain_address), SECONDS(5), on_dialled, s);
        RUN_UNTIL(s, s->dial == NULL);
}

static void plain_http_gets_the_pages_where_it_is_listened_for(void **state)
{
        struct stage *s = *state;
        open_plain_connection(s);
        stream_write(s->client, STR("GET /webapi/find HTTP/1.0\r\n\r\n"));
        RUN_UNTIL(s, s->has_ended);
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 200 OK\r\n")));
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
}

static void tls_is_refused_where_plain_http_is_listened_for(void **state)
{
        struct stage *s = *state;
        open_plain_connection(s);
        stream_write(s->client, STR("\x16\x03\x01\x00\x05"));
        RUN_UNTIL(s, s->has_ended);
        assert_int_equal(s->client_saw.len, 0);
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
}

static void an_upgrade_over_plain_http_leads_to_tls(void **state)
{
        struct stage *s = *state;
        open_plain_connection(s);
        stream_write(s->client, STR("GET /webapi/connectionupgrade HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: alpn\r\n\r\n"));
        RUN_UNTIL(s, str_ends_with(buf_str(&s->client_saw), STR("\r\n\r\n")));
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 101 ")));
        s->server_name = "proxy.example.com";
        shake_inside(s, (const char *const[]){ "teleport-proxy-grpc", NULL });
        RUN_UNTIL(s, s->client_saw.len > 9);
}

/* ---- requests of load balancers, for any host ---- */

static void lists_load_balancer(struct stage *s)
{
        static struct network loopback;

        must(network_parse(STR("127.0.0.0/8"), &loopback));
        s->proxy.ingress = (struct ingress){ .load_balancers = &loopback, .load_balancer_count = 1 };
}

static void trust_forwarded_for(struct stage *s)
{
        lists_load_balancer(s);
        s->proxy.ingress.trusts_forwarded_for = true;
}

/* Applications are below this name from now on. */
static void name_proxy(struct stage *s)
{
        static char name[] = "proxy.example.com:443";
        static char *names[] = { name };
        static Cteleport__V1__ProxyConfig section;
        static Cteleport__V1__Config config;

        cteleport__v1__proxy_config__init(&section);
        cteleport__v1__config__init(&config);
        section.public_addr = names;
        section.n_public_addr = 1;
        config.proxy_service = &section;
        s->boot.config = &config;
        s->proxy.app_sessions = app_sessions_new(&s->proxy);
}

static void forget_sessions(struct stage *s)
{
        stream_close(s->client);
        s->client = NULL;
        app_sessions_shut(s->proxy.app_sessions);
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener) && app_sessions_is_empty(s->proxy.app_sessions));
        app_sessions_free(s->proxy.app_sessions);
        s->proxy.app_sessions = NULL;
        s->boot.config = NULL;
}

/* What is due now, such as that the connection comes back from the web server, is done. */
static void run_turns(struct stage *s)
{
        for (int turn = 0; turn < 50; turn++)
                uv_run(&s->proxy.loop.uv, UV_RUN_NOWAIT);
}

static void request_of(struct stage *s, const char *text, const char *end, const char *status, const char *content)
{
        buf_clear(&s->client_saw);
        stream_write(s->client, str_of(text));
        RUN_UNTIL(s, s->has_ended || str_ends_with(buf_str(&s->client_saw), str_of(end)));
        if (!str_starts_with(buf_str(&s->client_saw), str_of(status)) || !str_contains(buf_str(&s->client_saw), str_of(content)))
                fail_msg("%s: %s", text, buf_c(&s->client_saw));
}

static void ask_for_hosts(struct stage *s)
{
        static const char *const apps[] = { "wiki", "wiki", "files" };

        name_proxy(s);
        for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < ARRAY_LEN(apps); i++) {
                        AUTO(buf) text = BUF_MAX(1 * KiB), place = BUF_MAX(1 * KiB);

                        buf_printf(&text, "GET /page HTTP/1.1\r\nHost: %s.proxy.example.com\r\nAccept: text/html\r\n\r\n", apps[i]);
                        buf_printf(&place, "Location: https://proxy.example.com/web/launch/%s.proxy.example.com?path=%%2Fpage\r\n", apps[i]);
                        request_of(s, buf_c(&text), "\r\n\r\n", "HTTP/1.1 302 ", buf_c(&place));
                }
                request_of(s, "GET /webapi/find HTTP/1.1\r\nHost: proxy.example.com\r\n\r\n", "}", "HTTP/1.1 200 OK\r\n", "\"cluster_name\":\"example.com\"");
                request_of(s, "GET /webapi/find HTTP/1.1\r\nHost: 10.0.0.10:3080\r\n\r\n", "}", "HTTP/1.1 200 OK\r\n", "\"cluster_name\":\"example.com\"");
        }
        assert_false(s->has_ended);
}

static void the_host_of_each_plain_request_decides(void **state)
{
        struct stage *s = *state;

        open_plain_connection(s);
        ask_for_hosts(s);
        forget_sessions(s);
}

static void the_host_of_each_request_decides_without_a_server_name(void **state)
{
        struct stage *s = *state;

        open_connection(s, (const char *const[]){ "http/1.1", NULL }, NULL);
        RUN_UNTIL(s, s->handshake == NULL);
        ask_for_hosts(s);
        forget_sessions(s);
}

/* The name of the handshake counts. No page of the proxy has the host of an application, to which the cookies of the page would go. */
static void a_server_name_of_the_proxy_leads_to_its_pages_only(void **state)
{
        static const char *const paths[] = { "/webapi/find", "/web/login", "/page" };
        struct stage *s = *state;

        open_connection(s, (const char *const[]){ "http/1.1", NULL }, "proxy.example.com");
        RUN_UNTIL(s, s->handshake == NULL);
        name_proxy(s);
        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                AUTO(buf) text = BUF_MAX(1 * KiB);

                buf_printf(&text, "GET %s HTTP/1.1\r\nHost: wiki.proxy.example.com\r\n\r\n", paths[i]);
                request_of(s, buf_c(&text), "}", "HTTP/1.1 421 Misdirected Request\r\n", "application");
        }
        request_of(s, "GET /webapi/find HTTP/1.1\r\nHost: proxy.example.com\r\n\r\n", "}", "HTTP/1.1 200 OK\r\n", "cluster_name");
        forget_sessions(s);
}

/* nginx with keepalive uses a connection that it has made for one name for requests of all. */
static void a_load_balancer_may_name_any_host_in_its_handshake(void **state)
{
        static const char *const names[] = { "proxy.example.com", "wiki.proxy.example.com", "files.proxy.example.com" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                struct stage *s;
                if (i > 0)
                        set_up(state);
                s = *state;
                trust_forwarded_for(s);
                open_connection(s, (const char *const[]){ "http/1.1", NULL }, names[i]);
                RUN_UNTIL(s, s->handshake == NULL);
                ask_for_hosts(s);
                forget_sessions(s);
                if (i + 1 < ARRAY_LEN(names))
                        tear_down(state);
        }
}

/* The peer of an upgraded connection is the load balancer itself if that has announced no client. */
static void fields_inside_an_upgraded_connection_announce_nobody(void **state)
{
        struct stage *s = *state;

        trust_forwarded_for(s);
        open_plain_connection(s);
        stream_write(s->client, STR("GET /webapi/connectionupgrade HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: alpn\r\n\r\n"));
        RUN_UNTIL(s, str_ends_with(buf_str(&s->client_saw), STR("\r\n\r\n")));
        name_proxy(s);
        s->proxy.tls_apps = s->proxy.tls;
        s->server_name = "wiki.proxy.example.com";
        shake_inside(s, (const char *const[]){ "http/1.1", NULL });
        request_of(s, "GET /page HTTP/1.1\r\nHost: wiki.proxy.example.com\r\nAccept: text/html\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n\r\n", "\r\n\r\n", "HTTP/1.1 302 ", "launch");
        s->proxy.tls_apps = NULL;
        forget_sessions(s);
}

static void hosts_may_be_written_in_several_ways(void **state)
{
        static const struct {
                const char *request, *status, *content;
        } rows[] = {
                { "GET / HTTP/1.1\r\nHost: WIKI.Proxy.Example.COM\r\n\r\n", "HTTP/1.1 302 ", "launch/WIKI.Proxy.Example.COM?" },
                { "GET / HTTP/1.1\r\nHost: wiki.proxy.example.com:8443\r\n\r\n", "HTTP/1.1 302 ", "launch/wiki.proxy.example.com?" },
                { "GET http://wiki.proxy.example.com/ HTTP/1.1\r\nHost: proxy.example.com\r\n\r\n", "HTTP/1.1 302 ", "launch/wiki." },
                { "GET http://proxy.example.com/webapi/find HTTP/1.1\r\nHost: wiki.proxy.example.com\r\n\r\n", "HTTP/1.1 400 ", "error" },
                { "GET /webapi/find HTTP/1.1\r\nHost: wiki.proxy.example.com.\r\n\r\n", "HTTP/1.1 200 ", "cluster_name" }, /* another host to browsers */
                { "GET /webapi/find HTTP/1.1\r\nHost: a.wiki.proxy.example.com\r\n\r\n", "HTTP/1.1 200 ", "cluster_name" },
                { "GET /webapi/find HTTP/1.1\r\nHost: [::1]:3080\r\n\r\n", "HTTP/1.1 200 ", "cluster_name" },
                { "GET /webapi/find HTTP/1.1\r\nHost: evil.example.net\r\n\r\n", "HTTP/1.1 200 ", "cluster_name" },
                { "GET /webapi/find HTTP/1.1\r\nHost: proxy.example.com\r\nX-Forwarded-Host: wiki.proxy.example.com\r\n\r\n", "HTTP/1.1 200 ", "cluster_name" },
                /* The parser of the gateway refuses these, that of the pages does not. */
                { "GET /webapi/find#x HTTP/1.1\r\nHost: wiki.proxy.example.com\r\n\r\n", "HTTP/1.1 421 ", "application" },
                { "GET /web/login HTTP/1.1\r\nHost: wiki.proxy.example.com\r\nContent_Length: 5\r\n\r\n", "HTTP/1.1 421 ", "application" },
                { "GET /webapi/find HTTP/1.1\r\nHost: proxy.example.com\r\nContent_Length: 5\r\n\r\n", "HTTP/1.1 200 ", "cluster_name" },
                { "CONNECT wiki.proxy.example.com:443 HTTP/1.1\r\nHost: wiki.proxy.example.com:443\r\n\r\n", "HTTP/1.1 421 ", "application" },
                { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 ", "error" }, /* HTTP/2 by prior knowledge */
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct stage *s;
                if (i > 0)
                        set_up(state);
                s = *state;
                open_plain_connection(s);
                name_proxy(s);
                request_of(s, rows[i].request, str_contains(str_of(rows[i].content), STR("launch")) ? "\r\n\r\n" : "}", rows[i].status, rows[i].content);
                forget_sessions(s);
                if (i + 1 < ARRAY_LEN(rows))
                        tear_down(state);
        }
}

static void requests_for_several_hosts_may_arrive_in_any_pieces(void **state)
{
        static const char text[] = "GET /a HTTP/1.1\r\nHost: wiki.proxy.example.com\r\n\r\n"
                                   "GET /webapi/find HTTP/1.1\r\nHost: proxy.example.com\r\n\r\n"
                                   "POST /b HTTP/1.1\r\nHost: files.proxy.example.com\r\nContent-Length: 0\r\n\r\n"
                                   "GET /webapi/find HTTP/1.1\r\nHost: proxy.example.com\r\nConnection: close\r\n\r\n";

        for (int i = 0; i < 2; i++) {
                struct stage *s;
                if (i > 0)
                        set_up(state);
                s = *state;
                open_plain_connection(s);
                name_proxy(s);
                for (size_t at = 0; at < sizeof text - 1; at += i == 0 ? sizeof text : 1) {
                        stream_write(s->client, str_slice(str_of(text), at, i == 0 ? sizeof text - 1 : 1));
                        if (i > 0)
                                uv_run(&s->proxy.loop.uv, UV_RUN_NOWAIT);
                }
                RUN_UNTIL(s, s->has_ended);
                struct str rest = buf_str(&s->client_saw);
                static const char *const parts[] = { "HTTP/1.1 302 ", "launch/wiki.", "HTTP/1.1 200 OK", "cluster_name", "HTTP/1.1 401 ", "launch/files.", "HTTP/1.1 200 OK", "Connection: close",
                                                     "cluster_name" };
                for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
                        const char *at = memmem(rest.ptr, rest.len, parts[p], strlen(parts[p]));
                        if (at == NULL)
                                fail_msg("%s: %s", parts[p], buf_c(&s->client_saw));
                        rest = str_slice(rest, (size_t)(at - rest.ptr) + strlen(parts[p]), rest.len);
                }
                forget_sessions(s);
                if (i == 0)
                        tear_down(state);
        }
}

static void malformed_requests_for_any_host_are_refused_by_the_pages(void **state)
{
        static const char *const requests[] = { "GET / HTTP/1.1\r\nHost: wiki.proxy.example.com\r\nHost: files.proxy.example.com\r\n\r\n",
                                                "GET / HTTP/1.1\r\nHost: wiki.proxy.example.com\n\r\n", "GET / HTTP/1.1\r\n Host: wiki.proxy.example.com\r\n\r\n",
                                                "GET / HTTP/1.1\r\nHost : wiki.proxy.example.com\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
                                                "POST / HTTP/1.1\r\nHost: wiki.proxy.example.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" };

        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                struct stage *s;
                if (i > 0)
                        set_up(state);
                s = *state;
                open_plain_connection(s);
                name_proxy(s);
                stream_write(s->client, str_of(requests[i]));
                RUN_UNTIL(s, s->has_ended);
                if (!str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 4")) || str_contains(buf_str(&s->client_saw), STR("launch")))
                        fail_msg("%s: %s", requests[i], buf_c(&s->client_saw));
                forget_sessions(s);
                if (i + 1 < ARRAY_LEN(requests))
                        tear_down(state);
        }
}

static void draining_waits_for_the_request_of_a_load_balancer(void **state)
{
        static const char *const hosts[] = { "proxy.example.com", "wiki.proxy.example.com" };

        for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
                struct stage *s;
                if (i > 0)
                        set_up(state);
                s = *state;
                AUTO(buf) rest = BUF_MAX(1 * KiB);
                open_plain_connection(s);
                name_proxy(s);
                stream_write(s->client, STR("GET /webapi/find HTTP/1.1\r\n"));
                run_turns(s);
                proxy_listener_drain(s->proxy.listener);
                buf_printf(&rest, "Host: %s\r\n\r\n", hosts[i]);
                stream_write(s->client, buf_str(&rest));
                RUN_UNTIL(s, s->has_ended);
                assert_true(str_starts_with(buf_str(&s->client_saw), i == 0 ? STR("HTTP/1.1 200 ") : STR("HTTP/1.1 302 ")));
                assert_true(str_contains(buf_str(&s->client_saw), STR("Connection: close\r\n")));
                forget_sessions(s);
                if (i + 1 < ARRAY_LEN(hosts))
                        tear_down(state);
        }
}

/* The gateway has the first half of a request that is none of its own. */
static void draining_waits_for_a_request_for_another_server(void **state)
{
        struct stage *s = *state;

        open_plain_connection(s);
        name_proxy(s);
        request_of(s, "HEAD /page HTTP/1.1\r\nHost: wiki.proxy.example.com\r\nAccept: text/html\r\n\r\n", "\r\n\r\n", "HTTP/1.1 302 ", "launch");
        stream_write(s->client, STR("GET /webapi/find HTTP/1.1\r\n"));
        run_turns(s);
        proxy_listener_drain(s->proxy.listener);
        request_of(s, "Host: proxy.example.com\r\n\r\n", "}", "HTTP/1.1 200 ", "Connection: close\r\n");
        RUN_UNTIL(s, s->has_ended);
        forget_sessions(s);
}

static void draining_refuses_an_upgrade_that_has_begun(void **state)
{
        struct stage *s = *state;

        open_plain_connection(s);
        stream_write(s->client, STR("GET /webapi/connectionupgrade HTTP/1.1\r\nConnection: Upgrade\r\n"));
        run_turns(s);
        proxy_listener_drain(s->proxy.listener);
        request_of(s, "Host: p\r\nUpgrade: alpn\r\n\r\n", "}", "HTTP/1.1 503 ", "Retry-After: ");
        RUN_UNTIL(s, s->has_ended);
}

static void noise_in_an_upgraded_connection_ends_it(void **state)
{
        struct stage *s = *state;
        upgrade(s, "websocket");
        s->has_ended = false;
        take_client(s, s->client);
        stream_write(s->client, STR("\x05\x01\x00 socks"));
        RUN_UNTIL(s, s->has_ended);
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener));
}

static void draining_ends_idle_connections(void **state)
{
        struct stage *s = *state;
        open_connection(s, NULL, NULL);
        RUN_UNTIL(s, !proxy_listener_is_empty(s->proxy.listener));
        proxy_listener_drain(s->proxy.listener);
        RUN_UNTIL(s, s->has_ended);
        assert_true(proxy_listener_is_empty(s->proxy.listener));
}

static void request_page(struct stage *s, const char *forwarded)
{
        AUTO(buf) text = BUF_MAX(1 * KiB);

        buf_clear(&s->client_saw);
        buf_printf(&text, "GET /webapi/find HTTP/1.1\r\nHost: p\r\n%s\r\n", forwarded);
        stream_write(s->client, buf_str(&text));
        RUN_UNTIL(s, s->has_ended || str_ends_with(buf_str(&s->client_saw), STR("}")));
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 200 OK\r\n")));
}

static void a_load_balancer_may_be_idle_for_longer(void **state)
{
        static const char *const names[] = { "proxy.example.com", NULL };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                struct stage *s;
                if (i > 0)
                        set_up_with_clock(state);
                s = *state;
                trust_forwarded_for(s);
                open_connection(s, (const char *const[]){ "http/1.1", NULL }, names[i]);
                RUN_UNTIL(s, s->handshake == NULL);
                for (int round = 0; round < 2; round++) {
                        request_page(s, "X-Forwarded-For: 203.0.113.7\r\n");
                        run_turns(s);
                        loop_advance(&s->proxy.loop, &s->clock, MILLISECONDS(TIMEOUT_HTTP1_IDLE_BALANCER - 1000));
                }
                loop_advance(&s->proxy.loop, &s->clock, MILLISECONDS(1001));
                RUN_UNTIL(s, s->has_ended);
                if (i + 1 < ARRAY_LEN(names))
                        tear_down(state);
        }
}

/* Behind one that forwards TCP: its client could send the field itself, so the field must be trusted, too. */
static void clients_behind_a_load_balancer_are_idle_as_briefly_as_others(void **state)
{
        static const struct {
                bool is_trusted;
                const char *forwarded;
        } rows[] = { { true, "" }, { false, "" }, { false, "X-Forwarded-For: 203.0.113.7\r\n" } };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct stage *s;
                if (i > 0)
                        set_up_with_clock(state);
                s = *state;
                lists_load_balancer(s);
                s->proxy.ingress.trusts_forwarded_for = rows[i].is_trusted;
                open_connection(s, (const char *const[]){ "http/1.1", NULL }, "proxy.example.com");
                RUN_UNTIL(s, s->handshake == NULL);
                request_page(s, rows[i].forwarded);
                run_turns(s);
                loop_advance(&s->proxy.loop, &s->clock, MILLISECONDS(TIMEOUT_HTTP1_IDLE + 1));
                RUN_UNTIL(s, s->has_ended);
                if (i + 1 < ARRAY_LEN(rows))
                        tear_down(state);
        }
}

/* It announces clients in HTTP. */
static void trusts_load_balancer(struct stage *s)
{
        trust_forwarded_for(s);
        assert_true(sources_enter(&s->proxy.sources, SOURCE_CONNECTIONS, "127.0.0.1:1"));
        assert_true(sources_enter(&s->proxy.sources, SOURCE_CONNECTIONS, "127.0.0.1:2"));
        s->proxy.sources.limits[SOURCE_CONNECTIONS].total = 10;
}

static void release_source(struct stage *s)
{
        sources_leave(&s->proxy.sources, SOURCE_CONNECTIONS, "127.0.0.1:1");
        sources_leave(&s->proxy.sources, SOURCE_CONNECTIONS, "127.0.0.1:2");
}

static void a_load_balancer_has_no_limit_for_http(void **state)
{
        struct stage *s = *state;
        trusts_load_balancer(s);
        open_connection(s, (const char *const[]){ "http/1.1", NULL }, "proxy.example.com");
        RUN_UNTIL(s, s->handshake == NULL);
        stream_write(s->client, STR("GET /webapi/find HTTP/1.0\r\n\r\n"));
        RUN_UNTIL(s, s->has_ended);
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 200 OK\r\n")));
        release_source(s);
}

static void a_load_balancer_has_a_limit_for_other_protocols(void **state)
{
        struct stage *s = *state;
        trusts_load_balancer(s);
        open_connection(s, (const char *const[]){ "h2", NULL }, "proxy.example.com");
        RUN_UNTIL(s, s->has_ended || s->has_failed || s->client_saw.len > 0);
        assert_int_equal(s->client_saw.len, 0); /* no SETTINGS of HTTP/2 */
        release_source(s);
}

/* They have proven who they are: the limit is for others. */
static void nodes_connect_through_a_load_balancer_at_its_limit(void **state)
{
        const char *const alpn[] = { TUNNEL_ALPN, NULL };
        struct stage *s = *state;
        struct fake_cluster hosts;
        AUTO(buf) trust = BUF_MAX(64 * KiB), pem = BUF_MAX(2 * CERT_MAX);

        trusts_load_balancer(s);
        fake_cluster_init(&hosts, loop_wall(&s->proxy.loop));
        struct host_identity node = fake_identity(&hosts, "Node");
        cert_der_to_pem(buf_str(&hosts.ca.cert), &trust);
        cert_der_to_pem(node.certs.tls_cert, &pem);
        struct tls_identity identity = { .cert_chain_pem = buf_str(&pem), .key_pem = secret_str(&node.tls_key_pem) };
        must(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_REQUIRED, .trust_pem = buf_str(&trust), .alpn = alpn },
                             &s->proxy.tls_nodes));
        must(tls_context_add(s->proxy.tls_nodes, NULL, identity));
        must(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = alpn }, &s->tls));
        must(tls_context_add(s->tls, NULL, identity));
        s->proxy.tunnels.loop = &s->proxy.loop;
        s->proxy.tunnels.sources = &s->proxy.sources;
        s->dial = dial_start(&s->proxy.loop, str_of(s->address), SECONDS(5), on_dialled, s);
        RUN_UNTIL(s, s->dial == NULL && s->handshake == NULL && (s->has_ended || s->has_failed || s->client_saw.len > 0));
        assert_true(str_starts_with(buf_str(&s->client_saw), STR("PRI * HTTP/2.0"))); /* of the proxy, the client in a tunnel */
        tunnels_shut(&s->proxy.tunnels);
        RUN_UNTIL(s, tunnels_are_empty(&s->proxy.tunnels) && s->has_ended);
        tunnels_release(&s->proxy.tunnels);
        tls_context_free(s->proxy.tls_nodes);
        host_identity_release(&node);
        fake_cluster_release(&hosts);
        release_source(s);
}

/* ---- limits ---- */

static void a_load_balancer_without_nodes_has_a_share_of_passed_connections(void **state)
{
        struct stage *s = *state;
        struct sources *sources = &s->proxy.sources;

        lists_load_balancer(s);
        proxy_set_limits(&s->proxy);
        for (size_t i = 0; i <= LIMIT_CONNECTIONS_PER_SOURCE; i++)
                assert_true(sources_enter(sources, SOURCE_CONNECTIONS, "127.0.0.1:1"));
        for (size_t i = 0; i < LIMIT_PASSED_PER_SOURCE; i++)
                assert_true(sources_enter(sources, SOURCE_PASSED, "127.0.0.1:1"));
        assert_false(sources_enter(sources, SOURCE_PASSED, "127.0.0.1:1"));
        assert_true(sources_enter(sources, SOURCE_TUNNELS, "127.0.0.1:1")); /* a node behind it is connected: others reconnect */
        assert_true(sources_enter(sources, SOURCE_PASSED, "127.0.0.1:1"));
        while (sources_count(sources, SOURCE_CONNECTIONS, STR("127.0.0.1")) > 0)
                sources_leave(sources, SOURCE_CONNECTIONS, "127.0.0.1:1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        const struct CMUnitTest tests[] = {
                TEST(shows_its_pages_over_tls),
                TEST(accepts_forms_that_arrive_in_pieces),
                TEST(speaks_grpc_with_clients_that_offer_nothing_else),
                TEST(forwards_connections_for_auth_unchanged),
                TEST(knows_auth_by_its_name_too),
                TEST(keeps_names_of_its_own_below_the_same_suffix),
                TEST(answers_plain_http_with_a_hint_to_tls),
                TEST(closes_a_connection_that_sends_garbage),
                TEST(refuses_a_source_with_too_many_connections),
                TEST(an_upgraded_connection_is_served_like_a_socket),
                TEST(a_connection_for_auth_inside_an_upgraded_one_is_passed_through),
                TEST(an_upgraded_connection_is_not_upgraded_again),
                TEST(plain_http_gets_the_pages_where_it_is_listened_for),
                TEST(tls_is_refused_where_plain_http_is_listened_for),
                TEST(an_upgrade_over_plain_http_leads_to_tls),
                TEST(the_host_of_each_plain_request_decides),
                TEST(the_host_of_each_request_decides_without_a_server_name),
                TEST(a_server_name_of_the_proxy_leads_to_its_pages_only),
                TEST(a_load_balancer_may_name_any_host_in_its_handshake),
                TEST(fields_inside_an_upgraded_connection_announce_nobody),
                TEST(hosts_may_be_written_in_several_ways),
                TEST(requests_for_several_hosts_may_arrive_in_any_pieces),
                TEST(malformed_requests_for_any_host_are_refused_by_the_pages),
                TEST(draining_waits_for_the_request_of_a_load_balancer),
                TEST(draining_waits_for_a_request_for_another_server),
                TEST(draining_refuses_an_upgrade_that_has_begun),
                TEST(noise_in_an_upgraded_connection_ends_it),
                TEST(draining_ends_idle_connections),
                cmocka_unit_test_setup_teardown(a_load_balancer_may_be_idle_for_longer, set_up_with_clock, tear_down),
                cmocka_unit_test_setup_teardown(clients_behind_a_load_balancer_are_idle_as_briefly_as_others, set_up_with_clock, tear_down),
                TEST(a_load_balancer_has_no_limit_for_http),
                TEST(a_load_balancer_has_a_limit_for_other_protocols),
                TEST(nodes_connect_through_a_load_balancer_at_its_limit),
                TEST(a_load_balancer_without_nodes_has_a_share_of_passed_connections),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
