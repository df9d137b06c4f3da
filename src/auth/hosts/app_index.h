/* SPDX-License-Identifier: Apache-2.0 */
/* Index of the applications that hosts announce, by name, with the hosts that offer each. */
#ifndef AUTH_HOSTS_APP_INDEX_H
#define AUTH_HOSTS_APP_INDEX_H

#include "auth/core/auth.h"
#include "base/limits.h"
#include "base/map.h"
#include "resource.pb-c.h"

/* A zeroed struct is empty; the owner must not access its fields. */
struct app_index {
        struct map by_name; /* name -> struct app_list, owned */
        struct map by_host; /* host ID -> its first struct app_offer, owned */
};
void app_index_release(struct app_index *x);

/*
 * Replaces the applications of a host. If another host offers an application of the same name with another uri, both hosts are
 * named in a log line: connections go to either of them. Returns whether a public_addr of teleport.yaml, or the names that hosts offer, may
 * have changed.
 */
bool app_index_note(struct app_index *x, struct str host_id, Cteleport__V1__App *const *apps, size_t count);

/* As nodes_each_app_address(). */
void app_index_each_address(const struct app_index *x, void (*each)(void *ctx, struct str app, struct str addr), void *ctx);

/* As nodes_each_app(). */
void app_index_each_name(const struct app_index *x, void (*each)(void *ctx, struct str app), void *ctx);

/* As nodes_app_conflicts(). */
size_t app_index_conflicts(const struct app_index *x, struct arena *arena, char **ret, size_t room);

/* As nodes_offering_app(). */
size_t app_index_find(const struct app_index *x, const struct auth *a, struct str name, struct str ret_ids[LIMIT_DIAL_CANDIDATES]);

#endif
