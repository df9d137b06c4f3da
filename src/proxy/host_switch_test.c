/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of load balancers with requests for any host, through the listener. */
#include "proxy/host_switch.h"

#include "base/log.h"
#include "proxy/listener_testing.h"

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
                struct stage *s = stage_of_round(state, i, set_up);

                trust_forwarded_for(s);
                open_connection(s, (const char *const[]){ "http/1.1", NULL }, names[i]);
                RUN_UNTIL(s, s->handshake == NULL);
                ask_for_hosts(s);
                forget_sessions(s);
        }
}

/* The peer of an upgraded connection is the load balancer itself if that has announced no client. */
static void fields_inside_an_upgraded_connection_announce_no_client(void **state)
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
                struct stage *s = stage_of_round(state, i, set_up);

                open_plain_connection(s);
                name_proxy(s);
                request_of(s, rows[i].request, str_contains(str_of(rows[i].content), STR("launch")) ? "\r\n\r\n" : "}", rows[i].status, rows[i].content);
                forget_sessions(s);
        }
}

static void requests_for_several_hosts_may_arrive_in_any_pieces(void **state)
{
        static const char text[] = "GET /a HTTP/1.1\r\nHost: wiki.proxy.example.com\r\n\r\n"
                                   "GET /webapi/find HTTP/1.1\r\nHost: proxy.example.com\r\n\r\n"
                                   "POST /b HTTP/1.1\r\nHost: files.proxy.example.com\r\nContent-Length: 0\r\n\r\n"
                                   "GET /webapi/find HTTP/1.1\r\nHost: proxy.example.com\r\nConnection: close\r\n\r\n";

        for (size_t i = 0; i < 2; i++) {
                struct stage *s = stage_of_round(state, i, set_up);

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
        }
}

static void malformed_requests_for_any_host_are_refused_by_the_pages(void **state)
{
        static const char *const requests[] = { "GET / HTTP/1.1\r\nHost: wiki.proxy.example.com\r\nHost: files.proxy.example.com\r\n\r\n",
                                                "GET / HTTP/1.1\r\nHost: wiki.proxy.example.com\n\r\n", "GET / HTTP/1.1\r\n Host: wiki.proxy.example.com\r\n\r\n",
                                                "GET / HTTP/1.1\r\nHost : wiki.proxy.example.com\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
                                                "POST / HTTP/1.1\r\nHost: wiki.proxy.example.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" };

        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                struct stage *s = stage_of_round(state, i, set_up);

                open_plain_connection(s);
                name_proxy(s);
                stream_write(s->client, str_of(requests[i]));
                RUN_UNTIL(s, s->has_ended);
                if (!str_starts_with(buf_str(&s->client_saw), STR("HTTP/1.1 4")) || str_contains(buf_str(&s->client_saw), STR("launch")))
                        fail_msg("%s: %s", requests[i], buf_c(&s->client_saw));
                forget_sessions(s);
        }
}

static void draining_waits_for_the_request_of_a_load_balancer(void **state)
{
        static const char *const hosts[] = { "proxy.example.com", "wiki.proxy.example.com" };

        for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
                struct stage *s = stage_of_round(state, i, set_up);
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

/* An ALB appends to the field that a client has sent. */
static void two_announced_addresses_are_refused_at_each_host(void **state)
{
        static const char *const hosts[] = { "proxy.example.com", "wiki.proxy.example.com", "proxy.example.com" };
        static const char *const fields[] = { "X-Forwarded-For: 192.0.2.1, 192.0.2.2", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2" };
        struct stage *s = *state;

        trust_forwarded_for(s);
        open_plain_connection(s);
        name_proxy(s);
        for (size_t i = 0; i < ARRAY_LEN(hosts) * ARRAY_LEN(fields); i++) {
                AUTO(buf) text = BUF_MAX(1 * KiB);

                buf_printf(&text, "GET /webapi/find HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n%s\r\n\r\n", hosts[i / 2], fields[i % 2]);
                request_of(s, buf_c(&text), i / 2 == 1 ? "}\n" : "}", "HTTP/1.1 400 Bad Request\r\n", "more than one address");
        }
        assert_false(s->has_ended);
        forget_sessions(s);
}

static void a_connection_idles_longer_after_a_request_for_an_application(void **state)
{
        struct stage *s = *state;

        open_plain_connection(s);
        name_proxy(s);
        for (int round = 0; round < 2; round++) {
                request_of(s, "GET /page HTTP/1.1\r\nHost: wiki.proxy.example.com\r\nAccept: text/html\r\n\r\n", "\r\n\r\n", "HTTP/1.1 302 ", "launch");
                run_turns(s);
                loop_advance(&s->proxy.loop, &s->clock, MILLISECONDS(TIMEOUT_HTTP_IDLE - 1000));
        }
        loop_advance(&s->proxy.loop, &s->clock, MILLISECONDS(1001));
        RUN_UNTIL(s, s->has_ended);
        forget_sessions(s);
}

int main(void)
{
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        const struct CMUnitTest tests[] = {
                TEST(the_host_of_each_plain_request_decides),
                TEST(the_host_of_each_request_decides_without_a_server_name),
                TEST(a_server_name_of_the_proxy_leads_to_its_pages_only),
                TEST(a_load_balancer_may_name_any_host_in_its_handshake),
                TEST(fields_inside_an_upgraded_connection_announce_no_client),
                TEST(hosts_may_be_written_in_several_ways),
                TEST(requests_for_several_hosts_may_arrive_in_any_pieces),
                TEST(malformed_requests_for_any_host_are_refused_by_the_pages),
                TEST(draining_waits_for_the_request_of_a_load_balancer),
                TEST(draining_waits_for_a_request_for_another_server),
                TEST(draining_refuses_an_upgrade_that_has_begun),
                TEST(two_announced_addresses_are_refused_at_each_host),
                cmocka_unit_test_setup_teardown(a_connection_idles_longer_after_a_request_for_an_application, set_up_with_clock, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
