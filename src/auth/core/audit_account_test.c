/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the disk that the audit may use: for each account and in total. */
#include "auth/core/audit_account.h"

#include "auth/core/disk_testing.h"
#include "auth/core/refusal_log.h"
#include "auth/sessions/session_events.h"
#include "base/log.h"

static void note_unreported(void *ctx, uint64_t count)
{
        *(uint64_t *)ctx += count;
}

static void a_nearly_full_disk_accepts_no_new_user(void **state)
{
        struct testbed *w = *state;
        uint64_t unreported = 0;
        struct refusal_log *log = refusal_log_new(&w->a.loop, note_unreported, &unreported);

        given_free_disk(w, LIMIT_EVENTS_FREE_MIB, DISK_MIB);
        assert_done(session_check_new(&w->a, STR("alice"), STR(WEB_1)));
        assert_true(audit_may_report(&w->a, log, STR("user bob")));
        given_free_disk(w, LIMIT_EVENTS_FREE_MIB - 1, DISK_MIB);
        assert_refused(session_check_new(&w->a, STR("alice"), STR(WEB_1)), ERROR_RESOURCE_EXHAUSTED, "has only the space reserved for administrators left");
        assert_done(session_check_open(&w->a, STR("connection"), STR("alice"), STR(WEB_1))); /* open sessions continue */
        assert_false(audit_may_report(&w->a, log, STR("user bob")));          /* counted */
        given_free_disk(w, LIMIT_EVENTS_FREE_MIB / 2 - 1, DISK_MIB);
        assert_refused(session_check_open(&w->a, STR("connection"), STR("alice"), STR(WEB_1)), ERROR_RESOURCE_EXHAUSTED, "");
        given_free_disk(w, LIMIT_EVENTS_FREE_MIB, DISK_MIB);
        assert_done(session_check_new(&w->a, STR("alice"), STR(WEB_1)));
        refusal_log_free(log);
        assert_int_equal(unreported, 1);
}

/* Hosts and users read the message; auth knows the directory only by its path in the sandbox. */
static void a_full_disk_is_reported_without_a_path(void **state)
{
        struct testbed *w = *state;

        given_free_disk(w, LIMIT_EVENTS_FREE_MIB - 1, DISK_MIB);
        AUTO_PTR(error) err = audit_check_room(&w->a, ROOM_FOR_NEW);
        assert_non_null(err);
        assert_null(strchr(err->what, '/'));
        assert_null(strchr(err->hint, '/'));
}

static void a_small_disk_keeps_a_share(void **state)
{
        struct testbed *w = *state;

        given_free_disk(w, 1 * LIMIT_EVENTS_FREE_PERCENT, 100);
        assert_done(audit_check_room(&w->a, ROOM_FOR_NEW));
        given_free_disk(w, 1 * LIMIT_EVENTS_FREE_PERCENT - 1, 100);
        assert_refused(audit_check_room(&w->a, ROOM_FOR_NEW), ERROR_RESOURCE_EXHAUSTED, "4096 KiB are free");
}

static void looks_at_the_disk_once_in_a_while(void **state)
{
        struct testbed *w = *state;

        given_free_disk(w, 100, 100);
        assert_done(audit_check_room(&w->a, ROOM_FOR_NEW));
        fake_disk.f_bavail = 0;
        assert_done(audit_check_room(&w->a, ROOM_FOR_NEW));
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(PACE_DISK_CHECK));
        uv_run(&w->a.loop.uv, UV_RUN_NOWAIT);
        AWAIT(w, disk_watch_has_checked(w->a.disk));
        assert_refused(audit_check_room(&w->a, ROOM_FOR_NEW), ERROR_RESOURCE_EXHAUSTED, "");
}

static struct user_budget small_budget(int64_t of_all, int64_t on_node, int64_t reserve, const char *what)
{
        return (struct user_budget){ { .bytes_per_day = of_all, .what = what }, { .bytes_per_day = on_node, .what = what }, reserve };
}

static void a_disk_that_does_not_answer_stops_nothing_else(void **state)
{
        struct testbed *w = *state;

        given_free_disk(w, 100, 100);
        assert_int_equal(pipe(stuck), 0);
        fake_disk.f_bavail = 0;
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(PACE_DISK_CHECK));
        uv_run(&w->a.loop.uv, UV_RUN_NOWAIT);
        for (int i = 0; i < 12; i++) { /* each request is answered from the last check */
                assert_false(disk_watch_has_checked(w->a.disk));
                assert_done(audit_check_room(&w->a, ROOM_FOR_NEW));
                loop_advance(&w->a.loop, &w->clock, MILLISECONDS(PACE_DISK_CHECK));
                uv_run(&w->a.loop.uv, UV_RUN_NOWAIT);
        }
        assert_int_equal(write(stuck[1], ".", 1), 1);
        AWAIT(w, disk_watch_has_checked(w->a.disk));
        assert_refused(audit_check_room(&w->a, ROOM_FOR_NEW), ERROR_RESOURCE_EXHAUSTED, "");
        close(stuck[0]);
        close(stuck[1]);
        stuck[0] = stuck[1] = -1;
}

static void a_user_ends_with_the_budget_of_recordings(void **state)
{
        struct testbed *w = *state;

        fake_disk = (struct statvfs){ 0 };
        w->a.user_recordings = small_budget(2000, 1000, 10, "recordings");
        user_budget_charge(&w->a.user_recordings, STR("alice"), STR(WEB_1), 1000, loop_now(&w->a.loop));
        assert_refused(session_check_new(&w->a, STR("alice"), STR(WEB_1)), ERROR_RESOURCE_EXHAUSTED, "user alice has caused");
        assert_done(session_check_new(&w->a, STR("bob"), STR(WEB_1)));
        audit_budgets_release(&w->a);
        w->a.user_recordings = (struct user_budget){ 0 };
}

/* A captured node with a session of the user sends events and data without end. */
static void a_node_shuts_a_user_out_of_itself_alone(void **state)
{
        struct testbed *w = *state;
        struct user_budget *budgets[] = { &w->a.user_recordings, &w->a.user_events };

        fake_disk = (struct statvfs){ 0 };
        audit_budgets_init(&w->a);
        for (size_t i = 0; i < ARRAY_LEN(budgets); i++) {
                struct instant now = loop_now(&w->a.loop);
                int64_t most = budgets[i]->on_node.bytes_per_day;

                user_budget_charge(budgets[i], STR("alice"), STR(WEB_2), MiB, now);
                for (int64_t sent = 0; sent < 100 * most; sent += most / 2)
                        user_budget_charge(budgets[i], STR("alice"), STR(WEB_1), (size_t)(most / 2), now);
                assert_refused(session_check_new(&w->a, STR("alice"), STR(WEB_1)), ERROR_RESOURCE_EXHAUSTED, "on this node");
                assert_done(session_check_new(&w->a, STR("alice"), STR(WEB_2)));
        }
        audit_budgets_release(&w->a);
        w->a.user_recordings = w->a.user_events = (struct user_budget){ 0 };
}

/* The bytes that the user may still send on the node, in steps of ten. */
static int64_t send_all(struct testbed *w, const char *host_id)
{
        struct instant now = loop_now(&w->a.loop);

        for (int64_t sent = 0;; sent += 10) {
                AUTO_PTR(error) err = user_budget_check(&w->a.user_recordings, STR("alice"), str_of(host_id), now);

                if (err != NULL)
                        return sent;
                user_budget_charge(&w->a.user_recordings, STR("alice"), str_of(host_id), 10, now);
        }
}

static void a_loop_on_all_nodes_leaves_little_on_each(void **state)
{
        struct testbed *w = *state;
        char node[40];

        fake_disk = (struct statvfs){ 0 };
        w->a.user_recordings = small_budget(2000, 1000, 10, "recordings");
        for (int i = 0; i < 50; i++) {
                snprintf(node, sizeof node, "11111111-1111-4111-8111-%012d", i);
                assert_int_equal(send_all(w, node), i < 2 ? 1000 : 10);
        }
        assert_refused(session_check_new(&w->a, STR("alice"), str_of(node)), ERROR_RESOURCE_EXHAUSTED, "on all nodes");
        assert_done(session_check_new(&w->a, STR("alice"), STR(WEB_2)));
        audit_budgets_release(&w->a);
        w->a.user_recordings = (struct user_budget){ 0 };
}

struct outcome {
        bool is_done;
        struct error *err;
};

static void on_outcome(void *ctx, uint64_t revision, struct error *err)
{
        struct outcome *o = ctx;

        (void)revision;
        o->is_done = true;
        o->err = err;
}

/* For each account: an administrator's loop, a user's logins, a fleet's joins. The transaction fails and has no effect. */
static void actions_end_with_the_budget_of_their_account(void **state)
{
        struct testbed *w = *state;

        for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
                enum audit_account account = (enum audit_account)i;
                struct error *err = NULL;
                size_t done = 0;

                w->a.accounts[i] = (struct event_budget){ .bytes_per_day = 2000, .what = "audit events" };
                while (err == NULL && done++ < 100) {
                        struct audit_record r;
                        struct store_txn *t = store_txn_new(w->a.store);

                        auth_audit_begin(&w->a, &r, &audit_token_create);
                        audit_account_add(&w->a, account, STR("alice"), t, &r);
                        struct outcome o = { 0 };
                        store_txn_commit(t, on_outcome, &o);
                        AWAIT(w, o.is_done);
                        err = o.err;
                }
                assert_in_range(done, 4, 20);
                assert_refused(err, ERROR_RESOURCE_EXHAUSTED, "alice");
                event_budget_release(&w->a.accounts[i]);
                w->a.accounts[i] = (struct event_budget){ 0 };
        }
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(a_nearly_full_disk_accepts_no_new_user),
                ROW(a_full_disk_is_reported_without_a_path),
                ROW(a_small_disk_keeps_a_share),
                ROW(looks_at_the_disk_once_in_a_while),
                ROW(a_disk_that_does_not_answer_stops_nothing_else),
                ROW(a_user_ends_with_the_budget_of_recordings),
                ROW(a_node_shuts_a_user_out_of_itself_alone),
                ROW(a_loop_on_all_nodes_leaves_little_on_each),
                ROW(actions_end_with_the_budget_of_their_account),
        };
#undef ROW
        loop_thread = pthread_self();
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
