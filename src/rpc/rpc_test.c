/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our client against our server, over a socketpair.
 */
#include "rpc/rpc_testing.h"

struct fixture {
        struct service service;
        struct rpc_client *client;
        int lost;
        int lost_code;
        bool closes_on_lost;
};

/* The result of a call. */
struct outcome {
        struct fixture *f;
        struct rpc_client_call *call;
        int messages, times, code;
        char text[64], what[128], hint[64];
        bool cancels_on_message, closes_on_message;
};

static void on_lost(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        f->lost++;
        f->lost_code = (int)err->code;
        error_free(err);
        if (f->closes_on_lost) {
                rpc_client_close(f->client);
                f->client = NULL;
        }
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        service_init(&f->service);
        struct stream *theirs = service_serve(&f->service);
        f->client = rpc_client_new(&f->service.loop, theirs, "cluster.example.com", on_lost, f);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        rpc_client_close(f->client);
        service_release(&f->service);
        free(f);
        return 0;
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct outcome *o = ctx;

        o->messages++;
        snprintf(o->text, sizeof o->text, "%s", ((const Everything *)msg)->text);
        if (o->cancels_on_message)
                rpc_client_cancel(o->call);
        if (o->closes_on_message) {
                rpc_client_close(o->f->client);
                o->f->client = NULL;
        }
}

static void on_done(void *ctx, struct error *err)
{
        struct outcome *o = ctx;

        o->times++;
        o->code = err == NULL ? 0 : (int)err->code;
        if (err != NULL) {
                snprintf(o->what, sizeof o->what, "%s", err->what);
                snprintf(o->hint, sizeof o->hint, "%s", err->hint == NULL ? "" : err->hint);
        }
        error_free(err);
}

static const struct rpc_client_events events = { on_message, on_done };

static void on_unary(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        assert_true((answer == NULL) == (err != NULL));
        if (answer != NULL)
                on_message(ctx, answer);
        on_done(ctx, err);
}

static struct rpc_client_call_options options_of(const char *path)
{
        return (struct rpc_client_call_options){
                .path = path,
                .response = &cteleport__test__everything__descriptor,
                .within = SECONDS(20),
        };
}

static void echo(struct fixture *f, const char *text, struct outcome *o)
{
        Everything msg = everything_of(text);

        *o = (struct outcome){ .f = f };
        rpc_client_unary(f->client, options_of(method_echo.path), &msg.base, on_unary, o);
}

static void chat(struct fixture *f, struct outcome *o)
{
        *o = (struct outcome){ .f = f };
        o->call = rpc_client_call(f->client, options_of(method_chat.path), &events, o);
}

static void send_message(struct outcome *o, const char *text)
{
        Everything msg = everything_of(text);

        rpc_client_send(o->call, &msg.base);
}

#define AWAIT(f, condition) RUN_UNTIL(&(f)->service.loop, condition)

static void answers_a_unary_call(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        echo(f, "hello", &o);
        assert_int_equal(o.times, 0); /* never from inside the call */
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, 0);
        assert_string_equal(o.text, "hello");
        assert_string_equal(f->service.metadata, CTELEPORT_VERSION);
        AWAIT(f, f->service.gone == 0);
}

static void carries_code_sentence_and_hint_but_no_cause(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        echo(f, "refuse", &o);
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_PERMISSION_DENIED);
        assert_string_equal(o.what, "grün is 100% refused");
        assert_string_equal(o.hint, "ask for blue\\nor red");
}

static void carries_messages_both_ways_until_the_client_half_closes(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        chat(f, &o);
        send_message(&o, "one");
        AWAIT(f, o.messages == 1);
        send_message(&o, "two");
        AWAIT(f, o.messages == 2);
        assert_string_equal(o.text, "two");
        assert_int_equal(o.times, 0);
        rpc_client_half_close(o.call);
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, 0);
        assert_int_equal(f->service.half_closes, 1);
        assert_int_equal(f->service.gone, 0);
}

static void lets_the_server_finish_first(void **state)
{
        struct fixture *f = *state;
        struct outcome o, next;

        chat(f, &o);
        send_message(&o, "bye");
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, 0);
        assert_string_equal(o.text, "bye");
        assert_int_equal(f->service.gone, 0);
        echo(f, "still there?", &next);
        AWAIT(f, next.times > 0);
        assert_int_equal(next.code, 0);
}

static void carries_large_messages_past_the_window(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *large = mem_alloc(ECHO_MAX);
        struct outcome outcomes[8];

        memset(large, 'x', ECHO_MAX - 16);
        for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
                echo(f, large, &outcomes[i]);
        for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
                AWAIT(f, outcomes[i].times > 0);
                assert_int_equal(outcomes[i].code, 0);
        }
}

static void refuses_a_message_larger_than_the_method_takes(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *large = mem_alloc(ECHO_MAX + 1);
        struct outcome o;

        memset(large, 'x', ECHO_MAX);
        echo(f, large, &o);
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(f->service.opened, 0);
}

static void reports_an_invalid_message_to_the_handler_of_a_stream(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *large = mem_alloc(ECHO_MAX + 1);
        struct outcome o;

        memset(large, 'x', ECHO_MAX);
        chat(f, &o);
        send_message(&o, large);
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(f->service.gone, 1);
}

static void gives_back_the_memory_of_each_message_of_a_stream(void **state)
{
        struct fixture *f = *state;
        enum { COUNT = 100 }; /* many times the memory of one message */
        AUTO_MEM char *large = mem_alloc(ECHO_MAX);
        struct outcome o;

        memset(large, 'x', ECHO_MAX - 16);
        f->service.is_slow = true;
        chat(f, &o);
        for (int i = 0; i < COUNT; i++) {
                send_message(&o, large);
                AWAIT(f, f->service.messages == i + 1);
        }
        assert_int_equal(o.times, 0);
        rpc_client_cancel(o.call);
        AWAIT(f, o.times > 0);
}

static void asks_the_guard_before_the_handler(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        f->service.refusal = error_new(ERROR_PERMISSION_DENIED, "unauthenticated peers may only join");
        chat(f, &o);
        send_message(&o, "let me in");
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_PERMISSION_DENIED);
        assert_int_equal(f->service.guarded, 1);
        assert_int_equal(f->service.opened, 0);
        assert_int_equal(f->service.messages, 0);
}

static void does_not_know_other_methods(void **state)
{
        struct fixture *f = *state;
        struct outcome o = { .f = f };
        Everything msg = everything_of("x");

        rpc_client_unary(f->client, options_of("/cteleport.test.Service/Echo/"), &msg.base, on_unary, &o);
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_UNIMPLEMENTED);
        assert_int_equal(f->service.guarded, 0);
}

static void gives_up_at_the_deadline_on_both_sides(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        f->service.is_slow = true;
        chat(f, &o);
        send_message(&o, "one");
        AWAIT(f, f->service.messages == 1);
        loop_advance(&f->service.loop, &f->service.clock, SECONDS(19));
        run_a_while(&f->service.loop);
        assert_int_equal(o.times, 0);
        loop_advance(&f->service.loop, &f->service.clock, SECONDS(2));
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_DEADLINE_EXCEEDED);
        AWAIT(f, f->service.gone == 1);
}

static void reports_a_cancelled_call_to_the_handler(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        chat(f, &o);
        send_message(&o, "one");
        AWAIT(f, o.messages == 1);
        rpc_client_cancel(o.call);
        assert_int_equal(o.times, 0);
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_CANCELLED);
        AWAIT(f, f->service.gone == 1);
        assert_non_null(f->service.conn);
}

static void may_be_cancelled_by_the_callback_of_a_message(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        chat(f, &o);
        o.cancels_on_message = true;
        send_message(&o, "one");
        send_message(&o, "two");
        AWAIT(f, o.times > 0);
        assert_int_equal(o.messages, 1);
        assert_int_equal(o.code, ERROR_CANCELLED);
}

static void may_be_closed_by_the_callback_of_a_message(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        chat(f, &o);
        o.closes_on_message = true;
        send_message(&o, "one");
        send_message(&o, "two");
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_CANCELLED);
        AWAIT(f, f->service.closed == 1);
        assert_int_equal(f->service.gone, 1);
        assert_int_equal(f->lost, 0);
}

static void fails_open_calls_when_the_server_disconnects(void **state)
{
        struct fixture *f = *state;
        struct outcome o, later;

        chat(f, &o);
        send_message(&o, "one");
        AWAIT(f, o.messages == 1);
        rpc_server_close(f->service.conn);
        assert_int_equal(f->service.gone, 0); /* never from inside the call */
        AWAIT(f, f->lost == 1);
        assert_int_equal(o.times, 1);
        assert_int_equal(o.code, ERROR_UNAVAILABLE);
        assert_int_equal(f->lost_code, ERROR_UNAVAILABLE);
        assert_int_equal(f->service.gone, 1);
        assert_int_equal(f->service.closed, 1);
        echo(f, "anybody?", &later);
        assert_int_equal(later.times, 0);
        AWAIT(f, later.times > 0);
        assert_int_equal(later.code, ERROR_UNAVAILABLE);
        assert_int_equal(f->lost, 1);
}

static void may_be_closed_in_the_callback_of_the_loss(void **state)
{
        struct fixture *f = *state;

        f->closes_on_lost = true;
        rpc_server_close(f->service.conn);
        AWAIT(f, f->lost == 1);
        run_a_while(&f->service.loop);
        assert_null(f->client);
}

static void server_may_close_from_inside_a_message(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        f->service.closes_on_message = true;
        chat(f, &o);
        send_message(&o, "one");
        send_message(&o, "two");
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, ERROR_UNAVAILABLE);
        assert_int_equal(f->service.messages, 1);
        assert_int_equal(f->service.gone, 1);
        assert_int_equal(f->service.closed, 1);
}

static void drains_by_finishing_open_calls(void **state)
{
        struct fixture *f = *state;
        struct outcome open, late;

        chat(f, &open);
        send_message(&open, "one");
        AWAIT(f, open.messages == 1);
        rpc_server_drain(f->service.conn);
        run_a_while(&f->service.loop);
        echo(f, "too late", &late);
        AWAIT(f, late.times > 0);
        assert_int_equal(late.code, ERROR_UNAVAILABLE);
        assert_int_equal(open.times, 0);
        send_message(&open, "bye");
        AWAIT(f, open.times > 0);
        assert_int_equal(open.code, 0);
        AWAIT(f, f->service.closed == 1);
        AWAIT(f, f->lost == 1);
}

static void stops_draining_after_a_while(void **state)
{
        struct fixture *f = *state;
        struct outcome open;

        chat(f, &open);
        send_message(&open, "one");
        AWAIT(f, open.messages == 1);
        rpc_server_drain(f->service.conn);
        run_a_while(&f->service.loop);
        assert_int_equal(f->service.closed, 0);
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(TIMEOUT_GRACEFUL_STOP));
        AWAIT(f, f->service.closed == 1);
        assert_int_equal(f->service.gone, 1);
        AWAIT(f, open.times > 0);
}

static void closes_an_idle_connection(void **state)
{
        struct fixture *f = *state;
        struct outcome o;

        echo(f, "hello", &o);
        AWAIT(f, o.times > 0);
        run_a_while(&f->service.loop);
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(TIMEOUT_IDLE_CONNECTION - 1000));
        run_a_while(&f->service.loop);
        assert_int_equal(f->service.closed, 0);
        loop_advance(&f->service.loop, &f->service.clock, SECONDS(2));
        AWAIT(f, f->service.closed == 1);
        AWAIT(f, f->lost == 1);
        assert_int_equal(f->lost_code, ERROR_UNAVAILABLE);
}

static void keeps_a_silent_call_alive_with_pings(void **state)
{
        struct fixture *f = *state;
        struct rpc_client_call_options options = options_of(method_chat.path);
        struct outcome o = { .f = f };

        options.within = (struct duration){ 0 };
        f->service.is_slow = true;
        o.call = rpc_client_call(f->client, options, &events, &o);
        AWAIT(f, f->service.opened == 1);
        for (int i = 0; i < 20; i++) {
                loop_advance(&f->service.loop, &f->service.clock, SECONDS(31));
                run_a_while(&f->service.loop);
        }
        assert_int_equal(o.times, 0);
        assert_int_equal(f->service.gone, 0);
        service_finish(&f->service, NULL);
        AWAIT(f, o.times > 0);
        assert_int_equal(o.code, 0);
}

static void a_kept_connection_is_checked_without_calls(void **state)
{
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ping[] = "\0\0\x08\x06\0";
        struct fixture *f = *state;
        struct loop *l = &f->service.loop;
        struct ear silent = { 0 };
        struct stream *ours, *theirs;

        connected_pair(l, &ours, &theirs);
        ear_listen(&silent, ours);
        stream_read(ours, true);
        struct rpc_client *kept = rpc_client_new(l, theirs, "cluster.example.com", on_lost, f);
        rpc_client_keep_alive(kept);
        RUN_UNTIL(l, silent.received.len > sizeof preface);
        loop_advance(l, &f->service.clock, MILLISECONDS(TIMEOUT_KEEPALIVE - 1));
        run_a_while(l);
        buf_clear(&silent.received);
        loop_advance(l, &f->service.clock, MILLISECONDS(1));
        RUN_UNTIL(l, silent.received.len > 0);
        assert_memory_equal(silent.received.ptr, ping, sizeof ping - 1);
        loop_advance(l, &f->service.clock, MILLISECONDS(TIMEOUT_KEEPALIVE_ANSWER - 1));
        run_a_while(l);
        assert_int_equal(f->lost, 0);
        loop_advance(l, &f->service.clock, MILLISECONDS(1));
        RUN_UNTIL(l, f->lost == 1);
        assert_int_equal(f->lost_code, ERROR_UNAVAILABLE);
        rpc_client_close(kept);
        RUN_UNTIL(l, silent.ends == 1);
        ear_release(&silent);
}

static void queues_more_calls_than_the_server_takes_at_once(void **state)
{
        struct fixture *f = *state;
        enum { COUNT = 300 };
        struct outcome *outcomes = mem_array(COUNT, sizeof *outcomes);

        for (size_t i = 0; i < COUNT; i++)
                echo(f, "hello", &outcomes[i]);
        for (size_t i = 0; i < COUNT; i++) {
                AWAIT(f, outcomes[i].times > 0);
                assert_int_equal(outcomes[i].code, 0);
        }
        free(outcomes);
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                A_TEST(answers_a_unary_call),
                A_TEST(carries_code_sentence_and_hint_but_no_cause),
                A_TEST(carries_messages_both_ways_until_the_client_half_closes),
                A_TEST(lets_the_server_finish_first),
                A_TEST(carries_large_messages_past_the_window),
                A_TEST(refuses_a_message_larger_than_the_method_takes),
                A_TEST(reports_an_invalid_message_to_the_handler_of_a_stream),
                A_TEST(gives_back_the_memory_of_each_message_of_a_stream),
                A_TEST(asks_the_guard_before_the_handler),
                A_TEST(does_not_know_other_methods),
                A_TEST(gives_up_at_the_deadline_on_both_sides),
                A_TEST(reports_a_cancelled_call_to_the_handler),
                A_TEST(may_be_cancelled_by_the_callback_of_a_message),
                A_TEST(may_be_closed_by_the_callback_of_a_message),
                A_TEST(fails_open_calls_when_the_server_disconnects),
                A_TEST(may_be_closed_in_the_callback_of_the_loss),
                A_TEST(server_may_close_from_inside_a_message),
                A_TEST(drains_by_finishing_open_calls),
                A_TEST(stops_draining_after_a_while),
                A_TEST(closes_an_idle_connection),
                A_TEST(keeps_a_silent_call_alive_with_pings),
                A_TEST(a_kept_connection_is_checked_without_calls),
                A_TEST(queues_more_calls_than_the_server_takes_at_once),
        };

        return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
