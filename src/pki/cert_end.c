/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/cert_end.h"

#define DAY HOURS(24)

static const int marks[] = { 1, 7, 30 };

int cert_end_mark(struct cert_times times, struct walltime now)
{
        int64_t left = walltime_since(times.not_after, now).ns, life = walltime_since(times.not_after, times.not_before).ns;

        if (left <= 0)
                return 0;
        if (left > life / 4)
                return CERT_END_FAR;
        for (size_t i = 0; i < ARRAY_LEN(marks); i++)
                if (left <= marks[i] * DAY.ns)
                        return marks[i];
        return CERT_END_FAR;
}

struct duration cert_end_next(struct cert_times times, struct walltime now)
{
        int64_t left = walltime_since(times.not_after, now).ns, quarter = walltime_since(times.not_after, times.not_before).ns / 4;
        int64_t next = 0; /* the time left at the next mark */

        if (left <= 0)
                return (struct duration){ INT64_MAX };
        for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
                int64_t at = marks[i] * DAY.ns < quarter ? marks[i] * DAY.ns : quarter;

                if (at < left && at > next)
                        next = at;
        }
        return (struct duration){ left - next };
}

void cert_end_put(struct buf *out, struct cert_times times, struct walltime now)
{
        int64_t left = walltime_since(times.not_after, now).ns;

        if (left <= 0)
                buf_put_c(out, "expired");
        else if (left < HOURS(1).ns)
                buf_printf(out, "expires in %lld minutes,", (long long)(left / MINUTES(1).ns));
        else if (left < DAY.ns)
                buf_printf(out, "expires in %lld hours,", (long long)(left / HOURS(1).ns));
        else
                buf_printf(out, "expires in %lld %s,", (long long)(left / DAY.ns), left / DAY.ns == 1 ? "day" : "days");
        buf_put_c(out, " at ");
        walltime_put_rfc3339(out, times.not_after);
}
