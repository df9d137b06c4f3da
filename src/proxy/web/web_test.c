/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "proxy/web/assets.h"
#include "proxy/web/qr.h"
#include "proxy/web/web_page.h"
#include "proxy/web/web_testing.h"

#define PATH "/web/invite/0123456789abcdef0123456789abcdef"
#define FORM "user=alice&password=correct+horse&again=correct+horse&otp=123+456"
#define TEXT(literal) ((char[]){ literal })

/* A browser's request, the pages, and an Auth Service that answers as the test defines; all on one loop. */
struct stage {
        struct loop loop;
        struct upstream *upstream;
        struct rpc_server_conn *auth;
        struct webapi_facts facts;
        struct http1_request http;
        struct str body;

        struct error *open_verdict, *accept_verdict; /* NULL: granted */
        int opened, accepted;
        char sent_token[64], sent_password[64], sent_otp[64], sent_addr[64];

        struct buf answer;
};

static struct stage *the; /* methods of a table have no context of their own */

static void open_invite(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__OpenInviteRequest *request = (const Cteleport__V1__OpenInviteRequest *)first;
        Cteleport__V1__OpenInviteResponse response = CTELEPORT__V1__OPEN_INVITE_RESPONSE__INIT;
        struct error *verdict = the->open_verdict;

        the->opened++;
        the->open_verdict = NULL;
        snprintf(the->sent_token, sizeof the->sent_token, "%s", request->token);
        snprintf(the->sent_addr, sizeof the->sent_addr, "%s", request->remote_addr);
        response.user = TEXT("alice<b>");
        response.cluster = TEXT("example.com");
        response.totp_secret = TEXT("ABCDEFGHIJ");
        response.totp_url = TEXT("otpauth://totp/example.com:alice?secret=ABCDEFGHIJ&issuer=example.com");
        if (verdict != NULL)
                rpc_call_finish(call, verdict);
        else
                rpc_call_reply(call, &response.base);
}

static void accept_invite(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__AcceptInviteRequest *request = (const Cteleport__V1__AcceptInviteRequest *)first;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;
        struct error *verdict = the->accept_verdict;

        the->accepted++;
        the->accept_verdict = NULL;
        snprintf(the->sent_password, sizeof the->sent_password, "%s", request->password);
        snprintf(the->sent_otp, sizeof the->sent_otp, "%s", request->otp);
        if (verdict != NULL)
                rpc_call_finish(call, verdict);
        else
                rpc_call_reply(call, &empty.base);
}

static void open_ping(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__PingResponse pong = CTELEPORT__V1__PING_RESPONSE__INIT;

        (void)first;
        rpc_call_reply(call, &pong.base);
}

#define METHOD(name, type, handler)                                                                \
        &(const struct rpc_method)                                                                 \
        {                                                                                          \
                .path = "/cteleport.v1." name, .request = &type, .request_max = LIMIT_RPC_JOIN, .open = (handler) \
        }
static const struct rpc_method *const methods[] = {
        METHOD("LoginService/OpenInvite", cteleport__v1__open_invite_request__descriptor, open_invite),
        METHOD("LoginService/AcceptInvite", cteleport__v1__accept_invite_request__descriptor, accept_invite),
        METHOD("PingService/Ping", cteleport__v1__empty__descriptor, open_ping),
        NULL,
};

static void on_auth_closed(void *caller)
{
        struct stage *s = caller;
        s->auth = NULL;
}

static int set_up(void **state)
{
        static struct stage s;
        int pair[2];

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        s = (struct stage){
                .facts = { .cluster = STR("example.com"), .public_addr = STR("proxy.example.com:443") },
                .answer = BUF_MAX(WEB_PAGE_MAX),
        };
        assert_null(loop_init(&s.loop, NULL));
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        s.upstream = upstream_new(&s.loop, NULL, NULL);
        s.auth = rpc_serve(&s.loop, socket_stream(&s.loop, pair[0]),
                           (struct rpc_server_options){ .methods = methods, .caller = &s, .on_closed = on_auth_closed,
                                                        .peer = "link" });
        upstream_use_link(s.upstream, pair[1]);
        *state = the = &s;
        return 0;
}

static int tear_down(void **state)
{
        struct stage *s = *state;
        upstream_free(s->upstream);
        if (s->auth != NULL)
                rpc_server_close(s->auth);
        loop_run(&s->loop);
        loop_release(&s->loop);
        buf_release(&s->answer);
        error_free(s->open_verdict);
        error_free(s->accept_verdict);
        return 0;
}

static struct webapi_facts facts_of(void *ctx)
{
        (void)ctx;
        return the->facts;
}

static void start(struct stage *s, struct browser *b)
{
        browser_send(b, &s->loop, s->upstream, facts_of, &s->http, s->body);
}

static void poll(struct stage *s)
{
        struct browser b;

        start(s, &b);
        browser_wait(&b);
        buf_clear(&s->answer);
        buf_put(&s->answer, buf_str(&b.response));
        browser_release(&b);
}

static void get(struct stage *s, const char *path)
{
        s->http = (struct http1_request){ .method = STR("GET"), .path = str_of(path), .minor = 1,
                                          .host = STR("proxy.example.com") };
        s->body = STR("");
        poll(s);
}

static void given_post(struct stage *s, struct str body)
{
        s->http = (struct http1_request){ .method = STR("POST"), .path = STR(PATH), .minor = 1, .host = STR("proxy.example.com"),
                                          .content_type = STR("application/x-www-form-urlencoded"), .origin = STR("null"),
                                          .fetch_site = STR("same-origin"), .body = body.len };
        s->body = body;
}

static void post(struct stage *s, struct str body)
{
        given_post(s, body);
        poll(s);
}

static void assert_sends(struct stage *s, const char *text)
{
        if (strstr(buf_c(&s->answer), text) == NULL)
                fail_msg("\"%s\" is not in:\n%s", text, buf_c(&s->answer));
}

static void assert_hides(struct stage *s, const char *text)
{
        assert_null(strstr(buf_c(&s->answer), text));
}

/* ---- the stories ---------------------------------------------------------------------------------- */

static void shows_the_form_with_a_qr_code_and_the_key(void **state)
{
        struct stage *s = *state;

        get(s, PATH);
        assert_sends(s, "HTTP/1.1 200 OK\r\n");
        assert_sends(s, "<svg class=\"qr\" role=\"img\"");
        assert_sends(s, "<pre>ABCD EFGH IJ</pre>");
        assert_sends(s, "href=\"otpauth://totp/example.com:alice?secret=ABCDEFGHIJ&amp;issuer=example.com\"");
        assert_sends(s, "alice&lt;b&gt;");
        assert_hides(s, "alice<b>");
        assert_sends(s, "<form method=\"post\">");
        assert_string_equal(s->sent_token, "0123456789abcdef0123456789abcdef");
        assert_string_equal(s->sent_addr, "203.0.113.7:4711");
        assert_int_equal(s->accepted, 0);
}

static void sends_auth_the_address_that_a_load_balancer_forwards(void **state)
{
        struct stage *s = *state;

        s->http = (struct http1_request){ .method = STR("GET"), .path = STR(PATH), .minor = 1, .host = STR("proxy.example.com"),
                                          .forwarded_for = { { STR_INIT("198.51.100.1") }, 1 } };
        poll(s);
        assert_sends(s, "HTTP/1.1 200 OK\r\n");
        assert_string_equal(s->sent_addr, "198.51.100.1:0");
        s->http.forwarded_for = (struct http1_lines){ { STR_INIT("198.51.100.1"), STR_INIT("198.51.100.2") }, 2 };
        poll(s);
        assert_sends(s, "HTTP/1.1 400 Bad Request\r\n");
        assert_sends(s, "more than one address in X-Forwarded-For");
        assert_int_equal(s->opened, 1);
}

static void permits_its_own_style_and_form_alone(void **state)
{
        struct stage *s = *state;
        AUTO(buf) expected = BUF_MAX(1 * KiB);

        get(s, PATH);
        buf_printf(&expected, "<link rel=\"stylesheet\" href=\"%s\">", web_asset_url("style.css"));
        assert_sends(s, buf_c(&expected));
        assert_sends(s, "Content-Security-Policy: default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none';"
                        " base-uri 'none'\r\n");
        assert_sends(s, "Referrer-Policy: no-referrer\r\n");
        assert_sends(s, "Cache-Control: no-store\r\n");
        assert_sends(s, "X-Content-Type-Options: nosniff\r\n");
        assert_sends(s, "Strict-Transport-Security: max-age=31536000\r\n"); /* other servers may live below our name */
        assert_hides(s, "<script");
        assert_hides(s, "style=");
}

static void sends_files_that_browsers_may_keep(void **state)
{
        struct stage *s = *state;

        get(s, web_asset_url("style.css"));
        assert_sends(s, "HTTP/1.1 200 OK\r\n");
        assert_sends(s, "Content-Type: text/css; charset=utf-8\r\n");
        assert_sends(s, "Cache-Control: public, max-age=31536000, immutable\r\n");
        assert_sends(s, "X-Content-Type-Options: nosniff\r\n");
        assert_sends(s, "prefers-color-scheme: dark");

        get(s, "/web/assets/0123456789abcdef/style.css"); /* of a page of another version */
        assert_sends(s, "HTTP/1.1 200 OK\r\n");
        assert_sends(s, "Cache-Control: no-store\r\n");

        static const char *const none[] = { "/web/assets/", "/web/assets/0123456789abcdef/", "/web/assets/../web.c", "/web/assets/style.css/x" };
        for (size_t i = 0; i < ARRAY_LEN(none); i++) {
                get(s, none[i]);
                assert_sends(s, "HTTP/1.1 404 Not Found\r\n");
                assert_sends(s, "There is no such page.");
        }
}

static void sets_password_and_code(void **state)
{
        struct stage *s = *state;

        post(s, STR(FORM));
        assert_sends(s, "HTTP/1.1 200 OK\r\n");
        assert_sends(s, "<pre>tsh login --proxy=proxy.example.com:443 \\\n    --user=alice&lt;b&gt;</pre>");
        assert_hides(s, "ABCD");
        assert_string_equal(s->sent_password, "correct horse");
        assert_string_equal(s->sent_otp, "123456");
}

static void shows_the_form_again_with_the_refusal_and_without_secrets(void **state)
{
        struct stage *s = *state;

        s->accept_verdict = error_hint(error_new(ERROR_INVALID_ARGUMENT, "the <code> is wrong"), "take the next one");
        post(s, STR(FORM));
        assert_sends(s, "HTTP/1.1 400 Bad Request\r\n");
        assert_sends(s, "role=\"alert\">The &lt;code&gt; is wrong. Take the next one.</div>");
        assert_sends(s, "<form method=\"post\">");
        assert_hides(s, "correct horse");
        assert_hides(s, "123456");
}

static void refuses_forms_that_are_not_filled_in_without_asking_auth(void **state)
{
        struct stage *s = *state;

        post(s, STR("password=correct+horse&again=correct+battery&otp=123456"));
        assert_sends(s, "HTTP/1.1 400 Bad Request\r\n");
        assert_sends(s, "The two passwords differ.");
        post(s, STR("again=&otp=123456"));
        assert_sends(s, "The password is missing.");
        post(s, STR("password=a&again=a"));
        assert_sends(s, "The code of the app is missing.");
        post(s, STR("password=%zz"));
        assert_sends(s, "HTTP/1.1 400 Bad Request\r\n");
        assert_hides(s, "<form");
        assert_int_equal(s->accepted, 0);
}

static void refuses_forms_of_other_sites(void **state)
{
        struct stage *s = *state;
        static const struct {
                const char *origin, *site;
                bool is_refused;
        } cases[] = {
                { "", "", false }, /* no browser */
                { "null", "same-origin", false },
                { "https://proxy.example.com", "same-origin", false },
                { "https://PROXY.example.com", "", false },
                { "https://evil.example.com", "", true },
                { "https://evil.example.com", "same-origin", true },
                { "https://proxy.example.com:444", "", true },
                { "http://proxy.example.com", "", true },
                { "null", "cross-site", true },
                { "null", "same-site", true },
                { "", "none", true },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                int before = s->accepted;
                given_post(s, STR(FORM));
                s->http.origin = str_of(cases[i].origin);
                s->http.fetch_site = str_of(cases[i].site);
                poll(s);
                if ((s->accepted == before) != cases[i].is_refused)
                        fail_msg("Origin '%s', Sec-Fetch-Site '%s'", cases[i].origin, cases[i].site);
        }
        given_post(s, STR(FORM));
        s->http.content_type = STR("text/plain");
        poll(s);
        assert_sends(s, "HTTP/1.1 400 Bad Request\r\n");
}

static void reports_an_expired_link(void **state)
{
        struct stage *s = *state;

        s->open_verdict = error_new(ERROR_NOT_FOUND, "this link was used or has expired");
        get(s, PATH);
        assert_sends(s, "HTTP/1.1 404 Not Found\r\n");
        assert_sends(s, "This link was used or has expired.");
        assert_hides(s, "<form");
        s->open_verdict = error_new(ERROR_NOT_FOUND, "this link was used or has expired");
        post(s, STR(FORM));
        assert_sends(s, "HTTP/1.1 404 Not Found\r\n");
        assert_int_equal(s->accepted, 0);
}

static void asks_auth_for_well_formed_links_only(void **state)
{
        struct stage *s = *state;
        static const char *const paths[] = {
                "/web/invite/", "/web/invite/0123456789abcdef0123456789abcde", "/web/invite/0123456789abcdef0123456789abcdef0",
                "/web/invite/0123456789ABCDEF0123456789abcdef", "/web/invite/0123456789abcdef0123456789abcde%66",
                "/web/other/0123456789abcdef0123456789abcdef", "/web/../web/invite/", PATH "/",
        };

        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                get(s, paths[i]);
                assert_sends(s, "HTTP/1.1 404 Not Found\r\n");
        }
        assert_int_equal(s->opened, 0);
        get(s, "/web/reset/0123456789abcdef0123456789abcdef");
        assert_int_equal(s->opened, 1);
}

static void names_its_cluster_on_the_first_page(void **state)
{
        struct stage *s = *state;

        get(s, "/");
        assert_sends(s, "HTTP/1.1 200 OK\r\n");
        assert_sends(s, "<b>example.com</b>");
        assert_sends(s, "tsh login --proxy=proxy.example.com:443");
        assert_sends(s, "<a href=\"/web\">Log in with this browser</a>");
        s->facts.public_addr = STR("");
        get(s, "/");
        assert_sends(s, "tsh login --proxy=proxy.example.com \\\n");
        s->http.host = STR("a\"><script>");
        poll(s);
        assert_hides(s, "<script");
        s->http.method = STR("DELETE");
        poll(s);
        assert_sends(s, "HTTP/1.1 405 Method Not Allowed\r\n");
        s->http.method = STR("HEAD");
        poll(s);
        assert_hides(s, "<html");
        assert_sends(s, "\r\n\r\n");
}

static void leads_to_the_login_and_back(void **state)
{
        struct stage *s = *state;

        get(s, "/web/sessions?a=%41&b");
        assert_sends(s, "HTTP/1.1 303 See Other\r\n");
        assert_sends(s, "\r\nLocation: /web/login?redirect_uri=%2Fweb%2Fsessions%3Fa%3D%2541%26b\r\n");
        get(s, "/web");
        assert_sends(s, "\r\nLocation: /web/login\r\n");
        get(s, "/web/login?redirect_uri=%2Fweb%2Fsessions%3Fa%3D%2541%26b");
        assert_sends(s, "HTTP/1.1 503 Service Unavailable\r\n"); /* there are no sessions in this test */
        assert_sends(s, "name=\"redirect_uri\" value=\"/web/sessions?a=%41&amp;b\"");
        get(s, "/web/login?redirect_uri=https%3A%2F%2Fevil.example%2Fweb");
        assert_sends(s, "name=\"redirect_uri\" value=\"/web\"");
}

static void reports_when_auth_is_unreachable(void **state)
{
        struct stage *s = *state;

        upstream_free(s->upstream);
        s->upstream = upstream_new(&s->loop, NULL, NULL);
        get(s, PATH);
        assert_sends(s, "HTTP/1.1 503 Service Unavailable\r\n");
}

static void answers_nothing_after_it_was_cancelled(void **state)
{
        struct stage *s = *state;

        given_post(s, STR(FORM));
        struct browser early, late;
        start(s, &early);
        browser_release(&early);
        start(s, &late);
        while (s->opened == 0)
                uv_run(&s->loop.uv, UV_RUN_ONCE);
        browser_release(&late);
        get(s, PATH); /* on the same connection: all earlier requests have been answered */
        assert_int_equal(s->accepted, 0);
}

static void draws_qr_codes_of_bounded_texts(void **state)
{
        (void)state;
        AUTO(buf) out = BUF_MAX(WEB_PAGE_MAX), text = BUF_MAX(2 * QR_TEXT_MAX);

        assert_null(qr_put_svg(&out, STR("HELLO"), "label"));
        /* version 1 is 21 modules wide, and begins with the upper edge of a finder: 7 modules */
        assert_non_null(strstr(buf_c(&out), "viewBox=\"0 0 29 29\""));
        assert_non_null(strstr(buf_c(&out), "d=\"M4 4h7v1h-7z"));
        for (size_t i = 0; i < QR_TEXT_MAX; i++)
                buf_put_char(&text, (char)('a' + i % 26));
        buf_clear(&out);
        assert_null(qr_put_svg(&out, buf_str(&text), "label"));
        assert_null(buf_finish(&out, "the picture"));
        buf_put_char(&text, 'x');
        AUTO_PTR(error) longer = qr_put_svg(&out, buf_str(&text), "label");
        AUTO_PTR(error) empty = qr_put_svg(&out, STR(""), "label");
        assert_non_null(longer);
        assert_non_null(empty);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                STORY(shows_the_form_with_a_qr_code_and_the_key),
                STORY(sends_auth_the_address_that_a_load_balancer_forwards),
                STORY(permits_its_own_style_and_form_alone),
                STORY(sends_files_that_browsers_may_keep),
                STORY(sets_password_and_code),
                STORY(shows_the_form_again_with_the_refusal_and_without_secrets),
                STORY(refuses_forms_that_are_not_filled_in_without_asking_auth),
                STORY(refuses_forms_of_other_sites),
                STORY(reports_an_expired_link),
                STORY(asks_auth_for_well_formed_links_only),
                STORY(names_its_cluster_on_the_first_page),
                STORY(leads_to_the_login_and_back),
                STORY(reports_when_auth_is_unreachable),
                STORY(answers_nothing_after_it_was_cancelled),
                cmocka_unit_test(draws_qr_codes_of_bounded_texts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
