/* SPDX-License-Identifier: Apache-2.0 */
#include "login/guard.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

/* The kinds of counters; each attempt is counted in one counter of each kind. */
enum counter_kind { COUNTER_PAIR, COUNTER_USER, COUNTER_SOURCE, COUNTER_KINDS };

static const struct counter_row {
        char tag;                /* first byte of the key */
        unsigned limit;          /* failures after which attempts are refused unchecked */
        int seconds;             /* time until the failures are forgotten */
        bool counts_from_last;   /* each failure restarts that time; otherwise the first one starts it */
        bool spares_known;       /* sources known for the user are not counted */
        bool has_user, has_source;
} rows[COUNTER_KINDS] = {
        [COUNTER_PAIR] = { 'p', LIMIT_LOGIN_FAILURES, TIMEOUT_LOGIN_WAIT / 1000, .counts_from_last = true, .has_user = true,
                         .has_source = true },
        [COUNTER_USER] = { 'u', LIMIT_LOGIN_FAILURES_USER, TIMEOUT_LOGIN_USER_WAIT / 1000, .spares_known = true, .has_user = true },
        [COUNTER_SOURCE] = { 's', LIMIT_LOGIN_FAILURES_SOURCE, TIMEOUT_LOGIN_WAIT / 1000, .spares_known = true, .has_source = true },
};

struct counter {
        unsigned count;
        struct instant until; /* time at which the failures are forgotten */
};

/* "u", "alice" or "p", "alice", "203.0.113.7", separated by NULs, which no name contains. */
static void put_key(struct buf *out, const struct counter_row *row, struct str user, struct str source)
{
        buf_put_char(out, row->tag);
        if (row->has_user) {
                buf_put_char(out, '\0');
                buf_put(out, user);
        }
        if (row->has_source) {
                buf_put_char(out, '\0');
                buf_put(out, source);
        }
}

static struct counter *find(const struct guard *g, enum counter_kind kind, struct str user, struct str source)
{
        AUTO(buf) key = BUF_MAX(1 * KiB);

        put_key(&key, &rows[kind], user, source);
        return map_get(&g->counters, buf_str(&key));
}

static unsigned count_now(const struct counter *t, struct instant now)
{
        return t == NULL || now.ns >= t->until.ns ? 0 : t->count;
}

/* ---- limit of counters -------------------------------------------------------------------------------------- */

struct sweep {
        struct guard *guard;
        struct instant now;
        bool is_hard; /* also removes counters up to half of their limit */
};

static const struct counter_row *row_of_key(struct str key)
{
        for (size_t i = 0; i < COUNTER_KINDS; i++)
                if (key.len > 0 && key.ptr[0] == rows[i].tag)
                        return &rows[i];
        return NULL;
}

static void sweep_one(void *ctx, struct str key, void *value)
{
        const struct sweep *s = ctx;
        const struct counter_row *row = row_of_key(key);
        unsigned count = count_now(value, s->now);

        if (count == 0 || row == NULL || (s->is_hard && count <= row->limit / 2))
                free(map_remove(&s->guard->counters, key));
}

/* Makes room for the counters of one attempt: removes expired counters, then those with few failures. */
static bool has_room(struct guard *g, struct instant now)
{
        struct sweep s = { .guard = g, .now = now };

        if (g->counters.count + COUNTER_KINDS <= LIMIT_LOGIN_COUNTERS)
                return true;
        map_each(&g->counters, sweep_one, &s);
        if (g->counters.count + COUNTER_KINDS <= LIMIT_LOGIN_COUNTERS / 2)
                return true;
        s.is_hard = true;
        map_each(&g->counters, sweep_one, &s);
        return g->counters.count + COUNTER_KINDS <= LIMIT_LOGIN_COUNTERS;
}

/* ---- attempts ----------------------------------------------------------------------------------------------- */

static bool counts(const struct guard_attempt *a, const struct counter_row *row)
{
        return !(a->is_known && row->spares_known);
}

static void charge(struct guard *g, enum counter_kind kind, const struct guard_attempt *a, struct instant now)
{
        AUTO(buf) key = BUF_MAX(1 * KiB);

        put_key(&key, &rows[kind], a->user, a->source);
        struct counter *t = map_get(&g->counters, buf_str(&key));
        if (t == NULL) {
                t = NEW(struct counter);
                map_put(&g->counters, buf_str(&key), t);
        }
        t->count = count_now(t, now) + 1;
        if (t->count == 1 || rows[kind].counts_from_last)
                t->until = instant_add(now, SECONDS(rows[kind].seconds));
}

struct error *guard_enter(struct guard *g, const struct guard_attempt *a, struct instant now)
{
        bool is_received = true;

        for (size_t i = 0; i < COUNTER_KINDS; i++)
                if (counts(a, &rows[i]))
                        is_received &= count_now(find(g, (enum counter_kind)i, a->user, a->source), now) < rows[i].limit;
        /* Without room, an attempt from a known source is still checked: they are few, and only this failure is not counted. */
        if (is_received && !has_room(g, now) && !a->is_known)
                is_received = false;
        if (!is_received)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "there were too many failed logins"),
                                  "wait %d minutes, or log in from an address from which you have logged in before",
                                  TIMEOUT_LOGIN_WAIT / 60000);
        for (size_t i = 0; i < COUNTER_KINDS; i++)
                if (counts(a, &rows[i]))
                        charge(g, (enum counter_kind)i, a, now);
        return NULL;
}

static void give_back(struct guard *g, enum counter_kind kind, const struct guard_attempt *a, struct instant now)
{
        struct counter *t = find(g, kind, a->user, a->source);

        if (counts(a, &rows[kind]) && count_now(t, now) > 0)
                t->count--;
}

void guard_undecided(struct guard *g, const struct guard_attempt *a, struct instant now)
{
        for (size_t i = 0; i < COUNTER_KINDS; i++)
                give_back(g, (enum counter_kind)i, a, now);
}

void guard_passed(struct guard *g, const struct guard_attempt *a, struct instant now)
{
        AUTO(buf) key = BUF_MAX(1 * KiB);

        guard_undecided(g, a, now);
        put_key(&key, &rows[COUNTER_PAIR], a->user, a->source);
        free(map_remove(&g->counters, buf_str(&key)));
}

struct user_reset {
        struct guard *guard;
        struct str user;
};

static void remove_counter(void *ctx, struct str key, void *value)
{
        const struct user_reset *f = ctx;
        const struct counter_row *row = row_of_key(key);
        struct str rest = str_slice(key, 2, key.len);

        (void)value;
        if (row != NULL && row->has_user && str_equal(str_split(&rest, '\0'), f->user))
                free(map_remove(&f->guard->counters, key));
}

void guard_reset_user(struct guard *g, struct str user)
{
        struct user_reset f = { g, user };

        map_each(&g->counters, remove_counter, &f);
}

bool guard_is_closed(const struct guard *g, struct str user, struct instant now)
{
        return count_now(find(g, COUNTER_USER, user, STR("")), now) >= rows[COUNTER_USER].limit;
}

static void release_one(void *ctx, struct str key, void *value)
{
        (void)ctx, (void)key;
        free(value);
}

void guard_release(struct guard *g)
{
        map_each(&g->counters, release_one, NULL);
        map_release(&g->counters);
}
