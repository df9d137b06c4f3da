/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sources.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

struct source {
        size_t counts[SOURCE_COUNTERS];
        size_t failures;
        struct instant minute;  /* start of the minute in which failures are counted */
        uint64_t authenticated; /* number of the latest authenticated peer from this source; 0: none */
};

struct str address_ip(const char *peer)
{
        struct str text = str_of(peer);
        size_t end = text.len;

        if (str_starts_with(text, STR("[")))
                return str_slice(text, 1, str_find_char(text, ']') - 1);
        while (end > 0 && text.ptr[end - 1] != ':')
                end--;
        return end == 0 ? text : str_slice(text, 0, end - 1);
}

static struct source *find(const struct sources *s, struct str address)
{
        char key[SOURCE_TEXT_MAX];

        source_of(address, key);
        return map_get(&s->table, str_of(key));
}

static struct source *find_or_add(struct sources *s, const char *key)
{
        struct source *source = map_get(&s->table, str_of(key));

        if (source == NULL) {
                source = NEW(struct source);
                map_put(&s->table, str_of(key), source);
        }
        return source;
}

static bool is_idle(const struct source *source)
{
        for (size_t i = 0; i < SOURCE_COUNTERS; i++)
                if (source->counts[i] > 0)
                        return false;
        return source->failures == 0 && source->authenticated == 0;
}

static void forget_if_idle(struct sources *s, struct str key, struct source *source)
{
        if (is_idle(source))
                free(map_remove(&s->table, key));
}

/* Whether the source has reached its limit. The is_known callback is called only at that limit. */
static bool has_all_it_may(const struct sources *s, enum source_counter which, const char *key, size_t count)
{
        const struct source_limit *limit = &s->limits[which];

        if (count < limit->per_source)
                return false;
        if (s->is_known == NULL || !s->is_known(s->ctx, which, str_of(key)))
                return true;
        return limit->per_known != 0 && count >= limit->per_known;
}

static bool is_taken(const struct sources *s, enum source_counter which, const struct source *source)
{
        const struct source_limit *limit = &s->limits[which];
        bool has_reserve = source != NULL && source->authenticated != 0 && source->counts[which] < limit->per_source;

        return s->totals[which] + (has_reserve ? 0 : limit->reserve) >= limit->total;
}

static bool enter(struct sources *s, enum source_counter which, const char *peer, bool is_exempt)
{
        char key[SOURCE_TEXT_MAX];

        source_of(str_of(peer), key);
        struct source *source = find_or_add(s, key);
        if (is_taken(s, which, source) || (!is_exempt && has_all_it_may(s, which, key, source->counts[which]))) {
                forget_if_idle(s, str_of(key), source);
                return false;
        }
        s->totals[which]++;
        source->counts[which]++;
        return true;
}

bool sources_enter(struct sources *s, enum source_counter which, const char *peer)
{
        return enter(s, which, peer, false);
}

bool sources_enter_exempt(struct sources *s, enum source_counter which, const char *peer)
{
        return enter(s, which, peer, true);
}

void sources_leave(struct sources *s, enum source_counter which, const char *peer)
{
        char key[SOURCE_TEXT_MAX];

        source_of(str_of(peer), key);
        struct source *source = map_get(&s->table, str_of(key));
        if (source == NULL || source->counts[which] == 0)
                return;
        s->totals[which]--;
        source->counts[which]--;
        forget_if_idle(s, str_of(key), source);
}

size_t sources_count(const struct sources *s, enum source_counter which, struct str address)
{
        const struct source *source = find(s, address);

        return source == NULL ? 0 : source->counts[which];
}

const struct source *sources_find(const struct sources *s, const char *peer)
{
        return find(s, str_of(peer));
}

/* ---- sources of authenticated peers ------------------------------------------------------------------------- */

static void forget_long_ago(void *ctx, struct str key, void *value)
{
        struct sources *s = ctx;
        struct source *source = value;

        if (source->authenticated == 0 || source->authenticated + LIMIT_SOURCES_AUTHENTICATED / 2 > s->authenticated_last)
                return;
        source->authenticated = 0;
        s->authenticated--;
        forget_if_idle(s, key, source);
}

void sources_note_authenticated(struct sources *s, const char *peer)
{
        char key[SOURCE_TEXT_MAX];

        source_of(str_of(peer), key);
        struct source *source = map_get(&s->table, str_of(key));
        if (source != NULL && source->authenticated != 0 && source->authenticated == s->authenticated_last)
                return;
        if (s->authenticated >= LIMIT_SOURCES_AUTHENTICATED)
                map_each(&s->table, forget_long_ago, s);
        source = find_or_add(s, key);
        if (source->authenticated == 0)
                s->authenticated++;
        source->authenticated = ++s->authenticated_last;
}

/* ---- making room -------------------------------------------------------------------------------------------- */

bool sources_is_full(const struct sources *s, enum source_counter which, const char *peer)
{
        char key[SOURCE_TEXT_MAX];

        source_of(str_of(peer), key);
        const struct source *source = map_get(&s->table, str_of(key));
        return is_taken(s, which, source) && !has_all_it_may(s, which, key, source == NULL ? 0 : source->counts[which]);
}

static size_t weight_of(const struct source *source, enum source_counter which, size_t per_source)
{
        if (source == NULL || (source->authenticated != 0 && source->counts[which] <= per_source))
                return 0;
        return source->counts[which];
}

struct source_pick source_pick_begin(const struct sources *s, enum source_counter which, const char *peer, struct instant now)
{
        struct source_pick p = { .which = which, .now = now, .per_source = s->limits[which].per_source };

        p.weight = weight_of(sources_find(s, peer), which, p.per_source);
        return p;
}

void source_pick_consider(struct source_pick *p, const struct source *source, struct instant since, void *who)
{
        size_t weight = weight_of(source, p->which, p->per_source);

        if (weight == 1 && instant_since(p->now, since).ns < MILLISECONDS(TIMEOUT_UNAUTHENTICATED_EXEMPT).ns)
                return;
        if (weight > p->weight || (p->who != NULL && weight == p->weight && since.ns < p->since.ns)) {
                p->weight = weight;
                p->since = since;
                p->who = who;
        }
}

/* ---- failures ----------------------------------------------------------------------------------------------- */

bool sources_is_refusal(const struct error *err)
{
        switch (err->code) {
        case ERROR_INVALID_ARGUMENT:
        case ERROR_NOT_FOUND:
        case ERROR_PERMISSION_DENIED:
        case ERROR_UNAUTHENTICATED:
                return true;
        default:
                return false;
        }
}

struct sweep {
        struct sources *sources;
        struct instant now;
};

static void drop_old_failures(void *ctx, struct str key, void *value)
{
        const struct sweep *sweep = ctx;
        struct source *source = value;

        if (source->failures == 0 || instant_since(sweep->now, source->minute).ns < MINUTES(1).ns)
                return;
        source->failures = 0;
        sweep->sources->failing--;
        forget_if_idle(sweep->sources, key, source);
}

struct duration sources_failed(struct sources *s, const char *peer, struct instant now)
{
        struct sweep sweep = { s, now };
        char key[SOURCE_TEXT_MAX];

        source_of(str_of(peer), key);
        /* The table must not grow with the number of failing addresses. */
        if (s->failing >= LIMIT_FAILURE_SOURCES)
                map_each(&s->table, drop_old_failures, &sweep);
        if (s->failing >= LIMIT_FAILURE_SOURCES && map_get(&s->table, str_of(key)) == NULL)
                return SECONDS(1);
        struct source *source = find_or_add(s, key);
        if (source->failures == 0)
                s->failing++;
        if (source->failures == 0 || instant_since(now, source->minute).ns >= MINUTES(1).ns) {
                source->failures = 0;
                source->minute = now;
        }
        source->failures++;
        if (source->failures <= LIMIT_FAILURES_PER_MINUTE)
                return (struct duration){ 0 };
        size_t over = source->failures - LIMIT_FAILURES_PER_MINUTE;
        return over >= 100 ? SECONDS(10) : MILLISECONDS(100 * (int64_t)over);
}

static void free_source(void *ctx, struct str address, void *value)
{
        (void)ctx;
        (void)address;
        free(value);
}

void sources_release(struct sources *s)
{
        map_each(&s->table, free_source, NULL);
        map_release(&s->table);
}
