/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the next request on a connection is for an application, by its Host: by the same parser as the gateway's (http/head.h), which parses
 * the same bytes again.
 */
#ifndef PROXY_APPS_APP_CHOICE_H
#define PROXY_APPS_APP_CHOICE_H

#include "proxy/apps/app_address.h"

struct proxy;

struct app_choice {
        bool is_made;                /* otherwise more bytes are needed */
        bool is_app;                 /* for this application, "" if several have its address; false also for a malformed head */
        char app[APP_NAME_MAX + 1];
        bool is_forwarded;           /* the head has X-Forwarded-For */
};

/* bytes: of the request so far. *scanned, 0 at first, is for further calls with more of the same bytes. */
void app_choose(const struct proxy *p, struct str bytes, size_t *scanned, struct app_choice *ret);

#endif
