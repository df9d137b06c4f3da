/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and dials in a loop: budgets, paces, and a disk that is nearly full. */
#include "auth/core/disk_testing.h"
#include "auth/core/refusal_log.h"
#include "auth/sessions/session_node_testing.h"
#include "base/log.h"

/* ---- loops ------------------------------------------------------------------------------------------------------ */

static void note_unreported(void *ctx, uint64_t count)
{
        *(uint64_t *)ctx += count;
}

static void a_loop_of_refused_dials_becomes_a_number(void **state)
{
        enum { MORE = 100 };
        struct testbed *w = *state;
        uint64_t unreported = 0;

        given_user(w, "bob");
        w->a.session_refusals = refusal_log_new(&w->a.loop, note_unreported, &unreported);
        for (int i = 0; i < LIMIT_REFUSALS_BURST + MORE; i++) {
                struct dialled d = dial(w, "alice", "web-1", "nobody");

                assert_refused(d.err, ERROR_PERMISSION_DENIED, "");
        }
        struct dialled d = dial(w, "bob", "web-1", "nobody");
        assert_refused(d.err, ERROR_PERMISSION_DENIED, "");
        assert_int_equal(count_events(w, "\"event\":\"session.rejected\""), LIMIT_REFUSALS_BURST + 1);
        assert_int_equal(count_events(w, "\"user\":\"bob\""), 1);
        refusal_log_free(w->a.session_refusals);
        w->a.session_refusals = NULL;
        assert_int_equal(unreported, MORE);
}

static void a_full_disk_ends_connections_that_cause_events(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_free_disk(w, LIMIT_EVENTS_FREE_MIB, DISK_MIB);
        given_shell(w, &n);
        given_free_disk(w, LIMIT_EVENTS_FREE_MIB / 2, DISK_MIB);
        started(&n, SESSION_2, "exec", "uptime");
        AWAIT_ACK(&n, 3);
        assert_int_equal(n.terminated[0], '\0'); /* open sessions continue */
        given_free_disk(w, LIMIT_EVENTS_FREE_MIB / 2 - 1, DISK_MIB);
        exited(&n, SESSION_2, 0);
        AWAIT(w, n.terminated[0] != '\0');
        assert_non_null(strstr(n.terminated, "has only the space reserved for administrators left"));
        leave(&n);
}

static void a_user_ends_with_the_budget_of_events(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_user(w, "bob");
        w->a.user_events.all = (struct event_budget){ .bytes_per_day = 1000 * LIMIT_EVENT_COST, .what = "audit events" };
        w->a.user_events.on_node = (struct event_budget){ .bytes_per_day = 2 * LIMIT_EVENT_COST, .what = "audit events" };
        w->a.host_events = (struct event_budget){ .bytes_per_day = 1000 * LIMIT_EVENT_COST, .what = "audit events" };
        given_shell(w, &n);
        AWAIT(w, n.terminated[0] != '\0');
        assert_non_null(strstr(n.terminated, "audit events within a day"));
        leave(&n);
        struct dialled d = dial(w, "alice", "web-1", "root");
        assert_refused(d.err, ERROR_RESOURCE_EXHAUSTED, "user alice has caused");
        d = dial(w, "bob", "web-1", "root");
        assert_done(d.err);
        user_budget_release(&w->a.user_events);
        event_budget_release(&w->a.host_events);
}

static void opened(struct node_side *n, const char *session_id, char *path)
{
        Cteleport__V1__ReportFile m = CTELEPORT__V1__REPORT_FILE__INIT;

        m.session_id = TEXT(session_id);
        m.action = TEXT("open");
        m.path = path;
        SEND(n, FILE, file, ReportFile, m);
}

/* With the default limits: file after file in a loop, until the budget is spent; the budget recovers, and other nodes stay open. */
static void a_loop_spends_the_budget_of_a_day(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO_MEM char *path = mem_alloc(60 * KiB + 1);
        struct dialled d;
        uint64_t reported = 0;

        given_node(w, WEB_2, "web-2", "prod");
        audit_budgets_init(&w->a);
        w->a.connection_events.bytes_per_day = 0; /* which ends the connection before */
        memset(path, 'x', 60 * KiB);
        given_shell(w, &n);
        while (n.terminated[0] == '\0' && n.call != NULL) {
                for (int i = 0; i < 10; i++)
                        opened(&n, SESSION_1, path);
                AWAIT_ACK(&n, n.seq);
                reported += 10;
        }
        assert_in_range(reported * (60 * KiB + LIMIT_EVENT_COST), (uint64_t)LIMIT_EVENTS_USER_DAY_MIB * MiB - 12 * MiB, (uint64_t)LIMIT_EVENTS_USER_DAY_MIB * MiB + MiB);
        assert_non_null(strstr(n.terminated, "256 MiB of audit events within a day on this node"));
        exited(&n, SESSION_1, 0); /* its end is still reported */
        end_in_order(w, &n);
        d = dial(w, "alice", "web-1", "root");
        assert_refused(d.err, ERROR_RESOURCE_EXHAUSTED, "user alice has caused");
        d = dial(w, "alice", "web-2", "root");
        assert_done(d.err);
        loop_advance(&w->a.loop, &w->clock, SECONDS(1800));
        d = dial(w, "alice", "web-1", "root");
        assert_done(d.err);
        audit_budgets_release(&w->a);
}

/* The node was ordered to end the connection, and continues. */
static void report_until_refused(struct testbed *w, struct node_side *n, char *path)
{
        for (int i = 0; i < 100 && n->call != NULL; i++) {
                opened(n, SESSION_1, path);
                AWAIT_ACK(n, n->seq);
        }
        AWAIT(w, n->call == NULL);
        assert_int_equal(n->err->code, ERROR_RESOURCE_EXHAUSTED);
}

static void a_node_beyond_twice_the_budget_is_refused(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO_MEM char *path = mem_alloc(60 * KiB + 1);

        memset(path, 'x', 60 * KiB);
        audit_budgets_init(&w->a);
        w->a.user_events.on_node.bytes_per_day = MiB;
        given_shell(w, &n);
        report_until_refused(w, &n, path);
        assert_in_range(n.acked * 61 * KiB, 2 * MiB - 200 * KiB, 2 * MiB + 200 * KiB);
        leave(&n);
        audit_budgets_release(&w->a);
}

/* Other connections of the user are not affected. */
static void a_connection_ends_with_its_events(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO_MEM char *path = mem_alloc(60 * KiB + 1);

        memset(path, 'x', 60 * KiB);
        audit_budgets_init(&w->a);
        w->a.connection_events.bytes_per_day = MiB;
        given_shell(w, &n);
        for (int i = 0; i < 100 && n.terminated[0] == '\0'; i++) {
                opened(&n, SESSION_1, path);
                AWAIT_ACK(&n, n.seq);
        }
        assert_string_equal(n.terminated, "this connection has caused 1 MiB of audit events within a day, which is the limit of one connection");
        assert_in_range(n.seq, 15, 22);
        report_until_refused(w, &n, path);
        leave(&n);
        struct dialled d = dial(w, "alice", "web-1", "root");
        assert_done(d.err);
        audit_budgets_release(&w->a);
}

/* A copy of many files that takes days: it has the limit each day, also if the node has lost the Auth Service meanwhile. */
static void a_connection_of_days_goes_on(void **state)
{
        enum { DAYS = 4, FILES_A_DAY = 14 };
        struct testbed *w = *state;
        struct node_side n = { 0 };
        AUTO_MEM char *path = mem_alloc(60 * KiB + 1);

        memset(path, 'x', 60 * KiB);
        audit_budgets_init(&w->a);
        w->a.connection_events.bytes_per_day = MiB;
        given_shell(w, &n);
        for (int day = 0; day < DAYS; day++) {
                for (int i = 0; i < FILES_A_DAY; i++)
                        opened(&n, SESSION_1, path);
                AWAIT_ACK(&n, n.seq);
                assert_string_equal(n.terminated, "");
                loop_advance(&w->a.loop, &w->clock, HOURS(24));
        }
        assert_int_equal(count_events(w, "\"action\":\"open\""), DAYS * FILES_A_DAY);
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
        assert_int_equal(w->a.connection_events.spent.count, 0);
        audit_budgets_release(&w->a);
}

static void forwarded(struct node_side *n, const char *address, bool is_denied)
{
        Cteleport__V1__ReportPort m = CTELEPORT__V1__REPORT_PORT__INIT;

        m.address = pb_text(address);
        m.direction = TEXT("local");
        m.is_denied = is_denied;
        SEND(n, PORT, port, ReportPort, m);
}

static size_t count_ports(struct testbed *w, const char *code)
{
        AUTO_MEM char *text = mem_printf("\"event\":\"port\",\"code\":\"%s\"", code);

        return count_events(w, text);
}

/* Denied forwardings, and those to one address, are counted beyond a pace; other addresses are recorded each. */
static void a_loop_of_forwardings_becomes_numbers(void **state)
{
        enum { MORE = 40, OTHERS = 25 };
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        forwarded(&n, "db:5432", false);
        for (int i = 0; i < LIMIT_EVENTS_REPEATED_BURST; i++)
                forwarded(&n, "metadata:80", true);
        for (int i = 0; i < MORE; i++) {
                forwarded(&n, "metadata:80", true);
                forwarded(&n, "db:5432", false);
        }
        for (int i = 0; i < OTHERS; i++) {
                AUTO_MEM char *address = mem_printf("db-%d:5432", i);

                forwarded(&n, address, false);
        }
        AWAIT_ACK(&n, n.seq);
        assert_int_equal(count_ports(w, "T3003E"), LIMIT_EVENTS_REPEATED_BURST);
        assert_int_equal(count_ports(w, "T3003I"), 1 + OTHERS);
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(PACE_LEFT_OUT));
        uv_run(&w->a.loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(count_ports(w, "T3003E"), LIMIT_EVENTS_REPEATED_BURST + 1);
        assert_int_equal(count_ports(w, "T3003I"), 1 + OTHERS + 1);
        assert_int_equal(count_events(w, "\"suppressed\":40,"), 2);
        for (int i = 0; i < 2 * LIMIT_EVENTS_REPEATED_PER_MINUTE; i++) /* a minute has given back as many as it has */
                forwarded(&n, "metadata:80", true);
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
        assert_int_equal(count_events(w, "\"suppressed\":60,"), 1); /* the end reports the rest */
        assert_int_equal(count_ports(w, "T3003E"), LIMIT_EVENTS_REPEATED_BURST + 1 + LIMIT_EVENTS_REPEATED_PER_MINUTE + 1);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(a_loop_of_refused_dials_becomes_a_number),
                ROW(a_user_ends_with_the_budget_of_events),
                ROW(a_loop_spends_the_budget_of_a_day),
                ROW(a_node_beyond_twice_the_budget_is_refused),
                ROW(a_connection_ends_with_its_events),
                ROW(a_connection_of_days_goes_on),
                ROW(a_loop_of_forwardings_becomes_numbers),
                ROW(a_full_disk_ends_connections_that_cause_events),
        };
#undef ROW
        loop_thread = pthread_self();
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
