/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from byte strings to pointers, for tables of a long-running process: connections by source, agents by host
 * ID. The map owns copies of the keys, never the values.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map_entry;

struct map {
        struct map_entry **buckets;
        size_t bucket_count;
        size_t count;
        uint64_t seed; /* random, so that peers cannot choose colliding keys */
};

/* A zeroed map is a valid empty one. */
void map_release(struct map *m);

/* The value of key, or NULL. */
void *map_get(const struct map *m, struct str key);

/* Sets key to value (not NULL) and returns the value it had, or NULL. */
void *map_put(struct map *m, struct str key, void *value);

/* Removes key and returns its value, or NULL. */
void *map_remove(struct map *m, struct str key);

/* Calls each() for every entry, in no particular order. each() may remove the entry that it was passed, but no other. */
void map_each(struct map *m, void (*each)(void *ctx, struct str key, void *value), void *ctx);

#endif
