/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/refusal_log.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pki/key.h"

/* A rate limit: each reported refusal spends from it, and it recovers with time. */
struct allowance {
        struct instant at;
        int64_t spent_ns;
};

enum { SLOTS = 4096 };

struct refusal_log {
        struct loop *loop;
        struct timer *timer; /* runs while refusals are unreported */
        void (*reported)(void *ctx, uint64_t count);
        void *ctx;
        uint64_t unreported;
        uint8_t salt[16]; /* so that an attacker cannot choose an address with a given slot */
        struct allowance all;
        struct allowance sources[SLOTS]; /* index: digest of the address; the size does not grow with the sources */
};

static int64_t price(int64_t per_minute)
{
        return MINUTES(1).ns / per_minute;
}

static void recover(struct allowance *a, struct instant now)
{
        a->spent_ns -= instant_since(now, a->at).ns;
        if (a->spent_ns < 0)
                a->spent_ns = 0;
        a->at = now;
}

static struct allowance *allowance_of(struct refusal_log *r, struct str address)
{
        uint8_t digest[32];

        hmac_sha256(str_of_bytes(r->salt, sizeof r->salt), address, digest);
        return &r->sources[(digest[0] | (size_t)digest[1] << 8) % SLOTS];
}

static void report(void *ctx)
{
        struct refusal_log *r = ctx;
        uint64_t count = r->unreported;

        r->unreported = 0;
        if (count > 0)
                r->reported(r->ctx, count);
}

struct refusal_log *refusal_log_new(struct loop *l, void (*reported)(void *ctx, uint64_t count), void *ctx)
{
        struct refusal_log *r = NEW(struct refusal_log);

        r->loop = l;
        r->reported = reported;
        r->ctx = ctx;
        r->timer = timer_new(l, report, r);
        random_bytes(r->salt, sizeof r->salt);
        return r;
}

void refusal_log_count(struct refusal_log *r)
{
        r->unreported++;
        if (!timer_is_running(r->timer))
                timer_start(r->timer, MILLISECONDS(PACE_REFUSALS_COUNT));
}

bool refusal_log_may_report(struct refusal_log *r, struct str address)
{
        const int64_t of_source = price(LIMIT_REFUSALS_PER_MINUTE), of_all = price(LIMIT_REFUSALS_PER_MINUTE_ALL);
        struct instant now = loop_now(r->loop);
        struct allowance *source = allowance_of(r, address);

        recover(source, now);
        recover(&r->all, now);
        if (source->spent_ns < LIMIT_REFUSALS_BURST * of_source && r->all.spent_ns < LIMIT_REFUSALS_BURST_ALL * of_all) {
                source->spent_ns += of_source;
                r->all.spent_ns += of_all;
                return true;
        }
        refusal_log_count(r);
        return false;
}

void refusal_log_free(struct refusal_log *r)
{
        if (r == NULL)
                return;
        report(r);
        timer_free(r->timer);
        free(r);
}
