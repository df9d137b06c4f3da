/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to applications, from the Dial to the end of the session. */
#include "auth/sessions/kinds.h"
#include "auth/sessions/session_app_testing.h"
#include "base/log.h"
#include "state/session.h"
#include "state/web_session.h"

#define WEB_SESSION "0123456789abcdef0123456789abcdef"

/* ---- Dial -------------------------------------------------------------------------------------------------------- */

static void a_dial_finds_the_host_of_an_application(void **state)
{
        struct testbed *w = *state;

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        struct dialled d = dial_app(w, "grafana");
        assert_done(d.err);
        assert_string_equal(d.host_id, APPS_1);
        assert_string_equal(d.service, "app");
        assert_string_equal(d.resource, "grafana");
        assert_false(d.has_alternatives);
}

/* Whether it exists or not, a user who may not see it gets the same answer. */
static void a_dial_tells_nothing_about_applications_of_others(void **state)
{
        struct testbed *w = *state;

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        given_app_role(w, "dev");
        struct dialled hidden = dial_app(w, "grafana"), none = dial_app(w, "grafanb");
        assert_int_equal(hidden.err->code, ERROR_NOT_FOUND);
        assert_string_equal(hidden.err->what, "there is no app 'grafana', or it is offline");
        assert_string_equal(none.err->what, "there is no app 'grafanb', or it is offline");
        assert_non_null(strstr(none.err->hint, "tsh apps ls"));
        error_free(hidden.err);
        error_free(none.err);
        assert_int_equal(count_events(w, "\"event\":\"session.rejected\""), 1);
        assert_int_equal(count_events(w, "\"app_name\":\"grafana\""), 1);
}

static void a_dial_refuses_names_that_no_application_has(void **state)
{
        static const char *const names[] = { "", "Grafana", "-x", "a.b", "a/b", "a\nb", "web_1", "../grafana", "11111111-1111-4111-8111-111111111111" };
        struct testbed *w = *state;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                struct dialled d = dial_app(w, names[i]);

                assert_refused(d.err, ERROR_INVALID_ARGUMENT, "is not the name of an application");
        }
}

/* A node of this name is no application, and the other way round. */
static void a_host_offers_only_announced_applications(void **state)
{
        struct testbed *w = *state;

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        assert_refused(dial_app(w, "web-1").err, ERROR_NOT_FOUND, "no app");
        assert_refused(dial(w, "alice", "grafana", "root").err, ERROR_NOT_FOUND, "no node");
        assert_refused(dial(w, "alice", "apps", "root").err, ERROR_NOT_FOUND, "no node");
        given_app_host(w, APPS_1, "prometheus", "tcp://10.0.0.1:80", "prod");
        assert_refused(dial_app(w, "grafana").err, ERROR_NOT_FOUND, "no app");
        assert_done(dial_app(w, "prometheus").err);
        delete_key(w, "/presence/" APPS_1);
        assert_refused(dial_app(w, "prometheus").err, ERROR_NOT_FOUND, "no app");
}

static void hosts_that_offer_one_application_are_alternatives(void **state)
{
        struct testbed *w = *state;
        size_t of_first = 0;

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        given_app_host(w, APPS_2, "grafana", "tcp://10.0.0.2:80", "prod");
        for (int i = 0; i < 64; i++) {
                struct dialled d = dial_app(w, "grafana");

                assert_done(d.err);
                assert_true(d.has_alternatives);
                of_first += strcmp(d.host_id, APPS_1) == 0;
        }
        assert_in_range(of_first, 1, 63);
        struct dialled d = dial_app_except(w, "alice", "grafana", APPS_1);
        assert_done(d.err);
        assert_string_equal(d.host_id, APPS_2);
        assert_false(d.has_alternatives);
        given_app_host(w, APPS_2, "grafana", "tcp://10.0.0.2:80", "dev"); /* there the labels of the application differ */
        given_app_role(w, "prod");
        for (int i = 0; i < 8; i++) {
                d = dial_app(w, "grafana");
                assert_done(d.err);
                assert_string_equal(d.host_id, APPS_1);
        }
        assert_refused(dial_app_except(w, "alice", "grafana", APPS_1).err, ERROR_NOT_FOUND, "no app");
}

static void a_dial_names_one_of_several_ports(void **state)
{
        struct testbed *w = *state;

        given_app_host_with_ports(w, APPS_1);
        assert_done(dial_app_port(w, "grafana", 80).err);
        assert_done(dial_app_port(w, "grafana", 8010).err);
        assert_refused(dial_app_port(w, "grafana", 0).err, ERROR_FAILED_PRECONDITION, "has tcp_ports, and the connection names none of them: 80, 8000-8010");
        assert_refused(dial_app(w, "grafana").err, ERROR_FAILED_PRECONDITION, "names none of them"); /* of an earlier release */
        assert_refused(dial_app_port(w, "grafana", 81).err, ERROR_INVALID_ARGUMENT, "the application 'grafana' has no port 81: it has 80, 8000-8010");
        assert_refused(dial_app_port(w, "grafana", 65536 + 80).err, ERROR_INVALID_ARGUMENT, "has no port 65616");
        given_app_host(w, APPS_2, "queue", "tcp://10.0.0.1:80", "prod");
        assert_refused(dial_app_except(w, "alice", "grafana", APPS_2).err, ERROR_NOT_FOUND, "there is no app 'grafana', or it is offline");
        assert_int_equal(count_events(w, "\"event\":\"session.rejected\""), 0); /* a wrong port is no denial, whatever was tried before */
        assert_done(dial_app_port(w, "queue", 0).err);
        assert_refused(dial_app_port(w, "queue", 80).err, ERROR_INVALID_ARGUMENT, "has no tcp_ports");
        given_app_role(w, "dev"); /* who may not use it does not learn its ports */
        assert_refused(dial_app_port(w, "grafana", 81).err, ERROR_NOT_FOUND, "there is no app 'grafana', or it is offline");
}

/* Hosts may have different ports: the one that has the port is chosen. */
static void a_dial_finds_the_host_that_has_the_port(void **state)
{
        struct testbed *w = *state;

        given_app_host_with_ports(w, APPS_1);
        given_app_host(w, APPS_2, "grafana", "tcp://10.0.0.1:80", "prod");
        for (int i = 0; i < 8; i++) {
                struct dialled of_many = dial_app_port(w, "grafana", 8001), of_one = dial_app_port(w, "grafana", 0);

                assert_done(of_many.err);
                assert_done(of_one.err);
                assert_string_equal(of_many.host_id, APPS_1);
                assert_string_equal(of_one.host_id, APPS_2);
        }
}

/* Connections to nodes and to applications have limits of their own on each host. */
static void a_host_has_room_for_each_kind(void **state)
{
        struct testbed *w = *state;
        const struct resource_kind *node = kind_find("node"), *app = kind_find("app");

        for (int i = 0; i < LIMIT_SSH_CONNECTIONS_USER; i++) {
                AUTO_MEM char *id = mem_printf("00000000-0000-4000-8000-%012d", i);

                assert_done(sessions_enter_node(w->a.sessions, str_of(id), node, STR(APPS_1), STR("alice")));
        }
        assert_refused(sessions_enter_node(w->a.sessions, STR(SESSION_1), node, STR(APPS_1), STR("alice")), ERROR_RESOURCE_EXHAUSTED,
                       "connections to this node");
        assert_done(sessions_enter_node(w->a.sessions, STR(SESSION_1), app, STR(APPS_1), STR("alice")));
        for (int i = 0; i < LIMIT_SSH_CONNECTIONS_USER; i++) {
                AUTO_MEM char *id = mem_printf("00000000-0000-4000-8000-%012d", i);

                sessions_leave_node(w->a.sessions, str_of(id));
        }
        assert_true(sessions_has_connections(w->a.sessions, STR(APPS_1)));
        sessions_leave_node(w->a.sessions, STR(SESSION_1));
        assert_false(sessions_has_connections(w->a.sessions, STR(APPS_1)));
}

/* ---- Report -------------------------------------------------------------------------------------------------------- */

static void a_session_is_audited_by_the_names_of_teleport(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        given_app_session(w, &n, buf_str(&cert));
        assert_int_equal(count_events(w, "\"event\":\"app.session.start\",\"code\":\"T2007I\""), 1);
        exited(&n, SESSION_1, 0);
        over(&n);
        AWAIT(w, n.call == NULL);
        assert_done(n.err);
        leave(&n);
        assert_int_equal(count_events(w, "\"event\":\"app.session.end\",\"code\":\"T2011I\""), 1);
        assert_int_equal(count_events(w, "\"app_name\":\"grafana\""), 2);
        assert_int_equal(count_events(w, "\"app_uri\":\"tcp://10.0.0.1:80\",\"app_labels\":{\"env\":\"prod\"}"), 2);
        assert_int_equal(count_events(w, "\"sid\":\"" SESSION_1 "\""), 2);
        assert_int_equal(count_events(w, "\"event\":\"session."), 0);
        assert_int_equal(count_records(w, &connection_kind), 0);
        assert_int_equal(count_records(w, &session_kind), 0);
}

static void the_port_of_the_dial_is_decided_on_and_audited(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);

        given_app_host_with_ports(w, APPS_1);
        given_app_session_at(w, &n, buf_str(&cert), 8001);
        assert_int_equal(n.port, 8001);
        exited(&n, SESSION_1, 0);
        over(&n);
        AWAIT(w, n.call == NULL);
        assert_done(n.err);
        leave(&n);
        assert_int_equal(count_events(w, "\"event\":\"app.session.start\""), 1);
        assert_int_equal(count_events(w, "\"app_name\":\"grafana\",\"app_target_port\":8001"), 2);
        assert_int_equal(count_events(w, "\"app_uri\":\"tcp://10.0.0.1\""), 2);
}

static void certificates_of_other_users_and_kinds_are_refused(void **state)
{
        struct testbed *w = *state;
        struct test_ca other = { 0 };
        struct node_side n = { 0 };

        test_ca_init(&other, times_of(NOW - 100, NOW + 100000));
        given_user(w, "bob");
        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        const struct {
                struct buf cert;
                const char *reason;
        } rows[] = {
                { tls_cert(&w->ca, "alice", -10), "expired" },
                { tls_cert(&w->ca, "bob", 3600), "not that of the user" },
                { tls_cert(&other, "alice", 3600), "not one of a user of this cluster" },
                { ssh_cert(&w->ca, "alice", "root", 3600), "" },
                { web_cert(&w->ca, "alice", 3600, WEB_SESSION), "this login in the browser has ended" },
        };
        struct dialled d = dial_app(w, "grafana");
        assert_done(d.err);
        w->role = "App";
        report_stream(w, &n, APPS_1, d.id, false);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct buf cert = rows[i].cert;

                send_request(&n, buf_str(&cert), "");
                assert_non_null(n.call);
                assert_false(n.is_allowed);
                assert_non_null(strstr(n.reason, rows[i].reason));
                buf_release(&cert);
        }
        leave(&n);
        test_ca_release(&other);
}

static void only_the_service_that_offers_it_reports_a_connection(void **state)
{
        static const char *const hosts[] = { APPS_1, WEB_1, APPS_2 }, *const roles[] = { "Node", "App", "App" };
        struct testbed *w = *state;

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        struct dialled d = dial_app(w, "grafana");
        assert_done(d.err);
        for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
                struct node_side n = { 0 };

                w->role = roles[i];
                report_stream(w, &n, hosts[i], d.id, false);
                AWAIT(w, n.call == NULL);
                assert_refused(n.err, ERROR_PERMISSION_DENIED, "the connection");
                n.err = NULL;
                leave(&n);
        }
        struct node_side n = { 0 };
        struct dialled to_node = dial(w, "alice", "web-1", "root"); /* nor does the Application Service get connections to the node */
        assert_done(to_node.err);
        report_stream(w, &n, WEB_1, to_node.id, false);
        AWAIT(w, n.call == NULL);
        assert_refused(n.err, ERROR_PERMISSION_DENIED, "does not offer");
        n.err = NULL;
        leave(&n);
}

/* What only sshd has is an error on a connection to an application; and it has one session. */
static void other_reports_than_those_of_an_application_are_refused(void **state)
{
        struct testbed *w = *state;
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        for (int i = 0; i < 3; i++) {
                struct node_side n = { 0 };
                Cteleport__V1__ReportPort port = CTELEPORT__V1__REPORT_PORT__INIT;

                given_app_session(w, &n, buf_str(&cert));
                if (i == 0)
                        started(&n, SESSION_2, "shell", "");
                else if (i == 1)
                        started(&n, SESSION_2, "app", "");
                else
                        SEND(&n, PORT, port, ReportPort, port);
                AWAIT(w, n.call == NULL);
                assert_int_equal(n.err->code, ERROR_INVALID_ARGUMENT);
                leave(&n);
                delete_key(w, "/sessions/" SESSION_1);
        }
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 0);
}

static void a_session_ends_with_the_right_to_it(void **state)
{
        struct testbed *w = *state;
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        for (int i = 0; i < 4; i++) {
                struct node_side n = { 0 };

                given_app_session(w, &n, buf_str(&cert));
                if (i == 0)
                        given_app_role(w, "dev");
                else if (i == 1)
                        given_lock_on(w, "alice");
                else if (i == 2)
                        delete_key(w, "/hosts/" APPS_1);
                else
                        delete_key(w, "/users/alice");
                AWAIT(w, n.terminated[0] != '\0');
                leave(&n);
                w->role = NULL;
                delete_key(w, "/sessions/" SESSION_1);
                delete_key(w, "/locks/l1");
                given_app_role(w, "prod");
                given_user(w, "alice");
                given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        }
}

/* The login in a browser to which the certificate belongs. */
static void a_session_ends_with_the_login_of_its_certificate(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        Cteleport__State__V1__WebSession login = CTELEPORT__STATE__V1__WEB_SESSION__INIT;
        AUTO(buf) cert = web_cert(&w->ca, "alice", 3600, WEB_SESSION);

        login.id = pb_text(WEB_SESSION);
        login.user = pb_text("alice");
        login.created = NOW;
        login.expires = NOW + 3600;
        struct store_txn *t = store_txn_new(w->a.store);
        web_session_put(t, &login);
        w->waiting++;
        store_txn_commit(t, committed, w);
        AWAIT_ANSWER(w);
        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        given_app_session(w, &n, buf_str(&cert));
        given_user(w, "bob"); /* connections are checked again */
        run_a_while(&w->a.loop);
        assert_string_equal(n.terminated, "");
        delete_key(w, "/web_sessions/" WEB_SESSION);
        AWAIT(w, n.terminated[0] != '\0');
        assert_non_null(strstr(n.terminated, "this login in the browser has ended"));
        leave(&n);
}

/* Its host announces other applications now, or none: the next check of the connection ends it. */
static void a_session_ends_when_its_application_is_not_offered(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        given_app_session(w, &n, buf_str(&cert));
        given_app_host(w, APPS_1, "prometheus", "tcp://10.0.0.1:80", "prod");
        given_user(w, "bob"); /* connections are checked again */
        AWAIT(w, n.terminated[0] != '\0');
        assert_non_null(strstr(n.terminated, "does not offer"));
        leave(&n);
}

/* The host is silent: its connections are checked by the labels of the application at their begin. */
static void a_session_continues_without_the_presence_of_its_host(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);

        given_app_host(w, APPS_1, "grafana", "tcp://10.0.0.1:80", "prod");
        given_app_session(w, &n, buf_str(&cert));
        delete_key(w, "/presence/" APPS_1);
        given_user(w, "bob");
        run_a_while(&w->a.loop);
        assert_string_equal(n.terminated, "");
        given_app_role(w, "dev");
        AWAIT(w, n.terminated[0] != '\0');
        leave(&n);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(a_dial_finds_the_host_of_an_application),
                ROW(a_dial_tells_nothing_about_applications_of_others),
                ROW(a_dial_refuses_names_that_no_application_has),
                ROW(a_host_offers_only_announced_applications),
                ROW(hosts_that_offer_one_application_are_alternatives),
                ROW(a_dial_names_one_of_several_ports),
                ROW(a_dial_finds_the_host_that_has_the_port),
                ROW(a_host_has_room_for_each_kind),
                ROW(a_session_is_audited_by_the_names_of_teleport),
                ROW(the_port_of_the_dial_is_decided_on_and_audited),
                ROW(certificates_of_other_users_and_kinds_are_refused),
                ROW(only_the_service_that_offers_it_reports_a_connection),
                ROW(other_reports_than_those_of_an_application_are_refused),
                ROW(a_session_ends_with_the_right_to_it),
                ROW(a_session_ends_with_the_login_of_its_certificate),
                ROW(a_session_ends_when_its_application_is_not_offered),
                ROW(a_session_continues_without_the_presence_of_its_host),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
