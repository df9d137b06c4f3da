/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/audit_account.h"

#include "auth/core/auth.h"
#include "auth/core/disk_watch.h"
#include "auth/core/refusal_log.h"
#include "base/limits.h"
#include "base/mem.h"

/* ---- budgets --------------------------------------------------------------------------------------------------- */

static const struct account_row {
        int64_t mib_per_day;
        const char *what;
        const char *before, *behind; /* the text around the name in the error message */
} rows[ACCOUNT_COUNT] = {
        [ACCOUNT_LOGIN] = { LIMIT_EVENTS_USER_DAY_MIB, "audit events", "user ", ", by logging in," },
        [ACCOUNT_ADMIN] = { LIMIT_EVENTS_USER_DAY_MIB, "audit events", "", ", by changes to the cluster," },
        [ACCOUNT_LOCK] = { LIMIT_EVENTS_USER_DAY_MIB, "audit events", "", ", by locks," },
        [ACCOUNT_JOIN] = { LIMIT_EVENTS_JOINS_DAY_MIB, "audit events", "", ", by joining hosts," },
        [ACCOUNT_RENEWAL] = { LIMIT_EVENTS_RENEWALS_DAY_MIB, "audit events", "host ", ", by asking for certificates," },
};

static struct event_budget budget_of(int64_t mib_per_day, const char *what)
{
        return (struct event_budget){ .bytes_per_day = mib_per_day * MiB, .what = what };
}

static struct host_pace pace_of(int per_minute, int burst, const char *what)
{
        return (struct host_pace){ .per_minute = per_minute, .burst = burst, .what = what };
}

void audit_budgets_init(struct auth *a)
{
        a->renewals = pace_of(LIMIT_RENEWALS_PER_MINUTE, LIMIT_RENEWALS_BURST, "requests for certificates");
        a->hellos = pace_of(LIMIT_HELLOS_PER_MINUTE, LIMIT_HELLOS_BURST, "presence streams");
        a->presence_messages = pace_of(LIMIT_PRESENCE_PER_MINUTE, LIMIT_PRESENCE_BURST, "heartbeats and labels");
        a->app_tokens = pace_of(LIMIT_APP_SIGN_PER_MINUTE, LIMIT_APP_SIGN_BURST, "requests for tokens of applications");
        a->app_tokens_connection = pace_of(LIMIT_APP_SIGN_CONNECTION_PER_MINUTE, LIMIT_APP_SIGN_CONNECTION_BURST, "requests for tokens of one connection");
        a->app_session_begins = pace_of(LIMIT_APP_SESSIONS_PER_MINUTE, LIMIT_APP_SESSIONS_BURST, "requests for sessions of applications");
        a->app_session_begins.is_of_users = true;
        for (size_t i = 0; i < ACCOUNT_COUNT; i++)
                a->accounts[i] = budget_of(rows[i].mib_per_day, rows[i].what);
        a->connection_events = budget_of(LIMIT_EVENTS_CONNECTION_MIB, "audit events");
        a->host_events = budget_of(LIMIT_EVENTS_HOST_DAY_MIB, "audit events");
        a->host_recordings = budget_of(LIMIT_RECORDINGS_HOST_DAY_MIB, "recordings");
        a->user_events = (struct user_budget){ budget_of(LIMIT_EVENTS_USER_ALL_DAY_MIB, "audit events"), budget_of(LIMIT_EVENTS_USER_DAY_MIB, "audit events"),
                                               (int64_t)LIMIT_EVENTS_USER_RESERVE_MIB * MiB };
        a->user_recordings = (struct user_budget){ budget_of(LIMIT_RECORDINGS_USER_ALL_DAY_MIB, "recordings"),
                                                   budget_of(LIMIT_RECORDINGS_USER_DAY_MIB, "recordings"), (int64_t)LIMIT_RECORDINGS_USER_RESERVE_MIB * MiB };
}

void audit_budgets_release(struct auth *a)
{
        host_pace_release(&a->renewals);
        host_pace_release(&a->hellos);
        host_pace_release(&a->presence_messages);
        host_pace_release(&a->app_tokens);
        host_pace_release(&a->app_tokens_connection);
        host_pace_release(&a->app_session_begins);
        for (size_t i = 0; i < ACCOUNT_COUNT; i++)
                event_budget_release(&a->accounts[i]);
        event_budget_release(&a->connection_events);
        event_budget_release(&a->host_events);
        event_budget_release(&a->host_recordings);
        user_budget_release(&a->user_events);
        user_budget_release(&a->user_recordings);
}

static char *subject_of(enum audit_account account, struct str name)
{
        return mem_printf("%s%.*s%s", rows[account].before, STR_ARG(name), rows[account].behind);
}

struct error *audit_account_check(struct auth *a, enum audit_account account, struct str name)
{
        AUTO_MEM char *subject = subject_of(account, name);

        if (a->accounts[account].bytes_per_day == 0)
                return NULL;
        return event_budget_check(&a->accounts[account], str_of(subject), loop_now(&a->loop));
}

void audit_account_charge(struct auth *a, enum audit_account account, struct str name, size_t bytes)
{
        AUTO_MEM char *subject = subject_of(account, name);

        if (a->accounts[account].bytes_per_day != 0)
                event_budget_charge(&a->accounts[account], str_of(subject), bytes, loop_now(&a->loop));
}

void audit_account_add(struct auth *a, enum audit_account account, struct str name, struct store_txn *t, struct audit_record *r)
{
        struct error *spent = audit_account_check(a, account, name);

        if (spent != NULL) {
                store_txn_fail(t, spent);
                audit_record_release(r);
                return;
        }
        audit_account_charge(a, account, name, audit_record_text(r).len);
        outbox_add(a->outbox, t, r);
}

/* ---- the disk -------------------------------------------------------------------------------------------------- */

struct error *audit_check_room(struct auth *a, enum audit_room what)
{
        const struct disk_room room = disk_watch_room(a->disk);

        if (room.free >= (what == ROOM_FOR_NEW ? room.least : room.least / 2))
                return NULL;
        /* The text is for hosts and users. It omits log_dir, which is a path inside the sandbox. */
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the disk of the audit log has only the space reserved for administrators left: %llu KiB are free",
                                    (unsigned long long)(room.free / KiB)),
                          "an administrator frees some space on the disk of the Auth Service's data directory");
}

bool audit_may_report(struct auth *a, struct refusal_log *log, struct str source)
{
        const struct disk_room room = disk_watch_room(a->disk);

        if (log == NULL)
                return false;
        if (room.free >= room.least)
                return refusal_log_may_report(log, source);
        refusal_log_count(log);
        return false;
}
