/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of applications as users see them: an application is one, however many hosts offer it.
 */
#ifndef CLIENT_APP_LIST_H
#define CLIENT_APP_LIST_H

#include "base/buf.h"
#include "resource.pb-c.h"

/*
 * Sorts by name and moves the first of each name to the front; returns how many they are. All must have passed
 * app_servers_check() of client/node_filter.h.
 */
size_t app_list_unite(Cteleport__V1__AppServer **servers, size_t count);

/*
 * The public_addr at which the proxy serves the application of this name, a DNS name; "": there is none, as its hosts differ, or another application has the same.
 * An application that the user may not see can have it, too: then its page has the reason.
 */
const char *app_list_address(Cteleport__V1__AppServer *const *servers, size_t count, const char *name);

/* Appends where hosts reach it, with its tcp_ports: "tcp://db.internal:4080-4090,5095". */
void app_list_put_uri(struct buf *out, const Cteleport__V1__AppSpec *spec);

/* "TCP", "HTTP", by the scheme of the application's uri; static text. */
const char *app_list_type(const char *uri);

#endif
