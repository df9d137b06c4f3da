/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_proxy.h"

#include <unistd.h>

#include "net/http1.h"
#include "net/net_testing.h"

/* ---- choice of the proxy ------------------------------------------------------------------------------- */

#define UNUSABLE "unusable"

static const struct {
        const char *name;
        const char *https_proxy, *no_proxy, *host;
        int port;
        const char *proxy; /* "": straight; "tls " stands before the address of a proxy that speaks TLS */
} choices[] = {
        { "nothing is set", NULL, NULL, "example.com", 443, "" },
        { "an empty setting is none", " ", "", "example.com", 443, "" },
        { "a proxy with a port", "http://proxy.lan:3128", NULL, "example.com", 443, "proxy.lan:3128" },
        { "the scheme may be missing", "proxy.lan:3128", NULL, "example.com", 443, "proxy.lan:3128" },
        { "the port may be missing", "http://proxy.lan/", NULL, "example.com", 443, "proxy.lan:80" },
        { "an IPv6 address", "http://[2001:db8::1]:3128", NULL, "example.com", 443, "[2001:db8::1]:3128" },
        { "user and password are no part of the address", "http://u:p@ss@proxy.lan:3128", NULL, "example.com", 443,
          "proxy.lan:3128" },
        { "TLS to the proxy", "https://proxy.lan", NULL, "example.com", 443, "tls proxy.lan:443" },
        { "TLS to the proxy, with all parts", "https://u:p@[2001:db8::1]:3129/", NULL, "example.com", 443, "tls [2001:db8::1]:3129" },
        { "a scheme in other letters", "HTTP://proxy.lan:3128", NULL, "example.com", 443, "proxy.lan:3128" },
        { "TLS in other letters", "Https://proxy.lan:3128", NULL, "example.com", 443, "tls proxy.lan:3128" },
        { "port 0", "http://proxy.lan:0", NULL, "example.com", 443, UNUSABLE },
        { "SOCKS", "socks5://proxy.lan", NULL, "example.com", 443, UNUSABLE },
        { "another scheme", "ftp://proxy.lan", NULL, "example.com", 443, UNUSABLE },
        { "no host", "http://:3128", NULL, "example.com", 443, UNUSABLE },
        { "a name that is not ASCII", "http://pr\xc3\xb6xy.lan:3128", NULL, "example.com", 443, UNUSABLE },
        { "no such port", "http://proxy.lan:65536", NULL, "example.com", 443, UNUSABLE },
        { "localhost is near", "http://proxy.lan:3128", NULL, "localhost", 443, "" },
        { "loopback is near", "http://proxy.lan:3128", NULL, "127.8.8.8", 443, "" },
        { "loopback of IPv6 is near", "http://proxy.lan:3128", NULL, "::1", 443, "" },
        { "everything straight", "http://proxy.lan:3128", "*", "example.com", 443, "" },
        { "a name", "http://proxy.lan:3128", "other.lan, example.com", "Example.com", 443, "" },
        { "a name has those below it", "http://proxy.lan:3128", "example.com", "tele.example.com", 443, "" },
        { "but not those that only end alike", "http://proxy.lan:3128", "example.com", "badexample.com", 443,
          "proxy.lan:3128" },
        { "a dot has those below", "http://proxy.lan:3128", ".example.com", "tele.example.com", 443, "" },
        { "and not the name itself", "http://proxy.lan:3128", ".example.com", "example.com", 443, "proxy.lan:3128" },
        { "a star is as a dot", "http://proxy.lan:3128", "*.example.com", "tele.example.com", 443, "" },
        { "a name with its port", "http://proxy.lan:3128", "example.com:443", "example.com", 443, "" },
        { "a name with another port", "http://proxy.lan:3128", "example.com:3080", "example.com", 443, "proxy.lan:3128" },
        { "an address", "http://proxy.lan:3128", "10.1.2.3", "10.1.2.3", 443, "" },
        { "an address is no name to be below of", "http://proxy.lan:3128", "2.3", "10.1.2.3", 443, "proxy.lan:3128" },
        { "an address in other letters", "http://proxy.lan:3128", "2001:DB8:0::1", "2001:db8::1", 443, "" },
        { "a network", "http://proxy.lan:3128", "10.1.0.0/15", "10.0.255.1", 443, "" },
        { "bits after the prefix are ignored", "http://proxy.lan:3128", "10.1.2.3/8", "10.200.0.1", 443, "" },
        { "an IPv4 address in IPv6 form is in networks of IPv4", "http://proxy.lan:3128", "10.0.0.0/8", "::ffff:10.1.2.3", 443, "" },
        { "and not in networks of IPv6", "http://proxy.lan:3128", "::/0", "::ffff:10.1.2.3", 443, "proxy.lan:3128" },
        { "an IPv4 address in IPv6 form", "http://proxy.lan:3128", "::ffff:10.1.2.3", "10.1.2.3", 443, "" },
        { "a network in that form is none", "http://proxy.lan:3128", "::ffff:10.0.0.0/8", "10.1.2.3", 443, "proxy.lan:3128" },
        { "loopback in that form is near", "http://proxy.lan:3128", NULL, "::ffff:127.0.0.1", 443, "" },
        { "a prefix without digits", "http://proxy.lan:3128", "10.0.0.0/", "10.1.2.3", 443, "proxy.lan:3128" },
        { "outside of the network", "http://proxy.lan:3128", "10.2.0.0/15", "10.1.255.1", 443, "proxy.lan:3128" },
        { "a network of IPv6", "http://proxy.lan:3128", "2001:db8::/33", "2001:db8:7fff::1", 443, "" },
        { "the whole of IPv4", "http://proxy.lan:3128", "0.0.0.0/0", "192.0.2.1", 443, "" },
        { "a network of the other family", "http://proxy.lan:3128", "::/0", "192.0.2.1", 443, "proxy.lan:3128" },
        { "one address as a network", "http://proxy.lan:3128", "192.0.2.1/32", "192.0.2.1", 443, "" },
        { "a prefix that is too long", "http://proxy.lan:3128", "192.0.2.1/33", "192.0.2.1", 443, "proxy.lan:3128" },
        { "garbage matches nothing", "http://proxy.lan:3128", ",,/,:,.,[,a b,", "example.com", 443, "proxy.lan:3128" },
};

static void chooses_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
                struct http_proxy got;
                struct error *err = http_proxy_choose(choices[i].https_proxy, choices[i].no_proxy, str_of(choices[i].host),
                                                      choices[i].port, &got);
                AUTO_MEM char *chosen = err != NULL ? NULL : mem_printf("%s%s", got.is_tls ? "tls " : "", got.address);
                const char *outcome = err != NULL ? UNUSABLE : chosen;
                if (!str_equal(str_of(outcome), str_of(choices[i].proxy)))
                        fail_msg("%s: '%s' instead of '%s'", choices[i].name, outcome, choices[i].proxy);
                error_free(err);
        }
}

static void a_password_is_not_in_the_error(void **state)
{
        (void)state;
        struct http_proxy got;
        struct error *err = http_proxy_choose("http://u:geheim@a b:1", NULL, STR("example.com"), 443, &got);
        assert_non_null(err);
        assert_false(str_contains(str_of(err->what), STR("geheim")));
        assert_false(str_contains(str_of(err->hint), STR("geheim")));
        error_free(err);
}

static void a_name_that_is_not_ascii_is_not_guessed(void **state)
{
        (void)state;
        struct http_proxy got;
        AUTO_PTR(error) err = http_proxy_choose("https://u:geheim@pr\xc3\xb6xy.lan:1", NULL, STR("example.com"), 443, &got);
        assert_non_null(err);
        assert_string_equal(err->what, "HTTPS_PROXY of the environment cannot be used: its host is not a DNS name");
        assert_true(str_contains(str_of(err->hint), STR("xn--")));
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

enum { MORE = 0 };

static const struct {
        const char *name, *input;
        int status; /* MORE, or an error code as a negative number */
} answers[] = {
        { "a tunnel", "HTTP/1.1 200 Connection established\r\n\r\n", 200 },
        { "no reason", "HTTP/1.0 200\r\nVia: x\r\n\r\n", 200 },
        { "a refusal", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403 },
        { "nothing yet", "", MORE },
        { "half a head", "HTTP/1.1 200 OK\r\n", MORE },
        { "SSH", "SSH-2.0-OpenSSH_9.2\r\n", -ERROR_INVALID_ARGUMENT },
        { "HTTP/2", "HTTP/2 200\r\n\r\n", -ERROR_INVALID_ARGUMENT },
        { "two digits", "HTTP/1.1 20 OK\r\n\r\n", -ERROR_INVALID_ARGUMENT },
        { "four digits", "HTTP/1.1 2000\r\n\r\n", -ERROR_INVALID_ARGUMENT },
        { "another version", "HTTP/1.7 200 OK\r\n\r\n", -ERROR_INVALID_ARGUMENT },
};

static void reads_answers_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
                int status = MORE;
                struct str reason;
                size_t head;
                struct error *err = http1_response_parse(str_of(answers[i].input), &status, &reason, &head);
                int outcome = err != NULL ? -(int)err->code : status;
                if (outcome != answers[i].status)
                        fail_msg("%s: %d instead of %d", answers[i].name, outcome, answers[i].status);
                error_free(err);
        }
}

/* ---- the tunnel ---------------------------------------------------------------------------------------- */

struct fixture {
        struct loop loop;
        struct ear proxy;  /* the other end */
        struct ear tunnel; /* the result */
        struct http_tunnel *requested;
        struct error *err;
        unsigned done;
};

static void on_tunnel(void *ctx, struct stream *tunnel, struct error *err)
{
        struct fixture *f = ctx;
        f->done++;
        f->err = err;
        if (tunnel != NULL) {
                ear_listen(&f->tunnel, tunnel);
                stream_read(tunnel, true);
        }
        loop_stop(&f->loop);
}

static void send_request_to(struct fixture *f, const struct http_proxy *proxy, struct duration within)
{
        int a, b;

        *f = (struct fixture){ 0 };
        assert_null(loop_init(&f->loop, NULL));
        assert_null(socket_pair(&a, &b));
        ear_listen(&f->proxy, socket_stream(&f->loop, b));
        stream_read(f->proxy.stream, true);
        f->requested = http_tunnel_start(&f->loop, socket_stream(&f->loop, a), proxy, STR("tele.example.com:443"), within,
                                     on_tunnel, f);
        assert_int_equal(f->done, 0);
}

static void send_request(struct fixture *f, const char *userinfo, struct duration within)
{
        const struct http_proxy proxy = { .address = "proxy.lan:3128", .userinfo = str_of(userinfo) };

        send_request_to(f, &proxy, within);
}

static void end(struct fixture *f)
{
        stream_close(f->tunnel.stream);
        stream_close(f->proxy.stream);
        loop_run(&f->loop);
        loop_release(&f->loop);
        buf_release(&f->proxy.received);
        buf_release(&f->tunnel.received);
        error_free(f->proxy.err);
        error_free(f->err);
}

static void a_tunnel_delivers_the_bytes_after_the_answer(void **state)
{
        (void)state;
        struct fixture f;
        send_request(&f, "", SECONDS(10));
        stream_write(f.proxy.stream, STR("HTTP/1.1 200 OK\r\nX: y\r\n\r\nearly"));
        stream_shutdown(f.proxy.stream);
        loop_run(&f.loop);
        assert_null(f.err);
        stream_shutdown(f.tunnel.stream);
        loop_run(&f.loop);
        assert_true(str_equal(buf_str(&f.tunnel.received), STR("early")));
        assert_true(str_equal(buf_str(&f.proxy.received), STR("CONNECT tele.example.com:443 HTTP/1.1\r\n"
                                                           "Host: tele.example.com:443\r\n\r\n")));
        end(&f);
}

static void sends_its_user_in_the_form_of_rfc_7617(void **state)
{
        (void)state;
        struct fixture f;
        send_request(&f, "Aladdin:open%20sesame", SECONDS(10)); /* RFC 7617 section 2 */
        stream_write(f.proxy.stream, STR("HTTP/1.1 200 OK\r\n\r\n"));
        stream_shutdown(f.proxy.stream);
        loop_run(&f.loop);
        stream_shutdown(f.tunnel.stream);
        loop_run(&f.loop);
        assert_true(str_contains(buf_str(&f.proxy.received),
                                 STR("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")));
        end(&f);
}

static void expect_failure(const char *answer, enum error_code code, const char *words)
{
        struct fixture f;
        send_request(&f, "", answer == NULL ? MILLISECONDS(1) : SECONDS(10));
        if (answer != NULL) {
                stream_write(f.proxy.stream, str_of(answer));
                stream_shutdown(f.proxy.stream);
        }
        loop_run(&f.loop);
        assert_int_equal(f.done, 1);
        assert_non_null(f.err);
        assert_int_equal(f.err->code, code);
        if (!str_contains(str_of(f.err->what), str_of(words)))
                fail_msg("'%s' does not say '%s'", f.err->what, words);
        end(&f);
}

static void reports_the_reason_of_a_missing_tunnel(void **state)
{
        (void)state;
        expect_failure("HTTP/1.1 403 For\x1b" "bidden\r\n\r\n", ERROR_UNAVAILABLE, "it answered 403 For\\x1bbidden");
        expect_failure("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ERROR_UNAVAILABLE, "it answered 407");
        expect_failure("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", ERROR_UNAVAILABLE, "with a web page");
        expect_failure("SSH-2.0-x\r\n", ERROR_UNAVAILABLE, "not HTTP");
        expect_failure("HTTP/1.1 200 OK\r\n", ERROR_UNAVAILABLE, "ended the connection");
        expect_failure(NULL, ERROR_DEADLINE_EXCEEDED, "in time");
}

static void a_refusal_has_its_hint(void **state)
{
        static const struct {
                struct http_proxy proxy;
                const char *answer, *hint;
        } rows[] = {
                { { .address = "proxy.lan:3128" }, "407 Proxy Authentication Required\r\n", "set HTTPS_PROXY=http://user" },
                { { .address = "proxy.lan:3128", .is_tls = true }, "407 Proxy Authentication Required\r\n", "set HTTPS_PROXY=https://user" },
                { { .address = "proxy.lan:3128", .userinfo = STR_INIT("u:wrong") }, "407 No\r\nProxy-Authenticate: NTLM, basic realm=\"a\"\r\n", "is refused" },
                { { .address = "proxy.lan:3128", .userinfo = STR_INIT("u:wrong") }, "407 No\r\nProxy-Authenticate: NTLM\r\nproxy-authenticate: Negotiate\r\n",
                  "does not offer the method Basic" },
                { { .address = "proxy.lan:3128" }, "403 Forbidden\r\n", "allow CONNECT" },
                { { .address = "proxy.lan:3128" }, "503 Service Unavailable\r\n", "may not reach this address" },
                { { .address = "proxy.lan:3128" }, "400 Bad Request\r\n", "is it an HTTP proxy" },
                { { .address = "proxy.lan:3128" }, "302 Found\r\nLocation: /\r\n", "is it an HTTP proxy" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *answer = mem_printf("HTTP/1.1 %s\r\n", rows[i].answer);
                struct fixture f;

                send_request_to(&f, &rows[i].proxy, SECONDS(10));
                stream_write(f.proxy.stream, str_of(answer));
                stream_shutdown(f.proxy.stream);
                loop_run(&f.loop);
                assert_non_null(f.err);
                if (!str_contains(str_of(f.err->hint), str_of(rows[i].hint)))
                        fail_msg("%s: '%s' does not say '%s'", rows[i].answer, f.err->hint, rows[i].hint);
                end(&f);
        }
}

static void a_cancelled_tunnel_reports_it_once(void **state)
{
        (void)state;
        struct fixture f;
        send_request(&f, "", SECONDS(10));
        http_tunnel_cancel(f.requested);
        http_tunnel_cancel(f.requested);
        assert_int_equal(f.done, 0);
        loop_run(&f.loop);
        assert_int_equal(f.done, 1);
        assert_int_equal(f.err->code, ERROR_CANCELLED);
        end(&f);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(chooses_as_the_table_says),
                cmocka_unit_test(a_password_is_not_in_the_error),
                cmocka_unit_test(a_name_that_is_not_ascii_is_not_guessed),
                cmocka_unit_test(reads_answers_as_the_table_says),
                cmocka_unit_test(a_tunnel_delivers_the_bytes_after_the_answer),
                cmocka_unit_test(sends_its_user_in_the_form_of_rfc_7617),
                cmocka_unit_test(reports_the_reason_of_a_missing_tunnel),
                cmocka_unit_test(a_refusal_has_its_hint),
                cmocka_unit_test(a_cancelled_tunnel_reports_it_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
