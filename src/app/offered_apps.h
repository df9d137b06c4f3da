/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The applications that this process offers, as the instance process has sent them. A connection holds the application that it began
 * with, so that a new table does not concern it.
 */
#ifndef APP_OFFERED_APPS_H
#define APP_OFFERED_APPS_H

#include "base/map.h"
#include "internal.pb-c.h"

/* Immutable, and counted. */
struct offered_app {
        const Cteleport__V1__AppConfig *config;
        struct arena *arena;
        struct str packed; /* to compare it */
        size_t holders;
};

/* A zeroed one is empty. */
struct offered_apps {
        struct map by_name;
};

/* The application of that name, borrowed; NULL: this host does not offer it. */
struct offered_app *offered_app_find(const struct offered_apps *a, struct str name);
struct offered_app *offered_app_hold(struct offered_app *app) MUST_USE;
void offered_app_release(struct offered_app *app); /* NULL is silent */

/*
 * Replaces the table. ended(ctx, app, why) is called for each application before it leaves the table whose connections are to end: it
 * is not offered any more, or is at another address now.
 */
void offered_apps_set(struct offered_apps *a, const Cteleport__Internal__V1__Apps *sent, void (*ended)(void *ctx, struct offered_app *app, const char *why), void *ctx);
/* Lists their names, at most LIMIT_APPS; borrowed until the next table. Returns their number. */
size_t offered_apps_names(struct offered_apps *a, char **list);
void offered_apps_release(struct offered_apps *a);

#endif
