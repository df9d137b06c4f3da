/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts of an application that could not reach it, for a browser's connection: they are left out of the next dial, up to LIMIT_DIAL_TRIES. If none
 * reaches it, no others are tried for PACE_APP_NEXT_HOST. docs/decisions/0046-the-next-host-of-an-application.md
 */
#ifndef PROXY_APPS_APP_TRIES_H
#define PROXY_APPS_APP_TRIES_H

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

/* Zeroed: none was tried. */
struct app_tries {
        char host_id[LIMIT_NAME]; /* of the last connection to a host; set by the owner, as the next one */
        bool has_alternatives;    /* other hosts may offer the application */
        char list[LIMIT_DIAL_TRIES * LIMIT_NAME]; /* the IDs of those that were tried, separated by commas */
        size_t count;
        char *reason; /* why the last of them does not reach it, safe for terminals; NULL: none was tried */
        bool is_down; /* no host reaches it, since down_since */
        struct instant down_since;
};
void app_tries_release(struct app_tries *t);

/* A host has reached the application, or it is another application: the zeroed state, but for the connection. */
void app_tries_reset(struct app_tries *t);

/* The host does not reach the application: adds it to the list, if another one is to be tried. The reason is untrusted. */
bool app_tries_another(struct app_tries *t, struct str reason, struct instant now) MUST_USE;

/* There is no other host: begins the pause, and empties the list. After it all are tried again, on a connection that was kept as well. */
void app_tries_give_up(struct app_tries *t, struct instant now);

#endif
