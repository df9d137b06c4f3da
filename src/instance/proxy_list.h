/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Proxy Services of the cluster and where this host dials them: what the SSH Service keeps tunnels to.
 */
#ifndef INSTANCE_PROXY_LIST_H
#define INSTANCE_PROXY_LIST_H

#include <stdbool.h>

#include "api.pb-c.h"
#include "base/compiler.h"
#include "internal.pb-c.h"

enum { PROXY_LIST_MAX = 64 };

/* What this host knows without asking; everything borrowed for the list's life, "" when not so. */
struct proxy_list_host {
        const char *proxy_server;  /* configured */
        const char *local_proxy;   /* where the proxy of this machine listens */
        const char *host_id;       /* ours */
};

struct proxy_list;
struct proxy_list *proxy_list_new(struct proxy_list_host host) MUST_USE; /* with what is known without asking */
void proxy_list_free(struct proxy_list *l);

/* What the cluster says; false when nothing has changed by it. Those without a usable address are left out. */
bool proxy_list_set(struct proxy_list *l, const Cteleport__V1__PresenceDown__Proxies *sent);

/* As it is now; borrowed until it changes. Its revision differs from all before, also of earlier processes. */
const Cteleport__Internal__V1__Proxies *proxy_list_message(const struct proxy_list *l);

#endif
