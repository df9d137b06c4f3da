/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/kinds.h"
#include "auth/sessions/session_node_testing.h"
#include "base/log.h"
#include "state/recording.h"
#include "state/session.h"

/* ---- the way of a session ---------------------------------------------------------------------------------------- */

static void a_session_is_reported_from_its_dial_to_its_end(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_shell(w, &n);

        assert_string_equal(d.host_id, WEB_1);
        assert_true(n.permits_pty && n.permits_port_forwarding);
        assert_string_equal(n.record, "best_effort");
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 1); /* durable when it is acknowledged */
        started(&n, SESSION_2, "exec", "uptime; echo \"done\"");
        exited(&n, SESSION_2, 3);
        exited(&n, SESSION_1, 0);
        over(&n);
        AWAIT(w, n.call == NULL);
        assert_done(n.err);
        n.err = NULL;
        assert_int_equal(n.acked, 6);
        leave(&n);
        assert_int_equal(count_events(w, "\"event\":\"session.connect\""), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.end\""), 2);
        assert_int_equal(count_events(w, "\"event\":\"session.leave\""), 1);
        assert_int_equal(count_events(w, "\"code\":\"T3002E\""), 1);
        assert_int_equal(count_events(w, "uptime; echo \\\"done\\\""), 2);
        assert_int_equal(count_events(w, "\"event\":\"session.data\""), 1);
        assert_int_equal(count_events(w, "\"tx\":4000,\"rx\":300"), 1);
        assert_int_equal(count_events(w, "198.51.100.7:5022"), 8);
        assert_int_equal(count_records(w, &connection_kind), 0);
        assert_int_equal(count_records(w, &session_kind), 1); /* the recorded one */
        assert_int_equal(count_records(w, &recording_kind), 1);
}

static void a_resumed_stream_neither_loses_nor_repeats(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_shell(w, &n);

        leave(&n);
        n.seq = 1; /* the node did not get the acknowledgement of 2 */
        report_stream(w, &n, WEB_1, d.id, true);
        started(&n, SESSION_1, "shell", "");
        exited(&n, SESSION_1, 0);
        AWAIT_ACK(&n, 3);
        end_in_order(w, &n);
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.end\""), 1);
}

static void connections_survive_the_auth_service(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_shell(w, &n);

        leave(&n);
        sessions_close(w->a.sessions);
        testbed_open_sessions(w);
        report_stream(w, &n, WEB_1, d.id, true);
        exited(&n, SESSION_1, 0);
        AWAIT_ACK(&n, 3);
        assert_non_null(n.call);
        leave(&n);
        assert_int_equal(count_events(w, "\"event\":\"session.end\""), 1);
}

static void a_new_stream_replaces_the_one_of_a_dead_peer(void **state)
{
        struct testbed *w = *state;
        struct node_side dead = { 0 }, n = { 0 };
        struct dialled d = given_shell(w, &dead);

        n.seq = 2;
        report_stream(w, &n, WEB_1, d.id, true);
        AWAIT_ACK(&n, 2);
        AWAIT(w, dead.call == NULL);
        assert_int_equal(dead.err->code, ERROR_ABORTED);
        error_free(dead.err);
        rpc_client_close(dead.client);
        leave(&n);
}

static void a_connection_without_reports_ends_by_itself(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        leave(&n);
        for (int i = 0; i < 12 && count_records(w, &connection_kind) > 0; i++)
                loop_advance(&w->a.loop, &w->clock, MILLISECONDS(TIMEOUT_CONNECTION_LOST / 10 + 1));
        AWAIT(w, count_records(w, &connection_kind) == 0);
        assert_int_equal(count_events(w, "\"event\":\"session.end\""), 1);
        assert_int_equal(count_events(w, "silent for too long"), 2); /* the session's end and the connection's */
}

/* ---- refused users ---------------------------------------------------------------------------------------------------- */

static void refuses_certificates_that_are_not_good_enough(void **state)
{
        struct testbed *w = *state;
        struct test_ca other = { 0 };
        struct node_side n = { 0 };
        struct dialled d = dial(w, "alice", "web-1", "");

        test_ca_init(&other, times_of(NOW - 100, NOW + 100000));
        const struct {
                struct buf cert;
                const char *login, *reason;
        } rows[] = {
                { ssh_cert(&w->ca, "alice", "root", -10), "root", "expired" },
                { ssh_cert(&w->ca, "bob", "root", 3600), "root", "not that of the user" },
                { ssh_cert(&w->ca, "alice", "deploy", 3600), "root", "does not hold the login" },
                { ssh_cert(&other, "alice", "root", 3600), "root", "not signed by the user CA" },
                { ssh_cert(&w->ca, "alice", "nobody", 3600), "nobody", "" }, /* the roles do not give it any more */
                { ssh_cert(&w->ca, "alice", "root", 3600), "root\n-oProxyCommand=x", "" },
        };
        assert_done(d.err);
        report_stream(w, &n, WEB_1, d.id, false);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct buf cert = rows[i].cert;

                send_request(&n, buf_str(&cert), rows[i].login);
                assert_non_null(n.call);
                assert_false(n.is_allowed);
                assert_non_null(strstr(n.reason, rows[i].reason));
                cert.ptr[cert.len - 5] ^= 1; /* and altered on the way */
                send_request(&n, buf_str(&cert), rows[i].login);
                assert_false(n.is_allowed);
                buf_release(&cert);
        }
        leave(&n);
        test_ca_release(&other);
        assert_int_equal(count_events(w, "\"event\":\"session.rejected\""), 2 * ARRAY_LEN(rows));
        assert_int_equal(count_events(w, "\n-o"), 0);
}

static void a_lock_ends_open_sessions_and_refuses_new_ones(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO(buf) cert = ssh_cert(&w->ca, "alice", "root", 3600);

        given_shell(w, &n);
        given_lock_on(w, "alice");
        AWAIT(w, n.terminated[0] != '\0');
        assert_non_null(strstr(n.terminated, "locked"));
        send_request(&n, buf_str(&cert), "root");
        assert_false(n.is_allowed);
        leave(&n);
        struct dialled d = dial(w, "alice", "web-1", "root");
        assert_refused(d.err, ERROR_PERMISSION_DENIED, "locked");
}

static void sessions_end_with_their_user_and_their_node(void **state)
{
        static const char *const keys[] = { "/users/alice", "/hosts/" WEB_1 };
        struct testbed *w = *state;

        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
                struct node_side n = { 0 };

                given_shell(w, &n);
                delete_key(w, keys[i]);
                AWAIT(w, n.terminated[0] != '\0');
                exited(&n, SESSION_1, 0);
                over(&n);
                AWAIT(w, n.call == NULL);
                leave(&n);
                delete_key(w, "/sessions/" SESSION_1);
                given_user(w, "alice");
        }
}

static void a_login_that_lost_its_permission_ends_before_it_begins(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = dial(w, "alice", "web-1", "root");
        AUTO(buf) cert = ssh_cert(&w->ca, "alice", "root", 3600);

        assert_done(d.err);
        report_stream(w, &n, WEB_1, d.id, false);
        send_request(&n, buf_str(&cert), "root");
        assert_true(n.is_allowed);
        given_lock_on(w, "alice");
        accepted(&n, buf_str(&cert), "root");
        AWAIT(w, n.terminated[0] != '\0');
        started(&n, SESSION_1, "shell", "");
        AWAIT(w, n.call == NULL);
        assert_refused(n.err, ERROR_INVALID_ARGUMENT, "before a login");
        n.err = NULL;
        leave(&n);
        assert_int_equal(count_records(w, &session_kind), 0);
}

/* Before the decision, while the login is being stored, or afterwards. */
static void a_lock_at_any_moment_of_a_login_ends_it(void **state)
{
        enum { MOMENTS = 24 };
        struct testbed *w = *state;

        for (int moment = 0; moment < MOMENTS; moment++) {
                struct node_side n = { 0 };
                struct dialled d = dial(w, "alice", "web-1", "root");
                AUTO(buf) cert = ssh_cert(&w->ca, "alice", "root", 3600);

                assert_done(d.err);
                report_stream(w, &n, WEB_1, d.id, false);
                send_request(&n, buf_str(&cert), "root");
                accepted(&n, buf_str(&cert), "root");
                for (int turn = 0; turn < moment && n.acked == 0; turn++)
                        uv_run(&w->a.loop.uv, UV_RUN_ONCE);
                given_lock_on(w, "alice");
                AWAIT(w, n.terminated[0] != '\0');
                over(&n);
                AWAIT(w, n.call == NULL);
                leave(&n);
                delete_key(w, "/locks/l1");
        }
}

/* Another user of the same name is not the same user. */
static void a_certificate_ends_with_its_user_not_with_the_name(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO(buf) cert = ssh_cert(&w->ca, "alice", "root", 3600);
        struct dialled d = dial(w, "alice", "web-1", "root");

        assert_done(d.err);
        given_user_since(w, "alice", NOW - 50 + LIMIT_CERT_BACKDATE_SECONDS); /* the second of issue is early enough */
        report_stream(w, &n, WEB_1, d.id, false);
        send_request(&n, buf_str(&cert), "root");
        assert_true(n.is_allowed);
        given_user_since(w, "alice", NOW - 50 + LIMIT_CERT_BACKDATE_SECONDS + 1);
        send_request(&n, buf_str(&cert), "root");
        assert_false(n.is_allowed);
        leave(&n);
        d = dial(w, "alice", "web-1", "root");
        assert_refused(d.err, ERROR_UNAUTHENTICATED, "older than user");
}

static void dials_only_for_permitted_users(void **state)
{
        struct testbed *w = *state;
        struct test_ca other = { 0 };

        test_ca_init(&other, times_of(NOW - 100, NOW + 100000));
        AUTO(buf) good = tls_cert(&w->ca, "alice", 3600);
        AUTO(buf) expired = tls_cert(&w->ca, "alice", -10);
        AUTO(buf) foreign = tls_cert(&other, "alice", 3600);
        AUTO(buf) gone = tls_cert(&w->ca, "bob", 3600);
        test_ca_release(&other);
        given_node(w, WEB_2, "WEB-2", "prod");
        given_node(w, "abcdefab-4444-4444-8444-444444444444", "web-4." CLUSTER, "prod");
        given_node(w, "33333333-3333-4333-8333-333333333333", "twin", "prod");
        given_node(w, "44444444-4444-4444-8444-444444444444", "Twin", "prod");
        const struct {
                struct str cert;
                const char *target, *login;
                enum error_code code;
                const char *part;
        } rows[] = {
                { buf_str(&good), "web-1", "root", 0, "" },
                { buf_str(&good), "web-1." CLUSTER, "root", 0, "" },
                { buf_str(&good), "Web-1", "root", 0, "" },
                { buf_str(&good), "web-1.", "root", 0, "" },
                { buf_str(&good), "WEB-1." CLUSTER ".", "root", 0, "" },
                { buf_str(&good), WEB_1, "", 0, "" },
                { buf_str(&good), WEB_1 "." CLUSTER, "", 0, "" },
                { buf_str(&good), "44444444-4444-4444-8444-44444444444A", "", ERROR_NOT_FOUND, "no node" },
                { buf_str(&good), "ABCDEFAB-4444-4444-8444-444444444444", "", 0, "" },
                { buf_str(&good), "web-1..", "root", ERROR_INVALID_ARGUMENT, "not the name of a node" },
                { buf_str(&good), "web-2", "deploy", 0, "" },
                { buf_str(&good), "web-4", "root", 0, "" },
                { buf_str(&good), "twin", "root", ERROR_FAILED_PRECONDITION, "ambiguous" },
                { buf_str(&good), "33333333-3333-4333-8333-333333333333", "root", 0, "" },
                { buf_str(&good), "web-3", "root", ERROR_NOT_FOUND, "no node" },
                { buf_str(&good), "99999999-3333-4333-8333-333333333333", "root", ERROR_NOT_FOUND, "no node" },
                { buf_str(&good), "web-1", "admin", ERROR_PERMISSION_DENIED, "" },
                { buf_str(&good), "-oProxyCommand=x", "root", ERROR_INVALID_ARGUMENT, "not the name of a node" },
                { buf_str(&good), "web-1", "ro ot", ERROR_INVALID_ARGUMENT, "not the name of an account" },
                { buf_str(&expired), "web-1", "root", ERROR_UNAUTHENTICATED, "expired" },
                { buf_str(&foreign), "web-1", "root", ERROR_UNAUTHENTICATED, "not one of a user" },
                { buf_str(&gone), "web-1", "root", ERROR_PERMISSION_DENIED, "not there any more" },
                { STR("junk"), "web-1", "root", ERROR_UNAUTHENTICATED, "" },
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct dialled d = dial_with(w, rows[i].cert, rows[i].target, rows[i].login);

                if (rows[i].code == 0)
                        assert_done(d.err);
                else
                        assert_refused(d.err, rows[i].code, rows[i].part);
        }
        assert_int_equal(count_events(w, "\"event\":\"session.rejected\""), 5);
}

#define HIDDEN "55555555-5555-4555-8555-555555555555"

/* The role of all users sees no nodes of env=secret. */
static void given_secret_nodes(struct testbed *w)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        Cteleport__V1__Role *role = access_preset(arena, STR("access"));
        Cteleport__V1__RoleConditions deny = CTELEPORT__V1__ROLE_CONDITIONS__INIT;
        Cteleport__V1__RoleConditions__NodeLabelsEntry label = CTELEPORT__V1__ROLE_CONDITIONS__NODE_LABELS_ENTRY__INIT, *labels[] = { &label };
        Cteleport__V1__Strings strings = CTELEPORT__V1__STRINGS__INIT;
        char *values[] = { TEXT("secret") };

        strings.values = values;
        strings.n_values = 1;
        label.key = TEXT("env");
        label.value = &strings;
        deny.node_labels = labels;
        deny.n_node_labels = 1;
        role->spec->deny = &deny;
        put_message(w, "/roles/access", &role->base);
        given_node(w, HIDDEN, "hid-1", "secret");
}

static void a_hidden_node_looks_like_a_missing_one(void **state)
{
        static const struct {
                const char *there, *absent;
        } pairs[] = { { "hid-1", "hid-2" }, { HIDDEN, "66666666-5555-4555-8555-555555555555" }, { "HID-1." CLUSTER, "HID-2." CLUSTER } };
        static const char *const logins[] = { "", "root", "admin" };
        struct testbed *w = *state;

        given_secret_nodes(w);
        for (size_t i = 0; i < ARRAY_LEN(pairs) * ARRAY_LEN(logins); i++) {
                const char *there = pairs[i / ARRAY_LEN(logins)].there, *absent = pairs[i / ARRAY_LEN(logins)].absent;
                const char *login = logins[i % ARRAY_LEN(logins)];
                struct dialled hidden = dial(w, "alice", there, login), none = dial(w, "alice", absent, login);
                AUTO_MEM char *expected = mem_printf("there is no node '%s', or it is offline", there);

                assert_non_null(hidden.err);
                assert_non_null(none.err);
                assert_int_equal(hidden.err->code, ERROR_NOT_FOUND);
                assert_string_equal(hidden.err->what, expected);
                assert_int_equal(none.err->code, hidden.err->code);
                assert_string_equal(none.err->hint, hidden.err->hint);
                error_free(hidden.err);
                error_free(none.err);
        }
        /* The audit knows better. */
        assert_int_equal(count_events(w, "\"event\":\"session.rejected\""), ARRAY_LEN(pairs) * ARRAY_LEN(logins));
        assert_int_equal(count_events(w, "\"server_id\":\"" HIDDEN "\""), ARRAY_LEN(pairs) * ARRAY_LEN(logins));
        /* A user without any access gets the same answer for both. */
        given_lock_on(w, "alice");
        struct dialled locked = dial(w, "alice", "hid-1", "root");
        assert_refused(locked.err, ERROR_PERMISSION_DENIED, "locked");
        locked = dial(w, "alice", "hid-2", "root");
        assert_refused(locked.err, ERROR_PERMISSION_DENIED, "locked");
}

/* The ID of a connection of a number; borrowed until the next. */
static const char *mem_id(int number)
{
        static char id[40];

        snprintf(id, sizeof id, "77777777-0000-4000-8000-%012d", number);
        return id;
}

static void one_user_does_not_use_all_connections_of_a_node(void **state)
{
        struct testbed *w = *state;
        struct dialled first = dial(w, "alice", "web-1", "root");

        assert_done(first.err);
        for (int i = 1; i < LIMIT_SSH_CONNECTIONS_USER; i++)
                assert_done(sessions_enter_node(w->a.sessions, str_of(mem_id(i)), kind_find("node"), STR(WEB_1), STR("alice")));
        struct dialled refused = dial(w, "alice", "web-1", "root");
        assert_refused(refused.err, ERROR_RESOURCE_EXHAUSTED, "as many as one user may have");
        given_node(w, WEB_2, "web-2", "prod");
        struct dialled elsewhere = dial(w, "alice", "web-2", "root");
        assert_done(elsewhere.err);
        given_user(w, "bob");
        struct dialled other = dial(w, "bob", "web-1", "root");
        assert_done(other.err);
        /* The rest beyond bob's share is a reserve. */
        for (int i = LIMIT_SSH_CONNECTIONS_USER; i < LIMIT_SSH_CONNECTIONS - LIMIT_SSH_CONNECTIONS_RESERVE - 1; i++)
                assert_done(sessions_enter_node(w->a.sessions, str_of(mem_id(i)), kind_find("node"), STR(WEB_1), STR("bob")));
        refused = dial(w, "bob", "web-1", "root");
        assert_refused(refused.err, ERROR_RESOURCE_EXHAUSTED, "no more room");
        given_user(w, "carol");
        other = dial(w, "carol", "web-1", "root");
        assert_done(other.err);
        /* A connection no longer counts when it has ended or was never begun. */
        AUTO_MEM char *key = mem_printf("/connections/%s", first.id);
        delete_key(w, key);
        sessions_leave_node(w->a.sessions, str_of(mem_id(1)));
        other = dial(w, "bob", "web-1", "root");
        assert_done(other.err);
}

/* The Auth Service may be stopped at any moment of its start. LeakSanitizer finds memory that such an end leaks. */
static void count_ready(void *ctx, struct error *err)
{
        int *count = ctx;

        ++*count;
        error_free(err);
}

static void sessions_may_be_closed_while_they_are_read(void **state)
{
        struct testbed *w = *state;
        int ready = 0;

        sessions_close(sessions_open(&w->a, count_ready, &ready));
        struct dialled d = dial(w, "alice", "web-1", "root"); /* a later answer of the store: the earlier ones have arrived */
        assert_done(d.err);
        assert_int_equal(ready, 0);
}

/* ---- kinds of resources --------------------------------------------------------------------------------------------------------- */

static void a_kind_that_is_not_there_is_refused(void **state)
{
        static const char *const kinds[] = { "db", "", "Node", "node " };
        struct testbed *w = *state;
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                struct dialled d = dial_kind(w, buf_str(&cert), kinds[i], "web-1", "root");

                assert_refused(d.err, ERROR_UNIMPLEMENTED, kinds[i]);
        }
        assert_int_equal(count_records(w, &connection_kind), 0);
        struct dialled d = dial_kind(w, buf_str(&cert), "node", "web-1", "root");
        assert_done(d.err);
        assert_string_equal(d.service, "ssh");
}

/* The record of a connection by a release with another kind of resource, or without kinds. */
static void given_kind(struct testbed *w, const struct dialled *d, const char *kind)
{
        Cteleport__State__V1__Connection c = CTELEPORT__STATE__V1__CONNECTION__INIT;
        AUTO_MEM char *at = mem_printf("/connections/%s", d->id);

        c.connection_id = TEXT(d->id);
        c.kind = TEXT(kind);
        c.host_id = TEXT(WEB_1);
        c.hostname = TEXT("web-1");
        c.user = TEXT("alice");
        c.client_addr = TEXT("198.51.100.7:5022");
        put_message(w, at, &c.base);
}

static void a_report_is_of_the_kind_that_was_dialled(void **state)
{
        static const struct {
                const char *kind, *role, *why; /* why: NULL: it begins */
                enum error_code code;
        } rows[] = {
                { "db", "Node", "no resources of the kind 'db'", ERROR_UNIMPLEMENTED },
                { "node", "App", "this service does not offer", ERROR_PERMISSION_DENIED },
                { "", "Node", NULL, 0 }, /* by a release with nodes only */
                { "node", "Node", NULL, 0 },
        };
        struct testbed *w = *state;

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct node_side n = { 0 };
                AUTO(buf) cert = ssh_cert(&w->ca, "alice", "root", 3600);

                w->role = NULL;
                struct dialled d = dial(w, "alice", "web-1", "root");
                assert_done(d.err);
                given_kind(w, &d, rows[i].kind);
                w->role = rows[i].role;
                report_stream(w, &n, WEB_1, d.id, false);
                if (rows[i].why == NULL) {
                        send_request(&n, buf_str(&cert), "root");
                        assert_true(n.is_allowed);
                } else {
                        AWAIT(w, n.call == NULL);
                        assert_refused(n.err, rows[i].code, rows[i].why);
                        n.err = NULL;
                }
                leave(&n);
        }
}

/* ---- nodes that go astray -------------------------------------------------------------------------------------------------- */

static void a_node_may_speak_of_its_own_connections_only(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 }, impostor = { 0 };
        struct dialled d = dial(w, "alice", "web-1", "root");

        assert_done(d.err);
        report_stream(w, &impostor, WEB_2, d.id, false);
        AWAIT(w, impostor.call == NULL);
        assert_refused(impostor.err, ERROR_PERMISSION_DENIED, "not made to this host");
        impostor.err = NULL;
        leave(&impostor);
        report_stream(w, &impostor, WEB_2, SESSION_2, false);
        AWAIT(w, impostor.call == NULL);
        assert_refused(impostor.err, ERROR_NOT_FOUND, "does not know this connection");
        impostor.err = NULL;
        leave(&impostor);
        given_shell(w, &n);
        report_stream(w, &impostor, WEB_2, d.id, true);
        AWAIT(w, impostor.call == NULL);
        error_free(impostor.err);
        rpc_client_close(impostor.client);
        assert_non_null(n.call);
        leave(&n);
}

static void a_connection_begins_once_and_soon(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled late = dial(w, "alice", "web-1", "root"), d = given_shell(w, &n);

        assert_done(late.err);
        leave(&n);
        report_stream(w, &n, WEB_1, d.id, false);
        AWAIT(w, n.call == NULL);
        assert_refused(n.err, ERROR_FAILED_PRECONDITION, "begun already");
        n.err = NULL;
        leave(&n);
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(TIMEOUT_DIALLED + 1));
        report_stream(w, &n, WEB_1, late.id, false);
        AWAIT(w, n.call == NULL);
        assert_refused(n.err, ERROR_NOT_FOUND, "does not know this connection");
        n.err = NULL;
        leave(&n);
}

static void report_nothing(struct node_side *n)
{
        send_message(n, (Cteleport__V1__ReportUp)CTELEPORT__V1__REPORT_UP__INIT);
}
static void skip_a_number(struct node_side *n)
{
        n->seq++;
        exited(n, SESSION_1, 0);
}
static void end_what_never_began(struct node_side *n)
{
        exited(n, SESSION_2, 0);
}
static void begin_twice(struct node_side *n)
{
        started(n, SESSION_1, "shell", "");
}
static void begin_the_unnamed(struct node_side *n)
{
        started(n, "../../etc/passwd", "shell", "");
}
static void begin_another_kind(struct node_side *n)
{
        started(n, SESSION_2, "root shell", "");
}
static void begin_too_many(struct node_side *n)
{
        for (int i = 0; i <= LIMIT_CONNECTION_SESSIONS; i++) {
                AUTO_MEM char *id = mem_printf("bbbbbbbb-bbbb-4bbb-8bbb-%012x", (unsigned)i);

                started(n, id, "exec", "true");
        }
}
static void come_in_as_another(struct node_side *n)
{
        AUTO(buf) cert = ssh_cert(&n->w->ca, "alice", "deploy", 3600);

        accepted(n, buf_str(&cert), "deploy");
}

static void hostile_messages_end_their_stream_and_nothing_else(void **state)
{
        static void (*const rows[])(struct node_side *n) = { report_nothing,      skip_a_number,      end_what_never_began, begin_twice,
                                                              begin_the_unnamed, begin_another_kind, begin_too_many,       come_in_as_another };
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_shell(w, &n);

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                rows[i](&n);
                AWAIT(w, n.call == NULL);
                assert_non_null(n.err);
                leave(&n);
                report_stream(w, &n, WEB_1, d.id, true);
                AWAIT(w, n.acked > 0 || n.call == NULL); /* it continues after the valid events */
                assert_non_null(n.call);
                n.seq = n.acked;
        }
        leave(&n);
        assert_true(count_records(w, &session_kind) <= LIMIT_CONNECTION_SESSIONS);
        assert_int_equal(count_events(w, "\"event\":\"session.connect\""), 1);
}

static void another_hosts_session_cannot_be_written_over(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 }, impostor = { 0 };
        AUTO(buf) cert = ssh_cert(&w->ca, "alice", "root", 3600);

        given_node(w, WEB_2, "web-2", "prod");
        given_shell(w, &n);
        leave(&n);
        struct dialled d = dial(w, "alice", "web-2", "root");
        report_stream(w, &impostor, WEB_2, d.id, false);
        accepted(&impostor, buf_str(&cert), "root");
        AWAIT_ACK(&impostor, 1);
        started(&impostor, SESSION_1, "shell", "");
        AWAIT(w, impostor.call == NULL);
        assert_int_equal(impostor.err->code, ERROR_ABORTED);
        leave(&impostor);
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 1);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(sessions_may_be_closed_while_they_are_read),
                ROW(a_session_is_reported_from_its_dial_to_its_end),
                ROW(a_resumed_stream_neither_loses_nor_repeats),
                ROW(connections_survive_the_auth_service),
                ROW(a_new_stream_replaces_the_one_of_a_dead_peer),
                ROW(a_connection_without_reports_ends_by_itself),
                ROW(refuses_certificates_that_are_not_good_enough),
                ROW(a_lock_ends_open_sessions_and_refuses_new_ones),
                ROW(sessions_end_with_their_user_and_their_node),
                ROW(a_login_that_lost_its_permission_ends_before_it_begins),
                ROW(a_kind_that_is_not_there_is_refused),
                ROW(a_report_is_of_the_kind_that_was_dialled),
                ROW(a_lock_at_any_moment_of_a_login_ends_it),
                ROW(a_certificate_ends_with_its_user_not_with_the_name),
                ROW(dials_only_for_permitted_users),
                ROW(a_hidden_node_looks_like_a_missing_one),
                ROW(one_user_does_not_use_all_connections_of_a_node),
                ROW(a_node_may_speak_of_its_own_connections_only),
                ROW(a_connection_begins_once_and_soon),
                ROW(hostile_messages_end_their_stream_and_nothing_else),
                ROW(another_hosts_session_cannot_be_written_over),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
