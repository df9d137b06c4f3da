/* SPDX-License-Identifier: Apache-2.0 */
/* The report stream of one connection to a cluster that receives, answers and disconnects as each test defines. */
#include "agent/report_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/net_testing.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

/* In the place of agent.c. */
struct agent {
        struct loop loop;
        size_t pending_reports;
};

struct fixture {
        struct agent agent;
        struct report_stream *report_stream;

        /* the cluster */
        struct rpc_server_conn *conn; /* NULL: away */
        struct rpc_call *call;
        struct buf received;             /* a word for each message: begin, resume, ask:LOGIN, SEQ:KIND */
        bool is_away;

        /* our end */
        struct rpc_client *client;
        struct waiting {
                void (*done)(void *ctx, struct rpc_client *client, struct error *err);
                void *ctx;
        } waiting;
        int decisions, terminations, finishes, acknowledged, cancelled;
        enum error_code refusal;
};

/* ---- the cluster ---------------------------------------------------------------------------------------------- */

static const char *kind_of(const Cteleport__V1__ReportUp *up)
{
        switch (up->payload_case) {
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_ACCEPTED:
                return "accepted";
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_PORT:
                return "port";
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_CLOSED:
                return "closed";
        default:
                return "other";
        }
}

static void on_received(void *ctx, const ProtobufCMessage *msg)
{
        struct fixture *f = ctx;
        const Cteleport__V1__ReportUp *up = (const Cteleport__V1__ReportUp *)msg;

        if (up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_BEGIN)
                buf_printf(&f->received, "%s%s%s ", up->begin->is_resumed ? "resume" : "begin", up->begin->accepted == NULL ? "" : ":",
                           up->begin->accepted == NULL ? "" : up->begin->accepted->node->login);
        else if (up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_REQUEST)
                buf_printf(&f->received, "ask:%s ", up->request->node->login);
        else
                buf_printf(&f->received, "%llu:%s ", (unsigned long long)up->seq, kind_of(up));
}

static void on_half_close(void *ctx)
{
        (void)ctx;
}

static void on_gone(void *ctx)
{
        struct fixture *f = ctx;

        f->call = NULL;
}

static const struct rpc_call_events call_events = { on_received, on_half_close, on_gone };

static void open_report_stream(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct fixture *f = rpc_call_caller(call);

        (void)first;
        f->call = call;
        rpc_call_listen(call, &call_events, f);
}

static const struct rpc_method method = {
        .path = "/cteleport.v1.SessionService/Report",
        .request = &cteleport__v1__report_up__descriptor,
        .request_max = LIMIT_RPC,
        .is_client_stream = true,
        .open = open_report_stream,
};
static const struct rpc_method *const methods[] = { &method, NULL };

static void on_conn_closed(void *caller)
{
        struct fixture *f = caller;

        f->conn = NULL;
}

static void on_client_closed(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        error_free(err);
        rpc_client_close(f->client);
        f->client = NULL;
}

static void answer_waiting(void *ctx)
{
        struct fixture *f = ctx;
        struct waiting w = f->waiting;
        struct stream *ours, *theirs;

        f->waiting = (struct waiting){ 0 };
        if (w.done == NULL)
                return;
        if (f->is_away) {
                w.done(w.ctx, NULL, error_new(ERROR_UNAVAILABLE, "away"));
                return;
        }
        if (f->client == NULL) {
                connected_pair(&f->agent.loop, &ours, &theirs);
                f->conn = rpc_serve(&f->agent.loop, ours,
                                    (struct rpc_server_options){
                                            .methods = methods, .caller = f, .on_closed = on_conn_closed, .peer = "test" });
                f->client = rpc_client_new(&f->agent.loop, theirs, "cluster", on_client_closed, f);
        }
        w.done(w.ctx, f->client, NULL);
}

struct loop *agent_loop(struct agent *a)
{
        return &a->loop;
}

size_t *agent_pending_reports(struct agent *a)
{
        return &a->pending_reports;
}

void agent_request_auth(struct agent *a, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        struct fixture *f = CONTAINER_OF(a, struct fixture, agent);

        assert_null(f->waiting.done);
        f->waiting = (struct waiting){ done, ctx };
        loop_defer(&a->loop, answer_waiting, f);
}

static void acknowledge(struct fixture *f, uint64_t seq)
{
        Cteleport__V1__ReportAck ack = CTELEPORT__V1__REPORT_ACK__INIT;
        Cteleport__V1__ReportDown down = CTELEPORT__V1__REPORT_DOWN__INIT;

        ack.seq = seq;
        down.payload_case = CTELEPORT__V1__REPORT_DOWN__PAYLOAD_ACK;
        down.ack = &ack;
        rpc_call_send(f->call, &down.base);
}

static void decide(struct fixture *f, const char *certificate)
{
        Cteleport__V1__ReportDecision decision = CTELEPORT__V1__REPORT_DECISION__INIT;
        Cteleport__V1__ReportDown down = CTELEPORT__V1__REPORT_DOWN__INIT;

        decision.certificate = pb_bytes(str_of(certificate));
        down.payload_case = CTELEPORT__V1__REPORT_DOWN__PAYLOAD_DECISION;
        down.decision = &decision;
        rpc_call_send(f->call, &down.base);
}

static void hang_up(struct fixture *f)
{
        rpc_server_close(f->conn);
}

/* ---- the connection ------------------------------------------------------------------------------------------- */

static ProtobufCBinaryData bytes_of(const char *text)
{
        return pb_bytes(str_of(text));
}

static void request_decision(struct fixture *f, const char *certificate, const char *login, const char *nonce)
{
        Cteleport__V1__ReportRequest request = CTELEPORT__V1__REPORT_REQUEST__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;

        node.login = pb_text(login);
        request.certificate = bytes_of(certificate);
        request.nonce = bytes_of(nonce);
        request.node = &node;
        report_stream_request(f->report_stream, &request);
}

static void accept_certificate(struct fixture *f, const char *certificate, const char *login)
{
        Cteleport__V1__ReportAccepted accepted = CTELEPORT__V1__REPORT_ACCEPTED__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;

        node.login = pb_text(login);
        accepted.certificate = bytes_of(certificate);
        accepted.node = &node;
        report_stream_accepted(f->report_stream, &accepted);
}

static void on_decision(void *ctx, const Cteleport__V1__ReportDecision *decision)
{
        (void)decision;
        ((struct fixture *)ctx)->decisions++;
}

static void on_terminate(void *ctx, struct str reason)
{
        (void)reason;
        ((struct fixture *)ctx)->terminations++;
}

static void on_refused(void *ctx, struct error *err)
{
        ((struct fixture *)ctx)->refusal = err->code;
        error_free(err);
}

static void on_finished(void *ctx)
{
        ((struct fixture *)ctx)->finishes++;
}

static const struct report_events events = { on_decision, on_terminate, on_refused, on_finished };

static void on_acknowledged(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        *(err == NULL ? &f->acknowledged : &f->cancelled) += 1;
        error_free(err);
}

static void report_text(struct fixture *f, size_t len)
{
        Cteleport__V1__ReportPort port = CTELEPORT__V1__REPORT_PORT__INIT;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;
        AUTO_MEM char *text = mem_alloc(len + 1);

        memset(text, 'x', len);
        text[len] = '\0';
        port.address = text;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_PORT;
        up.port = &port;
        report_stream_send(f->report_stream, &up, on_acknowledged, f);
}

static void report_port(struct fixture *f)
{
        report_text(f, 0);
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->agent.loop, NULL));
        f->received = BUF_MAX(1 * MiB);
        f->report_stream = report_stream_new(&f->agent, STR("connection"), STR("192.0.2.7:50122"), &events, f);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        report_stream_free(f->report_stream);
        rpc_client_close(f->client);
        f->client = NULL;
        if (f->conn != NULL)
                hang_up(f);
        while (f->conn != NULL || f->waiting.done != NULL || f->call != NULL)
                uv_run(&f->agent.loop.uv, UV_RUN_ONCE);
        for (int i = 0; i < 3; i++)
                uv_run(&f->agent.loop.uv, UV_RUN_NOWAIT);
        buf_release(&f->received);
        loop_release(&f->agent.loop);
        free(f);
        return 0;
}

#define AWAIT(f, condition)                                                                                              \
        while (!(condition))                                                                                                 \
        uv_run(&(f)->agent.loop.uv, UV_RUN_ONCE)

static void await_received(struct fixture *f, const char *words)
{
        AWAIT(f, f->received.len >= strlen(words));
        assert_string_equal(buf_c(&f->received), words);
        buf_clear(&f->received);
}

/* ---- the tests -------------------------------------------------------------------------------------------------- */

static void reports_in_order_and_awaits_durability(void **state)
{
        struct fixture *f = *state;

        report_port(f); /* before there is a stream */
        await_received(f, "begin 1:port ");
        accept_certificate(f, "cert", "root");
        report_port(f);
        await_received(f, "2:accepted 3:port ");
        assert_int_equal(f->acknowledged, 0);
        acknowledge(f, 2);
        AWAIT(f, f->acknowledged == 1);
        acknowledge(f, 3);
        AWAIT(f, f->acknowledged == 2);
}

static void repeats_unacknowledged_events_after_a_loss(void **state)
{
        struct fixture *f = *state;

        accept_certificate(f, "cert", "root");
        report_port(f);
        report_port(f);
        await_received(f, "begin 1:accepted 2:port 3:port ");
        acknowledge(f, 2);
        AWAIT(f, f->acknowledged == 1);
        hang_up(f);
        AWAIT(f, f->conn == NULL);
        report_port(f);
        await_received(f, "resume:root 3:port 4:port ");
        acknowledge(f, 4);
        AWAIT(f, f->acknowledged == 3);
}

static void repeats_an_unanswered_request_after_a_loss(void **state)
{
        struct fixture *f = *state;

        request_decision(f, "one", "root", "n1");
        request_decision(f, "two", "bob", "n2");
        await_received(f, "begin ask:root ask:bob ");
        decide(f, "one");
        AWAIT(f, f->decisions == 1);
        hang_up(f);
        await_received(f, "resume ask:bob ");
        decide(f, "two");
        AWAIT(f, f->decisions == 2);
}

static void waits_for_a_cluster_that_is_away(void **state)
{
        struct fixture *f = *state;

        f->is_away = true;
        report_port(f);
        for (int i = 0; i < 2; i++)
                AWAIT(f, f->waiting.done != NULL);
        f->is_away = false;
        await_received(f, "begin 1:port ");
        assert_int_equal(f->refusal, 0);
}

static void keeps_no_more_in_flight_than_the_cluster_accepts(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) first = BUF_MAX(64 * KiB);

        for (int i = 0; i < LIMIT_SSH_REPORTING + 10; i++)
                report_port(f);
        buf_put_c(&first, "begin ");
        for (int i = 1; i <= LIMIT_SSH_REPORTING; i++)
                buf_printf(&first, "%d:port ", i);
        await_received(f, buf_c(&first));
        acknowledge(f, 3);
        buf_clear(&first);
        for (int i = 1; i <= 3; i++)
                buf_printf(&first, "%d:port ", LIMIT_SSH_REPORTING + i);
        await_received(f, buf_c(&first));
}

static void gives_up_when_more_happens_than_can_be_kept(void **state)
{
        struct fixture *f = *state;

        f->is_away = true;
        for (int i = 0; i < LIMIT_SSH_UNACKED; i++)
                report_port(f);
        assert_int_equal(f->refusal, 0);
        report_port(f);
        assert_int_equal(f->refusal, ERROR_RESOURCE_EXHAUSTED);
}

/* Other streams use the shared reserve; this one uses little until it exceeds its share. */
static void ends_with_more_than_its_share_of_pending_events(void **state)
{
        struct fixture *f = *state;
        int reported = 0;

        f->is_away = true;
        f->agent.pending_reports += LIMIT_SSH_UNACKED_ALL;
        while (f->refusal == 0 && reported++ < LIMIT_SSH_UNACKED)
                report_text(f, LIMIT_SSH_UNACKED_ALL / LIMIT_SSH_CONNECTIONS / 8);
        assert_in_range(reported, 7, 9);
        assert_int_equal(f->refusal, ERROR_RESOURCE_EXHAUSTED);
        f->agent.pending_reports -= LIMIT_SSH_UNACKED_ALL;
}

static void ends_with_a_cluster_that_knows_nothing_of_it(void **state)
{
        struct fixture *f = *state;

        await_received(f, "begin ");
        struct rpc_call *call = f->call;
        f->call = NULL;
        rpc_call_finish(call, error_new(ERROR_NOT_FOUND, "there is no such connection"));
        AWAIT(f, f->refusal != 0);
        assert_int_equal(f->refusal, ERROR_NOT_FOUND);
}

static void finishes_when_everything_is_durable(void **state)
{
        struct fixture *f = *state;

        report_port(f);
        report_stream_finish(f->report_stream);
        await_received(f, "begin 1:port ");
        assert_int_equal(f->finishes, 0);
        hang_up(f);
        await_received(f, "resume 1:port ");
        acknowledge(f, 1);
        AWAIT(f, f->finishes == 1);
}

static void answers_waiting_callers_when_it_ends(void **state)
{
        struct fixture *f = *state;

        report_port(f);
        await_received(f, "begin 1:port ");
        report_stream_free(f->report_stream);
        f->report_stream = NULL;
        assert_int_equal(f->cancelled, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(reports_in_order_and_awaits_durability),
                TEST(repeats_unacknowledged_events_after_a_loss),
                TEST(repeats_an_unanswered_request_after_a_loss),
                TEST(waits_for_a_cluster_that_is_away),
                TEST(keeps_no_more_in_flight_than_the_cluster_accepts),
                TEST(gives_up_when_more_happens_than_can_be_kept),
                TEST(ends_with_more_than_its_share_of_pending_events),
                TEST(ends_with_a_cluster_that_knows_nothing_of_it),
                TEST(finishes_when_everything_is_durable),
                TEST(answers_waiting_callers_when_it_ends),
        };

        return cmocka_run_group_tests_name("report_stream", tests, NULL, NULL);
}
