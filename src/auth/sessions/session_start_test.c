/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of a connection that has been open for a while: each is decided when it begins. */
#include "access/access.h"
#include "auth/sessions/session_node_testing.h"
#include "base/log.h"

/* The role that alice has, with these options. */
static void given_access(struct testbed *w, Cteleport__V1__RoleOptions options)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        Cteleport__V1__Role *role = access_preset(a, STR("access"));

        options.max_session_ttl = role->spec->options->max_session_ttl;
        role->spec->options = &options;
        put_message(w, "/roles/access", &role->base);
}

/* Beside the shell, SESSION_1. */
static void start_second(struct node_side *n)
{
        started(n, SESSION_2, "exec", "id");
        AWAIT_ACK(n, 3);
}

static void a_session_is_refused_from_the_lock_on(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        assert_true(n.decides_sessions);
        assert_string_equal(n.session_id, SESSION_1);
        given_lock_on(w, "alice");
        start_second(&n);
        assert_string_equal(n.session_id, SESSION_2);
        assert_false(n.is_allowed);
        assert_non_null(strstr(n.reason, "locked"));
        assert_non_null(strstr(n.terminated, "locked"));
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.rejected\""), 1);
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
}

/* It starts an acknowledged session, unless it was ordered to end; and it reports the end of a refused start as that of a session. */
static void an_older_node_gets_the_order_before_the_acknowledgement(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        n.is_older = true;
        given_lock_on(w, "alice");
        start_second(&n);
        assert_non_null(strstr(n.terminated, "locked"));
        assert_int_equal(n.acked_at_end, 2);
        exited(&n, SESSION_2, 255);
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.end\""), 1);
        assert_int_equal(count_records(w, &connection_kind), 0);
}

/* Running sessions continue; the next session needs a new login. */
static void a_session_is_refused_when_the_certificate_has_ended(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        loop_advance(&w->a.loop, &w->clock, SECONDS(3600));
        start_second(&n);
        assert_false(n.is_allowed);
        assert_non_null(strstr(n.reason, "expired"));
        assert_string_equal(n.terminated, "");
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
}

static void a_session_has_the_options_of_its_beginning(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        Cteleport__V1__RecordSession record = CTELEPORT__V1__RECORD_SESSION__INIT;
        Cteleport__V1__RoleOptions options = CTELEPORT__V1__ROLE_OPTIONS__INIT;

        given_shell(w, &n);
        record.default_ = TEXT("strict");
        options.record_session = &record;
        options.has_ssh_file_copy = true;
        given_access(w, options);
        started(&n, SESSION_2, "sftp", "/usr/lib/sftp-server");
        AWAIT_ACK(&n, 3);
        assert_false(n.is_allowed);
        assert_non_null(strstr(n.reason, "ssh_file_copy"));
        started(&n, SESSION_2, "exec", "id");
        AWAIT_ACK(&n, 4);
        assert_true(n.is_allowed);
        assert_string_equal(n.record, "strict");
        assert_string_equal(n.terminated, "");
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 2);
        leave(&n);
}

static void forwarding_that_is_taken_away_ends_the_connection(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        Cteleport__V1__RoleOptions options = CTELEPORT__V1__ROLE_OPTIONS__INIT;

        given_shell(w, &n);
        given_access(w, options);
        start_second(&n);
        assert_string_equal(n.terminated, "");
        options.has_port_forwarding = true;
        given_access(w, options);
        AWAIT(w, n.terminated[0] != '\0');
        assert_non_null(strstr(n.terminated, "forwarding of ports"));
        leave(&n);
}

/* ---- a decision that was lost with its stream ---------------------------------------------------------------------- */

static void started_again(struct node_side *n, const char *id)
{
        Cteleport__V1__ReportStart m = CTELEPORT__V1__REPORT_START__INIT;

        m.session_id = TEXT(id);
        m.kind = TEXT("exec");
        m.command = TEXT("id");
        m.wants_decision = m.is_repeated = true;
        SEND(n, START, start, ReportStart, m);
}

static void a_start_with_a_lost_answer_is_reported_once(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_shell(w, &n);

        start_second(&n);
        leave(&n);
        n.seq = 3;
        report_stream(w, &n, WEB_1, d.id, true);
        started_again(&n, SESSION_2);
        AWAIT_ACK(&n, 4);
        assert_string_equal(n.session_id, SESSION_2);
        assert_true(n.is_allowed);
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 2);
        given_lock_on(w, "alice");
        started_again(&n, SESSION_2);
        AWAIT_ACK(&n, 5);
        assert_false(n.is_allowed);
        exited(&n, SESSION_2, 255);
        AWAIT_ACK(&n, 6);
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 2);
        assert_int_equal(count_events(w, "\"event\":\"session.end\""), 1);
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
}

static void a_refused_start_with_a_lost_answer_is_not_reported(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        given_lock_on(w, "alice");
        start_second(&n);
        started_again(&n, SESSION_2);
        AWAIT_ACK(&n, 4);
        assert_false(n.is_allowed);
        exited(&n, SESSION_2, 255);
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.end\""), 1);
}

/* ---- a node that is silent --------------------------------------------------------------------------------------- */

static void given_attested_host(struct testbed *w, const char *id, const char *name)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        char *roles[] = { TEXT("Instance"), TEXT("Node") };
        AUTO_MEM char *at = mem_printf("/hosts/%s", id);

        host.hostname = TEXT(name);
        host.join_method = TEXT("iam");
        host.aws_account = TEXT("123456789012");
        host.aws_arn = TEXT("arn:aws:sts::123456789012:assumed-role/web/i-1");
        host.system_roles = roles;
        host.n_system_roles = ARRAY_LEN(roles);
        put_message(w, at, &host.base);
}

/* It has left the list; its connections are checked with the attributes of its join. */
static void locks_of_a_silent_node_end_its_sessions(void **state)
{
        struct testbed *w = *state;
        const Cteleport__V1__LockTarget none = CTELEPORT__V1__LOCK_TARGET__INIT;
        Cteleport__V1__LockTarget rows[] = { none, none, none, none, none };

        rows[0].aws_account = TEXT("123456789012");
        rows[1].join_arn = TEXT("arn:aws:iam::123456789012:role/web");
        rows[2].role = TEXT("Instance"); /* held, and never announced */
        rows[3].node = TEXT("web-1");
        rows[4].node = TEXT("joined-as"); /* it announced another name */
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct node_side n = { 0 };

                given_node(w, WEB_1, "web-1", "prod");
                given_attested_host(w, WEB_1, "joined-as");
                given_shell(w, &n);
                delete_key(w, "/presence/" WEB_1);
                start_second(&n);
                assert_true(n.is_allowed);
                given_lock(w, rows[i]);
                AWAIT(w, n.terminated[0] != '\0');
                assert_non_null(strstr(n.terminated, "locked"));
                end_in_order(w, &n);
                delete_key(w, "/locks/l1");
                delete_key(w, "/sessions/" SESSION_1);
        }
}

/* ---- records of an earlier release ------------------------------------------------------------------------------- */

/* A connection stored by a release that did not store the permissions of sshd. */
static void forget_permits(struct testbed *w, const struct dialled *d)
{
        Cteleport__State__V1__Connection c = CTELEPORT__STATE__V1__CONNECTION__INIT;
        char *sessions[] = { TEXT(SESSION_1) };
        AUTO_MEM char *at = mem_printf("/connections/%s", d->id);

        c.connection_id = TEXT(d->id);
        c.host_id = TEXT(WEB_1);
        c.hostname = TEXT("web-1");
        c.user = TEXT("alice");
        c.login = TEXT("root");
        c.client_addr = TEXT("198.51.100.7:5022");
        c.cert_ends = NOW + 3600;
        c.last_seq = 2;
        c.is_begun = true;
        c.sessions = sessions;
        c.n_sessions = 1;
        put_message(w, at, &c.base);
}

static void a_connection_of_an_earlier_release_keeps_its_permissions(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        Cteleport__V1__RoleOptions options = CTELEPORT__V1__ROLE_OPTIONS__INIT;
        struct dialled d = given_shell(w, &n);

        leave(&n);
        sessions_close(w->a.sessions);
        forget_permits(w, &d);
        testbed_open_sessions(w);
        report_stream(w, &n, WEB_1, d.id, true);
        start_second(&n);
        assert_true(n.is_allowed && n.permits_pty && n.permits_port_forwarding);
        assert_string_equal(n.terminated, "");
        leave(&n); /* and it is known from now on */
        sessions_close(w->a.sessions);
        testbed_open_sessions(w);
        options.has_port_forwarding = true; /* and not allowed */
        given_access(w, options);
        report_stream(w, &n, WEB_1, d.id, true);
        AWAIT(w, n.terminated[0] != '\0' || n.call == NULL);
        assert_non_null(strstr(n.terminated, "forwarding of ports"));
        leave(&n);
}

static void a_connection_of_an_earlier_release_is_bound_by_roles(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        Cteleport__V1__RoleOptions options = CTELEPORT__V1__ROLE_OPTIONS__INIT;
        struct dialled d = given_shell(w, &n);

        leave(&n);
        sessions_close(w->a.sessions);
        forget_permits(w, &d);
        options.has_port_forwarding = true;
        given_access(w, options);
        testbed_open_sessions(w);
        report_stream(w, &n, WEB_1, d.id, true);
        start_second(&n);
        assert_true(n.is_allowed);
        assert_false(n.permits_port_forwarding);
        assert_string_equal(n.terminated, "");
        leave(&n);
}

/* ---- hostile nodes ------------------------------------------------------------------------------------------------- */

static void a_session_id_that_is_too_long_is_refused_not_cut(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        int decisions;

        given_shell(w, &n);
        decisions = n.decisions;
        given_lock_on(w, "alice");
        started(&n, SESSION_2 "0", "exec", "id");
        AWAIT(w, n.call == NULL);
        assert_int_equal(n.err->code, ERROR_INVALID_ARGUMENT);
        assert_int_equal(n.decisions, decisions);
        leave(&n);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(a_session_is_refused_from_the_lock_on),
                ROW(an_older_node_gets_the_order_before_the_acknowledgement),
                ROW(a_session_is_refused_when_the_certificate_has_ended),
                ROW(a_session_has_the_options_of_its_beginning),
                ROW(forwarding_that_is_taken_away_ends_the_connection),
                ROW(a_start_with_a_lost_answer_is_reported_once),
                ROW(a_refused_start_with_a_lost_answer_is_not_reported),
                ROW(locks_of_a_silent_node_end_its_sessions),
                ROW(a_connection_of_an_earlier_release_keeps_its_permissions),
                ROW(a_connection_of_an_earlier_release_is_bound_by_roles),
                ROW(a_session_id_that_is_too_long_is_refused_not_cut),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
