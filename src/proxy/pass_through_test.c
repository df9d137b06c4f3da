/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/pass_through.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "net/acceptor.h"
#include "net/memory_stream.h"
#include "net/net_testing.h"
#include "net/pass.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"

#define CLIENT_ADDR "192.0.2.7:4711"
#define TICKET "0123456789abcdef"

/* The proxy's part, auth's PassService, and a listener in place of auth's port; one loop for all. */
struct stage {
        struct proxy proxy;
        struct rpc_server_conn *auth;
        struct rpc_call *announced; /* not answered yet */
        char announced_addr[ADDRESS_TEXT_MAX];
        struct listener *port;
        char address[ADDRESS_TEXT_MAX];
        struct ear at_port, client;
        struct accepted accepted;
        struct pass_through *pass;
        int done;
};

static struct stage *the;

static void must(struct error *err)
{
        if (err != NULL)
                fail_msg("%s", err->what);
}

/* ---- in place of auth ----------------------------------------------------------------------------------- */

static void on_call_gone(void *ctx)
{
        ((struct stage *)ctx)->announced = NULL;
}

static const struct rpc_call_events call_events = { .on_gone = on_call_gone };

static void open_announce(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__PassRequest *r = (const Cteleport__V1__PassRequest *)first;

        snprintf(the->announced_addr, sizeof the->announced_addr, "%s", r->remote_addr);
        the->announced = call;
        rpc_call_listen(call, &call_events, the);
}

static const struct rpc_method announce_method = { .path = "/cteleport.v1.PassService/Announce",
                                                   .request = &cteleport__v1__pass_request__descriptor,
                                                   .request_max = LIMIT_RPC,
                                                   .open = open_announce };
static const struct rpc_method *const auth_methods[] = { &announce_method, NULL };

static void on_auth_closed(void *caller)
{
        ((struct stage *)caller)->auth = NULL;
}

static void on_port(void *ctx, int fd, const char *peer)
{
        struct stage *s = ctx;

        (void)peer;
        ear_listen(&s->at_port, socket_stream(&s->proxy.loop, fd));
        stream_read(s->at_port.stream, true);
}

static void answer_ticket(struct stage *s)
{
        Cteleport__V1__PassResponse response = CTELEPORT__V1__PASS_RESPONSE__INIT;

        response.ticket = pb_bytes(STR(TICKET));
        rpc_call_reply(s->announced, &response.base);
        s->announced = NULL;
}

static void answer_error(struct stage *s, enum error_code code)
{
        rpc_call_finish(s->announced, error_new(code, "no"));
        s->announced = NULL;
}

/* ---- the stage ------------------------------------------------------------------------------------------ */

static int set_up(void **state)
{
        struct stage *s = NEW(struct stage);
        int ours, theirs, fd;

        *state = the = s;
        must(loop_init(&s->proxy.loop, NULL));
        s->proxy.sources.limits[SOURCE_PASSED] = (struct source_limit){ 1, 1 };
        must(socket_pair(&ours, &theirs));
        s->auth = rpc_serve(&s->proxy.loop, socket_stream(&s->proxy.loop, theirs),
                            (struct rpc_server_options){ .methods = auth_methods, .caller = s, .on_closed = on_auth_closed, .peer = "" });
        s->proxy.upstream = upstream_new(&s->proxy.loop, NULL, NULL);
        upstream_use_link(s->proxy.upstream, ours);
        must(socket_listen_tcp(STR("127.0.0.1:0"), &fd, s->address));
        s->port = listener_new(&s->proxy.loop, fd, on_port, s);
        s->proxy.auth_address = s->address;
        snprintf(s->accepted.peer, sizeof s->accepted.peer, "%s", CLIENT_ADDR);
        return 0;
}

static int tear_down(void **state)
{
        struct stage *s = *state;

        if (s->done == 0)
                pass_through_cancel(s->pass);
        RUN_UNTIL(&s->proxy.loop, s->done == 1);
        assert_int_equal(s->proxy.sources.totals[SOURCE_PASSED], 0);
        upstream_free(s->proxy.upstream);
        RUN_UNTIL(&s->proxy.loop, s->auth == NULL);
        listener_close(s->port);
        ear_release(&s->at_port);
        ear_release(&s->client);
        run_a_while(&s->proxy.loop);
        sources_release(&s->proxy.sources);
        loop_release(&s->proxy.loop);
        assert_int_equal(s->done, 1);
        free(s);
        return 0;
}

static void on_done(void *ctx)
{
        ((struct stage *)ctx)->done++;
}

/* A client that has sent "hello". */
static void pass(struct stage *s)
{
        struct stream *here, *there;

        memory_stream_pair(&s->proxy.loop, &here, &there);
        ear_listen(&s->client, here);
        stream_read(here, true);
        stream_write(here, STR("hello"));
        s->pass = pass_through_start(&s->proxy, there, &s->accepted, on_done, s);
        assert_int_equal(s->done, 0);
}

static void pass_announced(struct stage *s)
{
        pass(s);
        RUN_UNTIL(&s->proxy.loop, s->announced != NULL);
}

/* ---- tests ---------------------------------------------------------------------------------------------- */

static void the_ticket_precedes_the_bytes(void **state)
{
        struct stage *s = *state;

        pass_announced(s);
        assert_string_equal(s->announced_addr, CLIENT_ADDR);
        answer_ticket(s);
        RUN_UNTIL(&s->proxy.loop, s->at_port.received.len == PASS_PREAMBLE_SIZE + strlen("hello"));
        assert_received(&s->at_port, PASS_MAGIC TICKET "hello");
        stream_write(s->at_port.stream, STR("welcome"));
        RUN_UNTIL(&s->proxy.loop, s->client.received.len == strlen("welcome"));
        assert_int_equal(s->proxy.sources.totals[SOURCE_PASSED], 1);
        stream_close(s->client.stream);
        s->client.stream = NULL;
        RUN_UNTIL(&s->proxy.loop, s->at_port.ends == 1);
}

static void an_older_auth_gets_the_bytes_only(void **state)
{
        struct stage *s = *state;

        pass_announced(s);
        answer_error(s, ERROR_UNIMPLEMENTED);
        RUN_UNTIL(&s->proxy.loop, s->at_port.received.len == strlen("hello"));
        assert_received(&s->at_port, "hello");
}

static void a_refused_announcement_ends_it(void **state)
{
        struct stage *s = *state;

        pass_announced(s);
        answer_error(s, ERROR_RESOURCE_EXHAUSTED);
        RUN_UNTIL(&s->proxy.loop, s->done == 1 && s->client.ends == 1);
        assert_null(s->at_port.stream);
}

static void ends_before_auth_has_answered(void **state)
{
        struct stage *s = *state;

        pass_announced(s);
        pass_through_cancel(s->pass);
        pass_through_cancel(s->pass);
        assert_int_equal(s->done, 0);
        RUN_UNTIL(&s->proxy.loop, s->done == 1 && s->client.ends == 1);
        answer_ticket(s);
        run_a_while(&s->proxy.loop);
        assert_null(s->at_port.stream);
}

static void an_answer_may_come_with_the_end(void **state)
{
        struct stage *s = *state;

        pass_announced(s);
        answer_error(s, ERROR_UNAVAILABLE);
        pass_through_cancel(s->pass);
        RUN_UNTIL(&s->proxy.loop, s->done == 1 && s->client.ends == 1);
}

static void there_is_a_limit(void **state)
{
        struct stage *s = *state;

        assert_true(sources_enter(&s->proxy.sources, SOURCE_PASSED, CLIENT_ADDR));
        pass(s);
        RUN_UNTIL(&s->proxy.loop, s->done == 1 && s->client.ends == 1);
        assert_null(s->announced);
        sources_leave(&s->proxy.sources, SOURCE_PASSED, CLIENT_ADDR);
}

static void ends_if_the_address_of_auth_is_unknown(void **state)
{
        struct stage *s = *state;

        s->proxy.auth_address = NULL;
        pass(s);
        RUN_UNTIL(&s->proxy.loop, s->done == 1 && s->client.ends == 1);
}

static void ends_if_auth_does_not_listen(void **state)
{
        struct stage *s = *state;

        listener_close(s->port);
        s->port = NULL;
        pass_announced(s);
        answer_ticket(s);
        RUN_UNTIL(&s->proxy.loop, s->done == 1 && s->client.ends == 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(the_ticket_precedes_the_bytes),
                TEST(an_older_auth_gets_the_bytes_only),
                TEST(a_refused_announcement_ends_it),
                TEST(ends_before_auth_has_answered),
                TEST(an_answer_may_come_with_the_end),
                TEST(there_is_a_limit),
                TEST(ends_if_the_address_of_auth_is_unknown),
                TEST(ends_if_auth_does_not_listen),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
