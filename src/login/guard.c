/* SPDX-License-Identifier: Apache-2.0 */
#include "login/guard.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

/* The kinds of counters; each attempt is counted in one tally of each kind. */
enum tally_kind { TALLY_PAIR, TALLY_USER, TALLY_SOURCE, TALLY_KINDS };

static const struct tally_row {
        char tag;                /* first byte of the key */
        unsigned limit;          /* failures after which attempts are refused unchecked */
        int seconds;             /* time until the failures are forgotten */
        bool counts_from_last;   /* each failure restarts that time; otherwise the first one starts it */
        bool spares_known;       /* sources known for the user are not counted */
        bool has_user, has_source;
} rows[TALLY_KINDS] = {
        [TALLY_PAIR] = { 'p', LIMIT_LOGIN_FAILURES, TIMEOUT_LOGIN_WAIT / 1000, .counts_from_last = true, .has_user = true,
                         .has_source = true },
        [TALLY_USER] = { 'u', LIMIT_LOGIN_FAILURES_USER, TIMEOUT_LOGIN_USER_WAIT / 1000, .spares_known = true, .has_user = true },
        [TALLY_SOURCE] = { 's', LIMIT_LOGIN_FAILURES_SOURCE, TIMEOUT_LOGIN_WAIT / 1000, .spares_known = true, .has_source = true },
};

struct tally {
        unsigned count;
        struct instant until; /* time at which the failures are forgotten */
};

/* "u", "alice" or "p", "alice", "203.0.113.7", separated by NULs, which no name contains. */
static void put_key(struct buf *out, const struct tally_row *row, struct str user, struct str source)
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

static struct tally *find(const struct guard *g, enum tally_kind kind, struct str user, struct str source)
{
        AUTO(buf) key = BUF_MAX(1 * KiB);

        put_key(&key, &rows[kind], user, source);
        return map_get(&g->tallies, buf_str(&key));
}

static unsigned count_now(const struct tally *t, struct instant now)
{
        return t == NULL || now.ns >= t->until.ns ? 0 : t->count;
}

/* ---- limit of tallies --------------------------------------------------------------------------------------- */

struct sweep {
        struct guard *guard;
        struct instant now;
        bool is_hard; /* also removes tallies up to half of their limit */
};

static const struct tally_row *row_of_key(struct str key)
{
        for (size_t i = 0; i < TALLY_KINDS; i++)
                if (key.len > 0 && key.ptr[0] == rows[i].tag)
                        return &rows[i];
        return NULL;
}

static void sweep_one(void *ctx, struct str key, void *value)
{
        const struct sweep *s = ctx;
        const struct tally_row *row = row_of_key(key);
        unsigned count = count_now(value, s->now);

        if (count == 0 || row == NULL || (s->is_hard && count <= row->limit / 2))
                free(map_remove(&s->guard->tallies, key));
}

/* Makes room for the tallies of one attempt: removes expired tallies, then those with few failures. */
static bool has_room(struct guard *g, struct instant now)
{
        struct sweep s = { .guard = g, .now = now };

        if (g->tallies.count + TALLY_KINDS <= LIMIT_LOGIN_TALLIES)
                return true;
        map_each(&g->tallies, sweep_one, &s);
        if (g->tallies.count + TALLY_KINDS <= LIMIT_LOGIN_TALLIES / 2)
                return true;
        s.is_hard = true;
        map_each(&g->tallies, sweep_one, &s);
        return g->tallies.count + TALLY_KINDS <= LIMIT_LOGIN_TALLIES;
}

/* ---- attempts ----------------------------------------------------------------------------------------------- */

static bool counts(const struct guard_attempt *a, const struct tally_row *row)
{
        return !(a->is_known && row->spares_known);
}

static void charge(struct guard *g, enum tally_kind kind, const struct guard_attempt *a, struct instant now)
{
        AUTO(buf) key = BUF_MAX(1 * KiB);

        put_key(&key, &rows[kind], a->user, a->source);
        struct tally *t = map_get(&g->tallies, buf_str(&key));
        if (t == NULL) {
                t = NEW(struct tally);
                map_put(&g->tallies, buf_str(&key), t);
        }
        t->count = count_now(t, now) + 1;
        if (t->count == 1 || rows[kind].counts_from_last)
                t->until = instant_add(now, SECONDS(rows[kind].seconds));
}

struct error *guard_enter(struct guard *g, const struct guard_attempt *a, struct instant now)
{
        bool is_received = true;

        for (size_t i = 0; i < TALLY_KINDS; i++)
                if (counts(a, &rows[i]))
                        is_received &= count_now(find(g, (enum tally_kind)i, a->user, a->source), now) < rows[i].limit;
        /* Without room, an attempt from a known source is still checked: they are few, and only this failure is not counted. */
        if (is_received && !has_room(g, now) && !a->is_known)
                is_received = false;
        if (!is_received)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "there were too many failed logins"),
                                  "wait %d minutes, or log in from an address from which you have logged in before",
                                  TIMEOUT_LOGIN_WAIT / 60000);
        for (size_t i = 0; i < TALLY_KINDS; i++)
                if (counts(a, &rows[i]))
                        charge(g, (enum tally_kind)i, a, now);
        return NULL;
}

static void give_back(struct guard *g, enum tally_kind kind, const struct guard_attempt *a, struct instant now)
{
        struct tally *t = find(g, kind, a->user, a->source);

        if (counts(a, &rows[kind]) && count_now(t, now) > 0)
                t->count--;
}

void guard_undecided(struct guard *g, const struct guard_attempt *a, struct instant now)
{
        for (size_t i = 0; i < TALLY_KINDS; i++)
                give_back(g, (enum tally_kind)i, a, now);
}

void guard_passed(struct guard *g, const struct guard_attempt *a, struct instant now)
{
        AUTO(buf) key = BUF_MAX(1 * KiB);

        guard_undecided(g, a, now);
        put_key(&key, &rows[TALLY_PAIR], a->user, a->source);
        free(map_remove(&g->tallies, buf_str(&key)));
}

struct forgiving {
        struct guard *guard;
        struct str user;
};

static void forgive_one(void *ctx, struct str key, void *value)
{
        const struct forgiving *f = ctx;
        const struct tally_row *row = row_of_key(key);
        struct str rest = str_slice(key, 2, key.len);

        (void)value;
        if (row != NULL && row->has_user && str_equal(str_split(&rest, '\0'), f->user))
                free(map_remove(&f->guard->tallies, key));
}

void guard_forgive(struct guard *g, struct str user)
{
        struct forgiving f = { g, user };

        map_each(&g->tallies, forgive_one, &f);
}

bool guard_is_closed(const struct guard *g, struct str user, struct instant now)
{
        return count_now(find(g, TALLY_USER, user, STR("")), now) >= rows[TALLY_USER].limit;
}

static void release_one(void *ctx, struct str key, void *value)
{
        (void)ctx, (void)key;
        free(value);
}

void guard_release(struct guard *g)
{
        map_each(&g->tallies, release_one, NULL);
        map_release(&g->tallies);
}
