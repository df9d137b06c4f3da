/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/error_testing.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "join.pb-c.h"
#include "join_legacy.pb-c.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"

/* A host, the proxy between, and an Auth Service that answers as the test defines; all on one loop. */
struct stage {
        bool gives_links; /* a request for a new link to auth is granted */
        struct proxy proxy;
        struct forward_peer peer;
        struct rpc_server_conn *listener, *auth;
        struct rpc_client *host;
        struct rpc_client_call *join;

        /* messages that auth received, and its behaviour */
        struct rpc_call *auth_call;
        int auth_messages, auth_gone;
        bool sent_forwarded;
        char sent_bytes[1024]; /* the last message, unchanged */
        size_t sent_bytes_len;
        uint8_t sent_binding[64];
        size_t sent_binding_len;
        char sent_addr[64], sent_version[64], sent_metadata[64];
        struct error *verdict;       /* answers the first message with it */
        bool hangs_up;               /* ends the connection instead */

        /* messages that the host received */
        int host_messages;
        char host_method[16];
        bool is_done;
        struct error *err;
};

static struct stage *the; /* methods of a table have no context of their own */

static void take_binding(struct stage *s, ProtobufCBinaryData sent)
{
        assert_true(sent.len <= sizeof s->sent_binding);
        s->sent_binding_len = sent.len;
        if (sent.len > 0)
                memcpy(s->sent_binding, sent.data, sent.len);
}

static void assert_sent_binding(const struct stage *s)
{
        assert_int_equal(s->sent_binding_len, sizeof s->peer.channel_binding);
        assert_memory_equal(s->sent_binding, s->peer.channel_binding, sizeof s->peer.channel_binding);
}

/* ---- auth ---- */

static void finish_auth(struct stage *s, struct error *err)
{
        struct rpc_call *call = s->auth_call;
        s->auth_call = NULL;
        rpc_call_finish(call, err);
}

static void on_auth_message(void *ctx, const ProtobufCMessage *msg)
{
        struct stage *s = ctx;
        const Teleport__Join__V1__JoinRequest *r = (const Teleport__Join__V1__JoinRequest *)msg;
        s->auth_messages++;
        if (r->payload_case != TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_CLIENT_INIT)
                return;
        s->sent_forwarded = r->client_init->forwarded_by_proxy;
        snprintf(s->sent_addr, sizeof s->sent_addr, "%s", r->client_init->proxy_supplied_parameters->remote_addr);
        snprintf(s->sent_version, sizeof s->sent_version, "%s", r->client_init->proxy_supplied_parameters->client_version);
        take_binding(s, r->client_init->proxy_supplied_parameters->channel_binding);
        if (s->hangs_up) {
                rpc_server_close(s->auth);
        } else if (s->verdict != NULL) {
                struct error *verdict = s->verdict;
                s->verdict = NULL;
                finish_auth(s, verdict);
        } else {
                Teleport__Join__V1__ServerInit init = TELEPORT__JOIN__V1__SERVER_INIT__INIT;
                Teleport__Join__V1__JoinResponse response = TELEPORT__JOIN__V1__JOIN_RESPONSE__INIT;
                init.join_method = pb_text("iam");
                response.payload_case = TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_INIT;
                response.init = &init;
                rpc_call_send(s->auth_call, &response.base);
        }
}

static void on_auth_legacy_message(void *ctx, const ProtobufCMessage *msg)
{
        struct stage *s = ctx;
        const Proto__RegisterUsingIAMMethodRequest *r = (const Proto__RegisterUsingIAMMethodRequest *)msg;
        s->auth_messages++;
        snprintf(s->sent_addr, sizeof s->sent_addr, "%s", r->register_using_token_request->remoteaddr);
        take_binding(s, r->register_using_token_request->channel_binding);
        finish_auth(s, NULL);
}

static void on_auth_half_close(void *ctx)
{
        struct stage *s = ctx;
        if (s->auth_call != NULL)
                finish_auth(s, NULL);
}

static void on_auth_gone(void *ctx)
{
        struct stage *s = ctx;
        s->auth_call = NULL;
        s->auth_gone++;
}

static bool on_auth_bytes(void *ctx, struct str message)
{
        struct stage *s = ctx;
        assert_true(message.len <= sizeof s->sent_bytes);
        s->sent_bytes_len = message.len;
        if (message.len > 0)
                memcpy(s->sent_bytes, message.ptr, message.len);
        return false;
}

static const struct rpc_call_events auth_events = {
        .on_bytes = on_auth_bytes, .on_message = on_auth_message, .on_half_close = on_auth_half_close, .on_gone = on_auth_gone,
};
static const struct rpc_call_events auth_legacy_events = { .on_message = on_auth_legacy_message, .on_gone = on_auth_gone };

static void take_call(struct rpc_call *call, const struct rpc_call_events *events)
{
        struct str version = rpc_call_metadata(call, "version");
        snprintf(the->sent_metadata, sizeof the->sent_metadata, "%.*s", STR_ARG(version));
        the->auth_call = call;
        rpc_call_listen(call, events, the);
}

static void open_join(struct rpc_call *call, const ProtobufCMessage *first)
{
        (void)first;
        take_call(call, &auth_events);
}

static void open_legacy(struct rpc_call *call, const ProtobufCMessage *first)
{
        (void)first;
        take_call(call, &auth_legacy_events);
}

static void open_ping(struct rpc_call *call, const ProtobufCMessage *first)
{
        (void)first;
        Cteleport__V1__PingResponse pong = CTELEPORT__V1__PING_RESPONSE__INIT;
        pong.cluster = pb_text("example.com");
        rpc_call_reply(call, &pong.base);
}

static void open_login(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__LoginRequest *request = (const Cteleport__V1__LoginRequest *)first;
        Cteleport__V1__LoginResponse response = CTELEPORT__V1__LOGIN_RESPONSE__INIT;
        response.user = request->user;
        response.cluster = request->remote_addr; /* for the test to see */
        rpc_call_reply(call, &response.base);
}

static const struct rpc_method auth_join = { .path = "/teleport.join.v1.JoinService/Join",
                                             .request = &teleport__join__v1__join_request__descriptor,
                                             .request_max = LIMIT_RPC_JOIN,
                                             .is_client_stream = true,
                                             .open = open_join };
static const struct rpc_method auth_legacy = { .path = "/proto.JoinService/RegisterUsingIAMMethod",
                                               .request = &proto__register_using_iammethod_request__descriptor,
                                               .request_max = LIMIT_RPC_JOIN,
                                               .is_client_stream = true,
                                               .open = open_legacy };
static const struct rpc_method auth_ping = { .path = "/cteleport.v1.PingService/Ping",
                                             .request = &cteleport__v1__empty__descriptor,
                                             .request_max = LIMIT_RPC_JOIN,
                                             .open = open_ping };
static const struct rpc_method auth_login = { .path = "/cteleport.v1.LoginService/Login",
                                              .request = &cteleport__v1__login_request__descriptor,
                                              .request_max = LIMIT_RPC_JOIN,
                                              .open = open_login };
static const struct rpc_method *const auth_methods[] = { &auth_join, &auth_legacy, &auth_ping, &auth_login, NULL };

/* ---- the stage ---- */

static void on_auth_closed(void *caller)
{
        (void)caller;
        the->auth = NULL;
}

static void on_listener_closed(void *caller)
{
        (void)caller;
        the->listener = NULL;
}

static void on_host_closed(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static void connect_auth(struct stage *s)
{
        int a, b;
        assert_done(socket_pair(&a, &b));
        s->auth = rpc_serve(&s->proxy.loop, socket_stream(&s->proxy.loop, a),
                            (struct rpc_server_options){ .methods = auth_methods, .on_closed = on_auth_closed, .peer = "local" });
        upstream_use_link(s->proxy.upstream, b);
}

static void relink(void *ctx)
{
        struct stage *s = ctx;

        if (s->gives_links)
                connect_auth(s);
}

static int set_up(void **state)
{
        struct stage *s = NEW(struct stage);
        int a, b;
        *state = the = s;
        assert_done(loop_init(&s->proxy.loop, NULL));
        s->proxy.upstream = upstream_new(&s->proxy.loop, relink, s);
        for (size_t i = 0; i < SOURCE_COUNTERS; i++)
                s->proxy.sources.limits[i] = (struct source_limit){ 2, 2 };
        connect_auth(s);
        s->peer = (struct forward_peer){ .proxy = &s->proxy, .has_channel_binding = true, .channel_binding = { 4, 7, 1, 1 } };
        assert_done(socket_pair(&a, &b));
        s->listener = rpc_serve(&s->proxy.loop, socket_stream(&s->proxy.loop, a),
                            (struct rpc_server_options){ .methods = forward_methods, .guard = forward_guard,
                                                         .caller = &s->peer, .on_closed = on_listener_closed,
                                                         .peer = "192.0.2.7:4711", .is_open_to_unauthenticated = true });
        s->host = rpc_client_new(&s->proxy.loop, socket_stream(&s->proxy.loop, b), "proxy", on_host_closed, s);
        return 0;
}

static int tear_down(void **state)
{
        struct stage *s = *state;
        rpc_client_close(s->host);
        upstream_free(s->proxy.upstream);
        loop_run(&s->proxy.loop); /* until both servers have seen the end */
        assert_int_equal(s->proxy.sources.totals[SOURCE_JOINS], 0);
        sources_release(&s->proxy.sources);
        error_free(s->err);
        error_free(s->verdict);
        loop_release(&s->proxy.loop);
        free(s);
        return 0;
}

/* Runs the loop until the awaited event; every wait is bounded by the deadlines of the calls. */
#define RUN_UNTIL(s, condition)                                                                    \
        while (!(condition))                                                                       \
        uv_run(&(s)->proxy.loop.uv, UV_RUN_ONCE)

/* ---- the host ---- */

static void on_host_message(void *ctx, const ProtobufCMessage *msg)
{
        struct stage *s = ctx;
        const Teleport__Join__V1__JoinResponse *r = (const Teleport__Join__V1__JoinResponse *)msg;
        s->host_messages++;
        if (msg->descriptor == &teleport__join__v1__join_response__descriptor)
                snprintf(s->host_method, sizeof s->host_method, "%s", r->init->join_method);
}

static void on_host_done(void *ctx, struct error *err)
{
        struct stage *s = ctx;
        s->join = NULL;
        s->is_done = true;
        error_free(s->err);
        s->err = err;
}

static const struct rpc_client_events host_events = { .on_message = on_host_message, .on_done = on_host_done };

static void host_calls(struct stage *s, const char *path, const ProtobufCMessageDescriptor *response)
{
        s->is_done = false;
        s->join = rpc_client_call(s->host,
                                  (struct rpc_client_call_options){ .path = path, .response = response,
                                                                    .within = SECONDS(20), .client_version = "18.3.1" },
                                  &host_events, s);
}

static void host_joins(struct stage *s, bool claims_to_be_a_proxy)
{
        Teleport__Join__V1__ClientInit init = TELEPORT__JOIN__V1__CLIENT_INIT__INIT;
        Teleport__Join__V1__JoinRequest request = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;
        host_calls(s, "/teleport.join.v1.JoinService/Join", &teleport__join__v1__join_response__descriptor);
        init.token_name = pb_text("iam-token");
        init.forwarded_by_proxy = claims_to_be_a_proxy;
        request.payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_CLIENT_INIT;
        request.client_init = &init;
        rpc_client_send(s->join, &request.base);
}

/* ---- tests ---- */

static void adds_the_address_of_the_client(void **state)
{
        struct stage *s = *state;
        host_joins(s, false);
        RUN_UNTIL(s, s->host_messages == 1);
        assert_true(s->sent_forwarded);
        assert_string_equal(s->sent_addr, "192.0.2.7:4711");
        assert_string_equal(s->sent_version, "18.3.1");
        assert_string_equal(s->sent_metadata, "18.3.1");
        assert_sent_binding(s);
        assert_string_equal(s->host_method, "iam");
        rpc_client_half_close(s->join);
        RUN_UNTIL(s, s->is_done);
        assert_done(s->err);
}

static void refuses_a_host_that_speaks_for_a_proxy(void **state)
{
        struct stage *s = *state;
        host_joins(s, true);
        RUN_UNTIL(s, s->is_done);
        assert_int_equal(s->err->code, ERROR_INVALID_ARGUMENT);
        assert_int_equal(s->auth_messages, 0);
}

static void passes_later_messages_as_they_are(void **state)
{
        struct stage *s = *state;
        static const struct str iam_init = STR_INIT("\x2a\x02\x38\x01"); /* with a field of a later version in it */
        host_joins(s, false);
        RUN_UNTIL(s, s->host_messages == 1);
        rpc_client_send_bytes(s->join, iam_init);
        RUN_UNTIL(s, s->auth_messages == 2);
        assert_true(str_equal((struct str){ s->sent_bytes, s->sent_bytes_len }, iam_init));
}

/* However it is encoded, a second ClientInit that claims to be of a proxy is not forwarded. */
static void finds_a_claim_in_later_messages_too(void **state)
{
        struct stage *s = *state;
        static const struct str claims[] = {
                STR_INIT("\x0a\x02\x20\x01"),
                STR_INIT("\x8a\x00\x02\x20\x01"),             /* a padded tag */
                STR_INIT("\x32\x00\x0a\x02\x20\x01"),         /* behind another member */
                STR_INIT("\x7a\x00\x0a\x02\x20\x01"),         /* behind an unknown field */
                STR_INIT("\x0a\x02\x20\x01\x7a\x00"),
        };
        for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
                s->auth_messages = s->host_messages = 0;
                host_joins(s, false);
                RUN_UNTIL(s, s->host_messages == 1);
                rpc_client_send_bytes(s->join, claims[i]);
                RUN_UNTIL(s, s->is_done);
                assert_int_equal(s->err->code, ERROR_INVALID_ARGUMENT);
                assert_int_equal(s->auth_messages, 1);
        }
}

static void overwrites_the_address_of_an_older_join(void **state)
{
        struct stage *s = *state;
        Proto__RegisterUsingTokenRequest token = PROTO__REGISTER_USING_TOKEN_REQUEST__INIT;
        Proto__RegisterUsingIAMMethodRequest request = PROTO__REGISTER_USING_IAMMETHOD_REQUEST__INIT;
        host_calls(s, "/proto.JoinService/RegisterUsingIAMMethod", &proto__register_using_iammethod_response__descriptor);
        token.remoteaddr = pb_text("198.51.100.1:1");
        token.channel_binding = (ProtobufCBinaryData){ 32, (uint8_t[32]){ 9 } };
        request.register_using_token_request = &token;
        rpc_client_send(s->join, &request.base);
        RUN_UNTIL(s, s->is_done);
        assert_string_equal(s->sent_addr, "192.0.2.7:4711");
        assert_sent_binding(s);
}

static void forwards_a_refusal_word_by_word(void **state)
{
        struct stage *s = *state;
        s->verdict = error_hint(error_new(ERROR_PERMISSION_DENIED, "no rule matches"), "ask an administrator");
        host_joins(s, false);
        RUN_UNTIL(s, s->is_done);
        assert_int_equal(s->err->code, ERROR_PERMISSION_DENIED);
        assert_string_equal(s->err->what, "no rule matches");
        assert_string_equal(s->err->hint, "ask an administrator");
}

static void turn_for(struct stage *s, struct duration time)
{
        struct instant end = instant_add(loop_now(&s->proxy.loop), time);

        while (loop_now(&s->proxy.loop).ns < end.ns)
                uv_run(&s->proxy.loop.uv, UV_RUN_NOWAIT);
}

/* The proxy refuses; while its answer is held back auth refuses, too, and the host hangs up. */
static void two_refusals_of_one_join_are_one(void **state)
{
        struct stage *s = *state;
        Teleport__Join__V1__JoinRequest empty = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;
        for (int i = 0; i < LIMIT_FAILURES_PER_MINUTE + 9; i++) /* the next one is answered a second later */
                (void)sources_failed(&s->proxy.sources, "192.0.2.7:4711", loop_now(&s->proxy.loop));
        host_joins(s, false);
        RUN_UNTIL(s, s->host_messages == 1);
        for (int i = 0; i < 10; i++)
                rpc_client_send(s->join, &empty.base);
        RUN_UNTIL(s, s->auth_messages == 8);
        finish_auth(s, error_new(ERROR_PERMISSION_DENIED, "no rule matches"));
        turn_for(s, MILLISECONDS(20));
        assert_false(s->is_done);
        rpc_client_cancel(s->join);
        turn_for(s, MILLISECONDS(2200)); /* longer than both penalties */
        assert_int_equal(s->proxy.sources.totals[SOURCE_JOINS], 0);
}

static void ends_a_join_when_auth_disconnects(void **state)
{
        struct stage *s = *state;
        s->hangs_up = true;
        host_joins(s, false);
        RUN_UNTIL(s, s->is_done);
        assert_int_equal(s->err->code, ERROR_UNAVAILABLE);
}

static void refuses_at_once_while_auth_is_away_and_recovers(void **state)
{
        struct stage *s = *state;
        rpc_server_close(s->auth);
        RUN_UNTIL(s, upstream_client(s->proxy.upstream) == NULL);
        host_joins(s, false);
        RUN_UNTIL(s, s->is_done);
        assert_int_equal(s->err->code, ERROR_UNAVAILABLE);
        assert_non_null(s->err->hint);

        connect_auth(s);
        host_joins(s, false);
        RUN_UNTIL(s, s->host_messages == 1);
        rpc_client_cancel(s->join);
        RUN_UNTIL(s, s->is_done);
}

static void asks_for_another_link_to_an_auth_that_hung_up(void **state)
{
        struct stage *s = *state;
        s->gives_links = true;
        rpc_server_close(s->auth);
        RUN_UNTIL(s, upstream_client(s->proxy.upstream) == NULL);
        RUN_UNTIL(s, upstream_client(s->proxy.upstream) != NULL);
        host_joins(s, false);
        RUN_UNTIL(s, s->host_messages == 1);
        rpc_client_cancel(s->join);
        RUN_UNTIL(s, s->is_done);
}

static void notifies_auth_when_the_host_disconnects(void **state)
{
        struct stage *s = *state;
        host_joins(s, false);
        RUN_UNTIL(s, s->host_messages == 1);
        rpc_client_cancel(s->join);
        RUN_UNTIL(s, s->auth_gone == 1);
}

static void passes_no_more_messages_than_a_join_has(void **state)
{
        struct stage *s = *state;
        Teleport__Join__V1__JoinRequest empty = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;
        host_joins(s, false);
        for (int i = 0; i < 100; i++)
                rpc_client_send(s->join, &empty.base);
        RUN_UNTIL(s, s->is_done);
        assert_int_equal(s->err->code, ERROR_INVALID_ARGUMENT);
        assert_true(s->auth_messages <= 8);
}

static void takes_no_more_joins_than_a_source_may_have(void **state)
{
        struct stage *s = *state;
        struct rpc_client_call *first, *second;
        host_joins(s, false);
        first = s->join;
        host_joins(s, false);
        second = s->join;
        RUN_UNTIL(s, s->host_messages == 2);
        host_joins(s, false);
        RUN_UNTIL(s, s->is_done);
        assert_int_equal(s->err->code, ERROR_RESOURCE_EXHAUSTED);
        rpc_client_cancel(first);
        rpc_client_cancel(second);
        RUN_UNTIL(s, s->auth_gone == 2);
}

static void on_pong(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct stage *s = ctx;
        assert_done(err);
        assert_string_equal(((const Cteleport__V1__PingResponse *)answer)->cluster, "example.com");
        s->is_done = true;
}

static void passes_a_ping_on(void **state)
{
        struct stage *s = *state;
        Cteleport__V1__Empty nothing = CTELEPORT__V1__EMPTY__INIT;
        rpc_client_unary(s->host,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.PingService/Ping",
                                                           .response = &cteleport__v1__ping_response__descriptor },
                         &nothing.base, on_pong, s);
        RUN_UNTIL(s, s->is_done);
}

static void on_logged_in(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct stage *s = ctx;
        assert_done(err);
        const Cteleport__V1__LoginResponse *response = (const Cteleport__V1__LoginResponse *)answer;
        assert_string_equal(response->user, "alice");
        assert_string_equal(response->cluster, "192.0.2.7:4711");
        s->is_done = true;
}

static void reports_the_true_address_of_a_login(void **state)
{
        struct stage *s = *state;
        Cteleport__V1__LoginRequest request = CTELEPORT__V1__LOGIN_REQUEST__INIT;
        request.user = pb_text("alice");
        request.remote_addr = pb_text("198.51.100.1:1");
        rpc_client_unary(s->host,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.LoginService/Login",
                                                           .response = &cteleport__v1__login_response__descriptor },
                         &request.base, on_logged_in, s);
        RUN_UNTIL(s, s->is_done);
}

static void has_no_other_methods(void **state)
{
        struct stage *s = *state;
        static const char *const paths[] = { "/cteleport.v1.HostService/GenerateHostCerts", "/cteleport.v1.AdminService/ListTokens",
                                             "/teleport.join.v1.JoinService/join", "/cteleport.v1.LoginService/AcceptInvite",
                                             "/cteleport.v1.DialService/Dial", "/" };
        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                host_calls(s, paths[i], &cteleport__v1__empty__descriptor);
                rpc_client_half_close(s->join);
                RUN_UNTIL(s, s->is_done);
                assert_int_equal(s->err->code, ERROR_UNIMPLEMENTED);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        const struct CMUnitTest tests[] = {
                TEST(adds_the_address_of_the_client),
                TEST(refuses_a_host_that_speaks_for_a_proxy),
                TEST(passes_later_messages_as_they_are),
                TEST(finds_a_claim_in_later_messages_too),
                TEST(overwrites_the_address_of_an_older_join),
                TEST(forwards_a_refusal_word_by_word),
                TEST(two_refusals_of_one_join_are_one),
                TEST(ends_a_join_when_auth_disconnects),
                TEST(refuses_at_once_while_auth_is_away_and_recovers),
                TEST(asks_for_another_link_to_an_auth_that_hung_up),
                TEST(notifies_auth_when_the_host_disconnects),
                TEST(passes_no_more_messages_than_a_join_has),
                TEST(takes_no_more_joins_than_a_source_may_have),
                TEST(passes_a_ping_on),
                TEST(reports_the_true_address_of_a_login),
                TEST(has_no_other_methods),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
