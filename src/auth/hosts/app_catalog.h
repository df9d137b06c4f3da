/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resources of kind app in memory, and which of them each connected host is to offer: those that its matchers select
 * (app_service.resources of its teleport.yaml).
 *
 *      store ── an app is written or removed ──▶ catalog ──▶ of the selections that it concerns: a change
 *      hello ── matchers, names of the file ──▶ selection ── all ──▶ changes: the host is sent them
 *      host  ── the names that it offers ─────▶ selection ── selected and offered ──▶ the record of its presence
 *
 * A change of one application costs one comparison of labels for each host with matchers, and a message to those that it concerns.
 */
#ifndef AUTH_HOSTS_APP_CATALOG_H
#define AUTH_HOSTS_APP_CATALOG_H

#include "api.pb-c.h"
#include "base/arena.h"
#include "base/error.h"

struct auth;

/* Reads the resources and follows their changes; ready(ctx, err) once from the loop. */
struct app_catalog *app_catalog_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
/* Ends the work with the store. NULL is silent. */
void app_catalog_stop(struct app_catalog *c);
/* All selections must have been freed. NULL is silent. */
void app_catalog_close(struct app_catalog *c);

/* Calls each() for every resource with a public_addr, in no particular order. c may be NULL. */
void app_catalog_each_address(struct app_catalog *c, void (*each)(void *ctx, struct str app, struct str addr), void *ctx);

/* Whether there is a resource of that name; false if c is NULL. */
bool app_catalog_has(const struct app_catalog *c, struct str name);

/* The number of resources; 0 if c is NULL. */
size_t app_catalog_count(const struct app_catalog *c);

/* ---- the selection of one host ------------------------------------------------------------------------------ */

struct app_selection_events {
        /*
         * What the host is to offer has changed; borrowed. change NULL: only app_selection_hidden() may have another result.
         * is_listed: app_selection_put() may have another result now.
         */
        void (*changed)(void *ctx, const Cteleport__V1__PresenceDown__Apps *change, bool is_listed);
};

/*
 * hello must live as long as the selection, and has been checked (app_matcher_read()). The names of the file's applications in it are
 * never selected.
 */
struct app_selection *app_selection_new(struct app_catalog *c, const Cteleport__V1__PresenceUp__Hello *hello, const struct app_selection_events *events,
                                        void *ctx) MUST_USE;
void app_selection_free(struct app_selection *s); /* NULL is silent */

/* Reports all that is selected, as a change that is complete. */
void app_selection_report(struct app_selection *s);

/* Sets the names that the host offers. Returns whether app_selection_put() has another result now. */
bool app_selection_offer(struct app_selection *s, char *const *names, size_t count);

/* Adds to list what is selected and offered; at most LIMIT_APPS. Borrowed until the next change. Returns their number. */
size_t app_selection_put(struct app_selection *s, Cteleport__V1__App **list);

/* Adds to list the names of the file's applications that hide a resource that matches; at most hello->n_apps. */
size_t app_selection_hidden(const struct app_selection *s, char **list);

/* The number of resources that match and are not selected, as a host offers at most LIMIT_APPS of LIMIT_APPS_BYTES. */
size_t app_selection_left_out(const struct app_selection *s);

#endif
