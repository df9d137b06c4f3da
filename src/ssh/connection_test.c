/* SPDX-License-Identifier: Apache-2.0 */
/* One connection with stand-ins for the proxy's stream, the supervisor, the cluster and sshd's programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/report_stream.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/pb.h"
#include "ssh/ssh_service.h"

static const char connection_id[] = "99999999-9999-4999-8999-999999999999";
static char poll, cluster; /* somewhere to point to */

struct testbed {
        struct fake_clock clock;
        struct ssh_service s;
        struct host_identity identity;
        const struct report_events *events;
        void *ctx;
        bool is_refused, is_closed_reported, is_gone;
        struct helper *helper; /* of the connection; NULL: none */
        struct connection *its_connection;
        char decided[64]; /* the session of its connection that was decided last */
};

static struct testbed *testbed;

/* ---- stand-ins for the service ------------------------------------------------------------------------------- */

struct report_stream *report_stream_new(struct agent *agent UNUSED, struct str id UNUSED, struct str client_addr UNUSED,
                          const struct report_events *events, void *ctx)
{
        testbed->events = events;
        testbed->ctx = ctx;
        return (struct report_stream *)&cluster;
}

void report_stream_free(struct report_stream *a UNUSED)
{
}

void report_stream_request(struct report_stream *a UNUSED, const Cteleport__V1__ReportRequest *request UNUSED)
{
}

void report_stream_send(struct report_stream *a UNUSED, const Cteleport__V1__ReportUp *up,
                 void (*acknowledged)(void *ctx, struct error *err) UNUSED, void *ctx UNUSED)
{
        testbed->is_closed_reported |= up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_CLOSED;
}

void report_stream_accepted(struct report_stream *a UNUSED, const Cteleport__V1__ReportAccepted *accepted UNUSED)
{
}

void report_stream_finish(struct report_stream *a UNUSED)
{
        testbed->events->on_finished(testbed->ctx);
}

void tunnel_refuse(struct tunnel_incoming *v UNUSED, struct error *err)
{
        testbed->is_refused = true;
        error_free(err);
}

struct stream *tunnel_accept(struct tunnel_incoming *v UNUSED)
{
        fail_msg("no sshd was given");
        return NULL;
}

void helper_end(struct helper *h UNUSED, struct str text UNUSED)
{
}

bool helper_decided(struct helper *h, const Cteleport__V1__ReportDecision *decision)
{
        if (h != testbed->helper)
                return false;
        snprintf(testbed->decided, sizeof testbed->decided, "%s", decision->session_id);
        return true;
}

void helper_abandon(struct helper *h)
{
        testbed->helper = NULL;
        connection_remove_helper(testbed->its_connection, h);
}

const struct host_identity *ssh_identity(const struct ssh_service *s UNUSED)
{
        return &testbed->identity;
}

void ssh_connection_gone(struct ssh_service *s UNUSED)
{
        testbed->is_gone = true;
}

/* ---- the testbed --------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
        testbed = NEW(struct testbed);
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        fake_clock_init(&testbed->clock, 1700000000);
        assert_null(loop_init(&testbed->s.loop, &testbed->clock.clock));
        testbed->identity.host_id = STR("the-host");
        *state = testbed;
        return 0;
}

static int tear_down(void **state)
{
        struct testbed *w = *state;

        connections_free(&w->s);
        map_release(&w->s.connections);
        shares_release(&w->s.user_connections);
        loop_release(&w->s.loop);
        free(w);
        return 0;
}

static void pass(struct testbed *w, int64_t ms)
{
        for (int64_t left = ms; left > 0; left -= 1000) {
                loop_advance(&w->s.loop, &w->clock, MILLISECONDS(left < 1000 ? left : 1000));
                uv_run(&w->s.loop.uv, UV_RUN_NOWAIT);
        }
}

static struct connection *begin(struct testbed *w)
{
        const struct tunnel_request request = {
                .host_id = STR("the-host"), .connection_id = str_of(connection_id), .client_addr = STR("192.0.2.7:50122"),
        };

        connection_begin(&w->s, (struct tunnel_incoming *)&poll, &request);
        return connection_find(&w->s, str_of(connection_id));
}

/* ---- room ------------------------------------------------------------------------------------------------------------- */

static void one_user_does_not_use_all_connections(void **state)
{
        struct testbed *w = *state;
        struct tunnel_request request = {
                .host_id = STR("the-host"), .connection_id = str_of(connection_id), .client_addr = STR("192.0.2.7:50122"), .user = STR("alice"),
        };

        for (int i = 0; i < LIMIT_SSH_CONNECTIONS_USER; i++)
                shares_add(&w->s.user_connections, STR("alice"));
        connection_begin(&w->s, (struct tunnel_incoming *)&poll, &request);
        assert_true(w->is_refused);
        assert_null(connection_find(&w->s, str_of(connection_id)));
        w->is_refused = false;
        request.user = STR("bob");
        connection_begin(&w->s, (struct tunnel_incoming *)&poll, &request);
        assert_false(w->is_refused);
        assert_non_null(connection_find(&w->s, str_of(connection_id)));
        assert_int_equal(shares_count(&w->s.user_connections, STR("bob")), 1);
        pass(w, TIMEOUT_SSHD_START + 1000);
        pass(w, TIMEOUT_SSH_ENDING + 1000);
        assert_int_equal(shares_count(&w->s.user_connections, STR("bob")), 0);
}

/* ---- sessions ------------------------------------------------------------------------------------------------------ */

static void begins_no_session_while_it_ends(void **state)
{
        struct testbed *w = *state;

        w->its_connection = begin(w);
        w->helper = (struct helper *)&poll;
        connection_add_helper(w->its_connection, w->helper);
        assert_null(connection_why_ending(w->its_connection));
        w->events->on_terminate(w->ctx, STR("alice is locked"));
        assert_string_equal(connection_why_ending(w->its_connection), "alice is locked");
}

static void hands_the_decision_on_a_session_to_its_program(void **state)
{
        struct testbed *w = *state;
        Cteleport__V1__ReportDecision decision = CTELEPORT__V1__REPORT_DECISION__INIT;

        decision.session_id = pb_text("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa1");
        w->its_connection = begin(w);
        w->events->on_decision(w->ctx, &decision); /* its program has ended already */
        w->helper = (struct helper *)&poll;
        connection_add_helper(w->its_connection, w->helper);
        w->events->on_decision(w->ctx, &decision);
        assert_string_equal(w->decided, decision.session_id);
        assert_null(connection_why_ending(w->its_connection)); /* a refused session does not end the connection */
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

static void ends_in_time_without_a_report_about_its_sshd(void **state)
{
        struct testbed *w = *state;

        assert_non_null(begin(w));
        pass(w, TIMEOUT_SSHD_START + 1000); /* no word from the supervisor */
        assert_true(w->is_refused);
        assert_false(w->is_closed_reported);
        pass(w, TIMEOUT_SSH_ENDING + 1000);
        assert_true(w->is_closed_reported);
        assert_true(w->is_gone);
        assert_null(connection_find(&w->s, str_of(connection_id)));
}

static void ends_in_time_though_a_program_of_it_does_not(void **state)
{
        struct testbed *w = *state;
        const Cteleport__Internal__V1__SshControl ended = { .base = { &cteleport__internal__v1__ssh_control__descriptor },
                                                         .kind = CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_ENDED,
                                                         .connection_id = pb_text(connection_id),
                                                         .text = pb_text("ended") };

        w->its_connection = begin(w);
        w->helper = (struct helper *)&poll;
        connection_add_helper(w->its_connection, w->helper);
        connection_on_sshd(&w->s, &ended, -1);
        pass(w, TIMEOUT_SSH_ENDING - 2000);
        assert_non_null(w->helper);
        pass(w, 4000);
        assert_null(w->helper);
        assert_true(w->is_closed_reported);
        assert_true(w->is_gone);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(one_user_does_not_use_all_connections, set_up, tear_down),
                cmocka_unit_test_setup_teardown(begins_no_session_while_it_ends, set_up, tear_down),
                cmocka_unit_test_setup_teardown(hands_the_decision_on_a_session_to_its_program, set_up, tear_down),
                cmocka_unit_test_setup_teardown(ends_in_time_without_a_report_about_its_sshd, set_up, tear_down),
                cmocka_unit_test_setup_teardown(ends_in_time_though_a_program_of_it_does_not, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
