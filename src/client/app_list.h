/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of applications as users see them: an application is one, however many hosts offer it.
 */
#ifndef CLIENT_APP_LIST_H
#define CLIENT_APP_LIST_H

#include "resource.pb-c.h"

/*
 * Sorts by name and moves the first of each name to the front; returns how many they are. All must have passed
 * app_servers_check() of client/node_filter.h.
 */
size_t app_list_unite(Cteleport__V1__AppServer **servers, size_t count);

/* "TCP", "HTTP", by the scheme of the application's uri; static text. */
const char *app_list_type(const char *uri);

#endif
