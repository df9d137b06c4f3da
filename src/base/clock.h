/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: the types instant (monotonic, for deadlines), walltime (UTC, for certificates and audit) and duration, and a
 * clock that is passed in, so that tests can set it.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct instant {
        int64_t ns;
};
struct walltime {
        int64_t ns; /* since 1970-01-01T00:00:00Z */
};
struct duration {
        int64_t ns;
};

#define MILLISECONDS(n) ((struct duration){ (int64_t)(n) * 1000000 })
#define SECONDS(n) ((struct duration){ (int64_t)(n) * 1000000000 })
#define MINUTES(n) SECONDS((int64_t)(n) * 60)
#define HOURS(n) SECONDS((int64_t)(n) * 3600)

struct clock {
        struct instant (*now)(const struct clock *);
        struct walltime (*wall)(const struct clock *);
};

/* The machine's clock. */
const struct clock *clock_system(void);

static inline struct instant clock_now(const struct clock *c)
{
        return c->now(c);
}

static inline struct walltime clock_wall(const struct clock *c)
{
        return c->wall(c);
}

/* A clock that moves only when it is set. */
struct fake_clock {
        struct clock clock; /* pass &fake.clock */
        struct instant instant;
        struct walltime walltime;
};
void fake_clock_init(struct fake_clock *f, int64_t unix_seconds);
void fake_clock_advance(struct fake_clock *f, struct duration by);

static inline struct instant instant_add(struct instant t, struct duration d)
{
        return (struct instant){ t.ns + d.ns };
}
static inline struct duration instant_since(struct instant later, struct instant earlier)
{
        return (struct duration){ later.ns - earlier.ns };
}
static inline struct walltime walltime_add(struct walltime t, struct duration d)
{
        return (struct walltime){ t.ns + d.ns };
}
static inline struct walltime walltime_sub(struct walltime t, struct duration d)
{
        return (struct walltime){ t.ns - d.ns };
}
static inline struct duration walltime_since(struct walltime later, struct walltime earlier)
{
        return (struct duration){ later.ns - earlier.ns };
}
static inline struct walltime walltime_of_unix(int64_t seconds)
{
        return (struct walltime){ seconds * 1000000000 };
}
/* Whole seconds since 1970, rounded down. */
int64_t walltime_unix(struct walltime t);
static inline int64_t duration_ms(struct duration d)
{
        return d.ns / 1000000;
}

/* "2026-01-31T23:59:59Z"; with milliseconds "…59.123Z". */
void walltime_put_rfc3339(struct buf *out, struct walltime t);
void walltime_put_rfc3339_ms(struct buf *out, struct walltime t);

/* Date and time with 'Z' or an offset, optional fraction (RFC 3339). INVALID_ARGUMENT otherwise. */
struct error *walltime_parse_rfc3339(struct str text, struct walltime *ret) MUST_USE;

/* The IMF-fixdate of an HTTP Date header: "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7). */
struct error *walltime_parse_http(struct str text, struct walltime *ret) MUST_USE;

/* Calendar fields in UTC. */
struct civil {
        int64_t year;
        int month, day, hour, minute, second; /* month 1..12 */
        int weekday;                          /* 0 is Sunday */
};
struct civil walltime_civil(struct walltime t);

/* The walltime of a valid calendar date; fields out of range give INVALID_ARGUMENT. */
struct error *walltime_of_civil(struct civil c, struct walltime *ret) MUST_USE;

/* "1h30m", "10s", "500ms" as Go writes durations; duration_put() writes "1h0m0s". */
struct error *duration_parse(struct str text, struct duration *ret) MUST_USE;
void duration_put(struct buf *out, struct duration d);

#endif
