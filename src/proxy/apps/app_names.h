/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of applications that clients cannot use, because no web certificate of this proxy has their name. */
#ifndef PROXY_APPS_APP_NAMES_H
#define PROXY_APPS_APP_NAMES_H

#include "api.pb-c.h"

struct proxy;

/* Logs the addresses that are new to the proxy, before app_addresses_set(), and in none of its web certificates. */
void app_names_check(const struct proxy *p, const Cteleport__V1__AppAddresses *sent);

#endif
