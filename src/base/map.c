/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/mem.h"

enum { BUCKETS_AT_FIRST = 16 };

struct map_entry {
        struct map_entry *next;
        void *value;
        uint64_t hash;
        size_t len;
        char key[];
};

/* FNV-1a over a secret seed: short keys, and the seed is unknown to the peers that choose them. */
static uint64_t hash_of(const struct map *m, struct str key)
{
        uint64_t hash = m->seed ^ 0xcbf29ce484222325u;

        for (size_t i = 0; i < key.len; i++)
                hash = (hash ^ (uint8_t)key.ptr[i]) * 0x100000001b3u;
        hash ^= hash >> 29;
        return hash * 0xbf58476d1ce4e5b9u;
}

static struct map_entry **find(const struct map *m, struct str key, uint64_t hash)
{
        struct map_entry **at = &m->buckets[hash % m->bucket_count];

        while (*at != NULL && ((*at)->hash != hash || !str_equal((struct str){ (*at)->key, (*at)->len }, key)))
                at = &(*at)->next;
        return at;
}

static void grow(struct map *m)
{
        size_t count = m->bucket_count == 0 ? BUCKETS_AT_FIRST : m->bucket_count * 2;
        struct map_entry **buckets = mem_array(count, sizeof(struct map_entry *));

        if (m->bucket_count == 0 && getrandom(&m->seed, sizeof m->seed, 0) != (ssize_t)sizeof m->seed)
                bug("no random numbers");
        for (size_t i = 0; i < m->bucket_count; i++) {
                for (struct map_entry *e = m->buckets[i]; e != NULL;) {
                        struct map_entry *next = e->next;

                        e->next = buckets[e->hash % count];
                        buckets[e->hash % count] = e;
                        e = next;
                }
        }
        free(m->buckets);
        m->buckets = buckets;
        m->bucket_count = count;
}

void map_release(struct map *m)
{
        for (size_t i = 0; i < m->bucket_count; i++) {
                for (struct map_entry *e = m->buckets[i]; e != NULL;) {
                        struct map_entry *next = e->next;

                        free(e);
                        e = next;
                }
        }
        free(m->buckets);
        *m = (struct map){ 0 };
}

void *map_get(const struct map *m, struct str key)
{
        if (m->count == 0)
                return NULL;
        struct map_entry *e = *find(m, key, hash_of(m, key));
        return e == NULL ? NULL : e->value;
}

void *map_put(struct map *m, struct str key, void *value)
{
        if (m->count >= m->bucket_count)
                grow(m);
        uint64_t hash = hash_of(m, key);
        struct map_entry **at = find(m, key, hash);
        if (*at != NULL) {
                void *old = (*at)->value;

                (*at)->value = value;
                return old;
        }
        struct map_entry *e = mem_alloc(sizeof *e + key.len + 1);
        e->value = value;
        e->hash = hash;
        e->len = key.len;
        if (key.len > 0)
                memcpy(e->key, key.ptr, key.len);
        *at = e;
        m->count++;
        return NULL;
}

void *map_remove(struct map *m, struct str key)
{
        if (m->count == 0)
                return NULL;
        struct map_entry **at = find(m, key, hash_of(m, key));
        struct map_entry *e = *at;
        if (e == NULL)
                return NULL;
        void *value = e->value;
        *at = e->next;
        free(e);
        m->count--;
        return value;
}

void map_each(struct map *m, void (*each)(void *ctx, struct str key, void *value), void *ctx)
{
        for (size_t i = 0; i < m->bucket_count; i++) {
                for (struct map_entry *e = m->buckets[i]; e != NULL;) {
                        struct map_entry *next = e->next;

                        each(ctx, (struct str){ e->key, e->len }, e->value);
                        e = next;
                }
        }
}
