/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sources.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

struct source {
        size_t counts[SOURCE_COUNTERS];
        size_t failures;
        struct instant minute; /* when the counted minute of failures began */
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

static struct source *find_or_add(struct sources *s, struct str address)
{
        struct source *source = map_get(&s->table, address);

        if (source == NULL) {
                source = NEW(struct source);
                map_put(&s->table, address, source);
        }
        return source;
}

static bool is_idle(const struct source *source)
{
        for (size_t i = 0; i < SOURCE_COUNTERS; i++)
                if (source->counts[i] > 0)
                        return false;
        return source->failures == 0;
}

static void forget_if_idle(struct sources *s, struct str address, struct source *source)
{
        if (is_idle(source))
                free(map_remove(&s->table, address));
}

/* Who is known is asked only at the limit of a source. */
static bool is_full(const struct sources *s, enum source_counter which, struct str address, size_t count)
{
        const struct source_limit *limit = &s->limits[which];

        if (count < limit->per_source)
                return false;
        if (s->is_known == NULL || !s->is_known(s->ctx, address))
                return true;
        return limit->per_known != 0 && count >= limit->per_known;
}

bool sources_enter(struct sources *s, enum source_counter which, const char *peer)
{
        struct str address = address_ip(peer);
        struct source *source = find_or_add(s, address);

        if (s->totals[which] >= s->limits[which].total || is_full(s, which, address, source->counts[which])) {
                forget_if_idle(s, address, source);
                return false;
        }
        s->totals[which]++;
        source->counts[which]++;
        return true;
}

void sources_leave(struct sources *s, enum source_counter which, const char *peer)
{
        struct str address = address_ip(peer);
        struct source *source = map_get(&s->table, address);

        if (source == NULL || source->counts[which] == 0)
                return;
        s->totals[which]--;
        source->counts[which]--;
        forget_if_idle(s, address, source);
}

size_t sources_count(const struct sources *s, enum source_counter which, struct str address)
{
        const struct source *source = map_get(&s->table, address);

        return source == NULL ? 0 : source->counts[which];
}

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

static void drop_old_failures(void *ctx, struct str address, void *value)
{
        const struct sweep *sweep = ctx;
        struct source *source = value;

        if (instant_since(sweep->now, source->minute).ns >= MINUTES(1).ns)
                source->failures = 0;
        forget_if_idle(sweep->sources, address, source);
}

struct duration sources_failed(struct sources *s, const char *peer, struct instant now)
{
        struct sweep sweep = { s, now };

        /* The table itself must not grow with the number of addresses that try. */
        if (s->table.count >= LIMIT_FAILURE_SOURCES)
                map_each(&s->table, drop_old_failures, &sweep);
        if (s->table.count >= LIMIT_FAILURE_SOURCES && map_get(&s->table, address_ip(peer)) == NULL)
                return SECONDS(1);
        struct source *source = find_or_add(s, address_ip(peer));
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
