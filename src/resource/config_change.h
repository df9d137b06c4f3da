/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a running host applies a change of teleport.yaml: a table with one row for each key or section, and the comparison
 * of two configurations by it. The column "On reload" of docs/reference/config.md is generated from the table.
 */
#ifndef RESOURCE_CONFIG_CHANGE_H
#define RESOURCE_CONFIG_CHANGE_H

#include "base/arena.h"
#include "config.pb-c.h"

enum config_effect {
        CONFIG_AT_ONCE,   /* the supervisor applies it itself, or nothing depends on it */
        CONFIG_PROCESSES, /* the named processes are replaced by new ones */
        CONFIG_RESTART,   /* only a restart of the service applies it: a reload is refused */
};

enum { CONFIG_RULE_PROCESSES = 5, CONFIG_CHANGED_MAX = 128 };

struct config_rule {
        const char *key; /* "ssh_service.labels"; of a section, the row is for all keys below it that have none of their own */
        enum config_effect effect;
        const char *processes[CONFIG_RULE_PROCESSES + 1]; /* names of the table of services; NULL-terminated */
        const char *why; /* with CONFIG_RESTART: why a reload cannot apply it */
        const char *unset; /* the text that the key stands for if its section is missing; NULL: config_check() fills it in */
};

/* The row at a position, from 0 on; NULL beyond the last. */
const struct config_rule *config_rule_at(size_t i);

/* The row for a key: its own, or that of the nearest section; NULL: there is none, which the unit test refuses. */
const struct config_rule *config_rule_of(const char *key);

/* The keys whose values differ, in the order of the schema. */
struct config_changes {
        const char *keys[CONFIG_CHANGED_MAX]; /* in the arena */
        const struct config_rule *rules[CONFIG_CHANGED_MAX];
        size_t count;
};

/* Compares two configurations after config_check() has filled in their defaults. */
void config_compare(const Cteleport__V1__Config *old, const Cteleport__V1__Config *new, struct arena *arena, struct config_changes *ret);

/* Adds a key whose value has changed in another way, such as the content of a file that it names; nothing if it is there. */
void config_changes_add(struct config_changes *c, struct arena *arena, const char *key);

/* Whether a change needs new processes of that name. */
bool config_changes_concern(const struct config_changes *c, const char *process);

/* Calls fn(ctx, key) for each key of the schema that has a value of its own: "teleport.log.format.output". */
void config_each_key(void (*fn)(void *ctx, const char *key), void *ctx);

#endif
