/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/schema_internal.h"

#include <stdio.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/text.h"

bool schema_is_always_list(const ProtobufCMessageDescriptor *type)
{
        return strcmp(type->name, "cteleport.v1.StringList") == 0;
}

enum schema_form schema_form(const ProtobufCMessageDescriptor *type)
{
        struct str name = str_of(type->name);

        if (str_equal(name, STR("cteleport.v1.Timestamp")))
                return FORM_TIMESTAMP;
        if (str_equal(name, STR("cteleport.v1.Duration")))
                return FORM_DURATION;
        if (str_equal(name, STR("cteleport.v1.Strings")) || schema_is_always_list(type))
                return FORM_STRINGS;
        if (str_ends_with(name, STR("Entry")) && type->n_fields == 2 && strcmp(type->fields[0].name, "key") == 0 &&
            strcmp(type->fields[1].name, "value") == 0)
                return FORM_ENTRY;
        return FORM_MESSAGE;
}

size_t schema_value_size(const ProtobufCFieldDescriptor *field)
{
        switch (field->type) {
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_ENUM:
                return sizeof(uint32_t);
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_UINT64:
                return sizeof(uint64_t);
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_MESSAGE:
                return sizeof(void *);
        default:
                bug("field '%s' has a type that the schema has no text for", field->name);
        }
}

/*
 * The Gregorian calendar repeats every 400 years, so a year outside struct walltime's range is shifted by
 * whole cycles, whose seconds are added.
 */
enum { CYCLE_YEARS = 400, YEAR_MAX = 9999, WALLTIME_YEAR_MAX = 2261 };
#define CYCLE_SECONDS (146097 * (int64_t)86400)
#define SECONDS_MIN (-9214473600)    /* 1678-01-02 */
#define SECONDS_MAX 253402300799     /* 9999-12-31T23:59:59Z */
#define WALLTIME_SECONDS_MAX 9214646399 /* 2261-12-31T23:59:59Z */

struct error *timestamp_parse(struct str text, int64_t *ret_seconds, int32_t *ret_nanos)
{
        char shifted[64];
        struct walltime t;
        int64_t year = 0, cycles = 0;

        if (text.len < 5 || text.len >= sizeof shifted || text.ptr[4] != '-')
                return error_new(ERROR_INVALID_ARGUMENT, "not a date and time like 2026-01-31T23:59:59Z");
        TRY(parse_int(str_slice(text, 0, 4), 0, YEAR_MAX, "the year", &year));
        memcpy(shifted, text.ptr, text.len);
        while (year > WALLTIME_YEAR_MAX) {
                year -= CYCLE_YEARS;
                cycles++;
        }
        if (cycles > 0)
                for (int i = 3; i >= 0; i--, year /= 10)
                        shifted[i] = (char)('0' + year % 10);
        TRY(walltime_parse_rfc3339(str_of_bytes(shifted, text.len), &t));
        int64_t seconds = walltime_unix(t) + cycles * CYCLE_SECONDS;
        if (seconds < SECONDS_MIN || seconds > SECONDS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "no such date, or a year outside 1678 to %d", YEAR_MAX);
        *ret_nanos = (int32_t)(t.ns - walltime_unix(t) * 1000000000);
        *ret_seconds = seconds;
        return NULL;
}

void timestamp_put(struct buf *out, int64_t seconds, int32_t nanos)
{
        int64_t cycles = 0;

        seconds = seconds < SECONDS_MIN ? SECONDS_MIN : seconds > SECONDS_MAX ? SECONDS_MAX : seconds;
        for (; seconds > WALLTIME_SECONDS_MAX; cycles++)
                seconds -= CYCLE_SECONDS;
        struct civil c = walltime_civil(walltime_of_unix(seconds));
        buf_printf(out, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)(c.year + cycles * CYCLE_YEARS), c.month, c.day,
                   c.hour, c.minute, c.second);
        if (nanos > 0 && nanos < 1000000000) {
                char digits[16];
                int len = snprintf(digits, sizeof digits, "%09d", nanos);

                while (len > 1 && digits[len - 1] == '0')
                        len--;
                buf_printf(out, ".%.*s", len, digits);
        }
        buf_put_char(out, 'Z');
}
