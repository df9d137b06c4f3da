/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit may take of the disk: by whom, and how much in all. */
#include "auth/audit_account.h"

#include <sys/statvfs.h>

#include "auth/refusal_log.h"
#include "auth/session_events.h"
#include "auth/session_testing.h"
#include "base/log.h"

static struct statvfs fake_disk;

int statvfs(const char *path, struct statvfs *ret)
{
        (void)path;
        *ret = fake_disk;
        return 0;
}

/* So many MiB are free, and it is time to look again. */
static void given_free_disk(struct world *w, unsigned free_mib, unsigned size_mib)
{
        fake_disk = (struct statvfs){ .f_frsize = 1 * MiB, .f_blocks = size_mib, .f_bavail = free_mib };
        w->a.disk.was_looked_at = false;
}

static void note_untold(void *ctx, uint64_t count)
{
        *(uint64_t *)ctx += count;
}

static void a_disk_that_is_nearly_full_takes_nobody_new(void **state)
{
        struct world *w = *state;
        uint64_t untold = 0;
        struct refusal_log *log = refusal_log_new(&w->a.loop, note_untold, &untold);

        given_free_disk(w, LIMIT_EVENTS_FREE_MIB, 100 * 1024);
        assert_done(session_check_budget(&w->a, STR("alice"), STR("")));
        assert_true(audit_may_tell(&w->a, log, STR("user bob")));
        given_free_disk(w, LIMIT_EVENTS_FREE_MIB - 1, 100 * 1024);
        assert_refused(session_check_budget(&w->a, STR("alice"), STR("")), ERROR_RESOURCE_EXHAUSTED, "is full but for what administrators need");
        assert_done(session_check_budget(&w->a, STR("alice"), STR(WEB_1))); /* what is open goes on */
        assert_false(audit_may_tell(&w->a, log, STR("user bob")));          /* counted */
        given_free_disk(w, LIMIT_EVENTS_FREE_MIB / 2 - 1, 100 * 1024);
        assert_refused(session_check_budget(&w->a, STR("alice"), STR(WEB_1)), ERROR_RESOURCE_EXHAUSTED, "");
        given_free_disk(w, LIMIT_EVENTS_FREE_MIB, 100 * 1024);
        assert_done(session_check_budget(&w->a, STR("alice"), STR("")));
        refusal_log_free(log);
        assert_int_equal(untold, 1);
}

/* Hosts and users read the sentence; auth knows the directory by a path of its sandbox only. */
static void a_full_disk_is_told_without_a_path(void **state)
{
        struct world *w = *state;

        given_free_disk(w, LIMIT_EVENTS_FREE_MIB - 1, 100 * 1024);
        AUTO_PTR(error) err = audit_check_room(&w->a, ROOM_FOR_NEW);
        assert_non_null(err);
        assert_null(strchr(err->what, '/'));
        assert_null(strchr(err->hint, '/'));
}

static void a_small_disk_keeps_a_share(void **state)
{
        struct world *w = *state;

        given_free_disk(w, 1 * LIMIT_EVENTS_FREE_PERCENT, 100);
        assert_done(audit_check_room(&w->a, ROOM_FOR_NEW));
        given_free_disk(w, 1 * LIMIT_EVENTS_FREE_PERCENT - 1, 100);
        assert_refused(audit_check_room(&w->a, ROOM_FOR_NEW), ERROR_RESOURCE_EXHAUSTED, "4096 KiB of it are free");
}

static void looks_at_the_disk_once_in_a_while(void **state)
{
        struct world *w = *state;

        given_free_disk(w, 100, 100);
        assert_done(audit_check_room(&w->a, ROOM_FOR_NEW));
        fake_disk.f_bavail = 0;
        assert_done(audit_check_room(&w->a, ROOM_FOR_NEW));
        fake_clock_advance(&w->clock, MILLISECONDS(PACE_DISK_LOOK));
        assert_refused(audit_check_room(&w->a, ROOM_FOR_NEW), ERROR_RESOURCE_EXHAUSTED, "");
}

static void a_user_ends_with_the_budget_of_recordings(void **state)
{
        struct world *w = *state;

        fake_disk = (struct statvfs){ 0 };
        w->a.accounts[ACCOUNT_RECORDINGS] = (struct event_budget){ .bytes_per_day = 1000, .what = "recordings" };
        audit_account_charge(&w->a, ACCOUNT_RECORDINGS, STR("alice"), 1000);
        assert_refused(session_check_budget(&w->a, STR("alice"), STR("")), ERROR_RESOURCE_EXHAUSTED, "user alice has caused");
        assert_done(session_check_budget(&w->a, STR("bob"), STR("")));
        audit_accounts_release(w->a.accounts);
        w->a.accounts[ACCOUNT_RECORDINGS] = (struct event_budget){ 0 };
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

/* By whoever: an administrator's loop, a user's logins, a fleet's joins. The transaction says so, and does nothing. */
static void what_is_done_ends_with_the_budget_of_its_account(void **state)
{
        struct world *w = *state;

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
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
        const struct CMUnitTest tests[] = {
                ROW(a_disk_that_is_nearly_full_takes_nobody_new),
                ROW(a_full_disk_is_told_without_a_path),
                ROW(a_small_disk_keeps_a_share),
                ROW(looks_at_the_disk_once_in_a_while),
                ROW(a_user_ends_with_the_budget_of_recordings),
                ROW(what_is_done_ends_with_the_budget_of_its_account),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
