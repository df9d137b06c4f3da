/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/audit_names.h"

#include "base/text.h"

#define RENAMED "events.log-"
#define LINE_BEGIN "{\"time\":\""
enum { STAMP_LEN = 15, TIME_AT = sizeof LINE_BEGIN - 1 };

/* The number at `at`, whose characters are digits. */
static int digits(struct str s, size_t at, size_t len)
{
        int value = 0;

        for (size_t i = at; i < at + len; i++)
                value = value * 10 + (s.ptr[i] - '0');
        return value;
}

static bool has_form(struct str text, const char *pattern)
{
        for (size_t i = 0; pattern[i] != '\0'; i++)
                if (i >= text.len || (pattern[i] == 'd' ? !char_is_digit(text.ptr[i]) : text.ptr[i] != pattern[i]))
                        return false;
        return true;
}

bool audit_name_parse(struct str name, struct audit_name *ret)
{
        struct audit_name parsed = { .number = 1 };
        int64_t number = 1;

        if (!str_starts_with(name, STR(RENAMED)))
                return false;
        struct str rest = str_slice(name, sizeof RENAMED - 1, name.len);
        if (!has_form(rest, "dddddddd-dddddd"))
                return false;
        struct civil c = {
                .year = digits(rest, 0, 4), .month = digits(rest, 4, 2), .day = digits(rest, 6, 2),
                .hour = digits(rest, 9, 2), .minute = digits(rest, 11, 2), .second = digits(rest, 13, 2),
        };
        struct error *err = walltime_of_civil(c, &parsed.at);
        rest = str_slice(rest, STAMP_LEN, rest.len);
        if (err == NULL && str_ends_with(rest, STR(".gz"))) {
                parsed.is_packed = true;
                rest = str_slice(rest, 0, rest.len - 3);
        }
        if (err == NULL && !str_is_empty(rest))
                err = rest.ptr[0] == '-' ? parse_int(str_slice(rest, 1, rest.len), 2, AUDIT_NAMES_PER_SECOND, "number", &number)
                                         : error_new(ERROR_INVALID_ARGUMENT, "another name");
        parsed.number = (int)number;
        if (err == NULL)
                *ret = parsed;
        bool is_ours = err == NULL;
        error_free(err);
        return is_ours;
}

void audit_name_put(struct buf *out, const struct audit_name *name)
{
        struct civil c = walltime_civil(name->at);

        buf_printf(out, RENAMED "%04lld%02d%02d-%02d%02d%02d", (long long)c.year, c.month, c.day, c.hour, c.minute, c.second);
        if (name->number > 1)
                buf_printf(out, "-%d", name->number);
        if (name->is_packed)
                buf_put_c(out, ".gz");
}

bool audit_name_is_packed(struct str name)
{
        static const struct str endings[] = { STR_INIT(".gz"), STR_INIT(".xz"), STR_INIT(".zst"), STR_INIT(".bz2"), STR_INIT(".lz4") };

        for (size_t i = 0; i < ARRAY_LEN(endings); i++)
                if (str_ends_with(name, endings[i]))
                        return true;
        return false;
}

bool audit_name_is_log(struct str name)
{
        return str_starts_with(name, STR(AUDIT_LIVE_NAME)) && (!audit_name_is_packed(name) || str_ends_with(name, STR(".gz")));
}

struct str audit_line_time(struct str line)
{
        if (!str_starts_with(line, STR(LINE_BEGIN)) || !has_form(str_slice(line, TIME_AT, line.len), "dddd-dd-ddTdd:dd:dd.dddZ\""))
                return STR("");
        return str_slice(line, TIME_AT, AUDIT_TIME_LEN);
}
