/* SPDX-License-Identifier: Apache-2.0 */
#include "app/assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "api.pb-c.h"
#include "base/error_testing.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/net_testing.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

/* The rest of the process. */
struct agent {
        struct loop loop;
};

struct fixture {
        struct agent agent;
        struct fake_clock clock;
        struct rpc_client *client;
        struct rpc_server_conn *conn;
        struct assertion *assertion;
        int requests; /* to auth */
        bool is_away;
        const char *token;
        int64_t valid_seconds;
        bool is_done;
        struct error *err;
};

static struct fixture *the; /* methods of a table have no context of their own */

static void sign_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__SignAppTokenResponse answer = CTELEPORT__V1__SIGN_APP_TOKEN_RESPONSE__INIT;

        assert_string_equal(((const Cteleport__V1__SignAppTokenRequest *)first)->connection_id, "the connection");
        assert_string_equal(((const Cteleport__V1__SignAppTokenRequest *)first)->claims, "roles");
        the->requests++;
        answer.token = pb_text(the->token);
        answer.valid_seconds = the->valid_seconds;
        if (the->is_away)
                rpc_call_finish(call, error_new(ERROR_UNAVAILABLE, "away"));
        else
                rpc_call_reply(call, &answer.base);
}

static const struct rpc_method sign = { .path = "/cteleport.v1.AppTokenService/Sign", .request = &cteleport__v1__sign_app_token_request__descriptor,
                                        .request_max = LIMIT_RPC_JOIN, .open = sign_open };
static const struct rpc_method *const methods[] = { &sign, NULL };

struct loop *agent_loop(struct agent *a)
{
        return &a->loop;
}

struct waiting {
        void (*done)(void *ctx, struct rpc_client *client, struct error *err);
        void *ctx;
};

static void answer_waiting(void *ctx)
{
        struct waiting w = *(struct waiting *)ctx;

        free(ctx);
        w.done(w.ctx, the->client, NULL);
}

void agent_request_auth(struct agent *a, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        struct waiting *w = NEW(struct waiting);

        *w = (struct waiting){ done, ctx };
        loop_defer(&a->loop, answer_waiting, w);
}

static void on_server_closed(void *caller)
{
        ((struct fixture *)caller)->conn = NULL;
}

static void on_client_closed(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        struct stream *ours, *theirs;

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        *f = (struct fixture){ .token = "a.b-_.c", .valid_seconds = 600 };
        fake_clock_init(&f->clock, 1700000000);
        assert_done(loop_init(&f->agent.loop, &f->clock.clock));
        connected_pair(&f->agent.loop, &ours, &theirs);
        f->conn = rpc_serve(&f->agent.loop, ours, (struct rpc_server_options){ .methods = methods, .caller = f, .on_closed = on_server_closed, .peer = "test" });
        f->client = rpc_client_new(&f->agent.loop, theirs, "cluster", on_client_closed, f);
        f->assertion = assertion_new(&f->agent, "the connection", "roles");
        *state = the = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        assertion_free(f->assertion);
        rpc_client_close(f->client);
        while (f->conn != NULL)
                uv_run(&f->agent.loop.uv, UV_RUN_ONCE);
        loop_release(&f->agent.loop);
        free(f);
        return 0;
}

static void on_token(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        f->is_done = true;
        f->err = err;
}

/* Waits for a token that is not there; returns the error. */
static struct error *awaited(struct fixture *f)
{
        f->is_done = false;
        assert_false(assertion_await(f->assertion, on_token, f));
        while (!f->is_done)
                uv_run(&f->agent.loop.uv, UV_RUN_ONCE);
        struct error *err = f->err;
        f->err = NULL;
        return err;
}

/* Runs until auth has got that number of requests, and their answers are here. */
static void run_until(struct fixture *f, int requests)
{
        while (f->requests < requests)
                uv_run(&f->agent.loop.uv, UV_RUN_ONCE);
        run_a_while(&f->agent.loop);
}

static void pass(struct fixture *f, int64_t seconds)
{
        fake_clock_advance(&f->clock, SECONDS(seconds));
}

static void the_first_request_waits_for_the_token(void **state)
{
        struct fixture *f = *state;

        assert_true(str_is_empty(assertion_token(f->assertion)));
        assert_done(awaited(f));
        assert_str(assertion_token(f->assertion), "a.b-_.c");
        assert_true(assertion_await(f->assertion, on_token, f));
        run_a_while(&f->agent.loop);
        assert_int_equal(f->requests, 1);
}

static void a_token_is_renewed_behind_requests(void **state)
{
        struct fixture *f = *state;

        assert_done(awaited(f));
        pass(f, 299);
        assert_true(assertion_await(f->assertion, on_token, f));
        run_a_while(&f->agent.loop);
        assert_int_equal(f->requests, 1);
        pass(f, 1);
        f->token = "d.e.f";
        assert_true(assertion_await(f->assertion, on_token, f));
        assert_true(assertion_await(f->assertion, on_token, f)); /* no second request meanwhile */
        assert_str(assertion_token(f->assertion), "a.b-_.c");
        run_until(f, 2);
        assert_str(assertion_token(f->assertion), "d.e.f");
        pass(f, 599);
        assert_str(assertion_token(f->assertion), "d.e.f");
        pass(f, 1);
        assert_true(str_is_empty(assertion_token(f->assertion)));
        assert_int_equal(f->requests, 2);
}

static void a_token_is_used_to_its_end_while_auth_is_away(void **state)
{
        struct fixture *f = *state;

        assert_done(awaited(f));
        f->is_away = true;
        pass(f, 599);
        assert_true(assertion_await(f->assertion, on_token, f));
        run_until(f, 2);
        assert_str(assertion_token(f->assertion), "a.b-_.c");
        pass(f, 1);
        assert_code(awaited(f), ERROR_UNAVAILABLE);
        f->is_away = false;
        assert_done(awaited(f));
}

static void tokens_that_are_none_are_refused(void **state)
{
        static const struct {
                const char *token;
                int64_t valid_seconds;
        } all[] = {
                { "", 600 }, { "a.b.c\r\nX: y", 600 }, { "a b", 600 }, { "a.b.c", 0 }, { "a.b.c", -1 }, { "a.b.c", LIMIT_APP_TOKEN_SECONDS + 1 },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                f->token = all[i].token;
                f->valid_seconds = all[i].valid_seconds;
                assert_code(awaited(f), ERROR_INTERNAL);
                assert_true(str_is_empty(assertion_token(f->assertion)));
        }
}

static void it_may_be_freed_while_it_waits(void **state)
{
        struct fixture *f = *state;

        assert_false(assertion_await(f->assertion, on_token, f));
        assertion_free(f->assertion);
        run_a_while(&f->agent.loop);
        f->assertion = assertion_new(&f->agent, "the connection", "roles");
        assert_false(assertion_await(f->assertion, on_token, f));
        while (f->requests == 0)
                uv_run(&f->agent.loop.uv, UV_RUN_ONCE);
        assertion_free(f->assertion);
        run_a_while(&f->agent.loop);
        assert_false(f->is_done);
        f->assertion = NULL;
}

static void a_wait_may_be_cancelled(void **state)
{
        struct fixture *f = *state;

        assert_false(assertion_await(f->assertion, on_token, f));
        assertion_cancel(f->assertion);
        run_until(f, 1);
        assert_false(f->is_done);
        assert_str(assertion_token(f->assertion), "a.b-_.c"); /* for the next request */
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                ROW(the_first_request_waits_for_the_token),
                ROW(a_token_is_renewed_behind_requests),
                ROW(a_token_is_used_to_its_end_while_auth_is_away),
                ROW(tokens_that_are_none_are_refused),
                ROW(it_may_be_freed_while_it_waits),
                ROW(a_wait_may_be_cancelled),
        };

        return cmocka_run_group_tests_name("assertion", tests, NULL, NULL);
}
