/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_rate.h"

#include <string.h>
#include <sys/random.h>

#include "base/limits.h"
#include "base/source.h"

/* Allowances: each line uses some, and time restores it. */
static struct {
        uint64_t seed; /* prevents a peer from choosing whose counter it shares */
        uint64_t sites;
        struct log_allowance peers[LIMIT_LOG_PEERS];
} table;

/* ---- the peer of a line ---------------------------------------------------------------------------------- */

static struct str field(const struct log_field *fields, const char *key)
{
        for (; fields->key != NULL; fields++)
                if (fields->kind == LOG_KIND_STR && strcmp(fields->key, key) == 0)
                        return fields->str;
        return (struct str){ 0 };
}

void log_rate_peer(const struct log_field *fields, struct buf *out)
{
        static const char *const names[] = { "host_id", "user", "by" };
        static const char *const addresses[] = { "remote_addr", "peer" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                struct str value = field(fields, names[i]);

                if (value.len == 0)
                        continue;
                buf_printf(out, "%s %.*s", names[i], (int)(value.len < 256 ? value.len : 256), value.ptr);
                return;
        }
        for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
                struct str value = field(fields, addresses[i]);
                char source[SOURCE_TEXT_MAX];

                if (value.len == 0)
                        continue;
                source_of(value, source);
                buf_put_c(out, source);
                return;
        }
}

/* ---- rates ------------------------------------------------------------------------------------------------- */

static void recover(struct log_allowance *a, struct instant now)
{
        a->spent_ns -= instant_since(now, a->at).ns;
        if (a->spent_ns < 0)
                a->spent_ns = 0;
        a->at = now;
}

/* FNV-1a over a secret seed, as in base/map.c. */
static struct log_allowance *of_peer(const struct log_site *site, struct str peer)
{
        uint64_t hash = table.seed ^ site->id;

        for (size_t i = 0; i < peer.len; i++)
                hash = (hash ^ (uint8_t)peer.ptr[i]) * 0x100000001b3u;
        hash ^= hash >> 29;
        return &table.peers[(hash * 0xbf58476d1ce4e5b9u >> 32) % LIMIT_LOG_PEERS];
}

static void begin(struct log_site *site)
{
        if (site->id != 0)
                return;
        if (table.sites == 0 && getrandom(&table.seed, sizeof table.seed, GRND_NONBLOCK) != (ssize_t)sizeof table.seed)
                table.seed = (uint64_t)(uintptr_t)&site; /* no randomness yet: logging must not stop */
        site->id = ++table.sites;
}

bool log_rate_allows(struct log_site *site, enum log_level level, const struct log_field *fields, struct instant now)
{
        const int64_t price = MINUTES(1).ns / LIMIT_LOG_PER_MINUTE, price_all = MINUTES(1).ns / LIMIT_LOG_PER_MINUTE_ALL;
        AUTO(buf) peer = BUF_MAX(KiB);

        if (level == LOG_DEBUG)
                return true;
        begin(site);
        log_rate_peer(fields, &peer);
        bool names_peer = peer.len > 0, is_for_all = !names_peer || level >= LOG_WARN;
        struct log_allowance *own = names_peer ? of_peer(site, buf_str(&peer)) : NULL;
        if (own != NULL)
                recover(own, now);
        recover(&site->all, now);
        if ((own != NULL && own->spent_ns >= LIMIT_LOG_BURST * price) || (is_for_all && site->all.spent_ns >= LIMIT_LOG_BURST_ALL * price_all)) {
                site->left_out++;
                return false;
        }
        if (own != NULL)
                own->spent_ns += price;
        if (is_for_all)
                site->all.spent_ns += price_all;
        return true;
}
