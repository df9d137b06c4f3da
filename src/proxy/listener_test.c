/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/listener_testing.h"

#include <unistd.h>

#include "base/log.h"
#include "join/identity_testing.h"
#include "net/ping_stream.h"
#include "net/websocket.h"

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

static void an_upgraded_connection_is_served_like_a_socket(void **state)
{
        static const char *const forms[] = { "websocket", "alpn", "alpn-ping" };
        for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
                struct stage *s = stage_of_round(state, i, set_up);

                upgrade(s, forms[i]);
                shake_inside(s, (const char *const[]){ "teleport-proxy-grpc", NULL });
                assert_true(str_equal(tls_alpn(s->client), STR("teleport-proxy-grpc")));
                RUN_UNTIL(s, s->client_saw.len > 9);
                assert_int_equal(s->client_saw.ptr[3], 4);
                assert_int_equal(s->proxy.sources.totals[SOURCE_CONNECTIONS], 1);
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
                struct stage *s = stage_of_round(state, i, set_up_with_clock);

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
                struct stage *s = stage_of_round(state, i, set_up_with_clock);

                lists_load_balancer(s);
                s->proxy.ingress.trusts_forwarded_for = rows[i].is_trusted;
                open_connection(s, (const char *const[]){ "http/1.1", NULL }, "proxy.example.com");
                RUN_UNTIL(s, s->handshake == NULL);
                request_page(s, rows[i].forwarded);
                run_turns(s);
                loop_advance(&s->proxy.loop, &s->clock, MILLISECONDS(TIMEOUT_HTTP1_IDLE + 1));
                RUN_UNTIL(s, s->has_ended);
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
