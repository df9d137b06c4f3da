/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List of the cluster's Proxy Services, to each of which the SSH Service keeps a tunnel, with the addresses at which
 * this host dials them.
 */
#ifndef INSTANCE_PROXY_LIST_H
#define INSTANCE_PROXY_LIST_H

#include <stdbool.h>

#include "api.pb-c.h"
#include "base/compiler.h"
#include "internal.pb-c.h"

enum { PROXY_LIST_MAX = 64 };

/* Facts known without the cluster; borrowed as long as the list exists, "" when unknown. */
struct proxy_list_host {
        const char *proxy_server;  /* configured */
        const char *local_proxy;   /* address of the proxy on this machine */
        const char *host_id;       /* of this host */
};

struct proxy_list;
struct proxy_list *proxy_list_new(struct proxy_list_host host) MUST_USE; /* with the proxies known without the cluster */
void proxy_list_free(struct proxy_list *l);

/* Sets the cluster's list; false when nothing has changed. Proxies without a usable address are left out. */
bool proxy_list_set(struct proxy_list *l, const Cteleport__V1__PresenceDown__Proxies *sent);

/*
 * The current list as a message; borrowed until it changes. Its revision differs from all earlier ones, also of earlier
 * processes.
 */
const Cteleport__Internal__V1__Proxies *proxy_list_message(const struct proxy_list *l);

#endif
