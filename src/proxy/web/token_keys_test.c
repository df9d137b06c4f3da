/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/token_keys.h"
#include "proxy/web/webapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "api.pb-c.h"
#include "base/error_testing.h"
#include "base/log.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "pki/jwk.h"
#include "pki/pki_testing.h"
#include "proxy/web/web_testing.h"
#include "rpc/pb.h"

/* Clients, the web server, and an Auth Service that answers as the test defines; all on one loop, whose clock is the test's. */
struct stage {
        struct loop loop;
        struct fake_clock clock;
        struct upstream *upstream;
        struct rpc_server_conn *auth;
        struct token_keys keys;
        struct webapi_facts facts;
        const char *host;

        struct buf spki[2];
        size_t key_count; /* that auth sends */
        bool is_failing;
        int requests; /* to auth */
};

static struct stage *the; /* methods of a table have no context of their own */

static void open_keys(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__AppTokenKeys answer = CTELEPORT__V1__APP_TOKEN_KEYS__INIT;
        ProtobufCBinaryData keys[2];

        (void)first;
        the->requests++;
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
                keys[i] = pb_bytes(buf_str(&the->spki[i]));
        answer.keys = keys;
        answer.n_keys = the->key_count;
        if (the->is_failing)
                rpc_call_finish(call, error_new(ERROR_UNAVAILABLE, "no"));
        else
                rpc_call_reply(call, &answer.base);
}

#define METHOD(name, type, handler)                                                                \
        &(const struct rpc_method)                                                                 \
        {                                                                                          \
                .path = "/cteleport.v1." name, .request = &type, .request_max = LIMIT_RPC_JOIN, .open = (handler) \
        }
static const struct rpc_method *const methods[] = {
        METHOD("AppTokenService/Keys", cteleport__v1__empty__descriptor, open_keys),
        NULL,
};

static void on_auth_closed(void *caller)
{
        struct stage *s = caller;

        s->auth = NULL;
}

static void given_auth(struct stage *s)
{
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        s->upstream = upstream_new(&s->loop, NULL, NULL);
        s->auth = rpc_serve(&s->loop, socket_stream(&s->loop, pair[0]),
                            (struct rpc_server_options){ .methods = methods, .caller = s, .on_closed = on_auth_closed, .peer = "link" });
        upstream_use_link(s->upstream, pair[1]);
}

static int set_up(void **state)
{
        static struct stage s;

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        s = (struct stage){ .facts = { .cluster = STR("example.com"), .public_addr = STR("proxy.example.com:443") }, .host = "proxy.example.com",
                            .key_count = 1 };
        fake_clock_init(&s.clock, 1700000000);
        assert_done(loop_init(&s.loop, &s.clock.clock));
        for (size_t i = 0; i < ARRAY_LEN(s.spki); i++) {
                AUTO(key) key = given_key(KEY_ECDSA_P256);

                s.spki[i] = BUF_MAX(PUBLIC_KEY_MAX);
                assert_done(key_public_der(&key, &s.spki[i]));
        }
        given_auth(&s);
        token_keys_init(&s.keys, &s.loop);
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
        token_keys_release(&s->keys);
        loop_release(&s->loop);
        for (size_t i = 0; i < ARRAY_LEN(s->spki); i++)
                buf_release(&s->spki[i]);
        return 0;
}

static struct webapi_facts facts_of(void *ctx)
{
        (void)ctx;
        return the->facts;
}

static void start(struct stage *s, struct browser *b, const char *path)
{
        AUTO(buf) text = BUF_MAX(4 * KiB);
        struct stream *there;

        *b = (struct browser){ .loop = &s->loop, .response = BUF_MAX(64 * KiB) };
        memory_stream_pair(&s->loop, &b->stream, &there);
        stream_listen(b->stream, &browser_events, b);
        stream_read(b->stream, true);
        b->web = web_serve(there, &(struct web_options){ .loop = &s->loop, .upstream = s->upstream, .token_keys = &s->keys, .facts = facts_of,
                                                         .on_closed = browser_on_closed, .ctx = b, .peer = "203.0.113.7:4711" });
        buf_printf(&text, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, s->host);
        stream_write(b->stream, buf_str(&text));
}

static void assert_sends(struct browser *b, const char *text)
{
        if (strstr(buf_c(&b->response), text) == NULL)
                fail_msg("\"%s\" is not in:\n%s", text, buf_c(&b->response));
}

/* Gets the path, and expects the text in the response. */
static void expect(struct stage *s, const char *path, const char *text)
{
        struct browser b;

        start(s, &b, path);
        browser_wait(&b);
        assert_sends(&b, text);
        browser_release(&b);
}

#define SET "/.well-known/jwks.json"

/* Gets the key set, and expects these keys. */
static void expect_keys(struct stage *s, size_t count)
{
        const struct str keys[] = { buf_str(&s->spki[0]), buf_str(&s->spki[1]) };
        AUTO(buf) set = BUF_MAX(8 * KiB);

        assert_done(jwk_put_set(keys, count, &set));
        expect(s, SET, buf_c(&set));
}

static void publishes_all_keys_of_the_auth_service(void **state)
{
        struct stage *s = *state;

        s->key_count = 2;
        expect_keys(s, 2);
        expect(s, SET, "HTTP/1.1 200 OK\r\n");
        expect(s, SET, "Content-Type: application/json\r\n");
        expect(s, SET, "Cache-Control: no-cache\r\n");
}

static void keeps_the_keys_for_a_second(void **state)
{
        struct stage *s = *state;

        expect_keys(s, 1);
        s->key_count = 2;
        fake_clock_advance(&s->clock, MILLISECONDS(PACE_TOKEN_KEYS - 1));
        expect_keys(s, 1);
        assert_int_equal(s->requests, 1);
        fake_clock_advance(&s->clock, MILLISECONDS(1));
        expect_keys(s, 2);
        assert_int_equal(s->requests, 2);
}

static void many_clients_cause_one_request(void **state)
{
        struct stage *s = *state;
        struct browser all[8];

        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                start(s, &all[i], SET);
        browser_release(&all[3]); /* it does not wait for the answer */
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                if (i == 3)
                        continue;
                browser_wait(&all[i]);
                assert_sends(&all[i], "{\"keys\":[{");
                browser_release(&all[i]);
        }
        assert_int_equal(s->requests, 1);
}

static void sends_the_last_keys_while_auth_fails(void **state)
{
        struct stage *s = *state;

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        expect_keys(s, 1);
        s->is_failing = true;
        fake_clock_advance(&s->clock, SECONDS(LIMIT_APP_TOKEN_SECONDS - 1));
        expect_keys(s, 1);
        fake_clock_advance(&s->clock, SECONDS(1));
        expect(s, SET, "HTTP/1.1 503 Service Unavailable\r\n");
        s->is_failing = false;
        expect_keys(s, 1);
}

static void answers_503_before_it_has_keys(void **state)
{
        struct stage *s = *state;
        struct upstream *connected = s->upstream;

        s->upstream = upstream_new(&s->loop, NULL, NULL); /* without a connection */
        expect(s, SET, "HTTP/1.1 503 Service Unavailable\r\n");
        upstream_free(s->upstream);
        s->upstream = connected;
        s->key_count = 0;
        expect(s, SET, "HTTP/1.1 503 Service Unavailable\r\n");
        s->key_count = 1;
        s->spki[0].ptr[0] ^= 1; /* not a key */
        expect(s, SET, "HTTP/1.1 503 Service Unavailable\r\n");
        s->spki[0].ptr[0] ^= 1;
        expect_keys(s, 1);
}

#define CONFIGURATION "/.well-known/openid-configuration"

static void describes_the_tokens(void **state)
{
        struct stage *s = *state;

        expect(s, CONFIGURATION, "{\"issuer\":\"example.com\",\"jwks_uri\":\"https://proxy.example.com/.well-known/jwks.json\",\"claims\":[\"iss\",");
        s->facts.public_addr = STR("proxy.example.com:3080");
        expect(s, CONFIGURATION, "\"jwks_uri\":\"https://proxy.example.com:3080/.well-known/jwks.json\"");
        s->facts.public_addr = STR("");
        s->host = "10.0.0.1:3080";
        expect(s, CONFIGURATION, "\"jwks_uri\":\"https://10.0.0.1:3080/.well-known/jwks.json\"");
        s->facts.cluster = STR("");
        expect(s, CONFIGURATION, "HTTP/1.1 503 Service Unavailable\r\n");
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                STORY(publishes_all_keys_of_the_auth_service),
                STORY(keeps_the_keys_for_a_second),
                STORY(many_clients_cause_one_request),
                STORY(sends_the_last_keys_while_auth_fails),
                STORY(answers_503_before_it_has_keys),
                STORY(describes_the_tokens),
        };

        return cmocka_run_group_tests_name("token_keys", tests, NULL, NULL);
}
