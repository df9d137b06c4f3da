/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DialService/Tunnels: which nodes may have a tunnel. A proxy names the nodes that have opened one, and gets, now or later, the
 * names of those that may not: the host was removed, has lost role Node, or is locked. A change is sent to every
 * proxy. The names last as long as the proxy's stream: such a node can be reached. A proxy also reports the keys of
 * its web certificates here (auth/hosts/servers.h).
 */
#ifndef AUTH_HOSTS_TUNNELS_SERVICE_H
#define AUTH_HOSTS_TUNNELS_SERVICE_H

#include "auth/core/auth.h"
#include "pki/cert.h"
#include "rpc/rpc.h"

struct tunnels_stream;

void tunnels_open(struct rpc_call *call, const ProtobufCMessage *first);

/* Whether some proxy has a tunnel to this host. */
bool tunnels_reach(const struct auth *a, struct str host_id);

/* Tells every proxy to end the tunnels of this host. */
void tunnels_refuse(struct auth *a, struct str host_id, const char *reason);

/* The same of those that were opened by certificates earlier than `before`, unless that is zero. An older proxy ends all. */
void tunnels_refuse_earlier(struct auth *a, struct str host_id, struct cert_issue before, const char *reason);

/* Locks have changed: looks at every host there is, and tells of those that are locked. */
void tunnels_recheck(struct auth *a);

#endif
