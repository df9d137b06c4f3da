/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_failures.h"

#include "base/limits.h"
#include "base/source.h"
#include "pki/key.h"

void app_failures_init(struct app_failures *f)
{
        *f = (struct app_failures){ 0 };
        random_bytes(f->salt, sizeof f->salt);
}

static struct instant *counter_of(struct app_failures *f, struct str address)
{
        char source[SOURCE_TEXT_MAX];
        uint8_t digest[32];

        source_of(address, source);
        hmac_sha256(str_of_bytes(f->salt, sizeof f->salt), str_of(source), digest);
        return &f->sources[digest[0] % APP_FAILURE_COUNTERS];
}

/* The time of the counter after one more report; 0: it is beyond its pace. */
static int64_t after_one(const struct instant *counter, struct instant now, int64_t per_minute)
{
        const int64_t price = MINUTES(1).ns / per_minute;
        int64_t begin = counter->ns > now.ns ? counter->ns : now.ns;

        return begin - now.ns <= price * (per_minute - 1) ? begin + price : 0;
}

bool app_failures_may_report(struct app_failures *f, struct str address, struct instant now, uint64_t *ret_left_out)
{
        struct instant *source = counter_of(f, address);
        int64_t of_source = after_one(source, now, LIMIT_APP_FAILURES_PER_MINUTE), of_all = after_one(&f->all, now, LIMIT_APP_FAILURES_PER_MINUTE_ALL);

        if (of_source == 0 || of_all == 0) {
                f->left_out++;
                return false;
        }
        source->ns = of_source;
        f->all.ns = of_all;
        *ret_left_out = f->left_out;
        f->left_out = 0;
        return true;
}

void app_failures_return(struct app_failures *f, uint64_t left_out)
{
        f->left_out += left_out + 1;
}
