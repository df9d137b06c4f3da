/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

#include "base/text.h"

enum { NS_PER_SECOND = 1000000000, SECONDS_PER_DAY = 86400 };

static int64_t read_clock(clockid_t which)
{
        struct timespec t;

        clock_gettime(which, &t);
        return (int64_t)t.tv_sec * NS_PER_SECOND + t.tv_nsec;
}

static struct instant system_now(const struct clock *c)
{
        (void)c;
        return (struct instant){ read_clock(CLOCK_BOOTTIME) }; /* includes the time that the machine was suspended */
}

static struct walltime system_wall(const struct clock *c)
{
        (void)c;
        return (struct walltime){ read_clock(CLOCK_REALTIME) };
}

const struct clock *clock_system(void)
{
        static const struct clock system = { system_now, system_wall };

        return &system;
}

static struct instant fake_now(const struct clock *c)
{
        return ((const struct fake_clock *)(const void *)c)->instant;
}

static struct walltime fake_wall(const struct clock *c)
{
        return ((const struct fake_clock *)(const void *)c)->walltime;
}

void fake_clock_init(struct fake_clock *f, int64_t unix_seconds)
{
        f->clock = (struct clock){ fake_now, fake_wall };
        f->instant = (struct instant){ NS_PER_SECOND };
        f->walltime = walltime_of_unix(unix_seconds);
}

void fake_clock_advance(struct fake_clock *f, struct duration by)
{
        f->instant = instant_add(f->instant, by);
        f->walltime = walltime_add(f->walltime, by);
}

static int64_t floor_div(int64_t a, int64_t b)
{
        return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

int64_t walltime_unix(struct walltime t)
{
        return floor_div(t.ns, NS_PER_SECOND);
}

/* Days since 1970 of a Gregorian date: years are counted from March, so that leap days come last. */
static int64_t days_of_date(int64_t year, int month, int day)
{
        int64_t y = month <= 2 ? year - 1 : year;
        int64_t era = floor_div(y, 400);
        int64_t year_of_era = y - era * 400;
        int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

        return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

struct civil walltime_civil(struct walltime t)
{
        int64_t seconds = walltime_unix(t);
        int64_t days = floor_div(seconds, SECONDS_PER_DAY);
        int64_t left = seconds - days * SECONDS_PER_DAY;
        int64_t z = days + 719468;
        int64_t era = floor_div(z, 146097);
        int64_t day_of_era = z - era * 146097;
        int64_t year_of_era =
                (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
        int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        int64_t month = (5 * day_of_year + 2) / 153;
        struct civil c = {
                .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
                .month = (int)(month < 10 ? month + 3 : month - 9),
                .hour = (int)(left / 3600),
                .minute = (int)(left / 60 % 60),
                .second = (int)(left % 60),
                .weekday = (int)((days % 7 + 11) % 7), /* 1970-01-01 was a Thursday */
        };

        c.year = year_of_era + era * 400 + (c.month <= 2);
        return c;
}

static int days_in_month(int64_t year, int month)
{
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return month == 2 && leap ? 29 : days[month - 1];
}

struct error *walltime_of_civil(struct civil c, struct walltime *ret)
{
        bool valid = c.year >= 1678 && c.year <= 2261 && c.month >= 1 && c.month <= 12 && c.day >= 1 &&
                     c.day <= days_in_month(c.year, c.month) && c.hour >= 0 && c.hour <= 23 &&
                     c.minute >= 0 && c.minute <= 59 && c.second >= 0 && c.second <= 60;

        if (!valid)
                return error_new(ERROR_INVALID_ARGUMENT, "no such date, or a year outside 1678 to 2261");
        *ret = walltime_of_unix(days_of_date(c.year, c.month, c.day) * SECONDS_PER_DAY + c.hour * 3600 +
                                c.minute * 60 + c.second);
        return NULL;
}

/* The last `width` decimal digits of a number that is not negative; returns what follows them. */
static char *put_digits(char *at, int64_t number, size_t width)
{
        for (size_t i = width; i-- > 0; number /= 10)
                at[i] = (char)('0' + number % 10);
        return at + width;
}

/* Written without printf(), since every line of a log has a time. */
static void put_date_and_time(struct buf *out, struct walltime t)
{
        static const char form[] = "YYYY-MM-DDThh:mm:ss";
        struct civil c = walltime_civil(t);
        char *at = buf_extend(out, sizeof form - 1);

        if (at == NULL)
                return;
        memcpy(at, form, sizeof form - 1);
        at = put_digits(at, c.year, 4) + 1; /* int64 nanoseconds cover the years 1677 to 2262 */
        at = put_digits(at, c.month, 2) + 1;
        at = put_digits(at, c.day, 2) + 1;
        at = put_digits(at, c.hour, 2) + 1;
        at = put_digits(at, c.minute, 2) + 1;
        put_digits(at, c.second, 2);
}

void walltime_put_rfc3339(struct buf *out, struct walltime t)
{
        put_date_and_time(out, t);
        buf_put_char(out, 'Z');
}

void walltime_put_rfc3339_ms(struct buf *out, struct walltime t)
{
        int64_t ns = t.ns - walltime_unix(t) * NS_PER_SECOND;

        char fraction[] = ".mmmZ";

        put_date_and_time(out, t);
        put_digits(fraction + 1, ns / 1000000, 3);
        buf_put_c(out, fraction);
}

/* Reads `width` digits at *s; a failed read leaves *ok false. */
static int take_digits(struct str *s, size_t width, bool *ok)
{
        int64_t value = 0;
        struct error *err = parse_int(str_slice(*s, 0, width), 0, 9999, "field", &value);

        if (err != NULL || s->len < width || s->ptr[0] == '-')
                *ok = false;
        error_free(err);
        *s = str_slice(*s, width, s->len);
        return (int)value;
}

static void take_char(struct str *s, const char *allowed, bool *ok)
{
        if (s->len == 0 || s->ptr[0] == '\0' || strchr(allowed, s->ptr[0]) == NULL)
                *ok = false;
        *s = str_slice(*s, 1, s->len);
}

static int64_t take_fraction(struct str *s, bool *ok)
{
        int64_t ns = 0, unit = NS_PER_SECOND / 10;

        if (s->len == 0 || s->ptr[0] != '.')
                return 0;
        *s = str_slice(*s, 1, s->len);
        if (s->len == 0 || !char_is_digit(s->ptr[0]))
                *ok = false;
        for (; s->len > 0 && char_is_digit(s->ptr[0]); unit /= 10) {
                ns += (s->ptr[0] - '0') * unit;
                *s = str_slice(*s, 1, s->len);
        }
        return ns;
}

static int64_t take_offset(struct str *s, bool *ok)
{
        if (s->len == 1 && (s->ptr[0] == 'Z' || s->ptr[0] == 'z'))
                return 0;
        if (s->len != 6 || (s->ptr[0] != '+' && s->ptr[0] != '-')) {
                *ok = false;
                return 0;
        }
        int sign = s->ptr[0] == '-' ? -1 : 1;
        *s = str_slice(*s, 1, s->len);
        int hours = take_digits(s, 2, ok);
        take_char(s, ":", ok);
        int minutes = take_digits(s, 2, ok);
        if (hours > 23 || minutes > 59)
                *ok = false;
        return sign * (hours * 3600 + minutes * 60);
}

struct error *walltime_parse_rfc3339(struct str text, struct walltime *ret)
{
        bool ok = true;
        struct str s = text;
        struct civil c = { 0 };
        struct walltime t;

        c.year = take_digits(&s, 4, &ok);
        take_char(&s, "-", &ok);
        c.month = take_digits(&s, 2, &ok);
        take_char(&s, "-", &ok);
        c.day = take_digits(&s, 2, &ok);
        take_char(&s, "Tt ", &ok);
        c.hour = take_digits(&s, 2, &ok);
        take_char(&s, ":", &ok);
        c.minute = take_digits(&s, 2, &ok);
        take_char(&s, ":", &ok);
        c.second = take_digits(&s, 2, &ok);
        int64_t fraction = take_fraction(&s, &ok);
        int64_t offset = take_offset(&s, &ok);
        if (!ok)
                return error_new(ERROR_INVALID_ARGUMENT, "not a date and time like 2026-01-31T23:59:59Z");
        TRY(walltime_of_civil(c, &t));
        *ret = (struct walltime){ t.ns + fraction - offset * NS_PER_SECOND };
        return NULL;
}

struct error *walltime_parse_http(struct str text, struct walltime *ret)
{
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        bool ok = text.len == 29;
        struct str s = str_slice(text, 5, text.len);
        struct civil c = { 0 };

        c.day = take_digits(&s, 2, &ok);
        take_char(&s, " ", &ok);
        for (int m = 0; m < 12; m++)
                if (str_starts_with(s, str_of_bytes(months + 3 * m, 3)))
                        c.month = m + 1;
        s = str_slice(s, 3, s.len);
        take_char(&s, " ", &ok);
        c.year = take_digits(&s, 4, &ok);
        take_char(&s, " ", &ok);
        c.hour = take_digits(&s, 2, &ok);
        take_char(&s, ":", &ok);
        c.minute = take_digits(&s, 2, &ok);
        take_char(&s, ":", &ok);
        c.second = take_digits(&s, 2, &ok);
        if (!ok || !str_equal(s, STR(" GMT")))
                return error_new(ERROR_INVALID_ARGUMENT, "not an HTTP date");
        return walltime_of_civil(c, ret);
}

static const struct {
        struct str name;
        int64_t ns;
} duration_units[] = {
        { STR_INIT("ms"), 1000000 },          { STR_INIT("us"), 1000 },
        { STR_INIT("ns"), 1 },                { STR_INIT("h"), 3600 * (int64_t)NS_PER_SECOND },
        { STR_INIT("m"), 60 * (int64_t)NS_PER_SECOND }, { STR_INIT("s"), NS_PER_SECOND },
        { STR_INIT("d"), 24 * 3600 * (int64_t)NS_PER_SECOND }, /* as in durations of Teleport */
};

static bool take_duration_part(struct str *s, int64_t *total)
{
        size_t digits = 0;
        int64_t count = 0, ns = 0;

        while (digits < s->len && char_is_digit(s->ptr[digits]))
                digits++;
        struct error *err = parse_int(str_slice(*s, 0, digits), 0, INT64_MAX / 4, "duration", &count);
        if (err != NULL) {
                error_free(err);
                return false;
        }
        *s = str_slice(*s, digits, s->len);
        for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
                if (!str_starts_with(*s, duration_units[i].name))
                        continue;
                *s = str_slice(*s, duration_units[i].name.len, s->len);
                return !__builtin_mul_overflow(count, duration_units[i].ns, &ns) &&
                       !__builtin_add_overflow(*total, ns, total);
        }
        return false;
}

struct error *duration_parse(struct str text, struct duration *ret)
{
        struct str s = text;
        int64_t total = 0;
        bool ok = s.len > 0;

        if (str_equal(text, STR("0")))
                s = (struct str){ 0 };
        while (ok && s.len > 0)
                ok = take_duration_part(&s, &total);
        if (!ok)
                return error_new(ERROR_INVALID_ARGUMENT, "not a duration like 1h30m, 10s or 500ms");
        *ret = (struct duration){ total };
        return NULL;
}

void duration_put(struct buf *out, struct duration d)
{
        int64_t seconds = d.ns / NS_PER_SECOND;

        if (d.ns < 0) {
                buf_put_char(out, '-');
                duration_put(out, (struct duration){ -d.ns });
        } else if (d.ns < NS_PER_SECOND && d.ns > 0) {
                buf_printf(out, "%lldms", (long long)(d.ns / 1000000));
        } else if (seconds >= 3600) {
                buf_printf(out, "%lldh%lldm%llds", (long long)(seconds / 3600), (long long)(seconds / 60 % 60),
                           (long long)(seconds % 60));
        } else if (seconds >= 60) {
                buf_printf(out, "%lldm%llds", (long long)(seconds / 60), (long long)(seconds % 60));
        } else {
                buf_printf(out, "%llds", (long long)seconds);
        }
}
