/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a session: the answers it waits for, and the reasons of refusals. */
#include "rpc/pb.h"
#include "ssh/helpers_testing.h"

/* ---- the beginning -------------------------------------------------------------------------------------------------------- */

static void lets_nothing_run_before_the_cluster_knows(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        s->connection.decision = &d;
        send_start(s, "exec", false);
        assert_string_equal(reported(s), "");
        check_passes(s);
        assert_string_equal(reported(s), "start exec 'a command';");
        assert_string_equal(received(s), "");
        acknowledge_all(s, 0);
        assert_string_equal(received(s), "go alice from 192.0.2.7:50122;");
        send_exit(s, 3);
        assert_string_equal(reported(s), "start exec 'a command';exit 3  out 0 in 0 '';");
}

static void waits_for_the_decision(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        send_start(s, "exec", false);
        check_passes(s);
        turns(s, 100);
        assert_string_equal(reported(s), "");
        s->connection.decision = &d;
        turns(s, 20);
        assert_string_equal(reported(s), "start exec 'a command';");
}

static void refuses_when_the_decision_does_not_arrive(void **state)
{
        struct ssh_service *s = *state;

        send_start(s, "exec", false);
        check_passes(s);
        for (int i = 0; i < 600; i++)
                turn(s, 10);
        assert_string_equal(reported(s), "");
        assert_true(str_ends_with(str_of(received(s)), STR("closed")));
}

static void refuses_sessions_that_the_policy_forbids(void **state)
{
        static const struct {
                const char *name, *kind;
                bool has_pty, pty, copy, node_forbids, ok;
        } cases[] = {
                { "a terminal", "shell", true, true, false, false, true },
                { "a terminal that is not permitted", "shell", true, false, true, false, false },
                { "a command without one", "exec", false, false, false, false, true },
                { "sftp", "sftp", false, false, true, false, true },
                { "sftp that roles forbid", "sftp", false, true, false, false, false },
                { "scp that roles forbid", "scp", false, true, false, false, false },
                { "sftp that the node forbids", "sftp", false, true, true, true, false },
                { "something unknown", "tunnel", false, true, true, false, false },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct ssh_service *s = *state;
                decision_message d = a_decision();

                permits.pty = cases[i].pty;
                permits.file_copy = cases[i].copy;
                s->config.has_ssh_file_copy = cases[i].node_forbids;
                s->connection.decision = &d;
                send_start(s, cases[i].kind, cases[i].has_pty);
                check_passes(s);
                if (str_starts_with(str_of(reported(s)), STR("start")) != cases[i].ok)
                        fail_msg("%s: %s", cases[i].name, reported(s));
                if (!cases[i].ok)
                        assert_true(str_starts_with(str_of(reported(s)), STR("rejected")) && str_starts_with(str_of(received(s)), STR("refusal")));
                tear_down(state);
                set_up(state);
        }
}

static void ends_a_session_that_the_cluster_did_not_record(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        s->connection.decision = &d;
        send_start(s, "shell", true);
        check_passes(s);
        acknowledge_all(s, ERROR_CANCELLED);
        assert_string_equal(received(s), "refusal: the connection is over;closed");
        assert_string_equal(reported(s), "start shell '' recorded;exit 255  out 0 in 0 'the connection is over';");
}

/* ---- each session is decided anew --------------------------------------------------------------------------------------- */

/* The answer to the start that was reported last. */
static void decide_session(struct ssh_service *s, bool is_allowed, const char *record, const char *reason)
{
        decision_message d = CTELEPORT__V1__REPORT_DECISION__INIT;
        Cteleport__V1__NodePermits node = CTELEPORT__V1__NODE_PERMITS__INIT;

        d.node = &node;
        d.session_id = s->session_id;
        d.is_allowed = is_allowed;
        node.record = pb_text(record);
        d.reason = pb_text(reason);
        assert_true(helper_decided(s->connection.last, &d));
}

static void starts_a_session_that_the_cluster_allows_now(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        d.decides_sessions = true;
        permits.file_copy = false; /* at the login; a role allows it since then */
        s->connection.decision = &d;
        send_start(s, "sftp", false);
        check_passes(s);
        assert_string_equal(reported(s), "start sftp 'a command';");
        decide_session(s, true, "best_effort", "");
        assert_string_equal(received(s), "");
        acknowledge_all(s, 0);
        assert_string_equal(received(s), "go alice from 192.0.2.7:50122;");
}

/* The cluster decides each session when it begins. *d is the caller's, and outlives the connection's use of it. */
static void given_deciding_cluster(struct ssh_service *s, decision_message *d)
{
        *d = a_decision();
        d->decides_sessions = true;
        s->connection.decision = d;
}

static void starts_no_session_that_is_refused_now(void **state)
{
        struct ssh_service *s = *state;
        decision_message d;

        given_deciding_cluster(s, &d);
        send_start(s, "shell", true);
        check_passes(s);
        decide_session(s, false, "", "alice is locked: out for today");
        assert_string_equal(received(s), "refusal: alice is locked: out for today;closed");
        acknowledge_all(s, 0);
        assert_string_equal(reported(s), "start shell '' recorded;"); /* no end of a session that never began */
        assert_int_equal(s->connection.helpers, 0);
}

static void begins_nothing_when_the_answer_was_lost(void **state)
{
        struct ssh_service *s = *state;
        decision_message d;

        given_deciding_cluster(s, &d);
        send_start(s, "exec", false);
        check_passes(s);
        acknowledge_all(s, 0);
        assert_string_equal(received(s), "");
        acknowledge_all(s, 0);
        assert_true(str_starts_with(str_of(received(s)), STR("refusal: the cluster's answer")));
}

/* The audit has its start: it begins, or has an end with the reason. */
static void asks_again_when_the_answer_was_lost(void **state)
{
        for (int is_allowed = 0; is_allowed < 2; is_allowed++) {
                struct ssh_service *s = *state;
                decision_message d;

                given_deciding_cluster(s, &d);
                send_start(s, "exec", false);
                check_passes(s);
                acknowledge_all(s, 0);
                assert_string_equal(reported(s), "start exec 'a command';start exec 'a command' again;");
                buf_clear(&s->reported);
                decide_session(s, is_allowed, "best_effort", "alice is locked");
                acknowledge_all(s, 0);
                assert_string_equal(received(s), is_allowed ? "go alice from 192.0.2.7:50122;" : "refusal: alice is locked;closed");
                assert_string_equal(reported(s), is_allowed ? "" : "exit 255  out 0 in 0 'alice is locked';");
                tear_down(state);
                set_up(state);
        }
}

static void takes_the_options_of_now(void **state)
{
        struct ssh_service *s = *state;
        decision_message d;

        given_deciding_cluster(s, &d);
        send_start(s, "shell", true);
        check_passes(s);
        decide_session(s, true, "strict", "");
        acknowledge_all(s, 0);
        assert_string_equal(received(s), "go alice from 192.0.2.7:50122 recorded;");
        buf_clear(&s->received);
        limit_file_size(0);
        send_output(s, STR("shown"));
        await_words(s);
        limit_file_size(RLIM_INFINITY);
        assert_true(str_starts_with(str_of(received(s)), STR("end: recording stopped")));
}

static void begins_nothing_on_a_connection_that_ends(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        s->connection.decision = &d;
        s->connection.why_ending = "alice is locked";
        send_start(s, "exec", false);
        check_passes(s);
        assert_string_equal(reported(s), "");
        assert_string_equal(received(s), "refusal: alice is locked;closed");
}
int main(void)
{
        const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                T(lets_nothing_run_before_the_cluster_knows),
                T(waits_for_the_decision),
                T(refuses_when_the_decision_does_not_arrive),
                T(refuses_sessions_that_the_policy_forbids),
                T(ends_a_session_that_the_cluster_did_not_record),
                T(starts_a_session_that_the_cluster_allows_now),
                T(starts_no_session_that_is_refused_now),
                T(begins_nothing_when_the_answer_was_lost),
                T(asks_again_when_the_answer_was_lost),
                T(takes_the_options_of_now),
                T(begins_nothing_on_a_connection_that_ends),
#undef T
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
